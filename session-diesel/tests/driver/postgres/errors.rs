//! What the store says of each of the server's errors.

use std::sync::Arc;
use std::time::Duration;

use session_core::contract::{DestroyPrincipal, Load, Payload, Store, Touch, Update};
use session_core::{DestroyMode, Error, ErrorKind, Result, Timestamp, Version};
use session_diesel::PostgresStore;

use super::support::{connection_pool, drop_table, raw, sql, store};
use crate::support::{LATER, NOW, ann, create, fresh_table, key, load, touch, update};

pub(super) fn assert_error(error: &Error, kind: ErrorKind, code: &str, in_doubt: bool) {
    assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
    assert_eq!(error.is_in_doubt(), in_doubt, "{error}");
}

/// A fault, and what the store must say of it. In every text, {t} is the table, {0} and {1} are its keys in order.
struct Fault {
    what: &'static str,
    /// Brings it about, and undoes it.
    alter: [&'static str; 2],
    /// What the store's connection begins with.
    session: &'static str,
    /// What another connection does before the call.
    held: &'static str,
    /// What that one does once the call waits for it.
    release: &'static str,
    call: Call,
    kind: ErrorKind,
    /// Empty where it is refused before anything is sent.
    code: &'static str,
    /// Whether it stays open if the call was done.
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Load,
    Touch,
    Create(&'static str),
    Update,
    EndAll,
}

impl Default for Fault {
    fn default() -> Fault {
        Fault {
            what: "",
            alter: [""; 2],
            session: "",
            held: "",
            release: "",
            call: Call::Touch,
            kind: ErrorKind::Backend,
            code: "",
            in_doubt: false,
        }
    }
}

fn faults() -> Vec<Fault> {
    use Call::{Create, EndAll, Load, Update};
    vec![
        Fault {
            what: "the table is missing",
            alter: ["ALTER TABLE {t} RENAME TO away", "ALTER TABLE away RENAME TO {t}"],
            code: "42P01",
            ..Fault::default()
        },
        Fault {
            what: "a column is missing",
            alter: [
                "ALTER TABLE {t} RENAME COLUMN version TO v",
                "ALTER TABLE {t} RENAME COLUMN v TO version",
            ],
            call: Load,
            code: "42703",
            ..Fault::default()
        },
        Fault {
            what: "the user may not",
            alter: ["CREATE ROLE {r}; GRANT SELECT ON {t} TO {r}", "DROP OWNED BY {r}; DROP ROLE {r}"],
            session: "SET ROLE {r}",
            code: "42501",
            ..Fault::default()
        },
        Fault {
            what: "a table stays locked",
            session: "SET lock_timeout = 50",
            held: "BEGIN; LOCK TABLE {t}",
            call: Load,
            kind: ErrorKind::Unavailable,
            code: "55P03",
            ..Fault::default()
        },
        Fault {
            what: "a statement takes longer than the server allows",
            session: "SET statement_timeout = 50",
            held: "BEGIN; LOCK TABLE {t}",
            call: Load,
            kind: ErrorKind::Unavailable,
            code: "57014",
            ..Fault::default()
        },
        Fault {
            what: "a deadlock",
            // The other one does not look for deadlocks, so that the call finds it.
            held: "BEGIN; SET LOCAL deadlock_timeout = '1h'; SELECT 1 FROM {t} WHERE key = {1} FOR UPDATE",
            release: "SELECT 1 FROM {t} WHERE key = {0} FOR UPDATE",
            call: EndAll,
            kind: ErrorKind::Conflict,
            code: "40P01",
            ..Fault::default()
        },
        Fault {
            what: "a serialization failure",
            session: "SET default_transaction_isolation = 'repeatable read'",
            held: "BEGIN; UPDATE {t} SET expires_at = expires_at",
            release: "COMMIT",
            kind: ErrorKind::Conflict,
            code: "40001",
            ..Fault::default()
        },
        Fault {
            what: "the server only reads",
            session: "SET default_transaction_read_only = on",
            kind: ErrorKind::Unavailable,
            code: "25006",
            ..Fault::default()
        },
        Fault {
            what: "the connection is ended",
            held: "BEGIN; SELECT 1 FROM {t} WHERE key = {0} FOR UPDATE",
            release: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE wait_event_type = 'Lock' AND query LIKE '%{t}%'",
            kind: ErrorKind::Unavailable,
            code: "57P01",
            in_doubt: true,
            ..Fault::default()
        },
        Fault {
            what: "a unique index that is not ours",
            alter: ["CREATE UNIQUE INDEX other ON {t} (payload)", "DROP INDEX other"],
            call: Update,
            code: "23505",
            ..Fault::default()
        },
        Fault {
            what: "a constraint that is not ours",
            alter: [
                "ALTER TABLE {t} ADD CONSTRAINT other CHECK (expires_at < 1900000000000)",
                "ALTER TABLE {t} DROP CONSTRAINT other",
            ],
            code: "23514",
            ..Fault::default()
        },
        Fault {
            what: "a column that must not be NULL",
            alter: [
                "ALTER TABLE {t} ADD COLUMN other int NOT NULL DEFAULT 1; ALTER TABLE {t} ALTER other DROP DEFAULT",
                "ALTER TABLE {t} DROP COLUMN other",
            ],
            call: Create("{}"),
            code: "23502",
            ..Fault::default()
        },
        Fault {
            what: "a column that is too short",
            alter: [
                "ALTER TABLE {t} ALTER payload TYPE varchar(9)",
                "ALTER TABLE {t} ALTER payload TYPE text",
            ],
            call: Create("0123456789"),
            kind: ErrorKind::TooLarge,
            code: "22001",
            ..Fault::default()
        },
        Fault {
            what: "a trigger that takes the payload for something else, and quotes it",
            alter: [
                "CREATE FUNCTION {r}_casts() RETURNS trigger LANGUAGE plpgsql AS \
                    'BEGIN PERFORM NEW.payload::uuid; RETURN NEW; END'; \
                 CREATE TRIGGER casts BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {r}_casts()",
                "DROP FUNCTION {r}_casts() CASCADE",
            ],
            call: Update,
            code: "22P02",
            ..Fault::default()
        },
        Fault { what: "a U+0000", call: Create("a\0b"), kind: ErrorKind::InvalidInput, ..Fault::default() },
        Fault {
            what: "the version is at its end",
            alter: ["UPDATE {t} SET version = 9223372036854775807", "UPDATE {t} SET version = 1"],
            call: Update,
            code: "22003",
            ..Fault::default()
        },
    ]
}

pub(super) async fn faults_are_told_apart(url: String) {
    let table = fresh_table("faults");
    let owner = store(&url, "faults").await;
    let mut ids = ["a", "b"];
    ids.sort_by_key(|id| key(id));
    for (id, payload) in ids.into_iter().zip(["first", "second"]) {
        let mut new = create(id);
        new.payload = Payload::from(payload);
        owner.create(&new, NOW).await.unwrap();
    }
    let literal = |id: &str| {
        let hex: String = key(id).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("'\\x{hex}'")
    };
    let [first, second] = ids.map(literal);
    let fill = |text: &str| {
        text.replace("{t}", &table.to_string())
            .replace("{r}", &format!("r_{table}"))
            .replace("{0}", &first)
            .replace("{1}", &second)
    };
    for fault in faults() {
        sql(&url, &fill(fault.alter[0])).await;
        let pool = connection_pool(url.clone(), 1, fill(fault.session));
        let store = Arc::new(PostgresStore::builder().pool(pool).table(table.clone()).build().unwrap());
        let other = raw(&url).await;
        other.batch_execute(&fill(fault.held)).await.unwrap();
        let (id, call) = (ids[0], fault.call);
        let called = Arc::clone(&store);
        let call = tokio::spawn(async move { made(&called, call, id).await });
        if !fault.release.is_empty() {
            somebody_waits(&url, &table.to_string()).await;
            other.batch_execute(&fill(fault.release)).await.unwrap();
        }
        let error = call.await.unwrap().expect_err(fault.what);
        drop(store);
        other.batch_execute("ROLLBACK").await.unwrap();
        let expected = (fault.kind, Some(fault.code).filter(|code| !code.is_empty()));
        assert_eq!((error.kind(), error.code()), expected, "{}: {error}", fault.what);
        assert_eq!(error.is_in_doubt(), fault.in_doubt, "{}: {error}", fault.what);
        // That is the payload.
        assert!(!format!("{error} {error:?}").contains("second"), "{}: {error:?}", fault.what);
        if fault.code == "42P01" {
            let ddl = format!("CREATE TABLE IF NOT EXISTS \"{table}\"");
            assert!(error.to_string().contains(&ddl), "{error}");
        }
        sql(&url, &fill(fault.alter[1])).await;
        // Nothing was changed. The reader's own connections have plans for columns that changed, and get over that.
        for id in ids {
            let again = Load::new(key(id));
            let found = match owner.load(&again, NOW).await {
                Err(error) if error.kind() == ErrorKind::Conflict => owner.load(&again, NOW).await,
                found => found,
            };
            let found = found.unwrap().record().expect(fault.what);
            assert_eq!((found.expires_at, found.version), (LATER, Version::FIRST), "{}", fault.what);
        }
    }
    drop_table(&url, "faults").await;
}

/// A server that speaks another language, and connections of our own.
pub(super) async fn faults_of_our_own_connections_are_told_by_their_code(url: String) {
    let table = fresh_table("coded");
    let owner = store(&url, "coded").await;
    owner.create(&create("a"), NOW).await.unwrap();
    for language in ["C", "de_DE.UTF-8"] {
        let separator = if url.contains('?') { '&' } else { '?' };
        // A server without the language stays with English; the codes are the same.
        let speaking = |limit: Duration| {
            let url = format!("{url}{separator}options=-c%20lc_messages%3D{language}");
            let builder = PostgresStore::builder().url(url).table(table.clone()).pool_size(1);
            builder.statement_timeout(limit).build().unwrap()
        };
        let store = speaking(Duration::from_millis(300));
        if let Err(error) = store.server_time().await {
            assert!(error.to_string().contains("lc_messages"), "{error}");
            continue;
        }
        sql(&url, &format!("ALTER TABLE \"{table}\" RENAME TO away_for_codes")).await;
        let missing = store.load(&Load::new(key("a")), NOW).await.unwrap_err();
        assert_error(&missing, ErrorKind::Backend, "42P01", false);
        sql(&url, &format!("ALTER TABLE away_for_codes RENAME TO \"{table}\"")).await;
        let other = raw(&url).await;
        other.batch_execute(&format!("BEGIN; LOCK TABLE \"{table}\"")).await.unwrap();
        let late = made(&store, Call::Touch, "a").await.unwrap_err();
        assert_error(&late, ErrorKind::Unavailable, "57014", false);
        other.batch_execute("ROLLBACK").await.unwrap();
        let held = raw(&url).await;
        held.batch_execute(&format!("BEGIN; LOCK TABLE \"{table}\"")).await.unwrap();
        // One that waits for as long as it takes this test to look.
        let called = speaking(Duration::from_secs(30));
        let call = tokio::spawn(async move { made(&called, Call::Touch, "a").await });
        somebody_waits(&url, &table.to_string()).await;
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND query LIKE '%{table}%'"
        );
        held.batch_execute(&kill).await.unwrap();
        let ended = call.await.unwrap().unwrap_err();
        assert_error(&ended, ErrorKind::Unavailable, "57P01", true);
        held.batch_execute("ROLLBACK").await.unwrap();
    }
    drop_table(&url, "coded").await;
}

async fn made(store: &PostgresStore, call: Call, id: &str) -> Result<()> {
    match call {
        Call::Load => store.load(&Load::new(key(id)), NOW).await.map(drop),
        Call::Touch => {
            let expires_at = Timestamp::from_millis(1_900_000_000_000);
            store.touch(&Touch { expires_at, ..touch(id, None) }, NOW).await.map(drop)
        }
        Call::Create(payload) => {
            let mut new = create("another");
            new.payload = Payload::from(payload);
            store.create(&new, NOW).await.map(drop)
        }
        Call::Update => {
            let update = Update { payload: Payload::from("second"), ..update(id, None) };
            store.update(&update, NOW).await.map(drop)
        }
        Call::EndAll => {
            let mode = DestroyMode::Keep;
            let end = DestroyPrincipal { principal: ann(), except: None, created_before: None, mode };
            store.destroy_principal(&end, NOW).await.map(drop)
        }
    }
}

/// Returns once a statement on a table waits for a lock.
async fn somebody_waits(url: &str, table: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
    let pattern = format!("%{table}%");
    let observer = raw(url).await;
    let poll = async {
        while observer.query_one(waiting, &[&pattern]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll).await.expect("a statement waits for a lock");
}

/// A database that was made with another encoding than Unicode.
pub(super) async fn a_character_that_the_encoding_lacks_is_the_callers_matter(url: String) {
    let name = format!("latin_{}", std::process::id());
    let make =
        format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    sql(&url, &make).await;
    let (server, rest) = url.rsplit_once('/').unwrap();
    let query = rest.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
    let latin = format!("{server}/{name}{query}");
    for is_own in [true, false] {
        let builder = PostgresStore::builder().table(fresh_table("latin"));
        let store = match is_own {
            true => builder.url(&latin).build().unwrap(),
            false => builder.pool(connection_pool(latin.clone(), 1, String::new())).build().unwrap(),
        };
        store.create_table().await.unwrap();
        let refused = made(&store, Call::Create("\u{6f22}"), "").await.unwrap_err();
        assert_error(&refused, ErrorKind::InvalidInput, "22P05", false);
        assert!(!format!("{refused} {refused:?}").contains("0xe6"), "{refused:?}");
        made(&store, Call::Create("\u{e9}"), "").await.unwrap();
        assert_eq!(load(&store, "another").await.unwrap().payload.as_str(), "\u{e9}");
        store.clear().await.unwrap();
    }
    sql(&url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

pub(super) async fn a_plan_for_columns_that_changed_is_made_anew(url: String) {
    let table = fresh_table("plan");
    let store = PostgresStore::builder().url(&url).table(table.clone()).pool_size(1).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    load(&store, "a").await.unwrap();
    sql(&url, &format!("ALTER TABLE \"{table}\" ALTER COLUMN payload TYPE varchar(2000)")).await;
    match store.load(&Load::new(key("a")), NOW).await {
        Ok(found) => assert!(found.record().is_some()),
        Err(error) => assert_error(&error, ErrorKind::Conflict, "0A000", false),
    }
    assert!(load(&store, "a").await.is_some());
    drop_table(&url, "plan").await;
}
