//! What is done in several parts, and what is said of it when one of them fails.

use std::num::NonZeroU32;

use mysql_async::prelude::Queryable;
use session_core::{
    ConnectTypeorm, Create, Destroy, DestroyMode, ErrorKind, Payload, SessionKey, Store, Touch, Update,
    Updated, Version, Write, Written,
};
use session_diesel::MysqlStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{connection_pool, drop_table, is_mariadb, raw, sql, store};
use crate::{LATER, NOW, create, fresh_table, key};

const READ_COMMITTED: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

fn update(id: &str, expected: Option<i64>) -> Update {
    Update {
        key: key(id),
        payload: Payload::from("[]"),
        expires_at: LATER,
        principal: None,
        expected: expected.map(Version::new),
    }
}

pub(super) async fn a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url: String) {
    let mariadb = is_mariadb(&url).await;
    let store = store(&url, "nulls").await;
    let table = fresh_table("nulls");
    for id in ["a", "b", "c", "d"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    sql(&url, &format!("ALTER TABLE `{table}` MODIFY version bigint NULL")).await;
    let forget = format!("UPDATE `{table}` SET version = NULL WHERE `key` IN (?, ?)");
    raw(&url).await.exec_drop(forget, (key("a").as_bytes(), key("b").as_bytes())).await.unwrap();
    let writes = [
        Write::Update(update("a", None)),
        Write::Update(update("b", Some(1))),
        Write::Update(update("c", Some(1))),
        Write::Destroy(Destroy { key: key("d"), mode: DestroyMode::Soft }),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    // MariaDB has changed the row by the time that it tells the version; on MySQL it is read before.
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Corrupt, mariadb), "{error:?}");
    match &outcomes[1] {
        Ok(Written::Updated(Updated::Stale)) if mariadb => {}
        Err(error) if !mariadb => {
            assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Corrupt, false), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(outcomes[2], Ok(Written::Updated(Updated::Saved(version))) if version == Version::new(2)),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[3], Ok(Written::Destroyed(true))), "{outcomes:?}");
    let payloads: Vec<String> = raw(&url)
        .await
        .query(format!("SELECT payload FROM `{table}` WHERE version IS NULL ORDER BY payload"))
        .await
        .unwrap();
    assert_eq!(payloads, if mariadb { ["[]", "{}"] } else { ["{}", "{}"] });
    // On MySQL nobody asks for the version.
    match store.update(&update("a", None), NOW).await {
        Ok(updated) => assert!(!mariadb && updated == Updated::Saved(Version::NONE), "{updated:?}"),
        Err(error) => {
            assert!(mariadb && error.kind() == ErrorKind::Corrupt && error.is_indeterminate(), "{error:?}");
        }
    }
    drop_table(&url, "nulls").await;
}

/// A purge of 200 sessions is two statements where the first does not look for them by itself.
pub(super) async fn a_purge_that_fails_halfway_is_in_doubt(url: String) {
    const DEADLOCK: &str = "SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'";
    const OTHER: &str = "SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'";
    let mut ids: Vec<String> = (0..200).map(|number| format!("id{number:03}")).collect();
    for typeorm in [false, true] {
        let name = if typeorm { "parts_typeorm" } else { "parts" };
        let table = fresh_table(name);
        let builder = || {
            let pool = connection_pool(&url, 1, READ_COMMITTED);
            MysqlStore::builder().pool(pool).table(table.clone()).limit_subquery(false)
        };
        let store: Box<dyn Store> = if typeorm {
            let store = builder().connect_typeorm(ConnectTypeorm::new()).await.unwrap();
            store.create_table().await.unwrap();
            Box::new(store)
        } else {
            let store = builder().build().unwrap();
            store.create_table().await.unwrap();
            Box::new(store)
        };
        let key_of = |id: &String| -> SessionKey {
            session_core::SessionId::new(id.as_str()).and_then(|id| id.key(store.key_format())).unwrap()
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
            let purged = purged.map_err(|error| (error.kind(), error.is_indeterminate()));
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

/// As one session is gone, the batch is a transaction on MySQL. On MariaDB it is one statement: nothing is cut.
pub(super) async fn a_batch_is_in_doubt_from_its_commit_on(url: String) {
    let mariadb = is_mariadb(&url).await;
    let owner = store(&url, "cut").await;
    for id in ["a", "b", "c"] {
        owner.create(&create(id), NOW).await.unwrap();
    }
    let ids = ["a", "b", "c", "gone"];
    let touches = ids.map(|id| Write::Touch(Touch { key: key(id), expires_at: LATER }));
    // The byte before is that of a query: connections are set up to READ COMMITTED.
    for (text, doubt) in [("\u{3}COMMIT", !mariadb), ("SET expires_at = CAST(ELT(", false)] {
        let relay = cutting(&url, text).await;
        let pool = connection_pool(&relay, 4, READ_COMMITTED);
        let cut = MysqlStore::builder().pool(pool).table(fresh_table("cut")).build().unwrap();
        for (id, outcome) in ids.into_iter().zip(cut.write_many(&touches, NOW).await.unwrap()) {
            match outcome {
                // Nothing was done before the cut: each is done on its own.
                Ok(done) => assert!(!doubt && done == Written::Touched(id != "gone"), "{text}: {done:?}"),
                Err(error) => assert!(doubt && error.is_indeterminate(), "{text}: {error:?}"),
            }
        }
    }
    drop_table(&url, "cut").await;
}
