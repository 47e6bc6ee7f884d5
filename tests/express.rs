//! The formats of express-session, against what express-session itself wrote (see `fixtures/`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::Value;
use session_core::{ManualClock, MemoryStore, Sessions, Timestamp};
use session_store::express::{COOKIE_NAME, Cookie, ExpressSession, Secrets, find_cookie};

const SIGNATURES: &str = include_str!("fixtures/cookie-signatures.json");
const SESSIONS: &str = include_str!("fixtures/express-session-json.txt");
const ROWS: &str = include_str!("fixtures/typeorm-sqlite.table.txt");
const VECTORS: &str = include_str!("fixtures/express-vectors.json");

fn secrets(secrets: &[&str]) -> Secrets {
    Secrets::new(secrets).unwrap()
}

fn text<'v>(vector: &'v Value, name: &str) -> &'v str {
    vector[name].as_str().unwrap()
}

#[test]
fn signatures_are_those_of_the_node_package() {
    let vectors: Vec<Value> = serde_json::from_str(SIGNATURES).unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in &vectors {
        let (id, value, header) = (text(vector, "sid"), text(vector, "cookieValue"), text(vector, "header"));
        let secrets = secrets(&[text(vector, "secret")]);
        assert_eq!(secrets.sign(id), value);
        assert_eq!(
            Cookie::default().render(COOKIE_NAME, value).unwrap(),
            format!("{header}; Path=/; HttpOnly")
        );

        let found = find_cookie(header.as_bytes(), COOKIE_NAME).unwrap();
        assert_eq!(found, value);
        assert_eq!(secrets.verify(&found), Some(id));
        // Not percent-encoded is as good.
        let plain = format!("theme=dark; {COOKIE_NAME}={value}; lang=en");
        assert_eq!(secrets.verify(&find_cookie(plain.as_bytes(), COOKIE_NAME).unwrap()), Some(id));
    }
}

#[test]
fn the_first_secret_signs_and_every_one_verifies() {
    let (old, new) = (secrets(&["old"]), secrets(&["new", "old"]));
    assert_eq!(new.verify(&old.sign("id")), Some("id"));
    assert_eq!(new.verify(&new.sign("id")), Some("id"));
    assert_eq!(old.verify(&new.sign("id")), None);
    assert_eq!(new.sign("id"), secrets(&["new"]).sign("id"));
}

#[test]
fn secrets_that_protect_nothing_are_refused() {
    assert!(Secrets::new(Vec::<String>::new()).is_err());
    assert!(Secrets::new(["good", ""]).is_err());
    assert_eq!(format!("{:?}", secrets(&["tiger", "lily"])), "Secrets(2)");
}

#[test]
fn no_forged_value_is_taken() {
    let secrets = secrets(&["keyboard cat"]);
    let genuine = secrets.sign("abc");
    assert_eq!(secrets.verify(&genuine), Some("abc"));
    let signature = genuine.strip_prefix("s:abc.").unwrap();
    let hostile = [
        String::new(),
        "s:".into(),
        ".".into(),
        "s:.".into(),
        "s:abc".into(),
        "s:abc.".into(),
        format!("abc.{signature}"),
        format!("S:abc.{signature}"),
        format!("s:s:abc.{signature}"),
        format!("s:abd.{signature}"),
        format!("s:abc .{signature}"),
        format!("s:abc\0.{signature}"),
        format!("s:abc..{signature}"),
        format!("s:abc.{signature}="),
        format!("s:abc.{signature}.{signature}"),
        format!("s:abc.{signature} "),
        format!("s:abc.{}", &signature[1..]),
        format!("s:abc.{}", &signature[..42]),
        format!("s:abc.{}", signature.to_lowercase()),
        format!("s:abc.{}", signature.replace('/', "_").replace('+', "-")),
        format!("s:abc.{}", "A".repeat(43)),
        format!("s:{}.{signature}", "abc.".repeat(10_000)),
        "s:\u{1f600}.\u{1f600}".into(),
        // The last character has bits that stand for nothing: only one of its four forms is the signature's.
        format!("s:abc.{}V", &signature[..42]),
    ];
    for value in &hostile {
        assert_ne!(value, &genuine);
        assert_eq!(secrets.verify(value), None, "{value:?}");
    }
}

