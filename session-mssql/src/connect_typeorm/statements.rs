//! All statements of the layout of connect-typeorm, written once for the columns that the table has.
//!
//! Values are always bound; the names of table and columns are checked identifiers, and those of collations come from the
//! database's own catalogue. Columns are always named: their order is TypeORM's. A session is live where
//! `[expiredAt] > :now AND [destroyedAt] IS NULL`. Peculiarities that are not told here are those of the native layout.
//!
//! Ids are compared twice: the first comparison searches the primary key, by whatever rules the column has, and the
//! second one makes sure that it is this very id, byte by byte and blank by blank.
//!
//! TypeORM makes `varchar(255)` and `text`, which hold a code page and not every character. A value is cut to that
//! code page for the search (a column that is compared with another type is read as a whole), and what does not come
//! back from it as it went in is not written: error 50001.

use session_core::TableName;
use session_sql::connect_typeorm::EMPTY;
use session_sql::{ConnectTypeorm, Statement};

use crate::error::NOT_IN_CODE_PAGE;
use crate::shared::{
    EXACT, IF_TEXTS_ARE_UTF16, clear_statement, key_taken, purge_statement, quoted, quoted_table, statement,
    unless_taken,
};

/// What a column for text can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Every character: `nvarchar`, `ntext`.
    Wide,
    /// What is in the code page of this collation: `varchar`, `text`.
    Narrow(String),
}

/// How the table was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) id: Text,
    pub(super) json: Text,
    /// Whether there is a column that marks destroyed sessions.
    pub(super) tombstones: bool,
}

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
    pub(super) forget: Statement,
    /// A row if it was done.
    pub(super) keep: Statement,
    /// A row if it was done.
    pub(super) remove: Statement,
    /// Whether it was destroyed, and its expiry, or no row.
    pub(super) fate: Statement,
    /// 1 if it was done, 0 if the new id is taken, no row if the session is dead. The old row is emptied.
    pub(super) rotate_forgetting: Statement,
    /// The same, and the old row stays as it is, marked.
    pub(super) rotate_keeping: Statement,
    /// The same, and nothing of the old id stays.
    pub(super) rotate_removing: Statement,
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

/// A column for text in a statement.
struct Column<'a> {
    name: String,
    text: &'a Text,
    /// The length in its type.
    length: &'static str,
}

impl Column<'_> {
    /// A value as the column's own type.
    fn value(&self, value: &str) -> String {
        match self.text {
            Text::Wide => value.to_owned(),
            Text::Narrow(collation) => {
                format!("CAST({value} COLLATE {collation} AS varchar({}))", self.length)
            }
        }
    }

    /// The column as text of every character.
    fn wide(&self) -> String {
        match self.text {
            Text::Wide => self.name.clone(),
            Text::Narrow(_) => format!("CAST({} AS nvarchar({}))", self.name, self.length),
        }
    }

    /// The condition under which a column holds this value, byte for byte.
    fn is(&self, value: &str) -> String {
        let wide = self.wide();
        format!(
            "{} = {} AND {wide} {EXACT} = {value} AND DATALENGTH({wide}) = DATALENGTH({value})",
            self.name,
            self.value(value)
        )
    }

    /// Ends the batch with an error if the column cannot hold the value.
    fn fits(&self, value: &str) -> String {
        match self.text {
            Text::Wide => String::new(),
            Text::Narrow(_) => format!(
                "IF CAST({narrow} AS nvarchar({})) {EXACT} <> {value} \
                 OR DATALENGTH(CAST({narrow} AS nvarchar({}))) <> DATALENGTH({value}) \
                 THROW {NOT_IN_CODE_PAGE}, N'a character is not in the code page of the column', 1; ",
                self.length,
                self.length,
                narrow = self.value(value)
            ),
        }
    }
}

