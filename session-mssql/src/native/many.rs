//! The statements for many keys.

use session_core::{DestroyMode, KeyFormat, TableName};
use session_sql::Statement;

use super::key::Key;
use super::parts::{ByMode, RECORD, destroyed, unless_known};
use crate::shared::{quoted, quoted_table, statement};

/// Loads and writes of many keys. `:rows` is JSON with places in UTF-16 code units, `:rows_by_character` the same with
/// places in characters, or empty if that is the same; `:texts` are payloads, principals and plain keys, `:keys` hashed
/// keys. In a row `k` is the key, `p` the payload, `o` the principal, with `kl`, `pl` and `ol` their lengths, `e` the
/// expiry and `x` the known or expected version.
#[derive(Debug)]
pub(super) struct Many {
    /// Records and keys.
    pub(super) load: Statement,
    /// The keys that were made. A row with one number in place of a key says that another call made one of them at
    /// this moment, and that none was made.
    pub(super) create: Statement,
    /// The keys that were updated; then keys with their versions, of which those matter that were updated without an
    /// expected one.
    pub(super) update: Statement,
    /// The keys that were touched.
    pub(super) touch: Statement,
    /// The keys that were destroyed.
    pub(super) destroy: ByMode,
}

/// The rows of a batch. How the server counts is asked of the collation that the texts are cut in: with that of the
/// database, one with supplementary characters (`_SC`, and every UTF-8 one) would count characters here and code units
/// there.
pub(super) const ROWS: &str = "OPENJSON(CASE WHEN :rows_by_character = N'' \
    OR LEN(N'\u{1f980}' COLLATE Latin1_General_BIN2) = 2 THEN :rows ELSE :rows_by_character END)";
const PAYLOAD: &str = "SUBSTRING(:texts COLLATE Latin1_General_BIN2, j.[p], j.[pl])";
const PRINCIPAL: &str =
    "CASE WHEN j.[ol] > 0 THEN SUBSTRING(:texts COLLATE Latin1_General_BIN2, j.[o], j.[ol]) END";
/// The end of creates of which one met a row: none is made, and each goes alone. The report would quote the key.
const RACED: &str = "BEGIN CATCH IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; SELECT 0 AS [done]; END CATCH";

/// The join reaches each row through the primary key, in the order of the JSON: so it locks no other rows, and two
/// batches lock in one order.
const BY_KEY: &str = "OPTION (LOOP JOIN, FORCE ORDER)";

impl Many {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Many {
        // What the table's columns are called by where others are about is its name alone.
        let (t, name) = (&quoted_table(table), &quoted(table.table()));
        let key = Key(format);
        let (column, joins) = (key.json_column(), key.joins("t"));
        let rows = |fields: &str| format!("{ROWS} WITH ({column}{fields}) AS j");
        let to_rows = |fields: &str| {
            format!(
                "FROM {}, {t} WHERE {} AND {name}.[expires_at] > :now AND {name}.[destroyed_at] IS NULL",
                rows(fields),
                key.joins(name)
            )
        };
        let data = ", [p] int '$.p', [pl] int '$.pl', [o] int '$.o', [ol] int '$.ol', [e] bigint '$.e'";
        Many {
            load: statement(format!(
                "SELECT {}, t.[expires_at], t.[created_at], t.[version], t.[principal], t.[key] \
                 FROM {} JOIN {t} AS t ON {joins} WHERE t.[expires_at] > :now AND t.[destroyed_at] IS NULL {BY_KEY}",
                unless_known("j.[x] = t.[version]", "t.[payload]"),
                rows(", [x] bigint '$.x'"),
            )),
            create: statement(format!(
                "BEGIN TRY \
                 INSERT INTO {t} ({}, {RECORD}) OUTPUT inserted.[key] \
                 SELECT {}, {PAYLOAD}, j.[e], :now, j.[x], {PRINCIPAL} FROM {} \
                 WHERE NOT EXISTS (SELECT 1 FROM {t} AS t WHERE {joins}); \
                 END TRY {RACED}",
                key.columns(),
                key.json_value(),
                rows(&format!("{data}, [x] bigint '$.x'"))
            )),
            update: statement(format!(
                "SET NOCOUNT ON; SET XACT_ABORT ON; \
                 BEGIN TRANSACTION; \
                 UPDATE {t} WITH (ROWLOCK) SET [payload] = {PAYLOAD}, \
                 [expires_at] = COALESCE(j.[e], {name}.[expires_at]), \
                 [principal] = {PRINCIPAL}, [version] = {name}.[version] + 1 OUTPUT inserted.[key] \
                 {} AND (j.[x] IS NULL OR j.[x] = {name}.[version]) {BY_KEY}; \
                 SELECT t.[key], t.[version] FROM {} JOIN {t} AS t ON {joins} WHERE j.[x] IS NULL {BY_KEY}; \
                 COMMIT TRANSACTION",
                to_rows(&format!("{data}, [x] bigint '$.x'")),
                rows(", [x] bigint '$.x'"),
            )),
            touch: statement(format!(
                "UPDATE {t} WITH (ROWLOCK) SET [expires_at] = j.[e] OUTPUT inserted.[key] \
                 {} AND (j.[x] IS NULL OR j.[x] = {name}.[version]) {BY_KEY}",
                to_rows(", [e] bigint '$.e', [x] bigint '$.x'")
            )),
            destroy: ByMode::new(|mode| match mode {
                DestroyMode::Remove => {
                    format!("DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[key] {} {BY_KEY}", to_rows(""))
                }
                mode => format!(
                    "UPDATE {t} WITH (ROWLOCK) SET {} OUTPUT inserted.[key] {} {BY_KEY}",
                    destroyed(mode),
                    to_rows("")
                ),
            }),
        }
    }
}
