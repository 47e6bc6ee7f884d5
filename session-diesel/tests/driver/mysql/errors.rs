//! What the store says of each of the server's errors.

use std::num::NonZeroU32;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use session_core::contract::{
    Create, Created, DestroyPrincipal, Load, Payload, Rotated, Store, Touched, Update, Write, Written,
};
use session_core::{DestroyMode, ErrorKind, Result, SessionId, SessionKey, Timestamp, Updated, Version};
use session_diesel::{ConnectTypeorm, MysqlStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{
    READ_COMMITTED, connection_pool, drop_table, is_mariadb, raw, somebody_waits, sql, store,
};
use crate::support::{
    LATER, MODES, NOW, ann, create, destroy, fresh_table, key, load, rotate, touch, update,
};

/// A fault, and what the store must say of it. In every text, {t} is the table, {0} and {1} are its keys in order.
struct Fault {
    what: &'static str,
    /// Brings it about, and undoes it.
    alter: [&'static str; 2],
    /// What the store's connection begins with.
    session: &'static str,
    /// What another connection does before the call.
    held: &'static [&'static str],
    /// What that one does once the call waits for it.
    release: &'static str,
    call: Call,
    kind: ErrorKind,
    /// On MariaDB, on MySQL.
    codes: [&'static str; 2],
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
            alter: ["DO 0"; 2],
            session: "DO 0",
            held: &[],
            release: "",
            call: Call::Touch,
            kind: ErrorKind::Backend,
            codes: [""; 2],
        }
    }
}

