//! G1: two ids are the same session if and only if their bytes are equal.

use session_core::contract::{Create, Payload, Touch, Update, Write};
use session_core::{DestroyMode, ErrorKind, KeyFormat, SessionKey, Version};

use crate::case::{Case, Ctx, Verdict, case, ensure, ensure_eq};
use crate::fixture::{Fixture, expect_refusal};
use crate::plain::Plain as _;

pub(crate) const CASES: &[Case] = &[
    case!(G1, Single, similar_ids_are_different_sessions),
    case!(G1, Single, similar_keys_are_different_sessions),
    case!(G1, Single, ids_of_every_length_are_kept_whole),
    case!(G1, Single, hostile_ids_are_ordinary_ids),
    case!(G1, Single, a_key_of_the_other_format_is_refused),
];

/// Ids that some collation, some trimming or some normal form takes for each other.
const SIMILAR: [&[&str]; 12] = [
    &["session", "Session", "SESSION", "sessioN"],
    &["a", "a ", "a  ", " a", "a\t", "a\n", "a\u{a0}", "a\u{200b}", "a\u{1}"],
    &["e", "é", "e\u{301}", "è", "E", "É"],
    &["strasse", "straße", "STRASSE", "STRAẞE"],
    &["i", "I", "ı", "İ", "i\u{307}"],
    &["ae", "æ", "Æ", "ä", "a\u{308}"],
    &["A1", "Ａ１", "a1", "a１"],
    &["か", "が", "か\u{3099}", "カ", "ｶ"],
    &["🐶", "🐱", "🐶\u{fe0f}", "\u{1f9d1}\u{200d}\u{1f680}"],
    &["ﬁ", "fi", "ﬀi"],
    &["1", "01", "1.0", "+1", "1e0", "0x1", "true"],
    &["null", "NULL", "''", "\"\"", "undefined", "NaN"],
];

/// Each of several ids is a session of its own, for every operation.
async fn expect_distinct(fixture: &Fixture, keys: &[(String, SessionKey)]) -> Verdict {
    for (name, key) in keys {
        let create = Create {
            key: key.clone(),
            payload: Payload::from(name.as_str()),
            expires_at: fixture.until(100),
            principal: None,
            version: Version::FIRST,
        };
        let created = fixture.store.create(&create, fixture.now(0)).await?;
        ensure_eq!(created, session_core::contract::Created::Created, "creating {name:?} beside similar ids");
    }
    for (name, key) in keys {
        fixture.expect_live(key, name, 0, &format!("{name:?} beside similar ids")).await?;
    }
    let all: Vec<SessionKey> = keys.iter().map(|(_, key)| key.clone()).collect();
    for ((name, _), record) in keys.iter().zip(fixture.store.find_many(&all, fixture.now(0)).await?) {
        let payload = record?.map(|record| record.payload.as_str().to_owned());
        ensure_eq!(payload.as_deref(), Some(name.as_str()), "{name:?} in a batch with similar ids");
    }
    let listed = fixture.live_keys(0).await?;
    for (name, key) in keys {
        ensure!(listed.contains(key), "{name:?} is not listed beside similar ids");
    }
    // Change and destroy every second one; the others must not notice.
    for (name, key) in keys.iter().skip(1).step_by(2) {
        fixture.update(key, &format!("{name}, changed"), 100, 0).await?;
        fixture.touch(key, 200, 0).await?;
    }
    for (position, (name, key)) in keys.iter().enumerate() {
        let expected = if position % 2 == 1 { format!("{name}, changed") } else { name.clone() };
        fixture.expect_live(key, &expected, 0, "after an update of a similar id").await?;
        let until = if position % 2 == 1 { 200 } else { 100 };
        let expires_at = fixture.load(key, 0).await?.map(|record| record.expires_at);
        fixture.expect_expiry(
            expires_at.unwrap_or(fixture.until(0)),
            fixture.until(until),
            &format!("{name:?} after a touch of a similar id"),
        )?;
    }
    for (name, key) in keys.iter().skip(1).step_by(2) {
        ensure!(fixture.destroy(key, DestroyMode::Remove, 0).await?, "{name:?} cannot be destroyed");
    }
    for (name, key) in keys.iter().step_by(2) {
        fixture.expect_live(key, name, 0, "after the end of a similar id").await?;
    }
    for (name, key) in keys.iter().skip(1).step_by(2) {
        ensure_eq!(fixture.load(key, 0).await?, None, "{name:?} after it was destroyed");
    }
    Ok(())
}

async fn similar_ids_are_different_sessions(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    for family in SIMILAR {
        let mut keys = Vec::new();
        for id in family {
            keys.push(((*id).to_owned(), fixture.key(id)?));
        }
        expect_distinct(&fixture, &keys).await?;
        fixture.store.clear().await?;
    }
    Ok(())
}

