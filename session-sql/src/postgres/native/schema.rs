//! The table.

use std::num::NonZeroU16;

use session_core::{KeyFormat, TableName};

use crate::postgres::catalogue::quoted_beside;

/// The width of a slot of expiries, in ms: a quarter of an hour.
///
/// The index that a purge uses is on the slot, not on the expiry: Postgres updates a row in place (HOT) only if no
/// indexed column changes, and a touch that stays in its slot changes none.
pub(in crate::postgres) const SLOT_MILLIS: i64 = 900_000;

/// How the table is made: for speed and durability. It changes no outcome.
///
/// ```
/// use session_sql::postgres::TableOptions;
///
/// let options = TableOptions::new().fillfactor(70);
/// ```
#[derive(Clone, Debug)]
pub struct TableOptions {
    fillfactor: u8,
    unlogged: bool,
    partitions: Option<NonZeroU16>,
}
impl TableOptions {
    /// The defaults of all options.
    pub fn new() -> TableOptions {
        TableOptions { fillfactor: 80, unlogged: false, partitions: None }
    }

    /// How full Postgres makes a page, in percent, from 10 to 100. What is free lets an update stay in its page
    /// (HOT), which writes no index. At 100 a table is an eighth smaller, and a touch writes up to half more of the
    /// log until its page has room. Defaults to 80.
    #[must_use]
    pub fn fillfactor(mut self, percent: u8) -> TableOptions {
        self.fillfactor = percent.clamp(10, 100);
        self
    }

    /// An unlogged table: writes cost no log, which makes them 2 to 3 times as fast, and every session is lost when
    /// the server crashes; a standby has none. Defaults to false.
    #[must_use]
    pub fn unlogged(mut self, unlogged: bool) -> TableOptions {
        self.unlogged = unlogged;
        self
    }

    /// Divides the table by the hash of the key into so many partitions, which vacuum works on one by one: for tables
    /// that vacuum cannot keep up with. Each statement looks at all of them to find the one, and a listing merges
    /// them: with 8 a lone touch takes nearly twice as long, with 64 three times, a load twice and a page of a listing
    /// five times. Defaults to none.
    #[must_use]
    pub fn partitions(mut self, partitions: Option<NonZeroU16>) -> TableOptions {
        self.partitions = partitions;
        self
    }
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions::new()
    }
}

/// The index for purges.
pub(in crate::postgres) fn expiry_index(table: &TableName) -> String {
    format!("{}_expiry", table.table())
}

/// The index for principals.
pub(in crate::postgres) fn principal_index(table: &TableName) -> String {
    format!("{}_principal", table.table())
}

/// The statements that make the table and its indexes, where they are not there yet.
pub(in crate::postgres) fn schema(table: &TableName, format: KeyFormat, options: &TableOptions) -> String {
    let t = table.quoted('"', '"');
    // C compares bytes, whatever the database's own collation does.
    let key = match format {
        KeyFormat::Hashed => "bytea",
        KeyFormat::Plain => "text COLLATE \"C\"",
    };
    let unlogged = if options.unlogged { "UNLOGGED " } else { "" };
    let storage = format!("WITH (fillfactor = {})", options.fillfactor);
    let tail = match options.partitions {
        None => storage.clone(),
        Some(_) => "PARTITION BY HASH (key)".to_owned(),
    };
    let mut schema = format!(
        "CREATE {unlogged}TABLE IF NOT EXISTS {t} (\n\
         \x20   key {key} NOT NULL PRIMARY KEY,\n\
         \x20   payload text NOT NULL,\n\
         \x20   expires_at bigint NOT NULL,\n\
         \x20   created_at bigint NOT NULL,\n\
         \x20   version bigint NOT NULL,\n\
         \x20   principal text COLLATE \"C\",\n\
         \x20   destroyed_at bigint,\n\
         \x20   expiry_slot bigint NOT NULL GENERATED ALWAYS AS (expires_at / {SLOT_MILLIS}) STORED,\n\
         \x20   rotated boolean NOT NULL DEFAULT false\n\
         ) {tail};\n"
    );
    if let Some(partitions) = options.partitions {
        for remainder in 0..partitions.get() {
            let name = quoted_beside(table, &format!("{}_p{remainder}", table.table()));
            schema.push_str(&format!(
                "CREATE {unlogged}TABLE IF NOT EXISTS {name} PARTITION OF {t} \
                 FOR VALUES WITH (MODULUS {partitions}, REMAINDER {remainder}) {storage};\n"
            ));
        }
    }
    schema.push_str(&format!(
        "CREATE INDEX IF NOT EXISTS \"{}\" ON {t} (expiry_slot);\n\
         CREATE INDEX IF NOT EXISTS \"{}\" ON {t} (principal, key) WHERE principal IS NOT NULL;\n",
        expiry_index(table),
        principal_index(table)
    ));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_show_in_the_schema() {
        let table = TableName::new("web.s").unwrap();
        let options = TableOptions::new().unlogged(true).fillfactor(70).partitions(NonZeroU16::new(2));
        let schema = schema(&table, KeyFormat::Hashed, &options);
        assert!(schema.starts_with("CREATE UNLOGGED TABLE IF NOT EXISTS \"web\".\"s\" ("), "{schema}");
        assert!(schema.contains("\"web\".\"s_p1\" PARTITION OF \"web\".\"s\""), "{schema}");
        assert_eq!(schema.matches("fillfactor = 70").count(), 2, "{schema}");
    }
}
