//! Database servers to test against: found or started, watched, controlled and stopped.

mod container;
mod control;
mod galera;
mod install;
mod local;
mod mssql;
mod mysql;
mod postgres;
mod ready;

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use nix::unistd::User;
use url::Url;

use crate::process::{self, Missing};
use crate::terminal;
pub(crate) use install::install;
use ready::Probe;

/// How long a server may take until it answers. A first start makes the system tables; SQL Server's takes longest.
const READY: Duration = Duration::from_secs(120);

/// As far from UTC as a zone can be, so that whatever depends on the server's zone shows.
const TIME_ZONE: &str = "Pacific/Kiritimati";

/// The servers that a driver is tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
    Mysql,
    Mssql,
    /// A cluster of MariaDB servers.
    Galera,
}

impl Kind {
    /// Those that are one server.
    pub(crate) const SINGLE: [Self; 4] = [Self::Postgres, Self::Mariadb, Self::Mysql, Self::Mssql];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Mssql => "mssql",
            Self::Galera => "galera",
        }
    }

    /// The variable in which the driver's tests expect the server's address.
    pub(crate) fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "SESSION_STORE_POSTGRES_URL",
            Self::Mariadb | Self::Mysql | Self::Galera => "SESSION_STORE_MYSQL_URL",
            Self::Mssql => "SESSION_STORE_MSSQL_URL",
        }
    }

    /// The variables in which the user may have named a server, best first.
    fn given_variables(self) -> [&'static str; 2] {
        match self {
            Self::Mariadb => ["SESSION_STORE_MARIADB_URL", self.url_variable()],
            // One server does not stand for a cluster.
            Self::Galera => ["SESSION_STORE_GALERA_URL"; 2],
            _ => [self.url_variable(); 2],
        }
    }
}

/// What the user said about where servers come from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where servers come from")]
pub(crate) struct Sources {
    /// This server; also SESSION_STORE_{POSTGRES,MARIADB,MYSQL,MSSQL}_URL. It is not stopped or killed
    #[arg(long, value_name = "BACKEND=URL", value_parser = assignment)]
    pub(crate) url: Vec<(Kind, String)>,
    /// This image in place of the official one. It must take the password from the same variable (POSTGRES_PASSWORD, ...), pass
    /// arguments on to the server, and listen on the usual port
    #[arg(long, value_name = "BACKEND=IMAGE", value_parser = assignment)]
    pub(crate) image: Vec<(Kind, String)>,
    #[command(flatten)]
    pub(crate) local: Programs,
    /// Whether it must be a server that is started here, as what is done there would harm tables of somebody else.
    #[arg(skip)]
    pub(crate) fresh: bool,
    /// Whether a server that is started here is to show nothing that its death may take back.
    #[arg(skip)]
    pub(crate) durable: bool,
    /// Whether a server that is started here may leave its writes to the operating system, so that they outlive its death
    /// but not the machine's: nothing waits for the disk.
    #[arg(skip)]
    pub(crate) unsynced: bool,
}

/// Programs of servers on this machine.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Programs {
    /// For mssql: Babelfish, a PostgreSQL that speaks SQL Server's protocol, installed there; also BABELFISH_HOME
    #[arg(long, value_name = "DIR")]
    babelfish: Option<PathBuf>,
    /// On Debian and Ubuntu: install the packages of servers that are missing
    #[arg(long)]
    pub(crate) install: bool,
}

/// `postgres=…`
fn assignment(text: &str) -> Result<(Kind, String), String> {
    let (name, value) = text.split_once('=').unwrap_or_default();
    if value.is_empty() {
        return Err("expected BACKEND=VALUE, as in postgres=...".to_owned());
    }
    let kind = Kind::from_str(name, false).map_err(|_| format!("`{name}` has no server"))?;
    Ok((kind, value.to_owned()))
}

