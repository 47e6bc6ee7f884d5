//! Database servers to test against: found or started, watched, controlled and stopped.

mod container;
mod control;
mod install;
mod local;
mod mssql;
mod mysql;
mod postgres;
mod ready;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, terminal};
pub(crate) use install::install;

/// How long a server may take until it answers. A first start makes the system tables; SQL Server's takes longest.
const READY: Duration = Duration::from_secs(120);

/// The servers that a driver is tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
    Mysql,
    Mssql,
}

impl Kind {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Mssql => "mssql",
        }
    }

    /// The variable in which the driver's tests expect the server's address.
    pub(crate) fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "SESSION_STORE_POSTGRES_URL",
            Self::Mariadb | Self::Mysql => "SESSION_STORE_MYSQL_URL",
            Self::Mssql => "SESSION_STORE_MSSQL_URL",
        }
    }

    /// The variables in which the user may have named a server, best first.
    pub(crate) fn given_variables(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["SESSION_STORE_POSTGRES_URL"],
            Self::Mariadb => &["SESSION_STORE_MARIADB_URL", "SESSION_STORE_MYSQL_URL"],
            Self::Mysql => &["SESSION_STORE_MYSQL_URL"],
            Self::Mssql => &["SESSION_STORE_MSSQL_URL"],
        }
    }
}

/// What the user said about where servers come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) urls: BTreeMap<Kind, String>,
    pub(crate) images: BTreeMap<Kind, String>,
    /// Where Babelfish, a PostgreSQL that speaks SQL Server's protocol, is installed.
    pub(crate) babelfish: Option<PathBuf>,
    /// Whether packages of the operating system may be installed.
    pub(crate) install: bool,
    /// Whether it must be a server that is started here, as what is done there would harm tables of somebody else.
    pub(crate) fresh: bool,
    /// Whether a server that is started here is to show nothing that its death may take back.
    pub(crate) durable: bool,
}

/// A server that accepts connections. It is stopped, and its data removed, when this is dropped.
pub(crate) struct Server {
    /// Holds the password: never to be printed.
    pub(crate) url: String,
    /// Where it comes from, in words.
    pub(crate) origin: String,
    control: Option<(control::Control, Shared)>,
}

type Shared = Arc<Mutex<dyn Controlled>>;

/// A server that was started here, and can therefore be hurt.
trait Controlled: Send {
    fn pause(&mut self) -> Result<()>;
    fn resume(&mut self) -> Result<()>;
    fn kill(&mut self) -> Result<()>;
    /// Starts it again on the same port and data, and returns when it accepts connections.
    fn start(&mut self) -> Result<()>;
    fn log_tail(&self) -> String;
}

/// What came of looking for a server.
pub(crate) enum Opened {
    Server(Server),
    /// There is none, and this is why, and what would help.
    Unavailable(String),
}

/// Finds or starts a server: one whose address was given, else a container, else local programs.
///
/// # Errors
/// Those of a source that is there and does not work. That there is none is no error.
pub(crate) fn open(kind: Kind, sources: &Sources) -> Result<Opened> {
    let mut missing = Vec::new();
    let sources: [&dyn Fn() -> Result<Found>; 3] =
        [&|| given(kind, sources), &|| container::open(kind, sources), &|| local(kind, sources)];
    for source in sources {
        match source()? {
            Ok(server) => {
                // That no address was given is no news; that a container could not be had may be.
                missing.iter().skip(1).for_each(|why: &String| terminal::detail(why));
                return Ok(Opened::Server(server));
            }
            Err(why) => missing.push(why),
        }
    }
    Ok(Opened::Unavailable(missing.join("; ")))
}

/// A source's answer: a server, or why this source has none.
type Found = std::result::Result<Server, String>;

fn given(kind: Kind, sources: &Sources) -> Result<Found> {
    if sources.fresh {
        return Ok(Err("a server of its own is needed".to_owned()));
    }
    if let Some(url) = sources.urls.get(&kind) {
        return connect(kind, url, "--url").map(Ok);
    }
    for variable in kind.given_variables() {
        let Ok(url) = std::env::var(variable) else { continue };
        // One variable serves two servers: what answers there decides.
        if *variable == "SESSION_STORE_MYSQL_URL" && !mysql::answers_as(kind, &url) {
            continue;
        }
        return connect(kind, &url, variable).map(Ok);
    }
    Ok(Err(format!("no address given (--url {}=URL or {})", kind.name(), kind.given_variables()[0])))
}

fn connect(kind: Kind, url: &str, named_by: &str) -> Result<Server> {
    let mut origin = format!("given by {named_by}");
    if let Some(address) = address(kind, url) {
        let probe = match kind {
            Kind::Postgres => ready::Probe::Postgres,
            Kind::Mariadb | Kind::Mysql => ready::Probe::Mysql,
            Kind::Mssql => ready::Probe::Tds(None),
        };
        let version = ready::wait(&probe, &address, Duration::from_secs(15), &mut || Ok(()))
            .with_context(|| format!("the server given by {named_by} does not answer"))?;
        if matches!(kind, Kind::Mariadb | Kind::Mysql) && mysql::kind_of(&version) != kind {
            bail!("the server given by {named_by} is {version}, which is not {}", kind.name());
        }
        origin = format!("{} at {address}, {origin}", name_or(kind, &version));
    }
    Ok(Server { url: url.to_owned(), origin, control: None })
}

