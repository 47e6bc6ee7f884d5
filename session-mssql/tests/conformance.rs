//! The conformance suite on a live server: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string.

use std::any::Any;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance::{Availability, CaseInfo, Guarantee, Kind, Namespace, Objection, Part, Subject};
use session_core::contract::Store;
use session_core::{Error, ErrorKind, KeyFormat, Result, SessionKey, TableName};
use session_mssql::tiberius::{self, Client, ColumnData, Config, Row, ToSql};
use session_mssql::{ConnectMssqlV2, ConnectTypeorm, MssqlStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

/// The time zone of a Node application with `useUTC: false`: the Marquesas Islands', which never change their clocks.
const MINUTES_AHEAD: i32 = -(9 * 60 + 30);

/// How long a connection may take to be of use, once the server is known. A new connection to Babelfish begins without
/// its parser's tables: on an idle machine a login takes 60 ms and the first run of each statement 50, on a busy one over
/// a second together. SQL Server itself gets no such allowance.
static COLD_START: OnceCell<Duration> = OnceCell::const_new();

/// Two lanes of each kind, and as many for what is not gathered.
const POOL: usize = 8;

const URL: &str = "SESSION_STORE_MSSQL_URL";

fn main() -> ExitCode {
    conformance::main([
        Availability::from_env("mssql", "native", URL, |url| {
            Mssql::new(&url, Layout::Native(KeyFormat::Hashed))
        }),
        Availability::from_env("mssql", "native, plain ids", URL, |url| {
            Mssql::new(&url, Layout::Native(KeyFormat::Plain))
        }),
        Availability::from_env("mssql", "connect-mssql-v2", URL, |url| {
            Mssql::new(&url, Layout::ConnectMssqlV2 { minutes_ahead: None })
        }),
        Availability::from_env("mssql", "connect-mssql-v2, local time", URL, |url| {
            Mssql::new(&url, Layout::ConnectMssqlV2 { minutes_ahead: Some(MINUTES_AHEAD) })
        }),
        Availability::from_env("mssql", "connect-typeorm", URL, |url| {
            Mssql::new(&url, Layout::ConnectTypeorm)
        }),
    ])
}

struct Mssql {
    config: Config,
    password: Vec<String>,
    layout: Layout,
}

#[derive(Clone, Copy)]
enum Layout {
    Native(KeyFormat),
    ConnectMssqlV2 { minutes_ahead: Option<i32> },
    ConnectTypeorm,
}

impl Mssql {
    fn new(url: &str, layout: Layout) -> Mssql {
        let config = Config::from_ado_string(url).expect("an ADO.NET connection string");
        Mssql { config, password: password(url), layout }
    }

    /// The column of a part, where the table has it: its name, its type, and the index that it is in.
    fn column(
        &self,
        namespace: &Namespace,
        part: Part,
    ) -> Option<(&'static str, &'static str, Option<String>)> {
        let index = |column: &str| Some(format!("{namespace}_{column}"));
        let names = ConnectTypeorm::new();
        Some(match (self.layout, part) {
            (Layout::Native(_), Part::Payload) => ("payload", "nvarchar(max)", None),
            (Layout::Native(_), Part::Expiry) => ("expires_at", "bigint", index("expires_at")),
            (Layout::Native(_), Part::Creation) => ("created_at", "bigint", None),
            (Layout::Native(_), Part::Version) => ("version", "bigint", None),
            (Layout::Native(_), Part::Principal) => ("principal", "nvarchar(255)", None),
            (Layout::ConnectMssqlV2 { .. }, Part::Payload) => ("session", "nvarchar(max)", None),
            (Layout::ConnectMssqlV2 { .. }, Part::Expiry) => ("expires", "datetime", index("expires")),
            (Layout::ConnectTypeorm, Part::Payload) => ("json", "nvarchar(max)", None),
            (Layout::ConnectTypeorm, Part::Expiry) => {
                let table = TableName::new(namespace.as_str()).ok()?;
                ("expiredAt", "bigint", Some(names.index_name(&table)))
            }
            _ => return None,
        })
    }
}

#[async_trait::async_trait]
impl Subject for Mssql {
    fn name(&self) -> String {
        "mssql".to_owned()
    }

    fn variant(&self) -> String {
        match self.layout {
            Layout::Native(KeyFormat::Hashed) => "native",
            Layout::Native(KeyFormat::Plain) => "native, plain ids",
            Layout::ConnectMssqlV2 { minutes_ahead: None } => "connect-mssql-v2",
            Layout::ConnectMssqlV2 { minutes_ahead: Some(_) } => "connect-mssql-v2, local time",
            Layout::ConnectTypeorm => "connect-typeorm",
        }
        .to_owned()
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        know_server(&self.config).await?;
        let options = MssqlStore::builder()
            .config(through(&self.config, via))
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?);
        let store = match self.layout {
            Layout::Native(format) => options.key_format(format).build()?,
            Layout::ConnectMssqlV2 { minutes_ahead: None } => {
                options.connect_mssql_v2(ConnectMssqlV2::new()).build()?
            }
            Layout::ConnectMssqlV2 { minutes_ahead: Some(minutes) } => {
                options.connect_mssql_v2(ConnectMssqlV2::new().local_time(move |_| minutes)).build()?
            }
            Layout::ConnectTypeorm => options.connect_typeorm(ConnectTypeorm::new()).connect().await?,
        };
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let drop_table = format!("DROP TABLE IF EXISTS [{namespace}]");
        sql_of_our_own(&self.config, &drop_table, &[]).await.map(drop)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.config.get_addr().to_socket_addrs().ok()?.next()
    }

    fn durable(&self) -> bool {
        true
    }

    fn cold_start(&self) -> Duration {
        COLD_START.get().copied().unwrap_or_default()
    }

    /// Connections and their pool know no layout, and neither does what breaks them.
    fn shared(&self, case: &CaseInfo, _gathered: bool) -> Option<String> {
        let of_connections = match case.guarantee {
            Guarantee::G9 => case.name != "a_dropped_call_happens_wholly_or_not_at_all",
            Guarantee::G15 => case.kind == Kind::Fault,
            guarantee => guarantee == Guarantee::G16,
        };
        let is_first = matches!(self.layout, Layout::Native(KeyFormat::Hashed));
        (of_connections && !is_first).then(|| "native".to_owned())
    }

    fn pool_size(&self) -> Option<usize> {
        Some(POOL)
    }

    async fn statements_under_way(&self, namespace: &Namespace) -> Result<Option<usize>> {
        let sql = if is_babelfish() {
            "SELECT CAST(COUNT(*) AS bigint) FROM pg_catalog.pg_stat_activity \
             WHERE state = 'active' AND pid <> pg_catalog.pg_backend_pid() AND query LIKE '%' + @P1 + '%'"
        } else {
            "SELECT COUNT_BIG(*) FROM sys.dm_exec_requests AS r \
             CROSS APPLY sys.dm_exec_sql_text(r.[sql_handle]) AS t \
             WHERE r.[session_id] <> @@SPID AND CHARINDEX(@P1, t.[text]) > 0"
        };
        let rows = sql_of_our_own(&self.config, sql, &[&namespace.as_str()]).await?;
        let count = rows.first().and_then(|row| row.try_get::<i64, _>(0).ok().flatten());
        Ok(count.and_then(|count| usize::try_from(count).ok()))
    }

    /// A change of the table that is never committed: it keeps out readers of snapshots, too.
    async fn lock(&self, namespace: &Namespace) -> Result<Option<Box<dyn Any + Send>>> {
        let lock = async {
            let mut client = connect(&self.config).await?;
            let begin = format!("BEGIN TRANSACTION; ALTER TABLE [{namespace}] ADD [suite_lock] int NULL");
            client.simple_query(begin).await?.into_results().await?;
            Ok(client)
        };
        let client = lock.with_subscriber(NoSubscriber::default()).await.map_err(failed)?;
        Ok(Some(Box::new(client)))
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        // No principal is empty.
        match self.layout {
            Layout::Native(_) => self.damage(namespace, key, Part::Principal).await,
            _ => self.damage(namespace, key, Part::Payload).await,
        }
    }

    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        let Some((column, kind, index)) = self.column(namespace, part) else { return Ok(false) };
        if let Some(index) = index {
            // No column of an index changes. Several rows may be damaged, one after another.
            let drop = format!("DROP INDEX IF EXISTS [{index}] ON [{namespace}]");
            sql_of_our_own(&self.config, &drop, &[]).await?;
        }
        // A session may have no principal, so that one is made empty.
        let odd = if part == Part::Principal { "N''" } else { "NULL" };
        if part != Part::Principal {
            let alter = format!("ALTER TABLE [{namespace}] ALTER COLUMN [{column}] {kind} NULL");
            match sql_of_our_own(&self.config, &alter, &[]).await {
                Err(_) if is_babelfish() => return Ok(false),
                altered => altered?,
            };
        }
        let update = format!("UPDATE [{namespace}] SET [{column}] = {odd} WHERE");
        let (bytes, text) = (key.as_bytes(), key.as_text().unwrap_or_default());
        let (sql, key): (String, &dyn ToSql) = match self.layout {
            Layout::Native(KeyFormat::Hashed) => {
                (format!("{update} [key] = CAST(@P1 AS binary(32))"), &bytes)
            }
            Layout::Native(KeyFormat::Plain) => (format!("{update} [key] = @P1"), &text),
            Layout::ConnectMssqlV2 { .. } => (format!("{update} [sid] = @P1"), &text),
            Layout::ConnectTypeorm => (format!("{update} [id] = @P1"), &text),
        };
        match sql_of_our_own(&self.config, &sql, &[key]).await {
            // It takes the change of the column, and still refuses what the change allows.
            Err(_) if is_babelfish() => Ok(false),
            updated => updated.map(|_| true),
        }
    }

    /// Its other constraints quote nothing, and a trigger is no part of a table that is read with OUTPUT.
    async fn object(&self, namespace: &Namespace, objection: Objection) -> Result<bool> {
        let column = self.column(namespace, Part::Payload).filter(|_| objection == Objection::Conversion);
        let Some((payload, ..)) = column else { return Ok(false) };
        let objects = format!(
            "ALTER TABLE [{namespace}] WITH NOCHECK ADD CONSTRAINT [{namespace}_objects] CHECK \
             (CASE WHEN [{payload}] LIKE N'{}%' THEN CAST([{payload}] AS int) ELSE 0 END = 0)",
            Objection::WORD
        );
        match sql_of_our_own(&self.config, &objects, &[]).await {
            // Of NOCHECK it knows less.
            Err(_) if is_babelfish() => Ok(false),
            added => added.map(|_| true),
        }
    }

    fn secrets(&self) -> Vec<String> {
        self.password.clone()
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        dump(&self.config, namespace).await.map(Some)
    }
}