/// For hashed keys: digests that differ in one bit, one letter's case, or in what stands at the end.
async fn similar_keys_are_different_sessions(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let keys: Vec<SessionKey> = match fixture.store.key_format() {
        KeyFormat::Hashed => {
            let mut digests = vec![[0; 32], [0xff; 32], [b'a'; 32], [b'A'; 32], [b' '; 32], [0x80; 32]];
            for (at, byte) in
                [(0, 1), (0, b'A'), (15, 1), (31, 1), (31, 0), (31, b' '), (31, b'A'), (31, 0xe4)]
            {
                let mut digest = [b'a'; 32];
                digest[at] = byte;
                digests.push(digest);
            }
            digests.into_iter().map(SessionKey::from_digest).collect()
        }
        KeyFormat::Plain => {
            let long = "k".repeat(254);
            [format!("{long}a"), format!("{long}A"), format!("{long} "), long.clone()]
                .into_iter()
                .map(SessionKey::from_text)
                .collect()
        }
    };
    let keys: Vec<_> =
        keys.into_iter().enumerate().map(|(number, key)| (format!("key {number}"), key)).collect();
    expect_distinct(&fixture, &keys).await
}

async fn ids_of_every_length_are_kept_whole(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let mut ids: Vec<String> = [1, 2, 31, 32, 33, 43, 63, 64, 127, 128, 191, 192, 254, 255]
        .into_iter()
        .map(|length| "x".repeat(length))
        .collect();
    // 255 bytes in fewer characters.
    ids.extend(["é".repeat(127), "語".repeat(85), "🦀".repeat(63)]);
    ids.push(format!("{}y", "x".repeat(254)));
    for id in &ids {
        let key = fixture.create(id, id, 100).await?;
        fixture.expect_live(&key, id, 0, &format!("an id of {} bytes", id.len())).await?;
    }
    for id in &ids {
        let (key, what) = (fixture.key(id)?, format!("an id of {} bytes beside others", id.len()));
        fixture.expect_live(&key, id, 0, &what).await?;
        let listed = fixture.live_keys(0).await?;
        ensure!(listed.contains(&key), "{what}: it is not listed as it is");
    }
    Ok(())
}

async fn hostile_ids_are_ordinary_ids(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let ids = [
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\'",
        "\\\\",
        "%",
        "_",
        "%%",
        "[a]",
        "]",
        "$1",
        "?",
        ":a",
        "@p1",
        "--",
        "#",
        "/*",
        "*/",
        ";",
        "' OR '1'='1",
        "'; DROP TABLE sessions; --",
        "\\x00",
        "{}",
        "${a}",
        "\r\n",
        "\u{7f}",
        "\u{feff}",
        "\u{202e}",
        "\u{fffd}",
        "\u{10ffff}",
        "a%20b",
        "&lt;",
        "N'a'",
        "E'\\n'",
        "0x41",
    ];
    for id in ids {
        fixture.create(id, id, 100).await?;
    }
    for id in ids {
        let key = fixture.key(id)?;
        fixture.expect_live(&key, id, 0, &format!("the id {id:?}")).await?;
        fixture.update(&key, "changed", 100, 0).await?;
        fixture.expect_live(&key, "changed", 0, &format!("the id {id:?} after an update")).await?;
        ensure!(fixture.destroy(&key, DestroyMode::Remove, 0).await?, "the id {id:?} cannot be destroyed");
        ensure_eq!(fixture.load(&key, 0).await?, None, "the id {id:?} after it was destroyed");
    }
    ensure_eq!(fixture.count(0).await?, 0, "the sessions after each was destroyed");
    Ok(())
}

async fn a_key_of_the_other_format_is_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let (store, now) = (&fixture.store, fixture.now(0));
    let own = fixture.create("own", "own", 100).await?;
    let key = match store.key_format() {
        KeyFormat::Hashed => SessionKey::from_text("own"),
        KeyFormat::Plain => SessionKey::from_digest([b'a'; 32]),
    };
    let create = Create {
        key: key.clone(),
        payload: Payload::from(""),
        expires_at: fixture.until(100),
        principal: None,
        version: Version::FIRST,
    };
    let update = Update {
        key: key.clone(),
        payload: Payload::from(""),
        expires_at: Some(fixture.until(100)),
        principal: None,
        expected: None,
    };
    let touch = Touch { key: key.clone(), expires_at: fixture.until(100), expected: None };
    let invalid = ErrorKind::InvalidInput;
    expect_refusal(store.create(&create, now).await, invalid, "create")?;
    expect_refusal(store.find(&key, now).await, invalid, "load")?;
    expect_refusal(store.update(&update, now).await, invalid, "update")?;
    expect_refusal(store.touch(&touch, now).await, invalid, "touch")?;
    expect_refusal(fixture.destroy(&key, DestroyMode::Remove, 0).await, invalid, "destroy")?;
    if fixture.can.rotation {
        let away = fixture.rotate_of(&own, &key, 100);
        expect_refusal(fixture.rotate(&away, 0).await, invalid, "rotate to it")?;
        let from = fixture.rotate_of(&key, &own, 100);
        expect_refusal(fixture.rotate(&from, 0).await, invalid, "rotate from it")?;
    }
    // In a batch it may be refused by itself or with the whole batch.
    let loads = store.find_many(std::slice::from_ref(&key), now).await;
    let load = loads.and_then(|outcomes| outcomes.into_iter().collect::<Result<Vec<_>, _>>());
    expect_refusal(load, invalid, "load in a batch")?;
    let writes = store.write_many(&[Write::Touch(touch)], now).await;
    let write = writes.and_then(|outcomes| outcomes.into_iter().collect::<Result<Vec<_>, _>>());
    expect_refusal(write, invalid, "touch in a batch")?;
    fixture.expect_live(&own, "own", 0, "after calls that were refused").await?;
    ensure_eq!(fixture.count(0).await?, 1, "the sessions after calls that were refused");
    Ok(())
}
