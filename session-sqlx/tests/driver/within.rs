//! Sessions within a transaction of the application's, and calls that are dropped.

/// The same on each database: its pool, its store, how it names a connection, and how it places a value.
macro_rules! on_each {
    ($module:ident, $feature:literal, $pool:ident, $options:ident, $store:ident) => {
        #[cfg(feature = $feature)]
        pub(crate) mod $module {
            use std::time::Duration;

            use libtest_mimic::Trial;
            use session_sqlx::sqlx::{self, AssertSqlSafe, Executor, $pool};
            use session_sqlx::$store;
            use tokio::time::timeout;

            use super::places::$module as place;
            use crate::{fresh, handle, polled, trial};

            pub(crate) fn trials() -> Vec<Trial> {
                macro_rules! all {
                    ($test:ident) => {{
                        let url = place::url();
                        let (missing, url) = (url.clone().err(), url.unwrap_or_default());
                        trial(
                            format!(concat!(stringify!($module), "::within::", stringify!($test))),
                            missing,
                            move || $test(url),
                        )
                    }};
                }
                vec![
                    all!(the_user_s_row_and_the_session_happen_together_or_not),
                    all!(a_session_is_changed_and_ended_with_the_user_s_row),
                    all!(an_end_from_outside_wins),
                    all!(a_dropped_call_ends_the_transaction_and_its_connection),
                    all!(a_dropped_call_on_the_application_s_pool_closes_its_connection),
                    all!(sqlx_migrates_an_empty_and_a_living_database),
                ]
            }

            async fn pool(url: &str, size: u32) -> $pool {
                // Without sqlx's own question before each loan: a call that is dropped in it has sent nothing.
                let options =
                    sqlx::$module::$options::new().max_connections(size).test_before_acquire(size > 1);
                options.connect_with(place::options(url)).await.unwrap()
            }

            /// A store on the application's pool, and a table of users.
            async fn set_up(url: &str, name: &str) -> ($pool, $store, String) {
                let pool = pool(url, 4).await;
                let store = $store::builder().pool(pool.clone()).table(fresh(name)).connect().await.unwrap();
                store.create_table().await.unwrap();
                let users = format!("{}_users", fresh(name).table());
                run(&pool, &format!("CREATE TABLE {users} (name varchar(100) PRIMARY KEY)")).await;
                (pool, store, users)
            }

            async fn run(pool: &$pool, sql: &str) {
                pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
            }

            async fn clean_up(pool: &$pool, users: &str, name: &str) {
                run(pool, &format!("DROP TABLE {users}")).await;
                run(pool, &format!("DROP TABLE {}", fresh(name).table())).await;
            }

            async fn count(pool: &$pool, users: &str) -> i64 {
                let count = format!("SELECT count(*) FROM {users}");
                sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(pool).await.unwrap()
            }

            async fn the_user_s_row_and_the_session_happen_together_or_not(url: String) {
                let (pool, store, users) = set_up(&url, "both").await;
                let sessions = handle(store.clone());
                let insert = format!("INSERT INTO {users} VALUES ('ann')");
                for how in ["dropped", "rolled back", "committed"] {
                    let transaction = store.begin(pool.acquire().await.unwrap()).await.unwrap();
                    let within = sessions.over(transaction.store()).unwrap();
                    let new = within.create(&"ann".to_owned()).await.unwrap();
                    let insert = sqlx::raw_sql(AssertSqlSafe(insert.as_str()));
                    (*transaction.connection().await.unwrap()).execute(insert).await.unwrap();
                    assert!(within.load(&new.id).await.unwrap().is_some(), "{how}: seen within");
                    assert!(sessions.load(&new.id).await.unwrap().is_none(), "{how}: not seen outside");
                    match how {
                        "dropped" => drop(transaction),
                        "rolled back" => transaction.rollback().await.unwrap(),
                        _ => transaction.commit().await.unwrap(),
                    }
                    let done = i64::from(how == "committed");
                    assert_eq!(count(&pool, &users).await, done, "{how}");
                    assert_eq!(sessions.load(&new.id).await.unwrap().is_some(), done == 1, "{how}");
                    assert!(within.load(&new.id).await.is_err(), "{how}: it has ended");
                }
                clean_up(&pool, &users, "both").await;
            }

            async fn a_session_is_changed_and_ended_with_the_user_s_row(url: String) {
                let (pool, store, users) = set_up(&url, "ended").await;
                let sessions = handle(store.clone());
                let kept = sessions.create(&"ann".to_owned()).await.unwrap();
                let ended = sessions.create(&"bob".to_owned()).await.unwrap();
                for commits in [false, true] {
                    let transaction = store.begin(pool.acquire().await.unwrap()).await.unwrap();
                    let within = sessions.over(transaction.store()).unwrap();
                    within.modify(&kept.id, |name| *name = "anna".to_owned()).await.unwrap().unwrap();
                    assert!(within.destroy(&ended.id).await.unwrap());
                    if commits {
                        transaction.commit().await.unwrap();
                    } else {
                        drop(transaction);
                    }
                    let name = sessions.load(&kept.id).await.unwrap().unwrap().data;
                    assert_eq!(name, if commits { "anna" } else { "ann" });
                    assert_eq!(sessions.load(&ended.id).await.unwrap().is_none(), commits);
                }
                clean_up(&pool, &users, "ended").await;
            }

            async fn an_end_from_outside_wins(url: String) {
                let (pool, store, users) = set_up(&url, "outside").await;
                let sessions = handle(store.clone());
                let new = sessions.create(&"ann".to_owned()).await.unwrap();
                // On SQLite a transaction keeps others from writing from its beginning on.
                let before = place::WRITES_ALONE;
                if before {
                    sessions.destroy(&new.id).await.unwrap();
                }
                let transaction = store.begin(pool.acquire().await.unwrap()).await.unwrap();
                if !before {
                    sessions.destroy(&new.id).await.unwrap();
                }
                let within = sessions.over(transaction.store()).unwrap();
                assert!(within.modify(&new.id, |name| name.clear()).await.unwrap().is_none());
                transaction.commit().await.unwrap();
                assert!(sessions.load(&new.id).await.unwrap().is_none());
                clean_up(&pool, &users, "outside").await;
            }

            async fn a_dropped_call_ends_the_transaction_and_its_connection(url: String) {
                let (pool, store, users) = set_up(&url, "dropped").await;
                let sessions = handle(store.clone());
                let new = sessions.create(&"ann".to_owned()).await.unwrap();
                // Polled once, which sends the statement, and dropped before the answer. On a busy machine, and on SQLite, the
                // answer may be there already.
                let mut dropped = None;
                for _ in 0..100 {
                    let transaction = store.begin(pool.acquire().await.unwrap()).await.unwrap();
                    let within = sessions.over(transaction.store()).unwrap();
                    let other = within.create(&"bob".to_owned()).await.unwrap();
                    let mut call = std::pin::pin!(within.destroy(&new.id));
                    if polled(call.as_mut()).await.is_pending() {
                        dropped = Some((transaction, other));
                        break;
                    }
                    transaction.rollback().await.unwrap();
                }
                let (transaction, other) = match dropped {
                    Some(dropped) => dropped,
                    None if place::WRITES_ALONE => return,
                    None => panic!("a call never waits for its answer"),
                };
                assert!(transaction.commit().await.is_err());
                for id in [&new.id, &other.id] {
                    let expected = *id == new.id;
                    assert_eq!(sessions.load(id).await.unwrap().is_some(), expected);
                }
                assert!(sessions.destroy(&new.id).await.unwrap(), "nothing holds its row");
                clean_up(&pool, &users, "dropped").await;
            }

            /// By the file for sqlx's own tool: where there is no table, and where there is one that is written to.
            async fn sqlx_migrates_an_empty_and_a_living_database(url: String) {
                let pool = pool(&url, 4).await;
                let files = concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../session-sql/migrations/",
                    stringify!($module),
                    "/sqlx"
                );
                let migrator = sqlx::migrate::Migrator::new(std::path::Path::new(files)).await.unwrap();
                for round in 0..2 {
                    run(&pool, "DROP TABLE IF EXISTS _sqlx_migrations").await;
                    let writer = (round > 0).then(|| {
                        let sessions = handle($store::builder().pool(pool.clone()).build().unwrap());
                        tokio::spawn(async move {
                            for _ in 0..100 {
                                let new = sessions.create(&"ann".to_owned()).await.unwrap();
                                assert!(sessions.load(&new.id).await.unwrap().is_some());
                                assert!(sessions.destroy(&new.id).await.unwrap());
                            }
                        })
                    });
                    // On SQLite it begins as a reader, and is refused at once if another writes when it would.
                    let end = std::time::Instant::now() + Duration::from_secs(20);
                    while let Err(error) = migrator.run(&pool).await {
                        let is_locked = error.to_string().contains("database is locked");
                        assert!(is_locked && std::time::Instant::now() < end, "{error}");
                    }
                    if let Some(writer) = writer {
                        writer.await.unwrap();
                    }
                    let store = $store::builder().pool(pool.clone()).build().unwrap();
                    let faults = session_core::contract::Store::diagnose(&store).await.unwrap();
                    assert!(
                        !faults.iter().any(|finding| finding.severity == session_core::Severity::Fault),
                        "{faults:?}"
                    );
                }
                run(&pool, "DROP TABLE sessions").await;
                run(&pool, "DROP TABLE _sqlx_migrations").await;
            }

            /// With one connection, which the next call would meet with the rest of an answer on it.
            async fn a_dropped_call_on_the_application_s_pool_closes_its_connection(url: String) {
                let (outside, _, users) = set_up(&url, "closed").await;
                let pool = pool(&url, 1).await;
                let store =
                    $store::builder().pool(pool.clone()).table(fresh("closed")).connect().await.unwrap();
                let sessions = handle(store);
                let new = sessions.create(&"ann".to_owned()).await.unwrap();
                for round in 0..20_u32 {
                    let before = place::number(&pool).await;
                    // sqlx gives a connection back in a task of its own.
                    timeout(Duration::from_secs(3), async {
                        while pool.num_idle() == 0 {
                            tokio::task::yield_now().await;
                        }
                    })
                    .await
                    .unwrap();
                    {
                        let mut call = std::pin::pin!(sessions.destroy(&new.id));
                        // Further into the call with each round.
                        if polled(call.as_mut()).await.is_pending() {
                            _ = timeout(Duration::from_micros(u64::from(200 * (round % 5))), call).await;
                        }
                    }
                    let load = timeout(Duration::from_secs(3), sessions.load(&new.id)).await.unwrap();
                    let is_live = load.unwrap().is_some();
                    let after = place::number(&pool).await;
                    assert!(place::WRITES_ALONE || before != after || !is_live, "round {round}");
                }
                pool.close().await;
                clean_up(&outside, &users, "closed").await;
            }
        }
    };
}

