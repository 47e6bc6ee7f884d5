//! What sqlx makes of a connection string: what libpq means by it, or an error that says what to write.

use std::time::Duration;

use session_core::{Error, Result};
use session_sql::postgres::url::Words;
use session_sql::{is_loopback, read_pem};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What a connection string names.
pub(super) struct Address {
    /// Nothing of the string is left to sqlx, which passes over a parameter that it does not know, and logs its value.
    pub(super) options: PgConnectOptions,
    /// How long connecting may take.
    pub(super) connect_timeout: Option<Duration>,
    /// Whether the server has to be one that writes.
    pub(super) has_to_write: bool,
    /// The text of its `options`.
    pub(super) settings: Option<String>,
}

/// Words that sqlx takes, and other clients refuse.
const BESIDES: &[&str] = &["sslcert", "sslkey"];

const TO_THE_SYSTEM: &str = "sqlx leaves it to the operating system; leave it out, or take session-diesel";

/// Words that sqlx has nothing for, values with which they change nothing, and what to do.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "channel_binding",
        &["disable", "prefer"],
        "sqlx does not bind a login to its encryption; leave it out, as the server's certificate is verified, or take \
         session-diesel",
    ),
    (
        "sslnegotiation",
        &["postgres"],
        "sqlx asks the server before it encrypts; leave it out, or take session-diesel",
    ),
    ("keepalives", &[], TO_THE_SYSTEM),
    ("keepalives_idle", &[], TO_THE_SYSTEM),
    ("keepalives_interval", &[], TO_THE_SYSTEM),
    ("keepalives_retries", &[], TO_THE_SYSTEM),
    ("tcp_user_timeout", &["0"], TO_THE_SYSTEM),
];

/// What a string means that names no host, where no server runs yet. The first one is taken.
const EITHER_SOCKET: &str = "/var/run/postgresql,/tmp";

impl Address {
    pub(super) fn parse(url: &str) -> Result<Address> {
        let mut words = Words::parse(url, BESIDES)?;
        for (word, fine, instead) in REFUSED {
            if words.take(word).is_some_and(|value| !fine.contains(&value.as_str())) {
                return Err(Error::invalid_input(format!("the Postgres URL has `{word}`: {instead}")));
            }
        }
        // One host has nothing to balance.
        words.take("load_balance_hosts");
        let connect_timeout = words.take_connect_timeout()?.flatten();
        let has_to_write = match words.take("target_session_attrs").as_deref() {
            None | Some("any") => false,
            Some("read-write") => true,
            Some(_) => {
                return Err(Error::invalid_input(
                    "the Postgres URL's target_session_attrs is unknown; use read-write, or leave it out",
                ));
            }
        };
        let host = one_host(&mut words)?;
        let mode = ssl_mode(words.take("sslmode").as_deref(), &host)?;
        if words.get("sslrootcert") == Some("system") {
            // Those are trusted in any case.
            words.take("sslrootcert");
        }
        if !matches!(mode, PgSslMode::Disable) {
            // A file that is not there is no server that is away. sqlx reads it for each new connection.
            for file in ["sslrootcert", "sslcert", "sslkey"].into_iter().filter_map(|word| words.get(word)) {
                read_pem(file)?;
            }
        }
        let settings = words.get("options").map(str::to_owned);
        let plain = format!("postgres://localhost?{}", words.query());
        let options: PgConnectOptions = plain.parse().map_err(|_: sqlx::Error| {
            // Without sqlx's words, which may quote what stands at a wrong place.
            Error::invalid_input(
                "the Postgres URL has a port that is no number, or a `hostaddr` that is no address; use \
                 postgres://user:password@host:port/database",
            )
        })?;
        Ok(Address { options: options.ssl_mode(mode), connect_timeout, has_to_write, settings })
    }
}

/// The host that is meant: a name, an address, or the folder of a socket.
fn one_host(words: &mut Words) -> Result<String> {
    let host = words.get("host").unwrap_or_default().to_owned();
    if words.take("hostaddr").is_some_and(|address| address != host) {
        return Err(Error::invalid_input(
            "the Postgres URL has both `host` and `hostaddr`, of which sqlx takes one; leave out `hostaddr`",
        ));
    }
    match host.split_once(',') {
        None => Ok(host),
        Some((first, _)) if host == EITHER_SOCKET => {
            words.set("host", first.to_owned());
            Ok(first.to_owned())
        }
        Some(_) => Err(Error::invalid_input(
            "the Postgres URL names several hosts, and sqlx knows one; name the one that writes, or take session-diesel",
        )),
    }
}

