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

use session_core::{KeyFormat, TableName};

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
    /// Now, the most rows. Keys and records.
    pub(crate) list: ByFilter,
    /// Now, the most rows, the key to go on behind. Keys and records.
    pub(crate) list_after: ByFilter,
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

/// A statement over all sessions, or over one principal's, whose name is then the last parameter.
#[derive(Debug)]
pub(crate) struct ByFilter {
    pub(crate) all: String,
    pub(crate) principal: String,
}

/// Writes of many keys. Each takes now; the rows as JSON, with places in UTF-16 code units, and with places in
/// characters or empty if that is the same; the texts; and the bytes of hashed keys. In a row `k` is the key, `p` the
/// payload, `o` the principal, with `kl`, `pl` and `ol` their lengths, `e` the expiry and `x` the expected version.
#[derive(Debug)]
pub(crate) struct Many {
    /// The keys that were made. A row with one number in place of a key says that another call made one of them at
    /// this moment, and that none was made.
    pub(crate) create: String,
    /// The keys that were updated, and their new versions.
    pub(crate) update: String,
    /// The keys that were touched.
    pub(crate) touch: String,
    /// The keys that were destroyed.
    pub(crate) destroy: ByMode,
}

/// All columns but the key's, in the order in which records are read.
const RECORD: &str = "[payload], [expires_at], [created_at], [version], [principal]";
const LIVE: &str = "[expires_at] > @P2 AND [destroyed_at] IS NULL";
const LIVE_AT_P1: &str = "[expires_at] > @P1 AND [destroyed_at] IS NULL";
/// The rows of a batch.
const ROWS: &str = "OPENJSON(CASE WHEN @P3 = N'' OR LEN(N'\u{1f980}') = 2 THEN @P2 ELSE @P3 END)";
const PAYLOAD: &str = "SUBSTRING(@P4 COLLATE Latin1_General_BIN2, j.[p], j.[pl])";
const PRINCIPAL: &str =
    "CASE WHEN j.[ol] > 0 THEN SUBSTRING(@P4 COLLATE Latin1_General_BIN2, j.[o], j.[ol]) END";