fn faults() -> Vec<Fault> {
    use Call::{Create, EndAll, Load, Update};
    vec![
        Fault {
            what: "the table is missing",
            alter: ["RENAME TABLE {t} TO {t}_away", "RENAME TABLE {t}_away TO {t}"],
            codes: ["1146"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a column is missing",
            alter: [
                "ALTER TABLE {t} RENAME COLUMN version TO v",
                "ALTER TABLE {t} RENAME COLUMN v TO version",
            ],
            call: Load,
            codes: ["1054"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a row stays locked",
            session: "SET innodb_lock_wait_timeout = 1",
            held: &["BEGIN", "SELECT 1 FROM {t} WHERE `key` = {0} FOR UPDATE"],
            kind: ErrorKind::Unavailable,
            codes: ["1205"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a statement takes longer than the server allows",
            session: "/*M! SET max_statement_time = 0.2 */ /*!80000 SET max_execution_time = 200 */",
            held: &["LOCK TABLES {t} WRITE"],
            call: Load,
            kind: ErrorKind::Unavailable,
            codes: ["1969", "3024"],
            ..Fault::default()
        },
        Fault {
            what: "a deadlock",
            // It has written more than the other, so that the other is given up.
            held: &[
                "BEGIN",
                "INSERT INTO {t} SELECT RANDOM_BYTES(32), '', 0, 0, 0, NULL, NULL, 0 FROM information_schema.COLLATIONS",
                "SELECT 1 FROM {t} WHERE `key` = {1} FOR UPDATE",
            ],
            release: "SELECT 1 FROM {t} WHERE `key` = {0} FOR UPDATE",
            call: EndAll,
            kind: ErrorKind::Conflict,
            codes: ["1213"; 2],
            ..Fault::default()
        },
        Fault {
            what: "the transaction only reads",
            session: "SET SESSION TRANSACTION READ ONLY",
            kind: ErrorKind::Unavailable,
            codes: ["1792"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a unique index that is not ours",
            alter: ["ALTER TABLE {t} ADD UNIQUE other (payload(9))", "ALTER TABLE {t} DROP INDEX other"],
            call: Update,
            codes: ["1062"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a constraint that is not ours",
            alter: [
                "ALTER TABLE {t} ADD CONSTRAINT other CHECK (expires_at < 1900000000000)",
                "ALTER TABLE {t} DROP CONSTRAINT other",
            ],
            codes: ["4025", "3819"],
            ..Fault::default()
        },
        Fault {
            what: "a column that must not be NULL",
            alter: ["ALTER TABLE {t} ADD COLUMN other int NOT NULL", "ALTER TABLE {t} DROP COLUMN other"],
            call: Create("{}"),
            codes: ["1048"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a column that is too short",
            alter: [
                "ALTER TABLE {t} MODIFY payload varchar(9) CHARACTER SET utf8mb4 NOT NULL",
                "ALTER TABLE {t} MODIFY payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
            ],
            session: "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
            call: Create("0123456789"),
            kind: ErrorKind::TooLarge,
            codes: ["1406"; 2],
            ..Fault::default()
        },
        Fault {
            what: "a column that cannot hold every character",
            alter: [
                "ALTER TABLE {t} MODIFY payload longtext CHARACTER SET latin1 NOT NULL",
                "ALTER TABLE {t} MODIFY payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
            ],
            session: "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
            call: Create("漢"),
            kind: ErrorKind::InvalidInput,
            codes: ["1366", "3988"],
            ..Fault::default()
        },
        Fault {
            what: "a trigger that takes the payload for something else, and quotes it",
            alter: [
                "CREATE TRIGGER {t}_casts BEFORE UPDATE ON {t} FOR EACH ROW \
                 SET NEW.version = CAST(NEW.payload AS SIGNED)",
                "DROP TRIGGER {t}_casts",
            ],
            session: "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
            call: Update,
            codes: ["1292"; 2],
            ..Fault::default()
        },
        Fault {
            what: "the version is at its end",
            alter: ["UPDATE {t} SET version = 9223372036854775807", "UPDATE {t} SET version = 1"],
            call: Update,
            codes: ["1690"; 2],
            ..Fault::default()
        },
    ]
}

pub(super) async fn faults_are_told_apart(url: String) {
    let table = fresh_table("faults");
    let mariadb = is_mariadb(&url).await;
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
        format!("x'{hex}'")
    };
    let [first, second] = ids.map(literal);
    let fill = |text: &str| {
        text.replace("{t}_", &format!("{table}_"))
            .replace("{t}", &format!("`{table}`"))
            .replace("{0}", &first)
            .replace("{1}", &second)
    };
    for fault in faults() {
        sql(&url, &fill(fault.alter[0])).await;
        let pool = connection_pool(&url, 1, fault.session);
        let store = Arc::new(MysqlStore::builder().pool(pool).table(table.clone()).build().unwrap());
        let mut other = raw(&url).await;
        for statement in fault.held {
            other.query_drop(fill(statement)).await.unwrap();
        }
        let id = ids[0];
        let call = tokio::spawn(async move { made(&store, fault.call, id).await });
        if !fault.release.is_empty() {
            somebody_waits(&url, &table).await;
            other.query_drop(fill(fault.release)).await.unwrap();
        }
        let error = call.await.unwrap().expect_err(fault.what);
        for statement in ["ROLLBACK", "UNLOCK TABLES"] {
            other.query_drop(statement).await.unwrap();
        }
        let code = if mariadb { fault.codes[0] } else { fault.codes[1] };
        assert_eq!((error.kind(), error.code()), (fault.kind, Some(code)), "{}: {error}", fault.what);
        assert!(!error.is_in_doubt(), "{}: {error}", fault.what);
        // That is the payload.
        assert!(!format!("{error} {error:?}").contains("second"), "{}: {error:?}", fault.what);
        if code == "1146" {
            assert!(error.to_string().contains(&format!("CREATE TABLE IF NOT EXISTS `{table}`")), "{error}");
        }
        sql(&url, &fill(fault.alter[1])).await;
        // Nothing was changed.
        for id in ids {
            let found = load(&owner, id).await.expect(fault.what);
            assert_eq!((found.expires_at, found.version), (LATER, Version::FIRST), "{}", fault.what);
        }
    }
    drop_table(&url, "faults").await;
}

async fn made(store: &MysqlStore, call: Call, id: &str) -> Result<()> {
    let later = Timestamp::from_millis(1_900_000_000_000);
    match call {
        Call::Load => store.load(&Load::new(key(id)), NOW).await.map(drop),
        Call::Touch => {
            let touch = session_core::contract::Touch { expires_at: later, ..touch(id, None) };
            store.touch(&touch, NOW).await.map(drop)
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
        Call::EndAll => store.destroy_principal(&end_all(), NOW).await.map(drop),
    }
}

fn end_all() -> DestroyPrincipal {
    DestroyPrincipal { principal: ann(), except: None, created_before: None, mode: DestroyMode::Keep }
}

/// What a call answers hangs on no message.
pub(super) async fn no_language_of_the_server_changes_an_outcome(url: String) {
    for (number, language) in ["de_DE", "ja_JP", "es_ES", "fr_FR"].into_iter().enumerate() {
        let pool = connection_pool(&url, 2, &format!("SET lc_messages = '{language}'"));
        let store = MysqlStore::builder().pool(pool).table(fresh_table("words")).build().unwrap();
        store.create_table().await.unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|id| format!("{id}{number}"));
        for id in [&a, &b] {
            assert_eq!(store.create(&create(id), NOW).await.unwrap(), Created::Created);
            assert_eq!(store.create(&create(id), NOW).await.unwrap(), Created::KeyTaken);
        }
        for mode in MODES {
            for (to, expected, outcome) in [
                (&b, None, Rotated::KeyTaken),
                (&b, Some(1), Rotated::KeyTaken),
                (&c, Some(2), Rotated::Stale),
            ] {
                let rotate = rotate(&a, to, expected, mode);
                assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), outcome, "{language}");
            }
        }
        assert_eq!(store.update(&update(&a, Some(2)), NOW).await.unwrap(), Updated::Stale, "{language}");
        assert_eq!(store.touch(&touch(&a, Some(2)), NOW).await.unwrap(), Touched::Stale, "{language}");

        // A session that moves while all of its user's are ended.
        let mut mover = raw(&url).await;
        let table = fresh_table("words");
        mover.query_drop("BEGIN").await.unwrap();
        let take = format!("UPDATE `{table}` SET `key` = ? WHERE `key` = ?");
        mover.exec_drop(take, (key(&c).as_bytes(), key(&a).as_bytes())).await.unwrap();
        let ended = tokio::spawn({
            let store = store.clone();
            async move { store.destroy_principal(&end_all(), NOW).await }
        });
        somebody_waits(&url, &table).await;
        mover.query_drop("COMMIT").await.unwrap();
        assert_eq!(ended.await.unwrap().unwrap(), 2, "{language}");
        assert!(!store.destroy(&destroy(&c, DestroyMode::Keep), NOW).await.unwrap());
    }
    drop_table(&url, "words").await;
}

pub(super) async fn a_payload_over_the_packet_is_too_large(url: String) {
    let store = store(&url, "packet").await;
    let largest: usize = raw(&url).await.query_first("SELECT @@max_allowed_packet").await.unwrap().unwrap();
    let mut large = create("a");
    large.payload = Payload::from("x".repeat(largest + 1));
    let error = store.create(&large, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_in_doubt());
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert!(load(&store, "a").await.is_none());
    store.create(&create("a"), NOW).await.unwrap();
    drop_table(&url, "packet").await;
}

/// A purge of 200 sessions is two statements where the first does not look for them by itself.
pub(super) async fn a_purge_that_fails_halfway_is_in_doubt(url: String) {
    const DEADLOCK: &str = "SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'";
    const OTHER: &str = "SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'";
    let mut ids: Vec<String> = (0..200).map(|number| format!("id{number:03}")).collect();
    for typeorm in [false, true] {
        let name = if typeorm { "parts_typeorm" } else { "parts" };
        let table = fresh_table(name);
        // Of our own connections, as the others' errors have no numbers.
        let builder = MysqlStore::builder().url(&url).pool_size(1).table(table.clone()).limit_subquery(false);
        let store = match typeorm {
            true => builder.connect_typeorm(ConnectTypeorm::new()).build().unwrap(),
            false => builder.build().unwrap(),
        };
        store.create_table().await.unwrap();
        let key_of = |id: &String| -> SessionKey {
            SessionId::new(id.as_str()).and_then(|id| id.key(store.key_format())).unwrap()
        };
        ids.sort_by_key(key_of);
        let (payload, principal) = if typeorm { ("json", None) } else { ("payload", create("a").principal) };
        for (bad, tries, signal, outcome) in [
            // The part is tried again, and what was purged before it is counted.
            (199, 3, DEADLOCK, Ok(200)),
            (199, 99, DEADLOCK, Err((ErrorKind::Conflict, true))),
            (199, 99, OTHER, Err((ErrorKind::Backend, true))),
            (0, 99, DEADLOCK, Err((ErrorKind::Conflict, false))),
            (0, 99, OTHER, Err((ErrorKind::Backend, false))),
        ] {
            for (number, id) in ids.iter().enumerate() {
                let new = Create {
                    key: key_of(id),
                    payload: Payload::from(if number == bad { "bad" } else { "{}" }),
                    expires_at: NOW,
                    principal: principal.clone(),
                    version: Version::FIRST,
                };
                store.create(&new, NOW).await.unwrap();
            }
            let trigger = format!(
                "CREATE TRIGGER `{table}_bad` BEFORE DELETE ON `{table}` FOR EACH ROW \
                 IF OLD.{payload} = 'bad' THEN SET @tries = COALESCE(@tries, 0) + 1; \
                 IF @tries < {tries} THEN SIGNAL {signal}; END IF; END IF"
            );
            sql(&url, &trigger).await;
            let purged = store.purge_expired(NOW, NonZeroU32::new(1000).unwrap()).await;
            let purged = purged.map_err(|error| (error.kind(), error.is_in_doubt()));
            assert_eq!(purged, outcome, "{name}, {bad}, {tries}, {signal}");
            sql(&url, &format!("DROP TRIGGER `{table}_bad`")).await;
            store.clear().await.unwrap();
        }
        drop_table(&url, name).await;
    }
}

/// The URL of a relay that cuts a connection as soon as its client sends this text.
async fn cutting(url: &str, text: &'static str) -> String {
    let (before, rest) = url.rsplit_once('@').unwrap();
    let (host, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("{before}@{}/{database}", listener.local_addr().unwrap());
    let host = host.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&host).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let back = tokio::spawn(async move {
                let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    if bytes[..read].windows(text.len()).any(|window| window == text.as_bytes())
                        || to_server.write_all(&bytes[..read]).await.is_err()
                    {
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    relay
}

/// As one session is gone, the batch is a transaction on MySQL. On MariaDB it is one statement, which is its own commit.
pub(super) async fn a_batch_is_in_doubt_from_its_commit_on(url: String) {
    let mariadb = is_mariadb(&url).await;
    let owner = store(&url, "cut").await;
    for id in ["a", "b", "c"] {
        owner.create(&create(id), NOW).await.unwrap();
    }
    let ids = ["a", "b", "c", "gone"];
    let touches = ids.map(|id| Write::Touch(touch(id, None)));
    // The byte before is that of a query: connections are set up to READ COMMITTED.
    for (text, doubt) in
        [("\u{3}COMMIT", !mariadb), ("FOR UPDATE ON DUPLICATE KEY UPDATE expires_at", mariadb)]
    {
        let relay = cutting(&url, text).await;
        let pool = connection_pool(&relay, 4, READ_COMMITTED);
        let cut = MysqlStore::builder().pool(pool).table(fresh_table("cut")).build().unwrap();
        for (id, outcome) in ids.into_iter().zip(cut.write_many(&touches, NOW).await.unwrap()) {
            match outcome {
                // Nothing was done before the cut: each is done on its own.
                Ok(done) => assert!(
                    !doubt
                        && done
                            == Written::Touched(if id == "gone" { Touched::Gone } else { Touched::Moved }),
                    "{text}: {done:?}"
                ),
                Err(error) => assert!(doubt && error.is_in_doubt(), "{text}: {error:?}"),
            }
        }
    }
    drop_table(&url, "cut").await;
}