fn is_babelfish() -> bool {
    COLD_START.get().is_some_and(|cold_start| !cold_start.is_zero())
}

/// Asks once which server this is.
async fn know_server(config: &Config) -> Result<()> {
    let ask = async {
        let sql = "SELECT CAST(SERVERPROPERTY(N'BabelfishVersion') AS nvarchar(128))";
        let rows = sql_of_our_own(config, sql, &[]).await?;
        let is_babelfish = rows.first().is_some_and(|row| matches!(row.try_get::<&str, _>(0), Ok(Some(_))));
        Ok::<_, Error>(if is_babelfish { Duration::from_secs(2) } else { Duration::ZERO })
    };
    COLD_START.get_or_try_init(|| ask).await.map(drop)
}

fn password(url: &str) -> Vec<String> {
    let pairs = url.split(';').filter_map(|pair| pair.split_once('='));
    let passwords =
        pairs.filter(|(name, _)| ["password", "pwd"].contains(&name.trim().to_lowercase().as_str()));
    passwords.map(|(_, password)| password.trim().to_owned()).collect()
}

fn through(config: &Config, via: Option<SocketAddr>) -> Config {
    let mut config = config.clone();
    if let Some(proxy) = via {
        config.host(proxy.ip());
        config.port(proxy.port());
    }
    config
}

