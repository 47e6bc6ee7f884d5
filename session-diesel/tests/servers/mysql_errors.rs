//! What the store says of each of the server's errors.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use session_core::{
    Created, Destroy, DestroyMode, Error, ErrorKind, Payload, Principal, Result, Rotate, Rotated, Store,
    Touch, Update, Updated, Version,
};
use session_diesel::MysqlStore;

use super::{connection_pool, drop_table, is_mariadb, raw, somebody_waits, sql, store};
use crate::{LATER, NOW, create, fresh_table, key};

fn assert_error(error: &Error, kind: ErrorKind, code: &str, indeterminate: bool) {
    assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
    assert_eq!(error.is_indeterminate(), indeterminate, "{error}");
    assert_eq!(error.backend(), Some("mysql"), "{error}");
}

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
                "INSERT INTO {t} SELECT RANDOM_BYTES(32), '', 0, 0, 0, NULL, NULL FROM information_schema.COLLATIONS",
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
            codes: ["1366", "3988"],
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
        assert!(!error.is_indeterminate(), "{}: {error}", fault.what);
        if code == "1146" {
            assert!(error.to_string().contains(&format!("CREATE TABLE IF NOT EXISTS `{table}`")), "{error}");
        }
        sql(&url, &fill(fault.alter[1])).await;
        // Nothing was changed.
        for id in ids {
            let found = owner.load(&key(id), NOW).await.unwrap().expect(fault.what);
            assert_eq!((found.expires_at, found.version), (LATER, Version::FIRST), "{}", fault.what);
        }
    }
    drop_table(&url, "faults").await;
}

async fn made(store: &MysqlStore, call: Call, id: &str) -> Result<()> {
    let later = session_core::Timestamp::from_millis(1_900_000_000_000);
    match call {
        Call::Load => store.load(&key(id), NOW).await.map(drop),
        Call::Touch => store.touch(&Touch { key: key(id), expires_at: later }, NOW).await.map(drop),
        Call::Create(payload) => {
            let mut new = create("another");
            new.payload = Payload::from(payload);
            store.create(&new, NOW).await.map(drop)
        }
        Call::Update => store.update(&update(id), NOW).await.map(drop),
        Call::EndAll => {
            let ann = Principal::new("ann")?;
            store.destroy_principal(&ann, None, DestroyMode::Soft, NOW).await.map(drop)
        }
    }
}

fn update(id: &str) -> Update {
    Update {
        key: key(id),
        payload: Payload::from("second"),
        expires_at: LATER,
        principal: None,
        expected: None,
    }
}

pub(super) async fn a_refused_connection_says_why(url: String) {
    let nowhere = MysqlStore::connect("mysql://u:hunter2@127.0.0.1:1/d").await.unwrap_err();
    assert!(nowhere.is_unreachable() && !nowhere.is_indeterminate(), "{nowhere}");
    assert!(!format!("{nowhere} {nowhere:?}").contains("hunter2"));
    let (base, _) = url.rsplit_once('/').unwrap();
    let missing = MysqlStore::connect(format!("{base}/no_such_database")).await.unwrap_err();
    assert!(["1049", "1044"].contains(&missing.code().unwrap()), "{missing}");
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').unwrap().1;
    sql(&url, "CREATE USER IF NOT EXISTS 'known'@'%' IDENTIFIED BY 'another'").await;
    for (user, codes) in [("known", &["1045"][..]), ("nobody", &["1045", "1251", "1698"])] {
        // For a user that is not there the server asks for some account's login method, which may be one that nobody has
        // any more, or one without a password.
        let refused = MysqlStore::connect(format!("{scheme}://{user}:hunter2@{host}")).await.unwrap_err();
        assert!(codes.contains(&refused.code().unwrap()), "{user}: {refused}");
        assert_error(&refused, ErrorKind::Backend, refused.code().unwrap(), false);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    sql(&url, "DROP USER 'known'@'%'").await;

    // A user who may read and not write.
    let owner = store(&url, "denied").await;
    owner.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("denied");
    sql(&url, "CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'hunter2'").await;
    sql(&url, &format!("GRANT SELECT ON `{table}` TO 'reader'@'%'")).await;
    let (_, database) = url.rsplit_once('/').unwrap();
    let host = host.split('/').next().unwrap();
    let reader = format!("{scheme}://reader:hunter2@{host}/{database}");
    let reader = MysqlStore::builder().url(reader).table(table).build().unwrap();
    assert!(reader.load(&key("a"), NOW).await.unwrap().is_some());
    let touch = Touch { key: key("a"), expires_at: LATER };
    assert_error(&reader.touch(&touch, NOW).await.unwrap_err(), ErrorKind::Backend, "1142", false);
    sql(&url, "DROP USER 'reader'@'%'").await;
    drop_table(&url, "denied").await;
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
        for mode in [DestroyMode::Soft, DestroyMode::Hard] {
            for (to, expected, outcome) in [
                (&b, None, Rotated::KeyTaken),
                (&b, Some(1), Rotated::KeyTaken),
                (&c, Some(2), Rotated::Stale),
            ] {
                let rotate = Rotate {
                    from: key(&a),
                    to: key(to),
                    payload: None,
                    expires_at: LATER,
                    principal: None,
                    expected: expected.map(Version::new),
                    mode,
                };
                assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), outcome, "{language}");
            }
        }
        let stale = Update { expected: Some(Version::new(2)), ..update(&a) };
        assert_eq!(store.update(&stale, NOW).await.unwrap(), Updated::Stale, "{language}");

        // A session that moves while all of its user's are ended.
        let mut mover = raw(&url).await;
        let table = fresh_table("words");
        mover.query_drop("BEGIN").await.unwrap();
        let take = format!("UPDATE `{table}` SET `key` = ? WHERE `key` = ?");
        mover.exec_drop(take, (key(&c).as_bytes(), key(&a).as_bytes())).await.unwrap();
        let store = Arc::new(store);
        let ended = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                let ann = Principal::new("ann").unwrap();
                store.destroy_principal(&ann, None, DestroyMode::Soft, NOW).await
            }
        });
        somebody_waits(&url, &table).await;
        mover.query_drop("COMMIT").await.unwrap();
        assert_eq!(ended.await.unwrap().unwrap(), 2, "{language}");
        let destroy = Destroy { key: key(&c), mode: DestroyMode::Soft };
        assert!(!store.destroy(&destroy, NOW).await.unwrap());
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
    assert!(!error.is_indeterminate());
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert!(store.load(&large.key, NOW).await.unwrap().is_none());
    store.create(&create("a"), NOW).await.unwrap();
    drop_table(&url, "packet").await;
}
