//! Every statement of the native layout, in Transact-SQL, rendered once from a validated table name.
//!
//! Each is one batch and one round trip, and arrives as one call of `sp_executesql` with all values bound. They are
//! written for SQL Server 2016 and later, at compatibility level 130 or higher, and are correct under its default
//! isolation (READ COMMITTED with locks) and under READ_COMMITTED_SNAPSHOT: under both, an UPDATE or DELETE that names
//! its table once looks at the rows that it changes under update locks, and a rotation asks for them by UPDLOCK.
//!
//! # Babelfish
//! The same texts run on Babelfish for PostgreSQL, which ignores the hints and has PostgreSQL's row versions in place
//! of locks: an UPDATE or DELETE looks at the newest version of a row again before it changes it, which comes to the
//! same. Version 4.3 is why some texts are not the first ones that come to mind:
//! - `OUTPUT deleted…` in an UPDATE becomes a join of the table with itself, which loses rows that others update at
//!   the same time, and gives other rows' values where the key changes. So no UPDATE has it.
//! - The rest of OUTPUT is taken from the row as the statement found it. Where another call changed the row meanwhile the
//!   right values are written, and wrong ones are given. That there is a row is always right. So OUTPUT gives keys,
//!   and versions that were expected; another version is read in the transaction that has changed the row.
//! - OPENJSON cuts texts after 4,000 characters and leaves their escapes in, and `CONVERT(binary(32), …, 2)` takes the
//!   digits for characters. So a batch has numbers alone in its JSON, and its texts and keys as two long values that
//!   are cut up by place and length.
//! - An UPDATE of an alias joins the table once more, with every row of it; and with OUTPUT it does not see the other
//!   side of a JOIN. So an UPDATE for many keys names the table in full, and the rows before a comma.
//! - Lengths count characters and not UTF-16 code units. So such a batch comes with places in both, and [`ROWS`]
//!   chooses.
//!
//! What differs in effect:
//! - HOLDLOCK in [`Statements::destroy_principal`] takes no range locks: a session that is *created* for the principal
//!   at the same moment may be missed, which the contract allows. One that is rotated is not, as a rotation renames
//!   the row and PostgreSQL follows it.
//! - UPDLOCK in a rotation does not lock; the UPDATE behind it therefore looks whether the row is as it was read.
//! - READPAST does not skip locked rows: a purge waits for them. DEADLOCK_PRIORITY has no effect.
//! - GETDATE is GETUTCDATE. Nothing here uses either.
//! - What it can map to none of SQL Server's error numbers it reports as 33557097.

mod key;
mod many;
mod rotate;
mod schema;
#[cfg(test)]
mod tests;

use session_core::{KeyFormat, TableName};

use key::Key;
pub(crate) use many::Many;
use many::{BY_KEY, ROWS};
use rotate::rotate;
pub(crate) use schema::create_once;
use schema::schema;

/// A byte-exact collation that every SQL Server and Babelfish has. `=` still ignores trailing blanks, so lengths are
/// compared as well.
pub(crate) const EXACT: &str = "COLLATE Latin1_General_BIN2";

/// The most rows that one DELETE of a purge removes. A statement with 5,000 locks on one index escalates to a lock on
/// the table; a row takes one in each index, and some are for pages.
pub(crate) const PURGE_BATCH: u32 = 2_000;

/// The statements for one table. The comment at each says what `@P1`, `@P2` … are, and what rows it gives. Where there is
/// no principal an empty text is bound: a text that is NULL goes over the wire without a type, which Babelfish refuses.
#[derive(Debug)]
pub(crate) struct Statements {
    /// Key, payload, expiry, now, principal. One row: 1 if it was done, 0 if the key is taken.
    pub(crate) create: String,
    /// Key, now. The record, or no row.
    pub(crate) load: String,
    /// Key, now, payload, expiry, principal. The new version, or no row if it is dead.
    pub(crate) update: String,
    /// The same and the expected version. The new version; or an empty set, and in a second one the version that the
    /// session has, if it is live.
    pub(crate) update_expected: String,
    /// Key, now, expiry. One row if it was done.
    pub(crate) touch: String,
    /// Key, now. One row if it was done.
    pub(crate) destroy: ByMode,
    /// Key, now, new key, payload, expiry, principal, expected version or NULL, 1 to replace the payload. What became
    /// of it, as one of [`rotated`]'s numbers, and the version that the session has now.
    pub(crate) rotate: ByMode,
    /// Principal, now. How many.
    pub(crate) destroy_principal: ByMode,
    /// Principal, now, the key to spare. How many.
    pub(crate) destroy_others: ByMode,
    /// Now, the most rows. How many.
    pub(crate) purge: String,
    /// Keys and records.
    pub(crate) list: Listing,
    /// The same with every text as its bytes, for a page of which one row has a text that is no UTF-16: tiberius, which
    /// decodes texts as it reads them, could not read the others. It fails on a server that has texts in another
    /// encoding.
    pub(crate) list_bytes: Listing,
    /// Now. How many.
    pub(crate) count: ByFilter,
    /// How many.
    pub(crate) clear: String,
    /// As those of [`Many`]. Keys and records.
    pub(crate) load_many: String,
    /// The many-key forms of the writes.
    pub(crate) many: Many,
    /// The table and its indexes, as a migration has them.
    pub(crate) schema: String,
    /// The same, where the table is not there yet, safe when called at once by many.
    pub(crate) create_table: String,
}