impl Statements {
    pub(super) fn new(table: &TableName, names: &ConnectTypeorm, shape: &Shape) -> Statements {
        let t = quoted_table(table);
        let [id, expires, json, destroyed] =
            [names.id(), names.expired_at(), names.json(), names.destroyed_at()].map(quoted);
        let key = Column { name: id.clone(), text: &shape.id, length: "255" };
        let data = Column { name: json.clone(), text: &shape.json, length: "max" };
        let (not_destroyed, is_destroyed) = match shape.tombstones {
            true => (
                format!(" AND {destroyed} IS NULL"),
                format!("CASE WHEN {destroyed} IS NOT NULL THEN 1 ELSE 0 END"),
            ),
            false => (String::new(), "0".to_owned()),
        };
        let this = key.is(":id");
        let live = format!("{expires} > :now{not_destroyed}");
        let (wide_id, wide_json) = (key.wide(), data.wide());
        let list = |before: &str, json: &str, id: &str, condition: &str| {
            statement(format!(
                "{before}SELECT TOP (:limit) {json}, {expires}, {id} FROM {t} \
                 WHERE {live}{condition} ORDER BY {}, DATALENGTH({})",
                key.name, key.name
            ))
        };
        let list = |condition: &str| Texts {
            decoded: list("", &format!("{wide_json} AS [json]"), &format!("{wide_id} AS [id]"), condition),
            bytes: list(
                IF_TEXTS_ARE_UTF16,
                &format!("CAST({wide_json} AS varbinary(max))"),
                &format!("CAST({wide_id} AS varbinary(510))"),
                condition,
            ),
        };
        let after = key.value(":after");
        let behind =
            format!(" AND ({id} > {after} OR ({id} = {after} AND DATALENGTH({id}) > DATALENGTH({after})))");
        // A rotation's values: of a text column nothing but a CAST can be asked.
        let kept = match shape.json {
            Text::Wide => json.clone(),
            Text::Narrow(_) => format!("CAST({json} AS varchar(max))"),
        };
        let (to, new_json) = (
            key.value(":to"),
            format!("CASE WHEN :replace = 1 THEN {} ELSE {kept} END", data.value(":json")),
        );
        let new_expiry = format!("COALESCE(:expires_at, {expires})");
        let fits = format!("{}{}", key.fits(":to"), data.fits(":json"));
        let is_new = format!("{id} = {to}");
        let unless_taken = unless_taken(&t, &is_new);
        // The first statement takes the lock under which the second one reads.
        let rotate = |then: &str| {
            statement(format!(
                "SET NOCOUNT ON; SET XACT_ABORT ON; {fits}DECLARE @done int = 0; BEGIN TRY \
                 BEGIN TRANSACTION; \
                 UPDATE {t} WITH (ROWLOCK) SET {destroyed} = :moment WHERE {this} AND {live}; \
                 SET @done = @@ROWCOUNT; \
                 IF @done = 1 BEGIN INSERT INTO {t} ({expires}, {id}, {json}) \
                 SELECT {new_expiry}, {to}, {new_json} FROM {t} WHERE {this}; {then}END; \
                 COMMIT TRANSACTION; \
                 IF @done = 1 SELECT 1 AS [done]; \
                 END TRY BEGIN CATCH \
                 IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; \
                 {unless_taken}; \
                 SELECT 0 AS [done]; \
                 END CATCH"
            ))
        };
        let change = |set: &str| {
            format!("UPDATE {t} WITH (ROWLOCK) SET {set} OUTPUT inserted.{expires} WHERE {this} AND {live}")
        };
        Statements {
            create: statement(format!(
                "SET NOCOUNT ON; {}{}BEGIN TRY \
                 INSERT INTO {t} ({expires}, {id}, {json}) VALUES (:expires_at, {}, {}); SELECT 1 AS [done]; \
                 END TRY {}",
                key.fits(":id"),
                data.fits(":json"),
                key.value(":id"),
                data.value(":json"),
                key_taken(&t, &format!("{id} = {}", key.value(":id"))),
            )),
            load: statement(format!(
                "SELECT {wide_json} AS [json], {expires} FROM {t} WHERE {this} AND {live}"
            )),
            update: statement(format!(
                "{}{}",
                data.fits(":json"),
                change(&format!("{json} = {}, {expires} = {new_expiry}", data.value(":json")))
            )),
            touch: statement(change(&format!("{expires} = :expires_at"))),
            forget: statement(change(&format!("{destroyed} = :moment, {json} = '{EMPTY}'"))),
            keep: statement(change(&format!("{destroyed} = :moment"))),
            remove: statement(format!(
                "DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.{expires} WHERE {this} AND {live}"
            )),
            fate: statement(format!("SELECT {is_destroyed} AS [destroyed], {expires} FROM {t} WHERE {this}")),
            rotate_forgetting: rotate(&format!("UPDATE {t} SET {json} = '{EMPTY}' WHERE {this}; ")),
            rotate_keeping: rotate(""),
            rotate_removing: statement(format!(
                "SET NOCOUNT ON; {fits}BEGIN TRY \
                 UPDATE {t} WITH (ROWLOCK) SET {id} = {to}, {json} = {new_json}, {expires} = {new_expiry} \
                 WHERE {this} AND {live}; \
                 IF @@ROWCOUNT = 1 SELECT 1 AS [done]; \
                 END TRY {}",
                key_taken(&t, &is_new)
            )),
            purge: purge_statement(&t, &expires),
            list: list(""),
            list_after: list(&behind),
            count: statement(format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {live}")),
            clear: clear_statement(&t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of a table which we make.
    const OURS: Shape = Shape { id: Text::Wide, json: Text::Wide, tombstones: true };

    const NODE: &str = "SQL_Latin1_General_CP1_CI_AS";

    fn table() -> TableName {
        TableName::new("web.session").unwrap()
    }

    /// As TypeORM makes it.
    fn of_node() -> Shape {
        let text = || Text::Narrow(NODE.to_owned());
        Shape { id: text(), json: text(), tombstones: true }
    }

    fn of(shape: &Shape) -> Statements {
        Statements::new(&table(), &ConnectTypeorm::new(), shape)
    }

    fn all(statements: &Statements) -> Vec<&str> {
        let Statements {
            create,
            load,
            update,
            touch,
            forget,
            keep,
            remove,
            fate,
            rotate_forgetting,
            rotate_keeping,
            rotate_removing,
            purge,
            list,
            list_after,
            count,
            clear,
        } = statements;
        let writes = [create, update, touch, forget, keep, remove, purge, clear];
        let rotations = [rotate_forgetting, rotate_keeping, rotate_removing];
        let reads = [load, fate, &list.decoded, &list.bytes, &list_after.decoded, &list_after.bytes, count];
        writes.into_iter().chain(rotations).chain(reads).map(Statement::sql).collect()
    }

    #[test]
    fn every_statement_names_the_table_and_leaves_no_place_unfilled() {
        for shape in [OURS, of_node()] {
            let statements = of(&shape);
            for statement in all(&statements) {
                assert!(statement.contains("[web].[session]"), "{statement}");
                assert!(!statement.replace("'{}'", "").contains(['{', '}']), "{statement}");
            }
        }
    }

    #[test]
    fn no_statement_reads_a_clock_or_names_no_columns() {
        for shape in [OURS, of_node()] {
            let statements = of(&shape);
            for statement in all(&statements) {
                for word in ["GETDATE", "GETUTCDATE", "CURRENT_TIMESTAMP", "TRUNCATE", "SELECT *", "MERGE"] {
                    assert!(!statement.contains(word), "{word} in {statement}");
                }
            }
        }
    }

    #[test]
    fn an_id_is_searched_as_the_column_is_and_then_compared_exactly() {
        assert!(of(&OURS).load.sql().ends_with(
            "FROM [web].[session] WHERE [id] = @P1 AND [id] COLLATE Latin1_General_BIN2 = @P1 \
             AND DATALENGTH([id]) = DATALENGTH(@P1) AND [expiredAt] > @P2 AND [destroyedAt] IS NULL"
        ));
        assert!(of(&of_node()).load.sql().ends_with(
            "FROM [web].[session] WHERE [id] = CAST(@P1 COLLATE SQL_Latin1_General_CP1_CI_AS AS varchar(255)) \
             AND CAST([id] AS nvarchar(255)) COLLATE Latin1_General_BIN2 = @P1 \
             AND DATALENGTH(CAST([id] AS nvarchar(255))) = DATALENGTH(@P1) \
             AND [expiredAt] > @P2 AND [destroyedAt] IS NULL"
        ));
    }

    #[test]
    fn every_write_of_one_session_is_of_this_very_live_one() {
        for shape in [OURS, of_node()] {
            let statements = of(&shape);
            // Without digits: the numbers of the values are another matter.
            let exact = "COLLATE Latin_General_BIN = @P AND";
            let live = "[expiredAt] > @P AND [destroyedAt] IS NULL";
            for write in [
                &statements.update,
                &statements.touch,
                &statements.forget,
                &statements.keep,
                &statements.remove,
                &statements.rotate_keeping,
                &statements.rotate_forgetting,
                &statements.rotate_removing,
            ] {
                let sql = write.sql().replace(|c: char| c.is_ascii_digit(), "");
                assert!(sql.contains(exact) && sql.contains(live), "{sql}");
            }
        }
    }

    #[test]
    fn what_a_code_page_does_not_hold_is_not_written() {
        let (narrow, wide) = (of(&of_node()), of(&OURS));
        for write in [&narrow.create, &narrow.update, &narrow.rotate_keeping] {
            assert!(write.sql().contains("THROW 50001"), "{write:?}");
        }
        for write in all(&wide) {
            assert!(!write.contains("50001"), "{write}");
        }
    }

    #[test]
    fn without_the_column_for_it_nothing_asks_what_is_destroyed() {
        let shape = Shape { tombstones: false, ..of_node() };
        let statements = of(&shape);
        for statement in [statements.create, statements.load, statements.remove, statements.rotate_removing] {
            assert!(!statement.sql().contains("destroyedAt"), "{statement:?}");
        }
    }
}