/// Says what is missing, and the one line that brings it, for a command that had no server of these kinds.
pub(crate) fn tell_missing(missing: &[Kind], command: &str) {
    let has_packages =
        |kind: &&Kind| install::packages(**kind).is_some() && process::find("apt-get", &[]).is_some();
    let (packaged, others): (Vec<_>, Vec<_>) = missing.iter().partition(has_packages);
    let names = |kinds: &[&Kind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    if !packaged.is_empty() {
        terminal::say(format_args!("missing: {}; brought by {command} --install", names(&packaged)));
    }
    if let Some(kind) = others.first() {
        let (missing, name) = (names(&others), kind.name());
        terminal::say(format_args!(
            "missing: {missing}; with docker or podman on PATH they come by themselves, or {command} {name} --url {name}=URL"
        ));
    }
}

/// A server that accepts connections. It is stopped, and its data removed, when this is dropped.
pub(crate) struct Server {
    /// Holds the password: never to be printed.
    pub(crate) url: String,
    /// Where it comes from, in words.
    pub(crate) origin: String,
    /// Where it can be paused, killed and started again, if it was started here.
    pub(crate) control: Option<String>,
    started: Option<Shared>,
    /// What stops when this is dropped, and cannot be hurt.
    _processes: Vec<local::Local>,
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

/// Finds or starts a server: one whose address was given, else a container, else local programs.
///
/// # Errors
/// Those of a source that is there and does not work. That there is none is [`Missing`].
pub(crate) fn open(kind: Kind, sources: &Sources) -> Result<Server> {
    let mut missing = Vec::new();
    for source in [given, container::open, local] {
        match source(kind, sources).map_err(anyhow::Error::downcast) {
            Ok(server) => {
                // That no address was given is no news; that a container could not be had may be.
                missing.iter().skip(1).for_each(|why: &String| terminal::detail(why));
                terminal::detail(format_args!("server: {}", server.origin));
                return Ok(server);
            }
            Err(Ok(Missing(why))) => missing.push(why),
            Err(Err(error)) => return Err(error),
        }
    }
    bail!(Missing(missing.join("; ")))
}

fn given(kind: Kind, sources: &Sources) -> Result<Server> {
    if sources.fresh {
        bail!(Missing("a server of its own is needed".to_owned()));
    }
    if let Some((_, url)) = sources.url.iter().find(|(named, _)| *named == kind) {
        return connect(kind, url, "--url");
    }
    for variable in kind.given_variables() {
        let Ok(url) = std::env::var(variable) else { continue };
        // One variable serves two servers: what answers there decides.
        if variable == "SESSION_STORE_MYSQL_URL" && !mysql::answers_as(kind, &url) {
            continue;
        }
        return connect(kind, &url, variable);
    }
    bail!(Missing(format!("no address given (--url {}=URL or {})", kind.name(), kind.given_variables()[0])))
}

fn connect(kind: Kind, url: &str, named_by: &str) -> Result<Server> {
    let mut origin = format!("given by {named_by}");
    if let Some(address) = address(kind, url) {
        let probe = match kind {
            Kind::Postgres => Probe::Postgres,
            Kind::Mariadb | Kind::Mysql | Kind::Galera => Probe::Mysql,
            Kind::Mssql => Probe::Tds,
        };
        let version = ready::until(Duration::from_secs(15), || Ok(probe.ask(&address)))
            .with_context(|| format!("the server given by {named_by} does not answer"))?;
        if matches!(kind, Kind::Mariadb | Kind::Mysql) && mysql::kind_of(&version) != kind {
            bail!("the server given by {named_by} is {version}, which is not {}", kind.name());
        }
        let name = if version.is_empty() { kind.name() } else { &version };
        origin = format!("{name} at {address}, {origin}");
    }
    Ok(Server::uncontrolled(url.to_owned(), origin, Vec::new()))
}

/// Host and port of a URL or of an ADO connection string, to ask whether anybody is there. `None` for what is more
/// than that (several hosts, a socket, a named instance): the driver knows better.
///
/// The connection string is read here, as the crate connection-string takes no password with a `=`.
pub(crate) fn address(kind: Kind, url: &str) -> Option<String> {
    let (host, default) = if kind == Kind::Mssql {
        let server = url.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            let key = key.trim().to_ascii_lowercase();
            (key == "server" || key == "data source").then(|| value.trim().trim_start_matches("tcp:"))
        })?;
        (server.replace(',', ":"), 1433)
    } else {
        let url = Url::parse(url).ok()?;
        let port = url.port().unwrap_or(if kind == Kind::Postgres { 5432 } else { 3306 });
        (url.host_str()?.to_owned(), port)
    };
    if host.is_empty() || host.contains([',', '\\', '%']) || host.matches(':').count() > 1 {
        return None;
    }
    Some(if host.contains(':') { host } else { format!("{host}:{default}") })
}

