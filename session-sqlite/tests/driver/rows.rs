//! What is in the rows: what others put there, and what stays behind of a session.

use libtest_mimic::Trial;
use rusqlite::types::ValueRef;
use session_core::contract::{
    Create, DestroyPrincipal, Filter, Load, Loaded, Rotate, Rotated, Store as _, Write,
};
use session_core::{DestroyMode, ErrorKind, Fate, KeyFormat, Principal, SessionId, Timestamp, Version};
use session_sqlite::SqliteStore;

use crate::support::{Folder, MANY, NOW, create, create_for, destroy, key, update};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_row_that_cannot_be_read_is_corrupt_and_names_the_column,
        an_update_that_cannot_tell_its_version_changes_nothing,
        nothing_of_a_forgotten_session_is_in_any_row,
        what_is_kept_stays_until_its_principal_is_forgotten,
        a_plain_id_is_held_as_it_is,
    ]
}

async fn a_row_that_cannot_be_read_is_corrupt_and_names_the_column() {
    let folder = Folder::new();
    // A table that somebody made by hand, without STRICT, so that anything can be in it.
    folder.raw()
        .execute_batch(
            "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload TEXT, expires_at INTEGER, expires_bucket INTEGER,
             created_at INTEGER, version INTEGER, principal TEXT, destroyed_at INTEGER, rotated INTEGER DEFAULT 0)",
        )
        .unwrap();
    let store = folder.builder().build().unwrap();
    let odd = [
        ("payload", "NULL"),
        ("payload", "x'00'"),
        ("payload", "CAST(x'ff' AS TEXT)"),
        ("expires_at", "NULL"),
        ("expires_at", "'tomorrow'"),
        ("created_at", "1.5"),
        ("version", "NULL"),
        ("principal", "x'00'"),
        ("principal", "''"),
    ];
    for (number, (column, value)) in odd.iter().enumerate() {
        let name = format!("s{number}");
        store.create(&create(&name, "{}"), NOW).await.unwrap();
        let rows = folder
            .raw()
            .execute(
                &format!("UPDATE sessions SET {column} = {value} WHERE key = ?1"),
                [key(&name).as_bytes()],
            )
            .unwrap();
        assert_eq!(rows, 1);
        let error = store.load(&Load::new(key(&name)), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{column} = {value}: {error}");
        assert!(error.to_string().contains(&format!("`{column}`")), "{column} = {value}: {error}");
    }
    store.create(&create("whole", "{}"), NOW).await.unwrap();
    let listed = store.list(&Filter::default(), None, MANY, NOW).await.unwrap();
    assert_eq!(listed.len(), odd.len() + 1);
    let whole: Vec<_> =
        listed.iter().filter(|listed| listed.record.is_ok()).map(|listed| &listed.key).collect();
    assert_eq!(whole, [&key("whole")]);
}

async fn an_update_that_cannot_tell_its_version_changes_nothing() {
    let folder = Folder::new();
    folder.raw()
        .execute_batch(
            "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload TEXT, expires_at INTEGER, expires_bucket INTEGER,
             created_at INTEGER, version, principal TEXT, destroyed_at INTEGER, rotated INTEGER DEFAULT 0)",
        )
        .unwrap();
    let store = folder.builder().build().unwrap();
    store.create(&create("a", "old"), NOW).await.unwrap();
    folder.raw().execute("UPDATE sessions SET version = 1.5", []).unwrap();
    let writes = [
        Write::Create(create("before", "{}")),
        Write::Update(update("a", "new", None)),
        Write::Create(create("after", "{}")),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let payload: String = folder
        .raw()
        .query_row("SELECT payload FROM sessions WHERE version = 1.5", [], |row| row.get(0))
        .unwrap();
    assert_eq!(payload, "old");
}