async fn dump(config: &Config, namespace: &Namespace) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in sql_of_our_own(config, &format!("SELECT * FROM [{namespace}]"), &[]).await? {
        for cell in row {
            match cell {
                ColumnData::String(Some(text)) => bytes.extend_from_slice(text.as_bytes()),
                ColumnData::Binary(Some(binary)) => bytes.extend_from_slice(&binary),
                other => bytes.extend_from_slice(format!("{other:?}").as_bytes()),
            }
            bytes.push(b'\n');
        }
    }
    Ok(bytes)
}

/// A statement that goes past the store.
async fn sql_of_our_own(config: &Config, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<Row>> {
    let run = async {
        let mut client = connect(config).await?;
        client.query(sql, params).await?.into_first_result().await
    };
    // tiberius traces the rows, and one of the cases looks for secrets in what is traced.
    run.with_subscriber(NoSubscriber::default()).await.map_err(failed)
}

async fn connect(config: &Config) -> tiberius::Result<Client<Compat<TcpStream>>> {
    let tcp = TcpStream::connect(config.get_addr()).await?;
    Box::pin(Client::connect(config.clone(), tcp.compat_write())).await
}

fn failed(error: tiberius::error::Error) -> Error {
    Error::new(ErrorKind::Backend, "a statement of the suite failed").with_source(error)
}