fn local(kind: Kind, sources: &Sources) -> Result<Server> {
    // The server's own character set is latin1, which a suite of ours is to get along with. A table that TypeORM makes
    // is in it, too, unless the database has another one, as those of distributions do.
    let mut mariadb = if sources.fresh { vec!["--character-set-server=utf8mb4"] } else { Vec::new() };
    if sources.durable {
        mariadb.extend(mysql::DURABLE);
    }
    if sources.unsynced {
        mariadb.extend(mysql::UNSYNCED);
    }
    let open = || match kind {
        Kind::Postgres => postgres::open(sources.unsynced),
        Kind::Mariadb => mysql::open_mariadb(&mariadb),
        Kind::Mysql => mysql::open_mysql(),
        Kind::Mssql => mssql::open(sources.local.babelfish.as_deref()),
        Kind::Galera => galera::open(),
    };
    let found = open();
    let Err(Some(Missing(why))) = found.as_ref().map_err(|error| error.downcast_ref()) else { return found };
    let Some(packages) = install::packages(kind) else {
        bail!(Missing(format!("no local programs ({why}; Debian and Ubuntu have no package of them)")));
    };
    if !sources.local.install {
        bail!(Missing(format!("no local programs ({why})")));
    }
    terminal::detail(format_args!("{}: {why}: installing", kind.name()));
    install(packages)?;
    open()
}

impl Server {
    /// Wraps a server that was started here, and serves the commands that hurt it.
    fn started<C: Controlled + 'static>(url: String, origin: String, server: C) -> Result<Self> {
        let server: Shared = Arc::new(Mutex::new(server));
        let control = control::serve(&server)?;
        Ok(Self { url, origin, control: Some(control), started: Some(server), _processes: Vec::new() })
    }

    /// Wraps a server that nobody is to hurt.
    fn uncontrolled(url: String, origin: String, processes: Vec<local::Local>) -> Self {
        Self { url, origin, control: None, started: None, _processes: processes }
    }

    /// The end of the server's log, if it was started here.
    pub(crate) fn log_tail(&self) -> Option<String> {
        let server = self.started.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(server.log_tail())
    }
}

/// A port of 127.0.0.1 that is free now, and that no outgoing connection is given meanwhile: below the range from
/// which systems take those. A client that tries again and again to reach a killed server on a port of that range can
/// even end up connected to itself.
fn free_port() -> Result<u16> {
    free_ports().map(|[port]| port)
}

/// Several of them.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let start = std::process::id() % 9_000;
    let free: Vec<(u16, TcpListener)> = (0..9_000)
        .map(|step| 20_000 + (start + step * 7) % 9_000)
        .filter_map(|port| u16::try_from(port).ok())
        // Each is held until all are found.
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(N)
        .collect();
    let ports: Vec<u16> = free.iter().map(|(port, _)| *port).collect();
    ports.try_into().ok().context("no free port between 20000 and 29000 on 127.0.0.1")
}

/// A password that satisfies every server's rules.
fn password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("Aa1-{hex}"))
}

/// As whom to run a server: nobody else if this is an ordinary user, one of these if it is root.
fn unprivileged(names: &[&str]) -> Result<Option<User>> {
    if !process::is_root() {
        return Ok(None);
    }
    let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
    user.map(Some)
        .with_context(|| format!("servers refuse to run as root; no user {} is here", names.join(" or ")))
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
