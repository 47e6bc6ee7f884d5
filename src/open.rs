//! From a URL to a store.

use std::sync::Arc;

use session_core::contract::Store;
use session_core::{Error, Result};

/// Opens the store that a URL names, with the driver's defaults, and makes its table `sessions` if there is none.
///
/// | URL | driver | feature |
/// |---|---|---|
/// | `sqlite:path/to/file.db`, SQLite's own `file:…`, or a path without a scheme | [`session_sqlite`](https://docs.rs/session-sqlite) | `sqlite` or `sqlite-bundled` |
/// | `postgres://user:password@host/database`, or libpq's `host=… dbname=…` | [`session_diesel`](https://docs.rs/session-diesel) | `postgres` |
/// | `mysql://user:password@host/database`, for MariaDB too | [`session_diesel`](https://docs.rs/session-diesel) | `mysql` |
/// | `server=tcp:host,1433;user id=…;password=…;database=…` | [`session_mssql`](https://docs.rs/session-mssql) | `mssql` |
/// | `memory:` | [`MemoryStore`](crate::MemoryStore) | none |
///
/// Use the drivers' own builders for anything else than their defaults, and if the application's database user may
/// not create tables.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_store::Result<()> {
/// let store = session_store::open("memory:").await?;
/// let sessions: session_store::Sessions<String> = session_store::Sessions::builder(store).build()?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no such URL,
/// [`Unsupported`](crate::ErrorKind::Unsupported) if the driver's feature is off, and those of the driver.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    match Driver::of(url)? {
        Driver::Memory => Ok(Arc::new(crate::MemoryStore::new())),
        #[cfg(any(feature = "sqlite", feature = "sqlite-bundled"))]
        Driver::Sqlite => {
            let store = crate::SqliteStore::connect(url).await?;
            store.create_table().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "postgres")]
        Driver::Postgres => {
            let store = crate::PostgresStore::connect(url).await?;
            store.create_table().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mysql")]
        Driver::Mysql => {
            let store = crate::MysqlStore::connect(url).await?;
            store.create_table().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mssql")]
        Driver::Mssql => {
            let store = crate::MssqlStore::connect(url).await?;
            store.create_table().await?;
            Ok(Arc::new(store))
        }
        #[cfg(not(all(
            any(feature = "sqlite", feature = "sqlite-bundled"),
            feature = "postgres",
            feature = "mysql",
            feature = "mssql"
        )))]
        driver => Err(Error::unsupported(format!(
            "this program was built without the driver for {}; build it with the feature `{}` of session-store",
            driver.database(),
            driver.feature()
        ))),
    }
}

/// What a URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Memory,
    Sqlite,
    Postgres,
    Mysql,
    Mssql,
}

impl Driver {
    fn of(url: &str) -> Result<Driver> {
        // The keywords of a SQL Server connection string have no scheme before them.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "memory" => Ok(Driver::Memory),
            "postgres" | "postgresql" => Ok(Driver::Postgres),
            "mysql" | "mariadb" => Ok(Driver::Mysql),
            "sqlite" | "file" => Ok(Driver::Sqlite),
            // The driver says what to write.
            "sqlserver" | "mssql" => Ok(Driver::Mssql),
            "mysqlx" | "mysql+srv" => Ok(Driver::Mysql),
            "jdbc" if url.starts_with("jdbc:sqlserver:") => Ok(Driver::Mssql),
            "jdbc" if url.starts_with("jdbc:postgresql:") => Ok(Driver::Postgres),
            "jdbc" if url.starts_with("jdbc:mysql:") || url.starts_with("jdbc:mariadb:") => Ok(Driver::Mysql),
            _ if is_connection_string(url) => Ok(Driver::Mssql),
            _ if is_pairs_of_libpq(url) => Ok(Driver::Postgres),
            _ if url.contains('?') && scheme.len() <= 1 => Err(Error::invalid_input(
                "a path with a `?` may be meant as a URL; write `sqlite:PATH?…`, or use the `path` of SQLite's builder",
            )),
            // A scheme of one letter is a drive of Windows.
            _ if !url.is_empty() && (scheme.len() <= 1 || url.contains('/') && !url.contains("://")) => {
                Ok(Driver::Sqlite)
            }
            _ => Err(Error::invalid_input(
                "this is not a database URL; write `sqlite:PATH`, `postgres://…`, `mysql://…`, or a SQL Server \
                 connection string that begins with `server=`",
            )),
        }
    }

    #[allow(dead_code, reason = "with every driver built in, none is missing")]
    fn database(self) -> &'static str {
        match self {
            Driver::Memory => "memory",
            Driver::Sqlite => "SQLite",
            Driver::Postgres => "Postgres",
            Driver::Mysql => "MySQL and MariaDB",
            Driver::Mssql => "SQL Server",
        }
    }

    #[allow(dead_code, reason = "with every driver built in, none is missing")]
    fn feature(self) -> &'static str {
        match self {
            Driver::Memory => "default",
            Driver::Sqlite => "sqlite-bundled",
            Driver::Postgres => "postgres",
            Driver::Mysql => "mysql",
            Driver::Mssql => "mssql",
        }
    }
}

fn is_connection_string(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    ["server=", "data source=", "address=", "addr=", "network address="]
        .iter()
        .any(|keyword| lower.contains(keyword))
}

/// `host=localhost dbname=app`, with the words of libpq that say where.
fn is_pairs_of_libpq(text: &str) -> bool {
    let first = text.split_once('=').map_or("", |(first, _)| first.trim());
    ["host", "hostaddr", "port", "dbname", "user", "service", "sslmode"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_finds_its_driver() {
        let cases = [
            ("memory:", Driver::Memory),
            ("sqlite:a.db", Driver::Sqlite),
            ("sqlite:///tmp/a.db", Driver::Sqlite),
            ("file:a.db?mode=ro", Driver::Sqlite),
            ("mariadb://root@localhost/app", Driver::Mysql),
            ("sqlserver://localhost/app", Driver::Mssql),
            ("demo.db", Driver::Sqlite),
            ("C:\\sessions.db", Driver::Sqlite),
            ("/srv/a:b.db", Driver::Sqlite),
            ("postgresql://localhost/app", Driver::Postgres),
            ("mysql://root@localhost/app", Driver::Mysql),
            ("Server=tcp:localhost,1433;User ID=sa", Driver::Mssql),
            ("Driver={ODBC Driver 18 for SQL Server};Server=localhost", Driver::Mssql),
            ("postgres:///app", Driver::Postgres),
            ("host=localhost user=ann dbname=app", Driver::Postgres),
            ("dbname = app", Driver::Postgres),
            ("a=b.db", Driver::Sqlite),
            ("jdbc:postgresql://localhost/app", Driver::Postgres),
            ("jdbc:mariadb://localhost/app", Driver::Mysql),
            ("jdbc:sqlserver://localhost", Driver::Mssql),
            ("mysqlx://root@localhost", Driver::Mysql),
        ];
        for (url, driver) in cases {
            assert_eq!(Driver::of(url).unwrap(), driver, "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_forms_that_are_not() {
        for url in
            ["", "redis://localhost", "http://localhost/x", "demo.db?mode=ro", "/srv/a.db?cache=shared"]
        {
            let error = Driver::of(url).unwrap_err();
            assert_eq!(error.kind(), session_core::ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains("sqlite:"), "{error}");
        }
    }
}