/// A statement that ends sessions, in both of its ways.
#[derive(Debug)]
pub(crate) struct ByMode {
    pub(crate) soft: String,
    pub(crate) hard: String,
}

/// A listing's first page, and those behind a key.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Now, the most rows.
    pub(crate) first: ByFilter,
    /// Now, the most rows, the key to go on behind.
    pub(crate) after: ByFilter,
}

/// A statement over all sessions, or over one principal's, whose name is then the last parameter.
#[derive(Debug)]
pub(crate) struct ByFilter {
    pub(crate) all: String,
    pub(crate) principal: String,
}
/// All columns but the key's, in the order in which records are read.
const RECORD: &str = "[payload], [expires_at], [created_at], [version], [principal]";
/// The same with the bytes of its texts.
const RECORD_BYTES: &str = "CAST([payload] AS varbinary(max)), [expires_at], [created_at], [version], \
    CAST([principal] AS varbinary(510))";
/// Babelfish has texts in UTF-8, in which there are no such rows, and gives their bytes in a code page.
pub(crate) const IF_TEXTS_ARE_UTF16: &str = "IF CAST(N'\u{20ac}' AS varbinary(8)) <> 0xAC20 \
    THROW 50000, N'the bytes of a text are not UTF-16 here', 1; ";
const LIVE: &str = "[expires_at] > @P2 AND [destroyed_at] IS NULL";
const LIVE_AT_P1: &str = "[expires_at] > @P1 AND [destroyed_at] IS NULL";