/// The join reaches each row through the primary key, in the order of the JSON: so it locks no other rows, and two
/// batches lock in one order.
const BY_KEY: &str = "OPTION (LOOP JOIN, FORCE ORDER)";

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
        let update = |and: &str| {
            format!(
                "UPDATE {t} WITH (ROWLOCK) SET [payload] = @P3, [expires_at] = @P4, [principal] = {}, \
                 [version] = [version] + 1 OUTPUT inserted.[version] WHERE {is_key} AND {LIVE}{and}",
                nullable("@P5")
            )
        };
        // The second statement runs a moment later, which is as good a moment for the answer as the first one's.
        let update_expected = format!(
            "{}; IF @@ROWCOUNT = 0 SELECT [version] FROM {t} WHERE {is_key} AND {LIVE}",
            update(" AND [version] = @P6")
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

        let list = |condition: &str| {
            format!(
                "SELECT TOP (@P2) [key], {RECORD} FROM {t} WHERE {LIVE_AT_P1}{condition} ORDER BY {}",
                key.columns()
            )
        };
        let count =
            |condition: &str| format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {LIVE_AT_P1}{condition}");
        let and_after = format!(" AND {}", key.after("@P3"));

        let schema = schema(table, &key);
        Statements {
            create,
            load,
            update: update(""),
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
            list: ByFilter { all: list(""), principal: list(&format!(" AND {}", of_principal("@P3"))) },
            list_after: ByFilter {
                all: list(&and_after),
                principal: list(&format!("{and_after} AND {}", of_principal("@P4"))),
            },
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

/// A rotation renames the row, so that there is no instant with two live sessions or none; where the old key is to
/// stay taken, a row with what was there before takes its place.
fn rotate(t: &str, key: &Key, soft: bool) -> String {
    use rotated::{CHANGED, DONE, KEY_TAKEN, STALE};
    let rename: Vec<String> = key
        .column_list()
        .into_iter()
        .zip(key.value_list("@P3"))
        .map(|(column, value)| format!("{column} = {value}"))
        .collect();
    let tombstone = match soft {
        false => String::new(),
        true => format!(
            "INSERT INTO {t} ({}, {RECORD}, [destroyed_at]) \
             VALUES ({}, @payload, @expires_at, @created_at, @version, @principal, @P2); ",
            key.columns(),
            key.value("@P1"),
        ),
    };
    let (variables, reads) = match soft {
        false => ("", ""),
        true => (
            ", @payload nvarchar(max), @created_at bigint, @principal nvarchar(255)",
            ", @payload = [payload], @created_at = [created_at], @principal = [principal]",
        ),
    };
    let (is_old, rename, principal) = (key.is("@P1"), rename.join(", "), nullable("@P6"));
    format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; \
         DECLARE @outcome bigint, @version bigint, @expires_at bigint{variables}; \
         BEGIN TRY \
         BEGIN TRANSACTION; \
         SELECT @version = [version], @expires_at = [expires_at]{reads} FROM {t} WITH (UPDLOCK, ROWLOCK) \
         WHERE {is_old} AND {LIVE}; \
         IF @version IS NOT NULL AND (@P7 IS NULL OR @version = @P7) BEGIN \
         UPDATE {t} WITH (ROWLOCK) SET {rename}, [payload] = CASE WHEN @P8 = 1 THEN @P4 ELSE [payload] END, \
         [expires_at] = @P5, [principal] = {principal}, [version] = @version + 1 \
         WHERE {is_old} AND {LIVE} AND [version] = @version AND [expires_at] = @expires_at; \
         IF @@ROWCOUNT = 0 SET @outcome = {CHANGED}; \
         ELSE BEGIN {tombstone}SET @outcome = {DONE}; END; \
         END ELSE SET @outcome = {STALE}; \
         COMMIT TRANSACTION; \
         SELECT @outcome AS [outcome], @version + 1 AS [version] WHERE @version IS NOT NULL; \
         END TRY BEGIN CATCH \
         IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; \
         IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; \
         SELECT CAST({KEY_TAKEN} AS bigint) AS [outcome], @version AS [version]; \
         END CATCH"
    )
}

impl Many {
    /// `t` is the table, `name` what its columns are called by where others are about.
    fn new(t: &str, name: &str, key: &Key) -> Many {
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
                "UPDATE {t} WITH (ROWLOCK) SET [payload] = {PAYLOAD}, [expires_at] = j.[e], \
                 [principal] = {PRINCIPAL}, [version] = {name}.[version] + 1 \
                 OUTPUT inserted.[key], inserted.[version] \
                 {} AND (j.[x] IS NULL OR j.[x] = {name}.[version]) {BY_KEY}",
                to_rows(&format!("{data}, [x] bigint '$.x'"))
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

fn schema(table: &TableName, key: &Key) -> String {
    let (t, name) = (table.quoted('[', ']'), table.table());
    format!(
        "CREATE TABLE {t} (\n    \
         {},\n    \
         [payload] nvarchar(max) NOT NULL,\n    \
         [expires_at] bigint NOT NULL,\n    \
         [created_at] bigint NOT NULL,\n    \
         [version] bigint NOT NULL,\n    \
         [principal] nvarchar(255) {EXACT} NULL,\n    \
         [destroyed_at] bigint NULL,\n    \
         CONSTRAINT [{name}_pk] PRIMARY KEY CLUSTERED ({})\n\
         );\n\
         CREATE INDEX [{name}_expires_at] ON {t} ([expires_at]);\n\
         CREATE INDEX [{name}_principal] ON {t} ([principal]);\n",
        key.definition(),
        key.columns(),
    )
}

/// Runs the statements that make a table, unless there is one of this name. They are one transaction, and a lock on a
/// name of our own has the calls of many run one behind the other.
pub(crate) fn create_once(table: &TableName, schema: &str) -> String {
    let t = table.quoted('[', ']');
    format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; \
         BEGIN TRANSACTION; \
         DECLARE @lock int; \
         EXEC @lock = sp_getapplock @Resource = N'session-store {t}', @LockMode = 'Exclusive', \
         @LockOwner = 'Transaction'; \
         IF @lock < 0 THROW 50000, N'the lock for creating the table was not granted', 1; \
         IF OBJECT_ID(N'{t}', N'U') IS NULL BEGIN\n{schema}END; \
         COMMIT TRANSACTION"
    )
}

/// How the table holds keys. Hashed: 32 bytes. Plain: the text, compared by code units, and its length.
struct Key(KeyFormat);

impl Key {
    fn column_list(&self) -> Vec<&'static str> {
        match self.0 {
            KeyFormat::Hashed => vec!["[key]"],
            KeyFormat::Plain => vec!["[key]", "[key_bytes]"],
        }
    }

    fn columns(&self) -> String {
        self.column_list().join(", ")
    }

    fn definition(&self) -> String {
        match self.0 {
            KeyFormat::Hashed => "[key] binary(32) NOT NULL".to_owned(),
            // The length belongs to the primary key, as two ids that differ in trailing blanks are equal to `=`.
            KeyFormat::Plain => {
                format!("[key] nvarchar(255) {EXACT} NOT NULL,\n    [key_bytes] smallint NOT NULL")
            }
        }
    }

    /// The values of the key's columns. The bytes are bound as varbinary.
    fn value_list(&self, parameter: &str) -> Vec<String> {
        match self.0 {
            KeyFormat::Hashed => vec![format!("CAST({parameter} AS binary(32))")],
            KeyFormat::Plain => vec![parameter.to_owned(), format!("DATALENGTH({parameter})")],
        }
    }

    fn value(&self, parameter: &str) -> String {
        self.value_list(parameter).join(", ")
    }

    fn is(&self, parameter: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("[key] = CAST({parameter} AS binary(32))"),
            KeyFormat::Plain => format!("[key] = {parameter} AND [key_bytes] = DATALENGTH({parameter})"),
        }
    }

    fn after(&self, parameter: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("[key] > CAST({parameter} AS binary(32))"),
            KeyFormat::Plain => format!(
                "([key] > {parameter} OR ([key] = {parameter} AND [key_bytes] > DATALENGTH({parameter})))"
            ),
        }
    }

    /// Where the key is among the texts or bytes of a batch.
    fn json_column(&self) -> &'static str {
        match self.0 {
            KeyFormat::Hashed => "[k] int '$.k'",
            KeyFormat::Plain => "[k] int '$.k', [kl] int '$.kl'",
        }
    }

    fn json_value(&self) -> String {
        match self.0 {
            KeyFormat::Hashed => "CAST(SUBSTRING(@P5, j.[k], 32) AS binary(32))".to_owned(),
            KeyFormat::Plain => format!("{PLAIN_KEY}, DATALENGTH({PLAIN_KEY})"),
        }
    }

    fn joins(&self, table: &str) -> String {
        match self.0 {
            KeyFormat::Hashed => format!("{table}.[key] = {}", self.json_value()),
            KeyFormat::Plain => {
                format!("{table}.[key] = {PLAIN_KEY} AND {table}.[key_bytes] = DATALENGTH({PLAIN_KEY})")
            }
        }
    }
}

