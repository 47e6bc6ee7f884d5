//! The files in `session-sql/migrations`, run as they are by refinery and by diesel's tool, version by version: on an empty
//! database, and beside a program that reads and writes. sqlx's tool runs its files among session-sqlx's tests.
//!
//! A test whose server is not there is shown as ignored, with the reason.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::Connection as _;
use diesel_async::{AsyncConnection, AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use libtest_mimic::{Arguments, Trial};
use refinery::{Runner, Target};
use session_store::contract::Store;
use session_store::{Sessions, Severity};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, block_in_place};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share a server, and a table of one name.
    arguments.test_threads = Some(1);
    let trials = Database::ALL.into_iter().flat_map(|database| {
        [Tool::Refinery, Tool::Diesel].map(|tool| {
            let name =
                format!("{}::{}_migrates_an_empty_and_a_living_database", database.name(), tool.name());
            match database.url(tool) {
                Ok(url) => Trial::test(name, move || {
                    Runtime::new()?.block_on(Place { database, url }.migrate(tool));
                    Ok(())
                }),
                Err(why) => {
                    Trial::test(format!("{name} (not run: {why})"), || Ok(())).with_ignored_flag(true)
                }
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

#[derive(Clone, Copy)]
enum Tool {
    Refinery,
    Diesel,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::Refinery => "refinery",
            Tool::Diesel => "diesel",
        }
    }

    /// Where it writes down what it has done.
    fn history(self) -> &'static str {
        match self {
            Tool::Refinery => "refinery_schema_history",
            Tool::Diesel => "__diesel_schema_migrations",
        }
    }
}

#[derive(Clone, Copy)]
enum Database {
    Postgres,
    Mysql,
    Sqlite,
}

impl Database {
    const ALL: [Database; 3] = [Database::Postgres, Database::Mysql, Database::Sqlite];

    fn name(self) -> &'static str {
        match self {
            Database::Postgres => "postgres",
            Database::Mysql => "mysql",
            Database::Sqlite => "sqlite",
        }
    }

    fn url(self, tool: Tool) -> Result<String, String> {
        let variable = match self {
            Database::Postgres => "SESSION_STORE_POSTGRES_URL",
            Database::Mysql => "SESSION_STORE_MYSQL_URL",
            Database::Sqlite => {
                let name = format!("session-store-{}-{}.db", tool.name(), std::process::id());
                return Ok(std::env::temp_dir().join(name).display().to_string());
            }
        };
        std::env::var(variable).ok().filter(|url| !url.is_empty()).ok_or(format!("{variable} is not set"))
    }
}

/// A database to migrate.
struct Place {
    database: Database,
    url: String,
}

impl Place {
    async fn migrate(&self, tool: Tool) {
        self.forget(tool.history()).await;
        self.forget("sessions").await;
        let versions = self.files(Tool::Refinery).read_dir().unwrap().count();
        assert_eq!(self.files(tool).read_dir().unwrap().count(), versions, "both have each version");
        // Each version from the one before it. Before the first there is nothing to write to.
        let mut beside = None;
        for version in 1..=versions {
            self.run(tool, version).await;
            if let Some(writer) = beside.take() {
                Writer::stop(writer).await;
            }
            self.expect_sound().await;
            beside = Some(Writer::start(self.store().await).await);
        }
        // All of them once more, by a tool that knows of none, while sessions are made, changed and ended.
        self.forget(tool.history()).await;
        self.run(tool, versions).await;
        Writer::stop(beside.expect("there is a version")).await;
        self.expect_sound().await;
        if matches!(tool, Tool::Diesel) {
            self.undo().await;
        }
        self.forget("sessions").await;
        self.forget(tool.history()).await;
        if matches!(self.database, Database::Sqlite) {
            for suffix in ["", "-wal", "-shm"] {
                _ = std::fs::remove_file(format!("{}{suffix}", self.url));
            }
        }
    }

    fn files(&self, tool: Tool) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../session-sql/migrations")
            .join(self.database.name())
            .join(tool.name())
    }

    /// A store that takes the table as the tool has made it.
    async fn store(&self) -> Arc<dyn Store> {
        match self.database {
            Database::Postgres => Arc::new(session_store::PostgresStore::connect(&self.url).await.unwrap()),
            Database::Mysql => Arc::new(session_store::MysqlStore::connect(&self.url).await.unwrap()),
            Database::Sqlite => Arc::new(session_store::SqliteStore::connect(&self.url).await.unwrap()),
        }
    }

    async fn expect_sound(&self) {
        let findings = self.store().await.diagnose().await.unwrap();
        assert!(!findings.iter().any(|finding| finding.severity == Severity::Fault), "{findings:?}");
    }

    /// Runs the tool up to a version.
    async fn run(&self, tool: Tool, version: usize) {
        match tool {
            Tool::Refinery => self.refinery(version).await,
            Tool::Diesel => self.diesel(Some(version)).await,
        }
    }

    async fn refinery(&self, version: usize) {
        let files = refinery::load_sql_migrations(self.files(Tool::Refinery)).unwrap();
        let version = Target::Version(version.try_into().unwrap());
        let runner = || Runner::new(&files).set_target(version);
        match self.database {
            Database::Postgres => {
                let (mut client, connection) =
                    tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                runner().run_async(&mut client).await.unwrap();
            }
            Database::Mysql => {
                let mut pool = mysql_async::Pool::new(self.url.as_str());
                runner().run_async(&mut pool).await.unwrap();
                pool.disconnect().await.unwrap();
            }
            Database::Sqlite => block_in_place(|| {
                let mut db = rusqlite::Connection::open(&self.url).unwrap();
                patiently(|| runner().run(&mut db).map(drop).map_err(|error| format!("{error:?}")));
            }),
        }
    }

    /// Runs diesel's tool up to a version, or back from the last.
    async fn diesel(&self, version: Option<usize>) {
        let files = FileBasedMigrations::from_path(self.files(Tool::Diesel)).unwrap();
        /// To the version, or back.
        fn go<D: diesel::backend::Backend>(
            harness: &mut impl MigrationHarness<D>,
            files: FileBasedMigrations,
            version: Option<usize>,
        ) -> Result<(), String> {
            let Some(version) = version else {
                return harness.revert_all_migrations(files).map(drop).map_err(|error| error.to_string());
            };
            while harness.applied_migrations().map_err(|error| error.to_string())?.len() < version {
                harness.run_next_migration(files.clone()).map_err(|error| error.to_string())?;
            }
            Ok(())
        }
        match self.database {
            Database::Postgres => {
                let db = diesel_async::AsyncPgConnection::establish(&self.url).await.unwrap();
                block_in_place(|| go(&mut AsyncMigrationHarness::new(db), files, version)).unwrap();
            }
            Database::Mysql => {
                let db = diesel_async::AsyncMysqlConnection::establish(&self.url).await.unwrap();
                block_in_place(|| go(&mut AsyncMigrationHarness::new(db), files, version)).unwrap();
            }
            Database::Sqlite => block_in_place(|| {
                let mut db = diesel::SqliteConnection::establish(&self.url).unwrap();
                diesel::connection::SimpleConnection::batch_execute(&mut db, "PRAGMA busy_timeout = 30000")
                    .unwrap();
                patiently(|| go(&mut db, files.clone(), version));
            }),
        }
    }

    /// Runs diesel's `down.sql` of each version.
    async fn undo(&self) {
        self.diesel(None).await;
        let findings = self.store().await.diagnose().await.unwrap();
        assert!(
            findings.iter().any(|finding| finding.severity == Severity::Fault),
            "the table is still there"
        );
    }

    async fn forget(&self, table: &str) {
        let drop_table = format!("DROP TABLE IF EXISTS {table}");
        match self.database {
            Database::Postgres => {
                let mut db = diesel_async::AsyncPgConnection::establish(&self.url).await.unwrap();
                db.batch_execute(&drop_table).await.unwrap();
            }
            Database::Mysql => {
                let mut db = diesel_async::AsyncMysqlConnection::establish(&self.url).await.unwrap();
                db.batch_execute(&drop_table).await.unwrap();
            }
            Database::Sqlite => {
                let db = rusqlite::Connection::open(&self.url).unwrap();
                db.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                db.execute_batch(&drop_table).unwrap();
            }
        }
    }
}

