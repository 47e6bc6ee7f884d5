//! Every statement of connect-typeorm's layout, rendered once for the columns that the table has.
//!
//! `@P1`, `@P2` … are bound; the names are checked identifiers, and those of collations come from the database's own
//! catalogue. Columns are always named: their order is TypeORM's. A session is live where
//! `[expiredAt] > now AND [destroyedAt] IS NULL`. Peculiarities that are not told here are those of the native layout.
//!
//! Ids are compared twice: the first comparison searches the primary key, by whatever rules the column has, and the
//! second one makes sure that it is this very id, byte by byte and blank by blank.
//!
//! TypeORM makes `varchar(255)` and `text`, which hold a code page and not every character. A parameter is cut to that
//! code page for the search (a column that is compared with another type is read as a whole), and what does not come
//! back from it as it went in is not written: error 50001.

use session_core::{ConnectTypeorm, TableName};

use crate::statements::{EXACT, IF_TEXTS_ARE_UTF16};

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
    /// Id, payload, expiry. One row: 1 if it was done, 0 if the id is taken.
    pub(super) create: String,
    /// Id, now. Payload and expiry, or no row.
    pub(super) load: String,
    /// Id, now, payload, expiry. A row if it was done.
    pub(super) update: String,
    /// Id, now, expiry. A row if it was done.
    pub(super) touch: String,
    /// Id, now, now as a `datetime`. A row if it was done.
    pub(super) bury: String,
    /// Id, now. A row if it was done.
    pub(super) remove: String,
    /// Id, now, new id, payload, expiry, 1 to replace the payload, now as a `datetime`. 1 if it was done, 0 if the new
    /// id is taken, no row if the session is dead. The old id stays taken.
    pub(super) rotate_soft: String,
    /// Id, now, new id, payload, expiry, 1 to replace the payload. As `rotate_soft`, but nothing of the old id stays.
    pub(super) rotate_hard: String,
    /// Now, the most rows. How many.
    pub(super) purge: String,
    /// Now, the most rows. Ids, payloads and expiries.
    pub(super) list: Texts,
    /// Now, the most rows, the id to go on behind. Ids, payloads and expiries.
    pub(super) list_after: Texts,
    /// Now. How many.
    pub(super) count: String,
    /// How many.
    pub(super) clear: String,
}

/// A listing, and the same with texts as their bytes.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) decoded: String,
    pub(super) bytes: String,
}

/// A column for text in a statement.
struct Column<'a> {
    name: String,
    text: &'a Text,
    /// The length in its type.
    length: &'static str,
}

