//! How a key stands in a statement.

use session_core::KeyFormat;

use crate::shared::EXACT;

/// How the table holds keys. Hashed: 32 bytes. Plain: the text, compared by code units, and its length.
pub(super) struct Key(pub(super) KeyFormat);

impl Key {
    pub(super) fn column_list(&self) -> Vec<&'static str> {
        match self.0 {
            KeyFormat::Hashed => vec!["[key]"],
            KeyFormat::Plain => vec!["[key]", "[key_bytes]"],
        }
    }

    pub(super) fn columns(&self) -> String {
        self.column_list().join(", ")
    }

    /// The key as bytes.
    pub(super) fn bytes(&self) -> &'static str {
        match self.0 {
            KeyFormat::Hashed => "[key]",
            KeyFormat::Plain => "CAST([key] AS varbinary(510))",
        }
    }

    pub(super) fn definition(&self) -> String {
        match self.0 {
            KeyFormat::Hashed => "[key] binary(32) NOT NULL".to_owned(),
            // The length belongs to the primary key, as two ids that differ in trailing blanks are equal to `=`.
            KeyFormat::Plain => {
                format!("[key] nvarchar(255) {EXACT} NOT NULL,\n    [key_bytes] smallint NOT NULL")
            }
        }
    }

    /// The values of the key's columns. The bytes are bound as varbinary.
    pub(super) fn value_list(&self, value: &str) -> Vec<String> {
        match self.0 {
            KeyFormat::Hashed => vec![format!("CAST({value} AS binary(32))")],
            KeyFormat::Plain => vec![value.to_owned(), format!("DATALENGTH({value})")],
        }
    }

    pub(super) fn value(&self, value: &str) -> String {
        self.value_list(value).join(", ")
    }

    pub(super) fn is(&self, value: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("[key] = CAST({value} AS binary(32))"),
            KeyFormat::Plain => format!("[key] = {value} AND [key_bytes] = DATALENGTH({value})"),
        }
    }

    pub(super) fn after(&self, value: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("[key] > CAST({value} AS binary(32))"),
            KeyFormat::Plain => {
                format!("([key] > {value} OR ([key] = {value} AND [key_bytes] > DATALENGTH({value})))")
            }
        }
    }

    /// Where the key is among the texts or bytes of a batch.
    pub(super) fn json_column(&self) -> &'static str {
        match self.0 {
            KeyFormat::Hashed => "[k] int '$.k'",
            KeyFormat::Plain => "[k] int '$.k', [kl] int '$.kl'",
        }
    }

    pub(super) fn json_value(&self) -> String {
        match self.0 {
            KeyFormat::Hashed => "CAST(SUBSTRING(:keys, j.[k], 32) AS binary(32))".to_owned(),
            KeyFormat::Plain => format!("{PLAIN_KEY}, DATALENGTH({PLAIN_KEY})"),
        }
    }

    pub(super) fn joins(&self, table: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("{table}.[key] = {}", self.json_value()),
            KeyFormat::Plain => {
                format!("{table}.[key] = {PLAIN_KEY} AND {table}.[key_bytes] = DATALENGTH({PLAIN_KEY})")
            }
        }
    }
}

/// As the type of the column, so that the primary key can be searched for it.
const PLAIN_KEY: &str = "CAST(SUBSTRING(:texts COLLATE Latin1_General_BIN2, j.[k], j.[kl]) AS nvarchar(255))";