impl Statements {
    pub(crate) fn new(table: &TableName, format: KeyFormat) -> Statements {
        let name = table.quoted('[', ']');
        let t = name.as_str();
        let key = Key(format);
        let (columns, keys) = (key.columns(), key.value("@P1"));
        let is_key = key.is("@P1");
        let of_principal = |parameter: &str| {
            format!("[principal] = {parameter} AND DATALENGTH([principal]) = DATALENGTH({parameter})")
        };

        // A duplicate key is caught here and not reported: the report would quote the key.
        let create = format!(
            "SET NOCOUNT ON; \
             BEGIN TRY \
             INSERT INTO {t} ({columns}, {RECORD}) VALUES ({keys}, @P2, @P3, @P4, 1, {}); \
             SELECT 1 AS [created]; \
             END TRY BEGIN CATCH \
             IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; \
             SELECT 0 AS [created]; \
             END CATCH",
            nullable("@P5")
        );
        let load = format!("SELECT {RECORD} FROM {t} WHERE {is_key} AND {LIVE}");
        let set_all = format!(
            "UPDATE {t} WITH (ROWLOCK) SET [payload] = @P3, [expires_at] = @P4, [principal] = {}, \
             [version] = [version] + 1",
            nullable("@P5")
        );
        let update = format!(
            "SET NOCOUNT ON; SET XACT_ABORT ON; \
             BEGIN TRANSACTION; \
             {set_all} WHERE {is_key} AND {LIVE}; \
             IF @@ROWCOUNT = 1 SELECT [version] FROM {t} WHERE {is_key}; \
             COMMIT TRANSACTION"
        );
        // The second statement runs a moment later, which is as good a moment for the answer as the first one's.
        let update_expected = format!(
            "{set_all} OUTPUT inserted.[version] WHERE {is_key} AND {LIVE} AND [version] = @P6; \
             IF @@ROWCOUNT = 0 SELECT [version] FROM {t} WHERE {is_key} AND {LIVE}"
        );
        // HOLDLOCK: no session of the principal appears, or moves to a key that was passed already, meanwhile.
        let destroy_where = |rows: &str, hint: &str| ByMode {
            soft: format!("UPDATE {t} WITH ({hint}) SET [destroyed_at] = @P2 {rows}"),
            hard: format!("DELETE FROM {t} WITH ({hint}) {rows}"),
        };
        let counted =
            |statement: String| format!("SET NOCOUNT ON; {statement}; SELECT ROWCOUNT_BIG() AS [rows]");
        let theirs = format!("WHERE {} AND {LIVE}", of_principal("@P1"));
        let others = format!("{theirs} AND NOT ({})", key.is("@P3"));
        let ByMode { soft, hard } = destroy_where(&theirs, "HOLDLOCK");
        let destroy_principal = ByMode { soft: counted(soft), hard: counted(hard) };
        let ByMode { soft, hard } = destroy_where(&others, "HOLDLOCK");
        let destroy_others = ByMode { soft: counted(soft), hard: counted(hard) };

        let list = |columns: &str, condition: &str| {
            format!(
                "SELECT TOP (@P2) {columns} FROM {t} WHERE {LIVE_AT_P1}{condition} ORDER BY {}",
                key.columns()
            )
        };
        let and_after = format!(" AND {}", key.after("@P3"));
        let listing = |before: &str, columns: &str| {
            let list = |condition: &str| format!("{before}{}", list(columns, condition));
            Listing {
                first: ByFilter { all: list(""), principal: list(&format!(" AND {}", of_principal("@P3"))) },
                after: ByFilter {
                    all: list(&and_after),
                    principal: list(&format!("{and_after} AND {}", of_principal("@P4"))),
                },
            }
        };
        let count =
            |condition: &str| format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {LIVE_AT_P1}{condition}");

        let schema = schema(table, &key);
        Statements {
            create,
            load,
            update,
            update_expected,
            touch: format!(
                "UPDATE {t} WITH (ROWLOCK) SET [expires_at] = @P3 OUTPUT inserted.[version] WHERE {is_key} AND {LIVE}"
            ),
            destroy: ByMode {
                soft: format!(
                    "UPDATE {t} WITH (ROWLOCK) SET [destroyed_at] = @P2 OUTPUT inserted.[version] \
                     WHERE {is_key} AND {LIVE}"
                ),
                hard: format!(
                    "DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[version] WHERE {is_key} AND {LIVE}"
                ),
            },
            rotate: ByMode { soft: rotate(t, &key, true), hard: rotate(t, &key, false) },
            destroy_principal,
            destroy_others,
            // READPAST needs READCOMMITTEDLOCK where the database has READ_COMMITTED_SNAPSHOT on. The statement that
            // deletes a row has looked at its expiry under the lock that it deletes it with.
            purge: format!(
                "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; \
                 DELETE TOP (@P2) FROM {t} WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE [expires_at] <= @P1; \
                 SELECT ROWCOUNT_BIG() AS [rows]; \
                 SET DEADLOCK_PRIORITY NORMAL"
            ),
            list: listing("", &format!("[key], {RECORD}")),
            list_bytes: listing(IF_TEXTS_ARE_UTF16, &format!("{}, {RECORD_BYTES}", key.bytes())),
            count: ByFilter { all: count(""), principal: count(&format!(" AND {}", of_principal("@P2"))) },
            // DELETE and not TRUNCATE, which needs the right to alter the table.
            clear: counted(format!("DELETE FROM {t}")),
            load_many: format!(
                "SELECT t.[key], t.[payload], t.[expires_at], t.[created_at], t.[version], t.[principal] \
                 FROM {ROWS} WITH ({}) AS j JOIN {t} AS t ON {} \
                 WHERE t.[expires_at] > @P1 AND t.[destroyed_at] IS NULL {BY_KEY}",
                key.json_column(),
                key.joins("t")
            ),
            many: Many::new(t, &format!("[{}]", table.table()), &key),
            create_table: create_once(table, &schema),
            schema,
        }
    }
}

/// The database's clock. A round trip that touches no table.
pub(crate) const SERVER_TIME: &str =
    "SELECT DATEDIFF_BIG(millisecond, CAST('19700101' AS datetime2), SYSUTCDATETIME()) AS [now]";

/// NULL for the empty text. By its length, as a blank equals the empty text, and in some collations a control
/// character does.
fn nullable(text: &str) -> String {
    format!("CASE WHEN DATALENGTH({text}) > 0 THEN {text} END")
}

/// What a rotation's first column says.
pub(crate) mod rotated {
    /// It was done.
    pub(crate) const DONE: i64 = 1;
    /// The session is live and has another version than the expected one.
    pub(crate) const STALE: i64 = 2;
    /// There is a row with the new key.
    pub(crate) const KEY_TAKEN: i64 = 3;
    /// The row was changed between two statements, which only a server that ignores UPDLOCK allows. Nothing was done.
    pub(crate) const CHANGED: i64 = 4;
}