on_each!(postgres, "postgres", PgPool, PgPoolOptions, PostgresStore);
on_each!(mysql, "mysql", MySqlPool, MySqlPoolOptions, MysqlStore);
on_each!(sqlite, "sqlite", SqlitePool, SqlitePoolOptions, SqliteStore);

/// Where each database is.
mod places {
    #[cfg(feature = "postgres")]
    pub(super) mod postgres {
        use session_sqlx::sqlx::{self, PgPool, postgres::PgConnectOptions};

        pub(crate) const WRITES_ALONE: bool = false;

        pub(crate) fn url() -> Result<String, String> {
            crate::address("SESSION_STORE_POSTGRES_URL")
        }

        pub(crate) fn options(url: &str) -> PgConnectOptions {
            url.parse().unwrap()
        }

        /// The server's number of a connection.
        pub(crate) async fn number(pool: &PgPool) -> i64 {
            let number = "SELECT pg_backend_pid()::bigint";
            sqlx::query_scalar(number).fetch_one(pool).await.unwrap()
        }
    }

    #[cfg(feature = "mysql")]
    pub(super) mod mysql {
        use session_sqlx::sqlx::{self, MySqlPool, mysql::MySqlConnectOptions};

        pub(crate) const WRITES_ALONE: bool = false;

