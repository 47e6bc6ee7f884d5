//! The conformance suite on a live server: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance::{Availability, Backend, Namespace};
use session_core::{Error, ErrorKind, KeyFormat, Result, SessionKey, Store, TableName};
use session_mssql::tiberius::{self, Client, ColumnData, Config, Row, ToSql};
use session_mssql::{ConnectMssqlV2Store, ConnectTypeorm, MssqlStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;
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
        Availability::from_env("mssql", "native", URL, |url| Native::new(&url, KeyFormat::Hashed)),
        Availability::from_env("mssql", "native, plain ids", URL, |url| Native::new(&url, KeyFormat::Plain)),
        Availability::from_env("mssql", "connect-mssql-v2", URL, |url| ConnectMssqlV2::new(&url, None)),
        Availability::from_env("mssql", "connect-mssql-v2, local time", URL, |url| {
            ConnectMssqlV2::new(&url, Some(MINUTES_AHEAD))
        }),
        Availability::from_env("mssql", "connect-typeorm", URL, |url| Typeorm::new(&url)),
    ])
}

struct Native {
    config: Config,
    password: Vec<String>,
    format: KeyFormat,
}

impl Native {
    fn new(ado_string: &str, format: KeyFormat) -> Native {
        Native { config: config(ado_string), password: password(ado_string), format }
    }
}

#[async_trait::async_trait]
impl Backend for Native {
    fn name(&self) -> String {
        "mssql".to_owned()
    }

    fn variant(&self) -> String {
        match self.format {
            KeyFormat::Hashed => "native".to_owned(),
            KeyFormat::Plain => "native, plain ids".to_owned(),
        }
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        know_server(&self.config).await?;
        let store = MssqlStore::builder()
            .config(through(&self.config, via))
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?)
            .key_format(self.format)
            .build()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        drop_table(&self.config, namespace).await
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

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        // No principal is empty.
        let sql = match self.format {
            KeyFormat::Hashed => {
                format!("UPDATE [{namespace}] SET [principal] = N'' WHERE [key] = CAST(@P1 AS binary(32))")
            }
            KeyFormat::Plain => format!("UPDATE [{namespace}] SET [principal] = N'' WHERE [key] = @P1"),
        };
        let bytes = key.as_bytes();
        let text = key.as_text().unwrap_or_default();
        let param: &dyn ToSql = match self.format {
            KeyFormat::Hashed => &bytes,
            KeyFormat::Plain => &text,
        };
        sql_of_our_own(&self.config, &sql, &[param]).await.map(|_| true)
    }

    fn secrets(&self) -> Vec<String> {
        self.password.clone()
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        dump(&self.config, namespace).await.map(Some)
    }
}

struct ConnectMssqlV2 {
    config: Config,
    password: Vec<String>,
    minutes_ahead: Option<i32>,
}

impl ConnectMssqlV2 {
    fn new(ado_string: &str, minutes_ahead: Option<i32>) -> ConnectMssqlV2 {
        ConnectMssqlV2 { config: config(ado_string), password: password(ado_string), minutes_ahead }
    }
}

#[async_trait::async_trait]
impl Backend for ConnectMssqlV2 {
    fn name(&self) -> String {
        "mssql".to_owned()
    }

    fn variant(&self) -> String {
        match self.minutes_ahead {
            None => "connect-mssql-v2".to_owned(),
            Some(_) => "connect-mssql-v2, local time".to_owned(),
        }
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        know_server(&self.config).await?;
        let mut options = ConnectMssqlV2Store::builder()
            .config(through(&self.config, via))
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?);
        if let Some(minutes) = self.minutes_ahead {
            options = options.local_time(move |_| minutes);
        }
        let store = options.build()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        drop_table(&self.config, namespace).await
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

    fn secrets(&self) -> Vec<String> {
        self.password.clone()
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        dump(&self.config, namespace).await.map(Some)
    }
}

struct Typeorm {
    config: Config,
    password: Vec<String>,
}

impl Typeorm {
    fn new(ado_string: &str) -> Typeorm {
        Typeorm { config: config(ado_string), password: password(ado_string) }
    }
}

#[async_trait::async_trait]
impl Backend for Typeorm {
    fn name(&self) -> String {
        "mssql".to_owned()
    }

    fn variant(&self) -> String {
        "connect-typeorm".to_owned()
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        know_server(&self.config).await?;
        let store = MssqlStore::builder()
            .config(through(&self.config, via))
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?)
            .connect_typeorm(ConnectTypeorm::new())
            .await?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        drop_table(&self.config, namespace).await
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

    fn secrets(&self) -> Vec<String> {
        self.password.clone()
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        dump(&self.config, namespace).await.map(Some)
    }
}

fn config(ado_string: &str) -> Config {
    Config::from_ado_string(ado_string).expect("an ADO.NET connection string")
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

fn password(ado_string: &str) -> Vec<String> {
    let pairs = ado_string.split(';').filter_map(|pair| pair.split_once('='));
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

async fn drop_table(config: &Config, namespace: &Namespace) -> Result<()> {
    sql_of_our_own(config, &format!("DROP TABLE IF EXISTS [{namespace}]"), &[]).await.map(drop)
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
        let tcp = TcpStream::connect(config.get_addr()).await?;
        let mut client = Box::pin(Client::connect(config.clone(), tcp.compat_write())).await?;
        client.query(sql, params).await?.into_first_result().await
    };
    // tiberius traces the rows, and one of the cases looks for secrets in what is traced.
    run.with_subscriber(NoSubscriber::default()).await.map_err(|error: tiberius::error::Error| {
        Error::new(ErrorKind::Backend, "a statement of the suite failed").with_source(error)
    })
}
