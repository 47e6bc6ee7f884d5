//! The names in a table that a Node application uses through connect-typeorm.

use crate::{Error, Result, TableName};

/// The table of the Node package connect-typeorm, version 1 or 2: which names its columns have. Every SQL driver has it
/// as a layout.
///
/// Such a table holds ids as they are, and neither versions nor principals nor times of creation. The entity of
/// version 1.1.4 has no `destroyedAt`; where an existing table lacks that column, sessions can only be destroyed with
/// [`DestroyMode::Hard`](crate::DestroyMode::Hard).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ConnectTypeorm {
    id: String,
    expired_at: String,
    json: String,
    destroyed_at: String,
}

impl ConnectTypeorm {
    /// The name of the table in connect-typeorm's documentation, and where no other is given.
    pub const TABLE: &str = "session";

    /// The names of the entity in connect-typeorm's documentation: `id`, `expiredAt`, `json`, `destroyedAt`.
    pub fn new() -> ConnectTypeorm {
        let [id, expired_at, json, destroyed_at] =
            ["id", "expiredAt", "json", "destroyedAt"].map(str::to_owned);
        ConnectTypeorm { id, expired_at, json, destroyed_at }
    }

    /// The column of the id. Defaults to `id`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not an identifier, as for [`TableName::new`].
    pub fn id_column(self, name: &str) -> Result<ConnectTypeorm> {
        Ok(ConnectTypeorm { id: column_name(name)?, ..self })
    }

    /// The column of the expiry, in milliseconds since the epoch. Defaults to `expiredAt`.
    ///
    /// # Errors
    /// As [`id_column`](ConnectTypeorm::id_column).
    pub fn expired_at_column(self, name: &str) -> Result<ConnectTypeorm> {
        Ok(ConnectTypeorm { expired_at: column_name(name)?, ..self })
    }

    /// The column of the data. Defaults to `json`.
    ///
    /// # Errors
    /// As [`id_column`](ConnectTypeorm::id_column).
    pub fn json_column(self, name: &str) -> Result<ConnectTypeorm> {
        Ok(ConnectTypeorm { json: column_name(name)?, ..self })
    }

    /// The column that marks a destroyed session. Defaults to `destroyedAt`.
    ///
    /// # Errors
    /// As [`id_column`](ConnectTypeorm::id_column).
    pub fn destroyed_at_column(self, name: &str) -> Result<ConnectTypeorm> {
        Ok(ConnectTypeorm { destroyed_at: column_name(name)?, ..self })
    }

    /// The column of the id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The column of the expiry.
    pub fn expired_at(&self) -> &str {
        &self.expired_at
    }

    /// The column of the data.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The column that marks a destroyed session.
    pub fn destroyed_at(&self) -> &str {
        &self.destroyed_at
    }

    /// The name of the index on the expiry. TypeORM names it by a hash of table and column, and makes it anew if it has
    /// another name; that hash is known here for the documentation's names.
    #[must_use]
    pub fn index_name(&self, table: &TableName) -> String {
        match (table.table(), self.expired_at()) {
            (ConnectTypeorm::TABLE, "expiredAt") => "IDX_28c5d1d16da7908c97c9bc2f74".to_owned(),
            (table, column) => format!("{table}_{column}"),
        }
    }

    /// The name of the primary key, as for the [index](ConnectTypeorm::index_name), on databases where it has one.
    #[must_use]
    pub fn primary_key_name(&self, table: &TableName) -> String {
        match (table.table(), self.id()) {
            (ConnectTypeorm::TABLE, "id") => "PK_f55da76ac1c3ac420f444d2ff11".to_owned(),
            (table, column) => format!("{table}_{column}_pk"),
        }
    }
}

impl Default for ConnectTypeorm {
    fn default() -> ConnectTypeorm {
        ConnectTypeorm::new()
    }
}

/// The rule for tables is right for columns too.
fn column_name(name: &str) -> Result<String> {
    match TableName::new(name) {
        Ok(checked) if checked.schema().is_none() => Ok(checked.table().to_owned()),
        _ => Err(Error::invalid_input(format!(
            "{name:?} is not a column's name; use 1 to {} ASCII letters, digits and underscores, not beginning with a \
             digit",
            TableName::MAX_LEN
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_one_by_one() {
        let columns = ConnectTypeorm::new().id_column("sid").unwrap().json_column("Data_2").unwrap();
        let names = [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()];
        assert_eq!(names, ["sid", "expiredAt", "Data_2", "destroyedAt"]);
        for hostile in ["", "a.b", "a b", "1a", "a\"", "a'; --", "ä"] {
            assert!(ConnectTypeorm::new().id_column(hostile).is_err(), "{hostile}");
            assert!(ConnectTypeorm::new().expired_at_column(hostile).is_err(), "{hostile}");
            assert!(ConnectTypeorm::new().json_column(hostile).is_err(), "{hostile}");
            assert!(ConnectTypeorm::new().destroyed_at_column(hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn the_documentation_s_table_has_the_index_that_typeorm_would_make() {
        let columns = ConnectTypeorm::new();
        let name = |table: &str| columns.index_name(&TableName::new(table).unwrap());
        assert_eq!(name("web.session"), "IDX_28c5d1d16da7908c97c9bc2f74");
        assert_eq!(name("web.logins"), "logins_expiredAt");
        let table = TableName::new("session").unwrap();
        assert_eq!(columns.primary_key_name(&table), "PK_f55da76ac1c3ac420f444d2ff11");
        assert_eq!(
            ConnectTypeorm::new().id_column("sid").unwrap().primary_key_name(&table),
            "session_sid_pk"
        );
    }
}