        pub(crate) fn url() -> Result<String, String> {
            crate::address("SESSION_STORE_MYSQL_URL")
        }

        pub(crate) fn options(url: &str) -> MySqlConnectOptions {
            url.parse().unwrap()
        }

        pub(crate) async fn number(pool: &MySqlPool) -> i64 {
            let number = "SELECT CAST(CONNECTION_ID() AS SIGNED)";
            sqlx::query_scalar(number).fetch_one(pool).await.unwrap()
        }
    }

    #[cfg(feature = "sqlite")]
    pub(super) mod sqlite {
        use std::sync::atomic::{AtomicU32, Ordering};

        use session_sqlx::sqlx::SqlitePool;
        use session_sqlx::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

        pub(crate) const WRITES_ALONE: bool = true;

        /// A file for each: the journal mode can be changed only while nobody else has the file open.
        pub(crate) fn url() -> Result<String, String> {
            static FILES: AtomicU32 = AtomicU32::new(0);
            let (program, file) = (std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
            Ok(format!("{}/within-{program}-{file}.db", env!("CARGO_TARGET_TMPDIR")))
        }

        pub(crate) fn options(path: &str) -> SqliteConnectOptions {
            let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
            options.journal_mode(SqliteJournalMode::Wal)
        }

        /// They have none.
        pub(crate) async fn number(_: &SqlitePool) -> i64 {
            0
        }
    }
}