/// However it ended: by itself, with its principal's others, or by moving to another key.
async fn nothing_of_a_forgotten_session_is_in_any_row() {
    let folder = Folder::new();
    let store = folder.store().await;
    for name in ["destroyed", "one of all", "from", "both"] {
        let payload = format!("secret of {name}");
        let principal = Some(Principal::new(format!("user of {name}")).unwrap());
        store.create(&Create { principal, ..create(name, payload) }, NOW).await.unwrap();
    }
    assert!(holds(&folder, "secret of destroyed") && holds(&folder, "user of from"));

    assert!(store.destroy(&destroy("destroyed", DestroyMode::Forget), NOW).await.unwrap());
    assert_eq!(destroy_all(&store, "user of one of all", DestroyMode::Forget).await, 1);
    assert_eq!(store.rotate(&rotate("from", "to"), NOW).await.unwrap(), Rotated::Rotated(Version::new(2)));
    assert_eq!(forget(&store, "user of both").await, 1);
    for part in ["secret of", "user of"] {
        assert!(!holds(&folder, part), "{part}");
    }
    // The rows are there, and take their keys.
    let rows: i64 = folder.raw().query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 5);
    for (name, fate) in [
        ("destroyed", Fate::Destroyed),
        ("one of all", Fate::Destroyed),
        ("both", Fate::Destroyed),
        ("from", Fate::RotatedAway),
        ("to", Fate::Live),
    ] {
        assert_eq!(store.fate(&key(name), NOW).await.unwrap(), fate, "{name}");
    }
}

async fn what_is_kept_stays_until_its_principal_is_forgotten() {
    let folder = Folder::new();
    let store = folder.store().await;
    let expired = Timestamp::from_millis(NOW.as_millis() - 1);
    store.create(&Create { expires_at: expired, ..create_for("expired", "ann") }, NOW).await.unwrap();
    for name in ["kept", "live"] {
        store.create(&create_for(name, "ann"), NOW).await.unwrap();
    }
    store.create(&create_for("other", "bob"), NOW).await.unwrap();
    store.destroy(&destroy("kept", DestroyMode::Keep), NOW).await.unwrap();
    assert!(holds(&folder, "ann"));
    assert_eq!(forget(&store, "ann").await, 3);
    assert!(!holds(&folder, "ann") && holds(&folder, "bob"));
    for (name, fate) in [
        ("expired", Fate::Expired),
        ("kept", Fate::Destroyed),
        ("live", Fate::Destroyed),
        ("other", Fate::Live),
    ] {
        assert_eq!(store.fate(&key(name), NOW).await.unwrap(), fate, "{name}");
    }
    assert_eq!(forget(&store, "ann").await, 0);
}

async fn a_plain_id_is_held_as_it_is() {
    let folder = Folder::new();
    let store = folder.builder().key_format(KeyFormat::Plain).build().unwrap();
    store.create_table().await.unwrap();
    let plain = SessionId::new("Ä ").unwrap().key(KeyFormat::Plain).unwrap();
    store.create(&Create { key: plain.clone(), ..create("a", "{}") }, NOW).await.unwrap();
    assert!(matches!(store.load(&Load::new(plain.clone()), NOW).await.unwrap(), Loaded::Record(_)));
    assert_eq!(store.list(&Filter::default(), None, MANY, NOW).await.unwrap()[0].key, plain);
    assert!(holds(&folder, "Ä "));
}

/// True if this text is anywhere in any row.
fn holds(folder: &Folder, text: &str) -> bool {
    let db = folder.raw();
    let mut select = db.prepare("SELECT * FROM sessions").unwrap();
    let columns = select.column_count();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(column).unwrap()
                && bytes.windows(text.len()).any(|part| part == text.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

fn rotate(from: &str, to: &str) -> Rotate {
    Rotate {
        from: key(from),
        to: key(to),
        payload: Some("{}".into()),
        expires_at: None,
        principal: None,
        expected: None,
        mode: DestroyMode::Forget,
    }
}

async fn destroy_all(store: &SqliteStore, principal: &str, mode: DestroyMode) -> u64 {
    let principal = Principal::new(principal).unwrap();
    let destroy = DestroyPrincipal { principal, except: None, created_before: None, mode };
    store.destroy_principal(&destroy, NOW).await.unwrap()
}

async fn forget(store: &SqliteStore, principal: &str) -> u64 {
    store.forget_principal(&Principal::new(principal).unwrap(), NOW).await.unwrap()
}
