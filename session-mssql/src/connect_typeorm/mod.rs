//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod look;
mod operations;
mod schema;
mod statements;

use std::sync::OnceLock;

use session_core::{
    Capabilities, Error, ErrorKind, Finding, Gathering, KeyFormat, Result, Severity, TableName,
};
use session_sql::{
    ConnectTypeorm, Dialect, Expectation, ExpectedColumn, ExpectedIndex, FoundColumn, Statement,
};

use crate::diagnose::columns;
use crate::run::Connections;
use crate::shared::{EXACT_COLLATION, create_once, quoted, quoted_table};
use look::{is_narrow, look};
use statements::Statements;

/// A table of the Node package connect-typeorm, shared with a Node application.
#[derive(Debug)]
pub(crate) struct Typeorm {
    table: TableName,
    names: ConnectTypeorm,
    schema: String,
    create_table: Statement,
    length_column: String,
    /// From the first look at a table that is there.
    statements: OnceLock<Statements>,
}

impl Typeorm {
    pub(crate) fn new(table: TableName, names: ConnectTypeorm) -> Typeorm {
        let schema = schema::schema(&table, &names);
        Typeorm {
            create_table: create_once(&table, &schema),
            length_column: schema::length_column(&names),
            statements: OnceLock::new(),
            schema,
            table,
            names,
        }
    }

    /// The same for the table as it is: whether it has the column that marks destroyed sessions, and what its columns
    /// hold. One that is not there yet will have it.
    pub(crate) async fn looking(self, run: &Connections) -> Result<Typeorm> {
        let columns = columns(run, &self.table).await?;
        if columns.is_empty() {
            return Ok(self);
        }
        let has = self.has_destroyed_at(&columns);
        let names = self.names.with_destroyed_at(has);
        let statements = OnceLock::from(look(&columns, &self.table, &names)?);
        Ok(Typeorm { statements, ..Typeorm::new(self.table, names) })
    }

    pub(crate) fn table(&self) -> &TableName {
        &self.table
    }

    pub(crate) fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// Makes the table where it is missing, safe when called at once by many.
    pub(crate) fn create_table(&self) -> &Statement {
        &self.create_table
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.names.capabilities()
    }

    pub(crate) fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    pub(crate) fn gathering(&self) -> Gathering {
        Gathering::OFF
    }

    /// The column with the id's length in a table that we made: it says nothing that the id does not.
    pub(crate) fn length_column(&self) -> Option<&str> {
        Some(&self.length_column)
    }

    /// The types that TypeORM makes are narrower than ours, and no fault as long as nobody needs more.
    pub(crate) fn expectation(&self) -> Expectation<'_> {
        let [id, expired_at, json] = [self.names.id(), self.names.expired_at(), self.names.json()];
        Expectation {
            dialect: Dialect::Mssql,
            table: &self.table,
            key: id,
            columns: vec![
                ExpectedColumn::new(id, "nvarchar(255)")
                    .or(&["varchar(255)"])
                    .collated(EXACT_COLLATION, Severity::Warning),
                ExpectedColumn::new(expired_at, "bigint"),
                ExpectedColumn::new(json, "nvarchar(max)").or(&["varchar(max)", "text"]),
            ],
            indexes: vec![ExpectedIndex {
                column: expired_at,
                without: "a purge reads and locks the whole table",
                remedy: schema::index(&self.table, &self.names),
            }],
        }
    }

    /// What there is to say of the columns besides.
    pub(crate) fn judge(&self, columns: &[FoundColumn]) -> Vec<Finding> {
        let expectation = self.expectation();
        let find = |name| expectation.find(columns, name);
        let texts = [self.names.id(), self.names.json()].into_iter().filter_map(find);
        let mut findings: Vec<Finding> = texts
            .filter(|column| is_narrow(column))
            .map(|column| {
                let (name, table) = (&column.name, quoted_table(&self.table));
                Finding::warning(
                    format!(
                        "the column {name} holds the characters of the code page of {} alone, and others are refused",
                        column.collation
                    ),
                    format!(
                        "ALTER TABLE {table} ALTER COLUMN {} nvarchar, as it stands in `schema_sql`",
                        quoted(name)
                    ),
                )
            })
            .collect();
        findings.extend(self.names.judge_destroyed_at(self.has_destroyed_at(columns)));
        findings
    }

    fn has_destroyed_at(&self, columns: &[FoundColumn]) -> bool {
        self.expectation().find(columns, self.names.destroyed_at()).is_some()
    }

    /// Those for the table as it was at the first look.
    async fn statements(&self, run: &Connections) -> Result<&Statements> {
        if let Some(statements) = self.statements.get() {
            return Ok(statements);
        }
        let columns = columns(run, &self.table).await?;
        if columns.is_empty() {
            let what = "the table is not there; call `create_table`, run the statements of `schema_sql`, or check the \
                        schema";
            return Err(refused(what, "208"));
        }
        if let Some(finding) = self.names.judge_destroyed_at(self.has_destroyed_at(&columns))
            && finding.severity == Severity::Fault
        {
            return Err(refused(&format!("{}; {}", finding.what, finding.remedy), "207"));
        }
        let statements = look(&columns, &self.table, &self.names)?;
        Ok(self.statements.get_or_init(|| statements))
    }
}

/// An error with the number that the server would give, had it been asked.
fn refused(what: &str, number: &str) -> Error {
    Error::new(ErrorKind::Backend, what).with_code(number).with_in_doubt(false)
}
