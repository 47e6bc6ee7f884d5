//! All statements of the layout of connect-mssql-v2. Their peculiarities are those of the native layout's.
//!
//! Values are always bound; the table's name is a checked identifier. A session is live where `[expires] > :now`.

use session_core::TableName;
use session_sql::Statement;

use crate::shared::{
    EXACT, IF_TEXTS_ARE_UTF16, clear_statement, key_taken, purge_statement, quoted_table, statement,
};

/// The statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// One row: 1 if it was done, 0 if the id is taken.
    pub(super) create: Statement,
    /// Data and expiry, or no row.
    pub(super) load: Statement,
    /// A row if it was done.
    pub(super) update: Statement,
    /// A row if it was done.
    pub(super) touch: Statement,
    /// A row if it was done.
    pub(super) destroy: Statement,
    /// 1 if it was done, 0 if the new id is taken, no row if the session is dead.
    pub(super) rotate: Statement,
    /// Its expiry, or no row.
    pub(super) fate: Statement,
    /// How many.
    pub(super) purge: Statement,
    /// Data, expiries and ids.
    pub(super) list: Texts,
    /// Those behind the id `:after`.
    pub(super) list_after: Texts,
    /// How many.
    pub(super) count: Statement,
    /// How many.
    pub(super) clear: Statement,
}

/// A listing, and the same with texts as their bytes.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) decoded: Statement,
    pub(super) bytes: Statement,
}

impl Statements {
    pub(super) fn new(table: &TableName) -> Statements {
        let t = quoted_table(table);
        // The first comparison searches the primary key, the others are exact.
        let this = format!("[sid] = :sid AND [sid] {EXACT} = :sid AND DATALENGTH([sid]) = DATALENGTH(:sid)");
        let live = "[expires] > :now";
        let list = |before: &str, columns: &str, condition: &str| {
            statement(format!(
                "{before}SELECT TOP (:limit) {columns} FROM {t} WHERE {live}{condition} \
                 ORDER BY [sid], DATALENGTH([sid])"
            ))
        };
        let list = |condition: &str| Texts {
            decoded: list("", "[session], [expires], [sid]", condition),
            bytes: list(
                IF_TEXTS_ARE_UTF16,
                "CAST([session] AS varbinary(max)), [expires], CAST([sid] AS varbinary(510))",
                condition,
            ),
        };
        Statements {
            create: statement(format!(
                "SET NOCOUNT ON; BEGIN TRY \
                 INSERT INTO {t} ([sid], [session], [expires]) VALUES (:sid, :session, :expires); \
                 SELECT 1 AS [done]; \
                 END TRY {}",
                key_taken(&t, "[sid] = :sid")
            )),
            load: statement(format!("SELECT [session], [expires] FROM {t} WHERE {this} AND {live}")),
            update: statement(format!(
                "UPDATE {t} WITH (ROWLOCK) SET [session] = :session, \
                 [expires] = CASE WHEN :move = 1 THEN :expires ELSE [expires] END OUTPUT inserted.[expires] \
                 WHERE {this} AND {live}"
            )),
            touch: statement(format!(
                "UPDATE {t} WITH (ROWLOCK) SET [expires] = :expires OUTPUT inserted.[expires] \
                 WHERE {this} AND {live}"
            )),
            destroy: statement(format!(
                "DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[expires] WHERE {this} AND {live}"
            )),
            rotate: statement(format!(
                "SET NOCOUNT ON; BEGIN TRY \
                 UPDATE {t} WITH (ROWLOCK) SET [sid] = :to, \
                 [session] = CASE WHEN :replace = 1 THEN :session ELSE [session] END, \
                 [expires] = CASE WHEN :move = 1 THEN :expires ELSE [expires] END WHERE {this} AND {live}; \
                 IF @@ROWCOUNT = 1 SELECT 1 AS [done]; \
                 END TRY {}",
                key_taken(&t, "[sid] = :to")
            )),
            fate: statement(format!("SELECT [expires] FROM {t} WHERE {this}")),
            purge: purge_statement(&t, "[expires]"),
            list: list(""),
            list_after: list(
                " AND ([sid] > :after OR ([sid] = :after AND DATALENGTH([sid]) > DATALENGTH(:after)))",
            ),
            count: statement(format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {live}")),
            clear: clear_statement(&t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_names_the_table_and_reads_no_clock() {
        let statements = Statements::new(&TableName::new("web.sessions").unwrap());
        let Statements {
            create,
            load,
            update,
            touch,
            destroy,
            rotate,
            fate,
            purge,
            list,
            list_after,
            count,
            clear,
        } = &statements;
        let changes = [create, update, touch, destroy, rotate, purge, clear];
        let reads = [load, fate, &list.decoded, &list.bytes, &list_after.decoded, &list_after.bytes, count];
        for statement in changes.into_iter().chain(reads).map(Statement::sql) {
            assert!(statement.contains("[web].[sessions]"), "{statement}");
            for word in ["GETDATE", "UTCDATE", "CURRENT_TIMESTAMP", "TRUNCATE", "MERGE", "{", ":"] {
                assert!(!statement.contains(word), "{word} in {statement}");
            }
        }
    }

    #[test]
    fn every_write_of_one_session_is_of_this_very_live_one() {
        let statements = Statements::new(&TableName::new("sessions").unwrap());
        for write in [&statements.update, &statements.touch, &statements.destroy, &statements.rotate] {
            let sql = write.sql();
            assert!(sql.contains("[sid] COLLATE Latin1_General_BIN2 = @P"), "{sql}");
            assert!(sql.contains("AND [expires] > @P"), "{sql}");
        }
    }
}