impl Column<'_> {
    /// A parameter as the column's own type.
    fn value(&self, parameter: &str) -> String {
        match self.text {
            Text::Wide => parameter.to_owned(),
            Text::Narrow(collation) => {
                format!("CAST({parameter} COLLATE {collation} AS varchar({}))", self.length)
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

    /// The condition under which a column holds this parameter, byte for byte.
    fn is(&self, parameter: &str) -> String {
        let wide = self.wide();
        format!(
            "{} = {} AND {wide} {EXACT} = {parameter} AND DATALENGTH({wide}) = DATALENGTH({parameter})",
            self.name,
            self.value(parameter)
        )
    }

    /// Ends the batch with an error if the column cannot hold the parameter.
    fn fits(&self, parameter: &str) -> String {
        match self.text {
            Text::Wide => String::new(),
            Text::Narrow(_) => format!(
                "IF CAST({value} AS nvarchar({})) {EXACT} <> {parameter} \
                 OR DATALENGTH(CAST({value} AS nvarchar({}))) <> DATALENGTH({parameter}) \
                 THROW {NOT_IN_CODE_PAGE}, N'a character is not in the code page of the column', 1; ",
                self.length,
                self.length,
                value = self.value(parameter)
            ),
        }
    }
}

/// The number of the error for a text that the table's columns cannot hold. Nothing was done.
pub(crate) const NOT_IN_CODE_PAGE: u32 = 50_001;

const CAUGHT: &str = "BEGIN CATCH IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; SELECT 0 AS [done]; END CATCH";

impl Statements {
    pub(super) fn new(table: &TableName, columns: &ConnectTypeorm, shape: &Shape) -> Statements {
        let t = table.quoted('[', ']');
        let [id, expires, json, destroyed] =
            [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()]
                .map(|name| format!("[{name}]"));
        let key = Column { name: id.clone(), text: &shape.id, length: "255" };
        let payload = Column { name: json.clone(), text: &shape.json, length: "max" };
        let not_destroyed = match shape.tombstones {
            true => format!(" AND {destroyed} IS NULL"),
            false => String::new(),
        };
        let this = key.is("@P1");
        let live = format!("{expires} > @P2{not_destroyed}");
        let (wide_id, wide_json) = (key.wide(), payload.wide());
        let list = |before: &str, columns: &str, condition: &str| {
            format!(
                "{before}SELECT TOP (@P2) {columns}, {expires} FROM {t} \
                 WHERE {expires} > @P1{not_destroyed}{condition} ORDER BY {id}, DATALENGTH({id})"
            )
        };
        let list = |condition: &str| Texts {
            decoded: list("", &format!("{wide_id} AS [id], {wide_json} AS [json]"), condition),
            bytes: list(
                IF_TEXTS_ARE_UTF16,
                &format!("CAST({wide_id} AS varbinary(510)), CAST({wide_json} AS varbinary(max))"),
                condition,
            ),
        };
        // Of a text column nothing but a CAST can be asked.
        let replaced = |parameter: &str| {
            let kept = match shape.json {
                Text::Wide => json.clone(),
                Text::Narrow(_) => format!("CAST({json} AS varchar(max))"),
            };
            format!("CASE WHEN @P6 = 1 THEN {} ELSE {kept} END", payload.value(parameter))
        };
        let rotated_fits = format!("{}{}", key.fits("@P3"), payload.fits("@P4"));
        let after = key.value("@P3");
        Statements {
            create: format!(
                "SET NOCOUNT ON; {}{}BEGIN TRY \
                 INSERT INTO {t} ({expires}, {id}, {json}) VALUES (@P3, {}, {}); SELECT 1 AS [done]; \
                 END TRY {CAUGHT}",
                key.fits("@P1"),
                payload.fits("@P2"),
                key.value("@P1"),
                payload.value("@P2"),
            ),
            load: format!("SELECT {wide_json} AS [json], {expires} FROM {t} WHERE {this} AND {live}"),
            update: format!(
                "{}UPDATE {t} WITH (ROWLOCK) SET {json} = {}, {expires} = @P4 OUTPUT inserted.{expires} \
                 WHERE {this} AND {live}",
                payload.fits("@P3"),
                payload.value("@P3"),
            ),
            touch: format!(
                "UPDATE {t} WITH (ROWLOCK) SET {expires} = @P3 OUTPUT inserted.{expires} WHERE {this} AND {live}"
            ),
            bury: format!(
                "UPDATE {t} WITH (ROWLOCK) SET {destroyed} = @P3 OUTPUT inserted.{expires} WHERE {this} AND {live}"
            ),
            remove: format!(
                "DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.{expires} WHERE {this} AND {live}"
            ),
            // The first statement takes the lock under which the second one reads.
            rotate_soft: format!(
                "SET NOCOUNT ON; SET XACT_ABORT ON; {rotated_fits}DECLARE @done int = 0; BEGIN TRY \
                 BEGIN TRANSACTION; \
                 UPDATE {t} WITH (ROWLOCK) SET {destroyed} = @P7 WHERE {this} AND {live}; \
                 SET @done = @@ROWCOUNT; \
                 IF @done = 1 INSERT INTO {t} ({expires}, {id}, {json}) \
                 SELECT @P5, {}, {} FROM {t} WHERE {this}; \
                 COMMIT TRANSACTION; \
                 IF @done = 1 SELECT 1 AS [done]; \
                 END TRY BEGIN CATCH \
                 IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; \
                 IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; \
                 SELECT 0 AS [done]; \
                 END CATCH",
                key.value("@P3"),
                replaced("@P4"),
            ),
            rotate_hard: format!(
                "SET NOCOUNT ON; {rotated_fits}BEGIN TRY \
                 UPDATE {t} WITH (ROWLOCK) SET {id} = {}, {json} = {}, {expires} = @P5 WHERE {this} AND {live}; \
                 IF @@ROWCOUNT = 1 SELECT 1 AS [done]; \
                 END TRY {CAUGHT}",
                key.value("@P3"),
                replaced("@P4"),
            ),
            purge: format!(
                "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; \
                 DELETE TOP (@P2) FROM {t} WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE {expires} <= @P1; \
                 SELECT ROWCOUNT_BIG() AS [rows]; \
                 SET DEADLOCK_PRIORITY NORMAL"
            ),
            list: list(""),
            list_after: list(&format!(
                " AND ({id} > {after} OR ({id} = {after} AND DATALENGTH({id}) > DATALENGTH({after})))"
            )),
            count: format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE {expires} > @P1{not_destroyed}"),
            clear: format!("SET NOCOUNT ON; DELETE FROM {t}; SELECT ROWCOUNT_BIG() AS [rows]"),
        }
    }

    /// The table, as a migration has it: TypeORM's, but for columns that hold every character, and one that keeps ids
    /// apart which differ in trailing blanks. It is computed, so that Node, which knows nothing of it, can write the
    /// table.
    pub(super) fn schema(table: &TableName, columns: &ConnectTypeorm) -> String {
        let (t, id, expires) = (table.quoted('[', ']'), columns.id(), columns.expired_at());
        format!(
            "CREATE TABLE {t} (\n    \
             [{expires}] bigint NOT NULL,\n    \
             [{id}] nvarchar(255) {EXACT} NOT NULL,\n    \
             [{}] nvarchar(max) NOT NULL,\n    \
             [{}] datetime2 NULL,\n    \
             [{id}_bytes] AS CAST(DATALENGTH([{id}]) AS int) PERSISTED NOT NULL,\n    \
             CONSTRAINT [{}] PRIMARY KEY CLUSTERED ([{id}], [{id}_bytes])\n\
             );\n\
             CREATE INDEX [{}] ON {t} ([{expires}]);\n",
            columns.json(),
            columns.destroyed_at(),
            columns.primary_key_name(table),
            columns.index_name(table),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of a table which [`Statements::schema`] makes.
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

    fn rendered(statements: Statements) -> Vec<String> {
        let Statements {
            create,
            load,
            update,
            touch,
            bury,
            remove,
            rotate_soft,
            rotate_hard,
            purge,
            list,
            list_after,
            count,
            clear,
        } = statements;
        let [Texts { decoded, bytes }, after] = [list, list_after];
        vec![
            create,
            load,
            update,
            touch,
            bury,
            remove,
            rotate_soft,
            rotate_hard,
            purge,
            decoded,
            bytes,
            after.decoded,
            after.bytes,
            count,
            clear,
        ]
    }

    #[test]
    fn every_statement_names_the_table_and_leaves_no_place_unfilled() {
        for shape in [OURS, of_node()] {
            for statement in rendered(of(&shape)) {
                assert!(statement.contains("[web].[session]"), "{statement}");
                assert!(!statement.contains(['{', '}']), "{statement}");
            }
        }
    }

    #[test]
    fn no_statement_reads_a_clock_or_names_no_columns() {
        for shape in [OURS, of_node()] {
            for statement in rendered(of(&shape)) {
                for word in ["GETDATE", "GETUTCDATE", "CURRENT_TIMESTAMP", "TRUNCATE", "SELECT *", "MERGE"] {
                    assert!(!statement.contains(word), "{word} in {statement}");
                }
            }
        }
    }

    #[test]
    fn an_id_is_searched_as_the_column_is_and_then_compared_exactly() {
        assert!(of(&OURS).load.ends_with(
            "FROM [web].[session] WHERE [id] = @P1 AND [id] COLLATE Latin1_General_BIN2 = @P1 \
             AND DATALENGTH([id]) = DATALENGTH(@P1) AND [expiredAt] > @P2 AND [destroyedAt] IS NULL"
        ));
        assert!(of(&of_node()).load.ends_with(
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
            let (exact, live) =
                ("COLLATE Latin1_General_BIN2 = @P1", "[expiredAt] > @P2 AND [destroyedAt] IS NULL");
            for write in [
                &statements.update,
                &statements.touch,
                &statements.bury,
                &statements.remove,
                &statements.rotate_soft,
                &statements.rotate_hard,
            ] {
                assert!(write.contains(exact) && write.contains(live), "{write}");
            }
        }
    }

    #[test]
    fn what_a_code_page_does_not_hold_is_not_written() {
        for write in [of(&of_node()).create, of(&of_node()).update, of(&of_node()).rotate_soft] {
            assert!(write.contains("THROW 50001"), "{write}");
        }
        for write in rendered(of(&OURS)) {
            assert!(!write.contains("50001"), "{write}");
        }
    }

    #[test]
    fn without_the_column_for_it_nothing_asks_what_is_destroyed() {
        let shape = Shape { tombstones: false, ..of_node() };
        let statements = of(&shape);
        for statement in [statements.create, statements.load, statements.remove, statements.rotate_hard] {
            assert!(!statement.contains("destroyedAt"), "{statement}");
        }
    }

    #[test]
    fn the_table_holds_every_text_and_has_typeorm_s_names() {
        let schema = Statements::schema(&table(), &ConnectTypeorm::new());
        assert!(schema.contains("[id] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL"), "{schema}");
        assert!(schema.contains("[json] nvarchar(max) NOT NULL"), "{schema}");
        assert!(schema.contains(
            "CONSTRAINT [PK_f55da76ac1c3ac420f444d2ff11] PRIMARY KEY CLUSTERED ([id], [id_bytes])"
        ));
        assert!(
            schema.contains("CREATE INDEX [IDX_28c5d1d16da7908c97c9bc2f74] ON [web].[session] ([expiredAt])")
        );
    }
}