/// As the type of the column, so that the primary key can be searched for it.
const PLAIN_KEY: &str = "CAST(SUBSTRING(@P4 COLLATE Latin1_General_BIN2, j.[k], j.[kl]) AS nvarchar(255))";

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(statements: &Statements) -> Vec<&str> {
        let Statements {
            create,
            load,
            update,
            update_expected,
            touch,
            destroy,
            rotate,
            destroy_principal,
            destroy_others,
            purge,
            list,
            list_after,
            count,
            clear,
            load_many,
            many,
            schema,
            create_table,
        } = statements;
        let mut all: Vec<&str> =
            vec![create, load, update, update_expected, touch, purge, clear, load_many, schema, create_table];
        all.extend([many.create.as_str(), &many.update, &many.touch]);
        for both in [destroy, rotate, destroy_principal, destroy_others, &many.destroy] {
            all.extend([both.soft.as_str(), &both.hard]);
        }
        for both in [list, list_after, count] {
            all.extend([both.all.as_str(), &both.principal]);
        }
        all
    }

    fn of(table: &str, format: KeyFormat) -> Statements {
        Statements::new(&TableName::new(table).unwrap(), format)
    }

    #[test]
    fn every_statement_names_the_table_quoted_and_with_its_schema() {
        for format in [KeyFormat::Hashed, KeyFormat::Plain] {
            for statement in rendered(&of("web.sessions", format)) {
                assert!(statement.contains("[web].[sessions]"), "{statement}");
            }
        }
    }

    #[test]
    fn no_statement_reads_a_clock_or_merges() {
        for statement in rendered(&of("sessions", KeyFormat::Hashed)) {
            for word in ["GETDATE", "GETUTCDATE", "SYSUTCDATETIME", "CURRENT_TIMESTAMP", "MERGE", "TRUNCATE"]
            {
                assert!(!statement.contains(word), "{word} in {statement}");
            }
        }
    }

    #[test]
    fn no_update_has_the_deleted_row_in_its_output() {
        for statement in rendered(&of("sessions", KeyFormat::Hashed)) {
            for update in statement.split("; ").filter(|part| part.contains("UPDATE ")) {
                assert!(!update.contains("OUTPUT deleted"), "{update}");
            }
        }
    }

    #[test]
    fn a_purge_repeats_its_predicate_skips_locked_rows_and_gives_way() {
        let purge = of("sessions", KeyFormat::Hashed).purge;
        assert!(purge.contains(
            "DELETE TOP (@P2) FROM [sessions] WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE [expires_at] <= @P1"
        ));
        assert!(purge.contains("SET DEADLOCK_PRIORITY LOW"));
        const { assert!(PURGE_BATCH < 5_000) };
    }

    #[test]
    fn a_plain_key_is_compared_by_its_text_and_its_length() {
        let statements = of("sessions", KeyFormat::Plain);
        assert!(statements.load.contains("[key] = @P1 AND [key_bytes] = DATALENGTH(@P1)"));
        assert!(statements.schema.contains("[key] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL"));
        assert!(statements.schema.contains("PRIMARY KEY CLUSTERED ([key], [key_bytes])"));
    }

    #[test]
    fn a_hashed_key_is_32_bytes() {
        let statements = of("sessions", KeyFormat::Hashed);
        assert!(statements.load.contains("[key] = CAST(@P1 AS binary(32))"));
        assert!(statements.schema.contains("[key] binary(32) NOT NULL"));
    }

    #[test]
    fn no_place_is_left_unfilled() {
        for format in [KeyFormat::Hashed, KeyFormat::Plain] {
            for statement in rendered(&of("sessions", format)) {
                assert!(!statement.contains(['{', '}']), "{statement}");
            }
        }
    }
}
