//! The name of a table, checked once.

use std::fmt;

use crate::{Error, Result};

/// The name of a table, with or without a schema: `sessions`, `web.sessions`.
///
/// Each part is an identifier of 1 to 48 ASCII letters, digits and underscores that does not begin with a digit, so
/// that no quoting rule of any database is ever met and a suffix for an index still fits Postgres' 63 bytes. Names
/// keep their case: drivers always quote them.
///
/// ```
/// use session_core::TableName;
///
/// let table = TableName::new("web.sessions")?;
/// assert_eq!(table.quoted('"', '"'), r#""web"."sessions""#);
/// assert!(TableName::new("sessions; DROP TABLE users").is_err());
/// # Ok::<_, session_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// The longest part of a name, in bytes.
    pub const MAX_LEN: usize = 48;

    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a part is not an identifier or there are more than two.
    pub fn new(name: &str) -> Result<TableName> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        if !schema.into_iter().chain([table]).all(is_identifier) {
            return Err(Error::invalid_input(format!(
                "{name:?} is not a table name; use `table` or `schema.table`, each of 1 to {} ASCII letters, digits \
                 and underscores, not beginning with a digit",
                TableName::MAX_LEN
            )));
        }
        Ok(TableName { schema: schema.map(str::to_owned), table: table.to_owned() })
    }

    /// The schema, where one was given.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table without its schema.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The name between the database's quotes: `quoted('"', '"')` gives `"web"."sessions"`.
    pub fn quoted(&self, open: char, close: char) -> String {
        match &self.schema {
            Some(schema) => format!("{open}{schema}{close}.{open}{}{close}", self.table),
            None => format!("{open}{}{close}", self.table),
        }
    }
}

impl Default for TableName {
    /// `sessions`.
    fn default() -> TableName {
        TableName { schema: None, table: "sessions".to_owned() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

impl std::str::FromStr for TableName {
    type Err = Error;

    fn from_str(name: &str) -> Result<TableName> {
        TableName::new(name)
    }
}

fn is_identifier(part: &str) -> bool {
    let mut bytes = part.bytes();
    part.len() <= TableName::MAX_LEN
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_accepted_and_quoted() {
        let name = TableName::new("web.Sessions_2").unwrap();
        assert_eq!(name.quoted('[', ']'), "[web].[Sessions_2]");
        assert_eq!(name.to_string(), "web.Sessions_2");
        assert_eq!(TableName::default().quoted('`', '`'), "`sessions`");
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "x".repeat(49);
        let hostile = [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "1a",
            "a b",
            "a-b",
            "a;drop table b",
            "a\"",
            "a`",
            "a]",
            "a'",
            "é",
            "a\0",
        ];
        for name in hostile.into_iter().chain([long.as_str()]) {
            let error = TableName::new(name).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}
