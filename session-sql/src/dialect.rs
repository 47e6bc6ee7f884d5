//! How databases differ in what every statement has.

/// Whose SQL a statement is: how the database writes names and the places of values.
///
/// ```
/// use session_sql::Dialect;
///
/// assert_eq!(Dialect::Mssql.quoted("key"), "[key]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL: `$1`, `"name"`.
    Postgres,
    /// MySQL and MariaDB: `?` for each place, `` `name` ``.
    Mysql,
    /// SQLite: `?1`, `"name"`.
    Sqlite,
    /// SQL Server: `@P1`, `[name]`.
    Mssql,
}

impl Dialect {
    /// A checked name between the database's quotes.
    pub fn quoted(self, name: &str) -> String {
        let (open, close) = self.quotes();
        format!("{open}{name}{close}")
    }

    /// The quotes around a name, as [`TableName::quoted`](session_core::TableName::quoted) takes them.
    pub fn quotes(self) -> (char, char) {
        match self {
            Dialect::Postgres | Dialect::Sqlite => ('"', '"'),
            Dialect::Mysql => ('`', '`'),
            Dialect::Mssql => ('[', ']'),
        }
    }

    /// True if two names are those of one column.
    pub(crate) fn is_same_column(self, one: &str, other: &str) -> bool {
        match self {
            Dialect::Postgres => one == other,
            Dialect::Mysql | Dialect::Sqlite | Dialect::Mssql => one.eq_ignore_ascii_case(other),
        }
    }
}
