//! A connection from a URL.

use session_core::{Error, Result};
use session_sql::mysql::{number, settings, url};
use session_sql::{Limits, Login, is_loopback, read_pem, take_parameter};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use super::client::{Client, script};
use super::error;

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector {
    options: MySqlConnectOptions,
    login: Login,
    /// Whether the server is on this machine, and the URL leaves encryption open. One on another machine is verified, and
    /// never asked in a weaker way.
    may_encrypt: bool,
    /// Statements for each new connection.
    set_up: Vec<String>,
}

impl Connector {
    pub(super) fn new(url: &str, login: Login, limits: &Limits) -> Result<Connector> {
        // sqlx passes over what it does not know, such as a mode of encryption in another spelling.
        let mut url = url::read(url, TAKEN)?;
        let in_clear = take_parameter(&mut url, "enable_cleartext_plugin").as_deref() == Some("true");
        let options: MySqlConnectOptions = url.parse().map_err(|_: sqlx::Error| {
            // Without sqlx's words, which may quote what stands at a wrong place.
            Error::invalid_input(
                "the MySQL URL cannot be read; use mysql://user:password@host:port/database, with %40 for an @ in a password",
            )
        })?;
        let local = options.get_socket().is_some() || is_loopback(options.get_host());
        let may_encrypt = local && matches!(options.get_ssl_mode(), MySqlSslMode::Preferred);
        let mode = ssl_mode(options.get_ssl_mode(), local);
        if in_clear && matches!(mode, MySqlSslMode::Disabled) && options.get_socket().is_none() {
            return Err(Error::invalid_input(number::IN_CLEAR));
        }
        if !matches!(mode, MySqlSslMode::Disabled) {
            // A file that is not there is no server that is away. sqlx reads it for each new connection.
            for file in ["ssl-ca", "ssl-cert", "ssl-key"]
                .into_iter()
                .filter_map(|name| take_parameter(&mut url, name))
            {
                read_pem(file)?;
            }
        }
        let options = options
            .ssl_mode(mode)
            .enable_cleartext_plugin(in_clear)
            // The set-up does what these do.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            // Each of a store's statements stays prepared, with those for each size of a batch.
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging();
        Ok(Connector { options, login, may_encrypt, set_up: settings::set_up(limits) })
    }

    pub(super) async fn connect(&self) -> Result<Client> {
        let options = match self.login.credentials().await? {
            Some(credentials) => {
                self.options.clone().username(credentials.user()).password(credentials.password())
            }
            None => self.options.clone(),
        };
        // In a box: the handshake's state is large, and this is rare.
        let connected = Box::pin(async {
            let mut connection = match options.connect().await {
                // MySQL 8 takes a password that it does not remember over an encrypted connection alone.
                Err(sqlx::Error::Configuration(_)) if self.may_encrypt => {
                    options.ssl_mode(MySqlSslMode::Preferred).connect().await?
                }
                other => other?,
            };
            for statement in &self.set_up {
                script(&mut connection, statement).await?;
            }
            let wsrep = connection.fetch_optional(sqlx::raw_sql(AssertSqlSafe(settings::ASK_GALERA))).await?;
            let wsrep = wsrep.map(|row| row.try_get::<String, _>(1)).transpose()?;
            if wsrep.is_some_and(|value| value.eq_ignore_ascii_case("on")) {
                script(&mut connection, settings::SET_UP_GALERA).await?;
            }
            let number = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(settings::NUMBER))).await?;
            Ok::<_, sqlx::Error>((connection, number.try_get::<i64, _>(0)?))
        });
        let (connection, number) = connected.await.map_err(|error| error::connecting(&error))?;
        Ok(Client { connection, number })
    }
}

/// What sqlx reads of a URL.
const TAKEN: &[&str] = &["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket", "enable_cleartext_plugin"];

/// More than a store has.
const STATEMENTS: usize = 512;

/// A server on another machine is verified, unless the URL asks for clear text; one on this machine need not be encrypted.
fn ssl_mode(asked: MySqlSslMode, local: bool) -> MySqlSslMode {
    match asked {
        MySqlSslMode::Disabled => MySqlSslMode::Disabled,
        MySqlSslMode::Preferred if local => MySqlSslMode::Disabled,
        _ => MySqlSslMode::VerifyIdentity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        for (url, verified) in [
            ("mysql://u@db.example.org/d", true),
            ("mariadb://u@db.example.org/d?ssl-mode=REQUIRED", true),
            ("mysql://u@db.example.org/d?ssl-mode=PREFERRED", true),
            ("mysql://u@db.example.org/d?ssl-mode=DISABLED", false),
            ("mysql://u@localhost:3307/d", false),
            ("mysql://u@127.0.0.1/d?ssl-mode=VERIFY_IDENTITY", true),
        ] {
            let connector = Connector::new(url, Login::OfUrl, &Limits::default()).unwrap();
            let mode = connector.options.get_ssl_mode();
            assert_eq!(matches!(mode, MySqlSslMode::VerifyIdentity), verified, "{url}: {mode:?}");
            let is_open = matches!(url, "mysql://u@localhost:3307/d");
            assert_eq!(connector.may_encrypt, is_open, "{url}: asked again without verifying");
        }
    }

    #[test]
    fn what_sqlx_would_pass_over_is_heard_or_refused() {
        let connector = |url: &str| Connector::new(url, Login::OfUrl, &Limits::default());
        for spelling in ["ssl_mode", "sslMode", "SSL-MODE"] {
            let clear = connector(&format!("mysql://u@db.example.org/d?{spelling}=DISABLED")).unwrap();
            assert!(matches!(clear.options.get_ssl_mode(), MySqlSslMode::Disabled), "{spelling}");
        }
        assert!(connector("mysql://u@db/d?enable-cleartext-plugin=true").is_ok());
        let socket = connector("mysql://u@/d?unix_socket=%2Frun%2Fm.sock&timezone=UTC").unwrap();
        assert_eq!(socket.options.get_socket().unwrap().to_str(), Some("/run/m.sock"));
        for (url, says) in [
            ("mysql://u@a,b/d", "name one"),
            ("mysql://u@db/d?enable_cleartext_plugin=true&ssl-mode=DISABLED", "VERIFY_IDENTITY"),
            ("mysql://u@127.0.0.1/d?enable_cleartext_plugin=true", "VERIFY_IDENTITY"),
            ("mysql://u@db/d?useSSL=true", "`ssl-mode`"),
            ("mysql://u@db/d?require_ssl=true", "unknown"),
            ("mysql://u@db/d?connect-timeout=3", "`login_timeout`"),
            ("mysql://u@db/d?charset=latin1", "utf8mb4"),
            ("mysql://u@db/d?statement-cache-capacity=3", "leave it out"),
            ("mysql://u@db/d?ssl-ca=/no/such/file.pem", "in PEM"),
            ("mysql://u@db/d?ssl-key=/no/such/file.pem", "in PEM"),
            ("mysql://db/d?user=u", "before the host"),
            ("mysqlx://u@db/d", "classic port"),
            ("mysql:///d", "names no host"),
        ] {
            let Err(error) = connector(url) else { panic!("{url} is taken") };
            assert_eq!(error.kind(), session_core::ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["mysql://u:hunter2@h:port/d", "mysql://u:hunter2@h/d?ssl-mode=hunter2", "hunter2"] {
            let Err(error) = Connector::new(url, Login::OfUrl, &Limits::default()) else { continue };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
