//! The table that a Node application uses through connect-typeorm: its names, and what every database has in common in
//! this layout.

use session_core::contract::{Payload, Record};
use session_core::{
    Capabilities, Error, Fate, Finding, KeyFormat, Result, SessionKey, TableName, Timestamp, Version,
};

use crate::value::{self, Column};

/// The table of the Node package connect-typeorm, version 1 or 2: which names its columns have. Every SQL driver has it
/// as a layout.
///
/// Such a table holds ids as they are, and neither versions nor principals nor times of creation. The entity of
/// version 1.1.4 has no `destroyedAt`; where an existing table lacks that column, sessions can only be destroyed with
/// [`DestroyMode::Remove`](session_core::DestroyMode::Remove). `connect()` finds that out; for a store that is built
/// without a look at the table, [`without_destroyed_at`](ConnectTypeorm::without_destroyed_at) says so.
///
/// ```
/// use session_sql::ConnectTypeorm;
///
/// // An entity with a column name of its own.
/// let names = ConnectTypeorm::new().expired_at_column("expires")?;
/// assert_eq!(names.expired_at(), "expires");
/// # Ok::<_, session_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ConnectTypeorm {
    id: String,
    expired_at: String,
    json: String,
    destroyed_at: String,
    has_destroyed_at: bool,
}

impl ConnectTypeorm {
    /// The name of the table in connect-typeorm's documentation, and where no other is given.
    pub const TABLE: &str = "session";

    /// The names of the entity in connect-typeorm's documentation: `id`, `expiredAt`, `json`, `destroyedAt`.
    pub fn new() -> ConnectTypeorm {
        let [id, expired_at, json, destroyed_at] =
            ["id", "expiredAt", "json", "destroyedAt"].map(str::to_owned);
        ConnectTypeorm { id, expired_at, json, destroyed_at, has_destroyed_at: true }
    }

    /// The column of the id. Defaults to `id`.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it is not an identifier, as for [`TableName::new`].
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

    /// A table of version 1.1.4, which has no column that marks a destroyed session. Defaults to one that has it.
    pub fn without_destroyed_at(self) -> ConnectTypeorm {
        self.with_destroyed_at(false)
    }

    /// Whether the table has a column that marks a destroyed session, as a look at it shows.
    pub fn with_destroyed_at(self, has_destroyed_at: bool) -> ConnectTypeorm {
        ConnectTypeorm { has_destroyed_at, ..self }
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

    /// Whether there is such a column.
    #[must_use]
    pub fn has_destroyed_at(&self) -> bool {
        self.has_destroyed_at
    }

    /// What a store on this table can do, where the database holds every expiry and moves a row in one step.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = false;
        capabilities.principals = false;
        capabilities.created_at = false;
        capabilities.tells_rotation = false;
        capabilities.tombstones = self.has_destroyed_at;
        capabilities
    }

    /// What a doctor says of a table that has, or has not, the column that marks a destroyed session.
    #[must_use]
    pub fn judge_destroyed_at(&self, is_there: bool) -> Option<Finding> {
        let name = &self.destroyed_at;
        match (is_there, self.has_destroyed_at) {
            (true, true) => None,
            (true, false) => Some(Finding::fault(
                format!(
                    "the table has the column {name}, and the store takes no notice of it: sessions that Node destroyed live"
                ),
                "build the store without `without_destroyed_at()`, or with `connect()`",
            )),
            (false, true) => Some(Finding::fault(
                format!("there is no column {name}, which every statement of the store names"),
                format!(
                    "build the store with `connect()` or `without_destroyed_at()`, or add the column {name} as it stands in `schema_sql`"
                ),
            )),
            (false, false) => Some(Finding::warning(
                format!(
                    "there is no column {name}: a destroyed session leaves nothing, and Node can bring it back"
                ),
                format!(
                    "add the column {name} as it stands in connect-typeorm's entity, and build the store anew"
                ),
            )),
        }
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

/// What stands in the column of the data once a session is forgotten: data of which a Node application can make nothing,
/// and that it can read all the same.
pub const EMPTY: &str = "{}";

/// When a session was destroyed, within the years that every database's calendar has. Nobody reads more of it than
/// that it is there.
pub fn moment(now: Timestamp) -> Timestamp {
    const LAST_OF_9999: i64 = 253_402_300_799_999;
    Timestamp::from_millis(now.as_millis().clamp(0, LAST_OF_9999))
}

/// A session, from its data and its expiry.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if one cannot be read.
pub fn record([json, expired_at]: [Column<'_>; 2]) -> Result<Record> {
    Ok(Record {
        payload: Payload::from(value::text("json", json)?),
        expires_at: value::timestamp("expiredAt", expired_at)?,
        created_at: None,
        version: Version::NONE,
        principal: None,
    })
}

/// A session's id. Only one that cannot be read is an error of a whole listing: there is nothing to call the row by.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt) if it is no text.
pub fn id(id: Column<'_>) -> Result<SessionKey> {
    value::key(KeyFormat::Plain, id)
}

/// What became of a session whose row is there, from whether it is marked and its expiry.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if one cannot be read.
pub fn fate([is_destroyed, expired_at]: [Column<'_>; 2], now: Timestamp) -> Result<Fate> {
    let is_destroyed = value::flag("destroyedAt", is_destroyed)?;
    if is_destroyed {
        return Ok(Fate::Destroyed);
    }
    Ok(value::fate(false, false, value::timestamp("expiredAt", expired_at)?, now))
}

/// What an operation on a principal answers, which [`Checked`](session_core::contract::Checked) never lets through.
pub fn no_principals() -> Error {
    Error::unsupported("this table does not hold whom a session belongs to; use a native table")
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
    use session_core::Severity;

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
    fn a_moment_is_in_every_calendar() {
        for (now, expected) in [(i64::MIN, 0), (-1, 0), (1_700_000_000_123, 1_700_000_000_123)] {
            assert_eq!(moment(Timestamp::from_millis(now)).as_millis(), expected);
        }
        assert_eq!(moment(Timestamp::NEVER).as_millis(), 253_402_300_799_999);
    }

    #[test]
    fn a_table_without_the_mark_keeps_no_ends() {
        assert!(ConnectTypeorm::new().capabilities().tombstones);
        assert!(!ConnectTypeorm::new().without_destroyed_at().capabilities().tombstones);
    }

    #[test]
    fn the_mark_is_judged_by_whether_the_store_names_it() {
        let (with, without) = (ConnectTypeorm::new(), ConnectTypeorm::new().without_destroyed_at());
        let severity =
            |names: &ConnectTypeorm, is_there| names.judge_destroyed_at(is_there).map(|f| f.severity);
        assert_eq!([severity(&with, true), severity(&with, false)], [None, Some(Severity::Fault)]);
        let expected = [Some(Severity::Fault), Some(Severity::Warning)];
        assert_eq!([severity(&without, true), severity(&without, false)], expected);
    }

    #[test]
    fn a_session_that_was_destroyed_stays_so() {
        let at = Timestamp::from_millis;
        let fate = |mark: i64, now: i64| fate([Column::Signed(mark), Column::Signed(10)], at(now)).unwrap();
        assert_eq!([fate(1, 9), fate(1, 10)], [Fate::Destroyed; 2]);
        assert_eq!([fate(0, 9), fate(0, 10)], [Fate::Live, Fate::Expired]);
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