fn name_or(kind: Kind, version: &str) -> &str {
    if version.is_empty() { kind.name() } else { version }
}

/// Host and port of a URL or of an ADO connection string, to ask whether anybody is there. `None` for what is more
/// than that (several hosts, a socket, a named instance): the driver knows better.
fn address(kind: Kind, url: &str) -> Option<String> {
    let (host, default) = if kind == Kind::Mssql {
        let server = url.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            let key = key.trim().to_ascii_lowercase();
            (key == "server" || key == "data source").then(|| value.trim().trim_start_matches("tcp:"))
        })?;
        (server.replace(',', ":"), 1433)
    } else {
        let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        (host.to_owned(), if kind == Kind::Postgres { 5432 } else { 3306 })
    };
    if host.is_empty() || host.contains([',', '\\', '%']) || host.matches(':').count() > 1 {
        return None;
    }
    Some(if host.contains(':') { host } else { format!("{host}:{default}") })
}

fn local(kind: Kind, sources: &Sources) -> Result<Found> {
    // The server's own character set is latin1, which a suite of ours is to get along with. A table that TypeORM makes
    // is in it, too, unless the database has another one, as those of distributions do.
    let mut mariadb = if sources.fresh { vec!["--character-set-server=utf8mb4"] } else { Vec::new() };
    if sources.durable {
        mariadb.extend(mysql::DURABLE);
    }
    let mut start = match kind {
        Kind::Postgres => postgres::open()?,
        Kind::Mariadb => mysql::open_mariadb(&mariadb)?,
        Kind::Mysql => mysql::open_mysql()?,
        Kind::Mssql => mssql::open(sources.babelfish.as_deref())?,
    };
    if let (Err(why), true) = (&start, sources.install) {
        start = match install::packages(kind) {
            Some(packages) => {
                terminal::detail(&format!("{}: {why}: installing", kind.name()));
                install(packages)?;
                match kind {
                    Kind::Postgres => postgres::open()?,
                    Kind::Mariadb => mysql::open_mariadb(&mariadb)?,
                    Kind::Mysql | Kind::Mssql => start,
                }
            }
            None => Err(format!("{why} (Debian and Ubuntu have no package of it that --install could take)")),
        };
    }
    Ok(start)
}

impl Server {
    /// Wraps a server that was started here, and serves the commands that hurt it.
    fn started<C: Controlled + 'static>(url: String, origin: String, server: C) -> Result<Self> {
        let server: Shared = Arc::new(Mutex::new(server));
        let control = control::Control::serve(Arc::clone(&server))?;
        Ok(Self { url, origin, control: Some((control, server)) })
    }

    /// Where it can be paused, killed and started again, if it was started here.
    pub(crate) fn control(&self) -> Option<String> {
        self.control.as_ref().map(|(control, _)| control.address())
    }

    /// The end of the server's log, if it was started here.
    pub(crate) fn log_tail(&self) -> Option<String> {
        let (_, server) = self.control.as_ref()?;
        Some(server.lock().unwrap_or_else(PoisonError::into_inner).log_tail())
    }
}

/// A port of 127.0.0.1 that is free now, and that no outgoing connection is given meanwhile: below the range from
/// which systems take those. A client that tries again and again to reach a killed server on a port of that range can
/// even end up connected to itself.
fn free_port() -> Result<u16> {
    let start = std::process::id() % 9_000;
    (0..9_000)
        .map(|step| 20_000 + (start + step * 7) % 9_000)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .context("no free port between 20000 and 29000 on 127.0.0.1")
}

/// A password that satisfies every server's rules.
fn password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("Aa1-{hex}"))
}

/// As whom to run a server: nobody else if this is an ordinary user, one of these if it is root.
fn unprivileged(names: &[&str]) -> Result<Option<nix::unistd::User>> {
    if !process::is_root() {
        return Ok(None);
    }
    process::first_user(names).map(Some).with_context(|| {
        format!("the server refuses to run as root, and there is no user {}", names.join(" or "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_without_the_password() {
        let cases = [
            (Kind::Postgres, "postgres://me:p@ss@db.example/app?x=y", Some("db.example:5432")),
            (Kind::Mysql, "mysql://me@127.0.0.1:3307/app", Some("127.0.0.1:3307")),
            (Kind::Mssql, "Server=tcp:127.0.0.1,1434;User ID=sa;Password=a=b", Some("127.0.0.1:1434")),
            (Kind::Mssql, r"server=host\instance;", None),
            (Kind::Postgres, "postgres://a,b/app", None),
        ];
        for (kind, url, expected) in cases {
            assert_eq!(address(kind, url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_free_port_is_outside_the_range_of_outgoing_connections() {
        assert!((20_000..29_000).contains(&free_port().expect("a port")));
    }
}
