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
//! - A NULL without a type makes the text beside it in a CASE a varchar, which loses characters. So it has one.
//! - Lengths count characters and not UTF-16 code units. So such a batch comes with places in both, and [`ROWS`](super::many::ROWS)
//!   chooses.
//!
//! What differs in effect:
//! - HOLDLOCK in [`Statements::destroy_principal`] takes no range locks: a session that is *created* for the principal
//!   at the same moment may be missed, which the contract allows. One that is rotated is not, as a rotation renames
//!   the row and PostgreSQL follows it.
//! - A row that a rotation leaves, with payload and principal, while its principal is forgotten, is found by a second
//!   look alone, in the same transaction.
//! - UPDLOCK in a rotation does not lock; the UPDATE behind it therefore looks whether the row is as it was read.
//! - READPAST does not skip locked rows: a purge waits for them. DEADLOCK_PRIORITY has no effect.
//! - GETDATE is GETUTCDATE. Nothing here uses either.
//! - What it can map to none of SQL Server's error numbers it reports as 33557097.

use session_core::{DestroyMode, KeyFormat, TableName};
use session_sql::Statement;

use super::key::Key;
use super::parts::{ByMode, LIVE, RECORD, WIPED, destroyed, nullable, unless_known};
use super::rotate::rotate;
use crate::shared::{
    IF_TEXTS_ARE_UTF16, clear_statement, key_taken, purge_statement, quoted_table, statement,
};

/// The statements for one table. The comment at each says what it gives. Where there is no principal an empty text is
/// bound: a text that is NULL goes over the wire without a type, which Babelfish refuses.
#[derive(Debug)]
pub(super) struct Statements {
    /// One row: 1 if it was done, 0 if the key is taken.
    pub(super) create: Statement,
    /// The record, without a payload of the version that is known, or no row.
    pub(super) load: Statement,
    /// The new version, or no row if it is dead.
    pub(super) update: Statement,
    /// The new version; or an empty set, and in a second one the version that the session has, if it is live.
    pub(super) update_expected: Statement,
    /// One row if it was done.
    pub(super) touch: Statement,
    /// Sets as those of `update_expected`.
    pub(super) touch_expected: Statement,
    /// Whether it is destroyed, whether it was rotated away, and the expiry; or no row.
    pub(super) fate: Statement,
    /// One row if it was done.
    pub(super) destroy: ByMode,
    /// What became of it, as one of [`rotated`](super::parts::rotated)'s numbers, and the version that the session has now; or no row.
    pub(super) rotate: ByMode,
    /// How many.
    pub(super) destroy_principal: ByMode,
    /// How many.
    pub(super) destroy_others: ByMode,
    /// How many rows.
    pub(super) forget_principal: Statement,
    /// How many.
    pub(super) purge: Statement,
    /// Records and keys.
    pub(super) list: Listing,
    /// The same with every text as its bytes, for a page of which one row has a text that is no UTF-16. It fails on a
    /// server that has texts in another encoding.
    pub(super) list_bytes: Listing,
    /// How many.
    pub(super) count: ByFilter,
    /// How many.
    pub(super) clear: Statement,
}

/// A listing's first page, and those behind the key `:after`.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) first: ByFilter,
    pub(super) after: ByFilter,
}

/// A statement over all sessions, or over those of `:principal`.
#[derive(Debug)]
pub(super) struct ByFilter {
    pub(super) all: Statement,
    pub(super) principal: Statement,
}

/// A record's columns with the bytes of its texts.
const RECORD_BYTES: &str = "CAST([payload] AS varbinary(max)), [expires_at], [created_at], [version], \
    CAST([principal] AS varbinary(510))";
const OF_PRINCIPAL: &str = "[principal] = :principal AND DATALENGTH([principal]) = DATALENGTH(:principal)";

impl Statements {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Statements {
        let name = quoted_table(table);
        let t = name.as_str();
        let key = Key(format);
        let is_key = key.is(":key");