/// One scenario of the fixture: the options' name, the row, the header.
fn scenarios() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut lines = SESSIONS.lines();
    let mut scenarios = Vec::new();
    while let Some(line) = lines.next() {
        if let Some((name, _)) = line.split_once(": options ") {
            let stored = lines.next().unwrap().strip_prefix("   stored json: ").unwrap();
            let header = lines.next().unwrap().strip_prefix("   Set-Cookie: ").unwrap();
            scenarios.push((name, stored, header));
        }
    }
    assert_eq!(scenarios.len(), 8);
    scenarios
}

#[test]
fn rows_that_express_wrote_are_written_back_byte_for_byte() {
    for (name, stored, _) in scenarios() {
        let session: ExpressSession = serde_json::from_str(stored).unwrap();
        assert!(!session.was_without_cookie(), "{name}");
        assert_eq!(serde_json::to_string(&session).unwrap(), stored, "{name}");
    }
}

#[test]
fn rows_that_express_wrote_give_the_headers_that_express_sent() {
    for (name, stored, header) in scenarios() {
        let session: ExpressSession = serde_json::from_str(stored).unwrap();
        let value = find_cookie(header.as_bytes(), COOKIE_NAME).unwrap();
        assert_eq!(session.cookie().render(COOKIE_NAME, &value).unwrap(), header, "{name}");
    }
}

#[test]
fn a_touch_dates_a_cookie_as_express_does() {
    for (name, stored, _) in scenarios() {
        let session: ExpressSession = serde_json::from_str(stored).unwrap();
        let mut touched = session.clone();
        let (expires, max_age) = (session.cookie().expires(), session.cookie().max_age());
        let written_at = expires.zip(max_age).map(|(expires, span)| expires.saturating_sub(span));
        touched.touch(written_at.unwrap_or(Timestamp::from_millis(0)));
        assert_eq!(touched, session, "{name}");
    }
}

#[test]
fn hostile_headers_give_the_ids_that_they_give_express() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let signers: Vec<&str> =
        vectors["secrets"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let secrets = secrets(&signers);
    for vector in vectors["headers"].as_array().unwrap() {
        let header = text(vector, "header");
        let value = find_cookie(header.as_bytes(), COOKIE_NAME);
        let id = value.as_deref().and_then(|value| secrets.verify(value)).filter(|id| !id.is_empty());
        assert_eq!(id, vector["id"].as_str(), "{header:?}");
    }
}

#[test]
fn cookies_of_every_kind_are_touched_and_sent_as_express_does() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let now = Timestamp::from_millis(vectors["now"].as_i64().unwrap());
    for vector in vectors["cookies"].as_array().unwrap() {
        let mut session: ExpressSession = serde_json::from_str(text(vector, "stored")).unwrap();
        session.touch(now);
        assert_eq!(serde_json::to_string(&session).unwrap(), text(vector, "touched"));
        let header = session.cookie().render(COOKIE_NAME, "s:id.sig").unwrap();
        assert_eq!(header, text(vector, "header"));
    }
}

#[test]
fn dates_beyond_the_year_9999_are_written_as_express_does() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let now = Timestamp::from_millis(vectors["now"].as_i64().unwrap());
    for vector in vectors["far"].as_array().unwrap() {
        let mut session: ExpressSession = serde_json::from_str(text(vector, "stored")).unwrap();
        let expires = session.cookie().expires().unwrap();
        session.touch(now);
        assert_eq!(session.cookie().expires(), Some(expires));
        assert_eq!(serde_json::to_string(&session).unwrap(), text(vector, "touched"));
        // Browsers read four digits, and take a date with more of them for none.
        let header = session.cookie().render(COOKIE_NAME, "v").unwrap();
        assert!(header.contains(" 9999 ") || header.contains(" 1970 "), "{header}");
    }
}

