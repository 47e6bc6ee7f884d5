//! A connection from a URL.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Error, Result};
use session_sql::postgres::{Engines, greeting, settings};
use session_sql::{Limits, Login};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tokio::time::timeout;

use super::client::Client;
use super::error;
use super::url::Address;

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector {
    options: PgConnectOptions,
    /// How long connecting may take.
    connect_timeout: Option<Duration>,
    /// Whether the server has to be one that writes.
    has_to_write: bool,
    login: Login,
    engines: Arc<Engines>,
}

impl Connector {
    pub(super) fn new(url: &str, login: Login, limits: &Limits, engines: Engines) -> Result<Connector> {
        let Address { options, connect_timeout, has_to_write, settings } = Address::parse(url)?;
        let options = options
            .options(settings::pairs(settings.as_deref(), limits))
            // Each of a store's statements stays prepared.
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging();
        Ok(Connector { options, connect_timeout, has_to_write, login, engines: Arc::new(engines) })
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
            let connecting = options.connect();
            let mut connection = match self.connect_timeout {
                Some(limit) => timeout(limit, connecting).await.unwrap_or_else(|_| Err(late()))?,
                None => connecting.await?,
            };
            let told = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(greeting()))).await?;
            let (proof, number) = (told.try_get::<String, _>(0)?, told.try_get::<i32, _>(1)?);
            let (version, sharded) = (told.try_get::<String, _>(2)?, told.try_get::<String, _>(3)?);
            let method = match sharded.as_str() {
                "true" => {
                    let distribution = sqlx::raw_sql(AssertSqlSafe(self.engines.distribution()));
                    connection.fetch_optional(distribution).await?
                }
                _ => None,
            };
            let method = method.map(|row| row.try_get::<String, _>(0)).transpose()?;
            let only_reads = match self.has_to_write {
                true => connection.fetch_one(sqlx::raw_sql(settings::ONLY_READS)).await?.try_get(0)?,
                false => false,
            };
            Ok::<_, sqlx::Error>((connection, proof, number, version, method, only_reads))
        });
        let (connection, proof, number, version, method, only_reads) =
            connected.await.map_err(|error| error::connecting(&error))?;
        self.engines.check_version(&version)?;
        self.engines.check_distribution(method.as_deref())?;
        if proof != "off" {
            // A batch relies on them for the order of its locks.
            return Err(Error::invalid_input(error::POOLER));
        }
        if only_reads {
            return Err(error::only_reads());
        }
        Ok(Client { connection, number })
    }
}

/// More than a store has.
const STATEMENTS: usize = 256;

fn late() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use session_core::TableName;
    use session_sql::Told;
    use sqlx::postgres::PgSslMode;

    use super::*;

    fn engines() -> Engines {
        Engines::new(&TableName::default(), false)
    }

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        for (url, verified) in [
            ("postgres://u@db.example.org/d", true),
            ("postgres://u@db.example.org/d?sslmode=require", true),
            ("postgres://u@db.example.org/d?sslmode=prefer", true),
            ("postgres://u@db.example.org/d?sslmode=disable", false),
            ("postgres://u@localhost:5433/d", false),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full", true),
            ("postgres://u@/d?host=/run/postgresql&sslmode=require", false),
        ] {
            let connector = Connector::new(url, Login::OfUrl, &Limits::default(), engines()).unwrap();
            let mode = connector.options.get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{url}: {mode:?}");
        }
    }

    #[test]
    fn a_login_asks_for_settings_after_those_of_the_url() {
        let url = "postgres://u@localhost/d?options=-c%20geqo%3Doff";
        let connector = Connector::new(url, Login::OfUrl, &Limits::default(), engines()).unwrap();
        let options = connector.options.get_options().unwrap();
        assert!(options.starts_with("-c geqo=off -c plan_cache_mode=force_generic_plan "), "{options}");
        assert!(options.contains(r" -c default_transaction_isolation=read\ committed "), "{options}");
        assert!(options.ends_with(" -c statement_timeout=4500 -c lock_timeout=4000"), "{options}");
    }

    #[test]
    fn the_builder_counts_before_the_url_and_the_url_before_the_defaults() {
        let url = "postgres://u@localhost/d?options=-c%20statement_timeout%3D700";
        let options = |limits: &Limits| {
            let connector = Connector::new(url, Login::OfUrl, limits, engines()).unwrap();
            connector.options.get_options().unwrap().to_owned()
        };
        let of_url = options(&Limits::default());
        assert!(of_url.ends_with(" -c lock_timeout=4000") && !of_url.contains("4500"), "{of_url}");
        let told = Told { statement: true, ..Told::default() };
        let of_builder = options(&Limits { told, ..Limits::default() });
        assert!(of_builder.ends_with(" -c statement_timeout=4500 -c lock_timeout=4000"), "{of_builder}");
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["postgres://u:hunter2@h:port/d", "postgres://u:hunter2@h/d?sslmode=hunter2", "hunter2"] {
            let Err(error) = Connector::new(url, Login::OfUrl, &Limits::default(), engines()) else {
                continue;
            };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