/// On SQLite a tool begins as a reader, and is refused at once if another program writes when it would.
fn patiently(mut run: impl FnMut() -> Result<(), String>) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while let Err(error) = run() {
        assert!(error.contains("locked") && std::time::Instant::now() < end, "{error}");
    }
}

/// A program that makes, changes and ends sessions until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    work: JoinHandle<u64>,
}

impl Writer {
    /// Returns when it has begun.
    async fn start(store: Arc<dyn Store>) -> Writer {
        let sessions: Sessions<String> = Sessions::builder(store).build().unwrap();
        round(&sessions).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = tokio::spawn(async move {
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) || rounds == 0 {
                round(&sessions).await;
                rounds += 1;
            }
            rounds
        });
        Writer { stop, work }
    }

    async fn stop(writer: Writer) {
        writer.stop.store(true, Ordering::Relaxed);
        assert!(writer.work.await.unwrap() > 0);
    }
}

/// Whatever the tool does meanwhile, each call succeeds.
async fn round(sessions: &Sessions<String>) {
    let new = sessions.create(&"ann".to_owned()).await.unwrap();
    sessions.modify(&new.id, |name| name.push('a')).await.unwrap();
    assert_eq!(sessions.load(&new.id).await.unwrap().map(|session| session.data), Some("anna".to_owned()));
    assert!(sessions.destroy(&new.id).await.unwrap());
}