#[test]
fn what_node_could_not_read_is_written_so_that_it_can() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for vector in vectors["rows"].as_array().unwrap() {
        let row = text(vector, "row");
        let session: ExpressSession = serde_json::from_str(row).unwrap();
        assert!(session.was_without_cookie(), "{row}");
        let ours = serde_json::to_string(&session).unwrap();
        assert_eq!(ours, text(vector, "ours"));
        assert_eq!(ours, text(vector, "ours_in_node"), "express-session writes what it has read");
    }
}

#[test]
fn a_member_can_have_every_name_that_node_keeps_and_no_other() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for vector in vectors["names"].as_array().unwrap() {
        let name = text(vector, "name");
        let kept = vector["kept"].as_bool().unwrap();
        let inserted = ExpressSession::default().insert(name, &1).is_ok();
        // Of its own `cookie`, express-session takes every value.
        assert_eq!(inserted, kept && name != "cookie", "{name}");
    }
}

/// The JSON of the rows that connect-typeorm left in SQLite, listed as `id|expiredAt|destroyedAt|json`.
fn rows() -> Vec<&'static str> {
    let (_, rows) = ROWS.split_once("rows: id|expiredAt|destroyedAt|json\n").unwrap();
    rows.lines().map(|line| line.splitn(4, '|').nth(3).unwrap()).collect()
}

#[test]
fn rows_of_a_live_table_are_written_back_byte_for_byte() {
    assert_eq!(rows().len(), 11);
    for json in rows() {
        let session: ExpressSession = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&session).unwrap(), json);
    }
}

#[tokio::test]
async fn sessions_live_as_long_as_both_node_stores_let_them() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let now = Timestamp::from_millis(vectors["now"].as_i64().unwrap());
    let store = ExpressSession::store(MemoryStore::new()).clock(ManualClock::new(now)).build().unwrap();
    for vector in vectors["lives"].as_array().unwrap() {
        let stored = text(vector, "stored");
        let new = store.create(&serde_json::from_str(stored).unwrap()).await.unwrap();
        let life = new.expires_at.as_millis() - now.as_millis();
        // What is over at once has no more than that to say.
        let until = vector["until"].as_i64().unwrap().max(now.as_millis());
        assert_eq!(new.expires_at.as_millis(), until, "connect-mssql-v2: {stored}");
        assert_eq!(life / 1000, vector["seconds"].as_i64().unwrap().max(0), "connect-typeorm: {stored}");
    }
}

#[tokio::test]
async fn a_session_that_was_written_by_hand_lives_by_its_cookie() {
    let day = 86_400_000;
    let cases = [
        (r#"{"originalMaxAge":1,"expires":"2000-01-01T00:00:00.000Z"}"#, 1),
        (r#"{"originalMaxAge":"soon","expires":"garbage"}"#, day),
        ("{}", day),
        // express-session sets both or none.
        (r#"{"expires":"2026-11-22T05:10:01.500Z"}"#, 1_500),
    ];
    let now = Timestamp::from_millis(1_795_324_200_000);
    let store = ExpressSession::store(MemoryStore::new()).clock(ManualClock::new(now)).build().unwrap();
    for (cookie, life) in cases {
        let session: ExpressSession = serde_json::from_str(&format!(r#"{{"cookie":{cookie}}}"#)).unwrap();
        let new = store.create(&session).await.unwrap();
        assert_eq!(new.expires_at.as_millis() - now.as_millis(), life, "{cookie}");
    }
}

#[tokio::test]
async fn a_span_of_one_s_own_is_for_cookies_that_end_with_the_browser() {
    let now = Timestamp::from_millis(1_795_324_200_000);
    let store = Sessions::builder(MemoryStore::new())
        .time_to_live(ExpressSession::time_to_live_or(Duration::from_millis(5_000)))
        .clock(ManualClock::new(now))
        .build()
        .unwrap();
    for (max_age, life) in [(None, 5_000), (Some(Duration::from_millis(70)), 70)] {
        let session = ExpressSession::new(Cookie::default().with_max_age(max_age));
        let new = store.create(&session).await.unwrap();
        assert_eq!(new.expires_at.as_millis() - now.as_millis(), life);
    }
}
