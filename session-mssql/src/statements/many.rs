//! The statements for many keys.

use super::ByMode;
use super::RECORD;
use super::key::Key;

/// Writes of many keys. Each takes now; the rows as JSON, with places in UTF-16 code units, and with places in
/// characters or empty if that is the same; the texts; and the bytes of hashed keys. In a row `k` is the key, `p` the
/// payload, `o` the principal, with `kl`, `pl` and `ol` their lengths, `e` the expiry and `x` the expected version.
#[derive(Debug)]
pub(crate) struct Many {
    /// The keys that were made. A row with one number in place of a key says that another call made one of them at
    /// this moment, and that none was made.
    pub(crate) create: String,
    /// The keys that were updated; then keys with their versions, of which those matter that were updated without an
    /// expected one.
    pub(crate) update: String,
    /// The keys that were touched.
    pub(crate) touch: String,
    /// The keys that were destroyed.
    pub(crate) destroy: ByMode,
}

/// The rows of a batch.
pub(super) const ROWS: &str = "OPENJSON(CASE WHEN @P3 = N'' OR LEN(N'\u{1f980}') = 2 THEN @P2 ELSE @P3 END)";
const PAYLOAD: &str = "SUBSTRING(@P4 COLLATE Latin1_General_BIN2, j.[p], j.[pl])";
const PRINCIPAL: &str =
    "CASE WHEN j.[ol] > 0 THEN SUBSTRING(@P4 COLLATE Latin1_General_BIN2, j.[o], j.[ol]) END";
/// The join reaches each row through the primary key, in the order of the JSON: so it locks no other rows, and two
/// batches lock in one order.
pub(super) const BY_KEY: &str = "OPTION (LOOP JOIN, FORCE ORDER)";

impl Many {
    /// `t` is the table, `name` what its columns are called by where others are about.
    pub(super) fn new(t: &str, name: &str, key: &Key) -> Many {
        let (column, joins) = (key.json_column(), key.joins("t"));
        let rows = |fields: &str| format!("{ROWS} WITH ({column}{fields}) AS j");
        let to_rows = |fields: &str| {
            format!(
                "FROM {}, {t} WHERE {} AND {name}.[expires_at] > @P1 AND {name}.[destroyed_at] IS NULL",
                rows(fields),
                key.joins(name)
            )
        };
        let data = ", [p] int '$.p', [pl] int '$.pl', [o] int '$.o', [ol] int '$.ol', [e] bigint '$.e'";
        Many {
            // As in the single create, a duplicate key is not reported.
            create: format!(
                "BEGIN TRY \
                 INSERT INTO {t} ({}, {RECORD}) OUTPUT inserted.[key] \
                 SELECT {}, {PAYLOAD}, j.[e], @P1, 1, {PRINCIPAL} FROM {} \
                 WHERE NOT EXISTS (SELECT 1 FROM {t} AS t WHERE {joins}); \
                 END TRY BEGIN CATCH \
                 IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; \
                 SELECT 0 AS [created]; \
                 END CATCH",
                key.columns(),
                key.json_value(),
                rows(data)
            ),
            update: format!(
                "SET NOCOUNT ON; SET XACT_ABORT ON; \
                 BEGIN TRANSACTION; \
                 UPDATE {t} WITH (ROWLOCK) SET [payload] = {PAYLOAD}, [expires_at] = j.[e], \
                 [principal] = {PRINCIPAL}, [version] = {name}.[version] + 1 OUTPUT inserted.[key] \
                 {} AND (j.[x] IS NULL OR j.[x] = {name}.[version]) {BY_KEY}; \
                 SELECT t.[key], t.[version] FROM {} JOIN {t} AS t ON {joins} WHERE j.[x] IS NULL {BY_KEY}; \
                 COMMIT TRANSACTION",
                to_rows(&format!("{data}, [x] bigint '$.x'")),
                rows(", [x] bigint '$.x'"),
            ),
            touch: format!(
                "UPDATE {t} WITH (ROWLOCK) SET [expires_at] = j.[e] OUTPUT inserted.[key] {} {BY_KEY}",
                to_rows(", [e] bigint '$.e'")
            ),
            destroy: ByMode {
                soft: format!(
                    "UPDATE {t} WITH (ROWLOCK) SET [destroyed_at] = @P1 OUTPUT inserted.[key] {} {BY_KEY}",
                    to_rows("")
                ),
                hard: format!("DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[key] {} {BY_KEY}", to_rows("")),
            },
        }
    }
}
