//! Round trips, as the network counts them: one for each operation, once its statement is prepared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use session_core::contract::{Load, Store};
use session_core::{KeyFormat, SessionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::handle;

/// The address of a relay to a server, and how often a client spoke through it after it had heard from the server.
async fn relay(server: String) -> (String, Arc<AtomicI64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let trips = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&trips);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let heard = Arc::new(AtomicBool::new(true));
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (hears, trips) = (Arc::clone(&heard), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    if heard.swap(false, Ordering::SeqCst) {
                        trips.fetch_add(1, Ordering::SeqCst);
                    }
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    hears.store(true, Ordering::SeqCst);
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, trips)
}

fn host_of(url: &str) -> String {
    let authority = url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}

/// A connection that was idle is not asked for a sign of life.
const NEVER: Duration = Duration::from_secs(600);

async fn each_operation_is_one_round_trip(store: impl Store + Clone, trips: Arc<AtomicI64>) {
    let sessions = handle(store.clone());
    let key = |id: &SessionId| id.key(KeyFormat::Hashed).unwrap();
    for round in 0..4 {
        let is_warm = round > 0;
        macro_rules! one {
            ($call:expr) => {{
                let before = trips.load(Ordering::SeqCst);
                let outcome = $call.await.unwrap();
                if is_warm {
                    assert_eq!(trips.load(Ordering::SeqCst) - before, 1, stringify!($call));
                }
                outcome
            }};
        }
        let new = one!(sessions.create(&"ann".to_owned()));
        assert!(one!(sessions.load(&new.id)).is_some());
        one!(sessions.update(&new.id, &"ann".to_owned(), None));
        one!(sessions.touch(&new.id));
        one!(store.fate(&key(&new.id), session_core::Timestamp::from_millis(0)));
        let loads = [Load::new(key(&new.id)), Load::new(key(&SessionId::new("other").unwrap()))];
        one!(store.load_many(&loads, session_core::Timestamp::from_millis(0)));
        assert!(one!(sessions.destroy(&new.id)));
    }
}

/// The same on each database.
macro_rules! on_each {
    ($module:ident, $feature:literal, $store:ident, $variable:literal) => {
        #[cfg(feature = $feature)]
        pub(crate) mod $module {
            use libtest_mimic::Trial;
            use session_sqlx::$store;

            use super::{NEVER, host_of, relay};
            use crate::{address, fresh, trial};

            pub(crate) fn trials() -> Vec<Trial> {
                let url = address($variable);
                let (missing, url) = (url.clone().err(), url.unwrap_or_default());
                let name = concat!(stringify!($module), "::trips::each_operation_is_one_round_trip");
                vec![trial(name.to_owned(), missing, move || each_operation_is_one_round_trip(url))]
            }

            async fn each_operation_is_one_round_trip(url: String) {
                let (near, trips) = relay(host_of(&url)).await;
                let builder = $store::builder().url(url.replacen(&host_of(&url), &near, 1)).pool_size(1);
                let builder = builder.idle_check(NEVER, NEVER).table(fresh("trips"));
                let store = builder.connect().await.unwrap();
                store.create_table().await.unwrap();
                super::each_operation_is_one_round_trip(store, trips).await;
            }
        }
    };
}

on_each!(postgres, "postgres", PostgresStore, "SESSION_STORE_POSTGRES_URL");
on_each!(mysql, "mysql", MysqlStore, "SESSION_STORE_MYSQL_URL");