/// A server on another machine is verified, unless the URL asks for clear text; one on this machine need not be encrypted.
fn ssl_mode(asked: Option<&str>, host: &str) -> Result<PgSslMode> {
    if host.starts_with('/') {
        // No certificate has a name for a socket, and libpq passes over its sslmode, too.
        return Ok(PgSslMode::Disable);
    }
    match asked {
        None | Some("prefer" | "allow") if is_loopback(host) => Ok(PgSslMode::Disable),
        None | Some("prefer" | "allow" | "require" | "verify-ca" | "verify-full") => {
            Ok(PgSslMode::VerifyFull)
        }
        Some("disable") => Ok(PgSslMode::Disable),
        Some(_) => Err(Error::invalid_input(
            "the URL's sslmode is unknown; use disable, require or verify-full, or leave it out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    fn parse(url: &str) -> Address {
        Address::parse(url).map_err(|error| format!("{url}: {error}")).expect("it is one")
    }

    #[test]
    fn each_form_of_libpq_means_the_same() {
        for (url, expected) in [
            ("postgresql://ann@db:5433/app", "db 5433 ann app"),
            ("host=db port=7 user=ann dbname='a b'", "db 7 ann a b"),
            ("postgres://ann:p%40%2B@[::1]/app", "::1 5432 ann app"),
            ("postgres:///app?host=db&user=ann", "db 5432 ann app"),
            ("postgres://ann@/app?host=/run/a%20b&port=6", "/run/a b 6 ann app"),
            ("postgres://ann@%2Frun%2Fpg/app", "/run/pg 5432 ann app"),
            ("postgres://ann@/app?hostaddr=10.0.0.1", "10.0.0.1 5432 ann app"),
            ("postgres://ann@db/app?channel_binding=prefer&sslnegotiation=postgres", "db 5432 ann app"),
            ("postgres://ann@db/app?load_balance_hosts=random&tcp_user_timeout=0", "db 5432 ann app"),
            ("postgres://ann@db/app?gssencmode=prefer&sslsni=1&sslrootcert=system", "db 5432 ann app"),
        ] {
            let options = parse(url).options;
            let socket = options.get_socket().map(|socket| socket.display().to_string());
            let host = socket.unwrap_or_else(|| options.get_host().to_owned());
            let (port, user) = (options.get_port(), options.get_username());
            let found = format!("{host} {port} {user} {}", options.get_database().unwrap_or_default());
            assert_eq!(found, expected, "{url}");
        }
        // The socket of this machine, wherever a server has one.
        for url in ["postgres://ann@/app", "postgres:///app", "dbname=app"] {
            if std::env::var_os("PGHOST").is_none() && std::env::var_os("PGHOSTADDR").is_none() {
                assert!(parse(url).options.get_socket().is_some(), "{url}");
            }
        }
    }

    #[test]
    fn what_is_asked_of_the_server_and_of_the_way_to_it_is_heard() {
        let plain = parse("postgres://u@db/d");
        assert!(!plain.has_to_write && plain.connect_timeout.is_none() && plain.settings.is_none());
        assert!(parse("postgres://u@db/d?target_session_attrs=read-write").has_to_write);
        assert!(parse("postgres://u@db/d?target_session_attrs=primary").has_to_write);
        assert!(!parse("postgres://u@db/d?target_session_attrs=any").has_to_write);
        let timeout =
            |seconds| parse(&format!("postgres://u@db/d?connect_timeout={seconds}")).connect_timeout;
        assert_eq!((timeout(7), timeout(0)), (Some(Duration::from_secs(7)), None));
        assert_eq!(parse("host=db options='-c a=b'").settings.as_deref(), Some("-c a=b"));
    }

    #[test]
    fn what_sqlx_would_pass_over_is_refused_with_what_to_write() {
        for (url, says) in [
            ("postgres://u@a,b/d", "name the one that writes"),
            ("postgres://u@a/d?host=a,b", "name the one that writes"),
            ("postgres://u@a/d?hostaddr=10.0.0.1", "leave out `hostaddr`"),
            ("postgres://u@db/d?channel_binding=require", "leave it out"),
            ("postgres://u@db/d?sslnegotiation=direct", "leave it out"),
            ("postgres://u@db/d?keepalives_idle=30", "operating system"),
            ("postgres://u@db/d?tcp_user_timeout=1000", "operating system"),
            ("postgres://u@db/d?target_session_attrs=standby", "read-write"),
            ("postgres://u@db/d?target_session_attrs=hunter2", "read-write"),
            ("postgres://u@db/d?sslcrl=x", "leave it out"),
            ("postgres://u@db/d?service=x", "write host"),
            ("postgres://u@db/d?statement-cache-capacity=5", "leave it out"),
            ("postgres://u@db/d?ssl_mode=disable", "is it `sslmode`?"),
            ("postgres://u@db/d?sslmode=hunter2", "verify-full"),
            ("postgres://u@db/d?sslrootcert=/no/such/file.pem", "in PEM"),
            ("postgres://u@db/d?sslcert=/no/such/file.pem", "in PEM"),
            ("postgres://u@db:hunter2/d", "no number"),
            ("postgres://u:hunter2@db/d?hunter2=1", "does not know"),
            ("jdbc:postgresql://db/d?user=u", "JDBC"),
        ] {
            let Err(error) = Address::parse(url) else { panic!("{url} is taken") };
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(says) && !shown.contains("hunter2"), "{url}: {shown}");
        }
    }
}