        let create = format!(
            "SET NOCOUNT ON; \
             BEGIN TRY \
             INSERT INTO {t} ({}, {RECORD}) VALUES ({}, :payload, :expires_at, :now, :version, {}); \
             SELECT 1 AS [done]; \
             END TRY {}",
            key.columns(),
            key.value(":key"),
            nullable(":principal"),
            key_taken(t, &is_key)
        );
        let load = format!(
            "SELECT {}, [expires_at], [created_at], [version], [principal] FROM {t} WHERE {is_key} AND {LIVE}",
            unless_known("[version] = :known", "[payload]")
        );
        let set_all = format!(
            "UPDATE {t} WITH (ROWLOCK) SET [payload] = :payload, \
             [expires_at] = COALESCE(:expires_at, [expires_at]), [principal] = {}, [version] = [version] + 1",
            nullable(":principal")
        );
        let update = format!(
            "SET NOCOUNT ON; SET XACT_ABORT ON; \
             BEGIN TRANSACTION; \
             {set_all} WHERE {is_key} AND {LIVE}; \
             IF @@ROWCOUNT = 1 SELECT [version] FROM {t} WHERE {is_key}; \
             COMMIT TRANSACTION"
        );
        // The second statement runs a moment later, which is as good a moment for the answer as the first one's.
        let expecting = |change: &str| {
            statement(format!(
                "{change} OUTPUT inserted.[version] WHERE {is_key} AND {LIVE} AND [version] = :expected; \
                 IF @@ROWCOUNT = 0 SELECT [version] FROM {t} WHERE {is_key} AND {LIVE}"
            ))
        };
        let set_expiry = format!("UPDATE {t} WITH (ROWLOCK) SET [expires_at] = :expires_at");
        let fate = format!(
            "SELECT CASE WHEN [destroyed_at] IS NOT NULL THEN 1 ELSE 0 END AS [destroyed], [rotated], [expires_at] \
             FROM {t} WHERE {is_key}"
        );
        let destroy = |mode| match mode {
            DestroyMode::Remove => {
                format!("DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[version] WHERE {is_key} AND {LIVE}")
            }
            mode => format!(
                "UPDATE {t} WITH (ROWLOCK) SET {} OUTPUT inserted.[version] WHERE {is_key} AND {LIVE}",
                destroyed(mode)
            ),
        };

        // HOLDLOCK: no session of the principal appears, or moves to a key that was passed already, meanwhile.
        let theirs = |mode, rows: &str| match mode {
            DestroyMode::Remove => counted(&format!("DELETE FROM {t} WITH (HOLDLOCK) {rows}")),
            mode => counted(&format!("UPDATE {t} WITH (HOLDLOCK) SET {} {rows}", destroyed(mode))),
        };
        let all = format!(
            "WHERE {OF_PRINCIPAL} AND {LIVE} AND (:created_before IS NULL OR [created_at] < :created_before)"
        );
        let others = format!("{all} AND NOT ({})", key.is(":except"));
        // A row that is dead already keeps what became of it. A second look, as Babelfish does not show the first one the
        // rows that rotations have left meanwhile; on SQL Server HOLDLOCK makes them wait, and it finds nothing.
        let wipe = format!(
            "UPDATE {t} WITH (HOLDLOCK) SET {WIPED}, [version] = [version] + 1, \
             [destroyed_at] = CASE WHEN {LIVE} THEN :now ELSE [destroyed_at] END WHERE {OF_PRINCIPAL}"
        );
        let forget_principal = format!(
            "SET NOCOUNT ON; SET XACT_ABORT ON; DECLARE @rows bigint; \
             BEGIN TRANSACTION; \
             {wipe}; SET @rows = ROWCOUNT_BIG(); \
             {wipe}; SET @rows = @rows + ROWCOUNT_BIG(); \
             COMMIT TRANSACTION; \
             SELECT @rows AS [rows]"
        );

        let listing = |before: &str, columns: &str| {
            let list = |condition: &str| {
                statement(format!(
                    "{before}SELECT TOP (:limit) {columns} FROM {t} WHERE {LIVE}{condition} ORDER BY {}",
                    key.columns()
                ))
            };
            let after = format!(" AND {}", key.after(":after"));
            Listing {
                first: ByFilter { all: list(""), principal: list(&format!(" AND {OF_PRINCIPAL}")) },
                after: ByFilter {
                    all: list(&after),
                    principal: list(&format!("{after} AND {OF_PRINCIPAL}")),
                },
            }
        };
        let count = |condition: &str| {
            statement(format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {LIVE}{condition}"))
        };

        Statements {
            create: statement(create),
            load: statement(load),
            update: statement(update),
            update_expected: expecting(&set_all),
            touch: statement(format!("{set_expiry} OUTPUT inserted.[version] WHERE {is_key} AND {LIVE}")),
            touch_expected: expecting(&set_expiry),
            fate: statement(fate),
            destroy: ByMode::new(destroy),
            rotate: ByMode::new(|mode| rotate(t, &key, mode)),
            destroy_principal: ByMode::new(|mode| theirs(mode, &all)),
            destroy_others: ByMode::new(|mode| theirs(mode, &others)),
            forget_principal: statement(forget_principal),
            purge: purge_statement(t, "[expires_at]"),
            list: listing("", &format!("{RECORD}, [key]")),
            list_bytes: listing(IF_TEXTS_ARE_UTF16, &format!("{RECORD_BYTES}, {}", key.bytes())),
            count: ByFilter { all: count(""), principal: count(&format!(" AND {OF_PRINCIPAL}")) },
            clear: clear_statement(t),
        }
    }
}

/// A change, and how many rows it changed.
fn counted(change: &str) -> String {
    format!("SET NOCOUNT ON; {change}; SELECT ROWCOUNT_BIG() AS [rows]")
}
