//! How a table should look, and what a doctor says of one that does not.

use session_core::{Finding, Severity, TableName};

use crate::Dialect;

/// How a layout's table should look. Every doctor speaks from one.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    /// Whose words the remedies are in.
    pub dialect: Dialect,
    /// The table.
    pub table: &'a TableName,
    /// The column of the key, which must be unique by itself.
    pub key: &'a str,
    /// The columns.
    pub columns: Vec<ExpectedColumn<'a>>,
    /// The indexes besides the key's.
    pub indexes: Vec<ExpectedIndex<'a>>,
}

/// A column as it should be.
#[derive(Clone, Debug)]
pub struct ExpectedColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// The types that do, in the spelling of [`FoundColumn::kind`]; the one of `schema_sql` first.
    pub kinds: Vec<&'a str>,
    /// It must not take NULL.
    pub required: bool,
    /// How it must compare texts; `None` if nothing compares it.
    pub collation: Option<ExpectedCollation<'a>>,
    /// What is lost without the column, if it may be missing.
    pub without: Option<&'a str>,
}

/// How a column must compare texts: by their bytes.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedCollation<'a> {
    /// The collation that does so, as a remedy.
    pub exact: &'a str,
    /// How bad another one is that takes different texts for equal.
    pub severity: Severity,
}

/// An index as it should be.
#[derive(Clone, Debug)]
pub struct ExpectedIndex<'a> {
    /// Its first column.
    pub column: &'a str,
    /// What is slow without it: "a purge reads the whole table".
    pub without: &'a str,
    /// How to make it.
    pub remedy: String,
}

/// A column as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type, in the one spelling that the dialect's doctor gives it.
    pub kind: String,
    /// It takes NULL.
    pub nullable: bool,
    /// Its collation; empty if it has none.
    pub collation: String,
    /// Different texts are different values in it.
    pub exact: bool,
}

/// An index as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundIndex {
    /// Its columns, in their order.
    pub columns: Vec<String>,
    /// No two rows have the same values in them.
    pub unique: bool,
}

impl<'a> ExpectedColumn<'a> {
    /// A column of this type that is never NULL, and that nothing compares.
    pub fn new(name: &'a str, kind: &'a str) -> ExpectedColumn<'a> {
        ExpectedColumn { name, kinds: vec![kind], required: true, collation: None, without: None }
    }

    /// The same, which may be NULL.
    #[must_use]
    pub fn nullable(self) -> ExpectedColumn<'a> {
        ExpectedColumn { required: false, ..self }
    }

    /// The same, of which other types do as well.
    #[must_use]
    pub fn or(mut self, kinds: &[&'a str]) -> ExpectedColumn<'a> {
        self.kinds.extend(kinds);
        self
    }

    /// The same, which compares texts by their bytes.
    #[must_use]
    pub fn collated(self, exact: &'a str, severity: Severity) -> ExpectedColumn<'a> {
        ExpectedColumn { collation: Some(ExpectedCollation { exact, severity }), ..self }
    }

    /// The same, which may be missing: then this is lost.
    #[must_use]
    pub fn optional(self, without: &'a str) -> ExpectedColumn<'a> {
        ExpectedColumn { without: Some(without), ..self }
    }
}

impl Expectation<'_> {
    /// What is said of a table that is not there.
    pub fn missing(&self, schema_sql: &str) -> Finding {
        Finding::fault(
            format!("the table {} is missing", self.table),
            format!("call `create_table`, or run this: {schema_sql}"),
        )
    }

    /// Compares the table with the one that there is.
    pub fn judge(&self, columns: &[FoundColumn], indexes: &[FoundIndex]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for wanted in &self.columns {
            match self.find(columns, wanted.name) {
                Some(found) => self.judge_column(wanted, found, &mut findings),
                None => findings.push(self.missing_column(wanted)),
            }
        }
        self.judge_indexes(indexes, &mut findings);
        findings
    }

    /// The column of this name.
    pub fn find<'f>(&self, columns: &'f [FoundColumn], name: &str) -> Option<&'f FoundColumn> {
        columns.iter().find(|column| self.dialect.is_same_column(&column.name, name))
    }

    fn missing_column(&self, wanted: &ExpectedColumn<'_>) -> Finding {
        let name = wanted.name;
        let remedy = format!("{}, as it stands in `schema_sql`", self.add(wanted));
        match wanted.without {
            None => Finding::fault(format!("the column {name} is missing"), remedy),
            Some(without) => Finding::warning(format!("there is no column {name}: {without}"), remedy),
        }
    }

    fn judge_column(&self, wanted: &ExpectedColumn<'_>, found: &FoundColumn, findings: &mut Vec<Finding>) {
        let (name, kind) = (wanted.name, wanted.kinds.first().copied().unwrap_or_default());
        // What these are not told again, a change of the column takes away.
        let still_required = match self.dialect {
            Dialect::Mysql | Dialect::Mssql if wanted.required => " NOT NULL",
            _ => "",
        };
        if !wanted.kinds.iter().any(|kind| found.kind.eq_ignore_ascii_case(kind)) {
            findings.push(Finding::fault(
                format!("the column {name} is {}, not {kind}", found.kind),
                self.change(name, kind, still_required),
            ));
        }
        if wanted.required && found.nullable {
            findings.push(Finding::warning(
                format!("the column {name} may be NULL, which makes a session unreadable"),
                match self.dialect {
                    Dialect::Postgres => format!("{} SET NOT NULL", self.alter_column(name)),
                    _ => self.change(name, &found.kind, " NOT NULL"),
                },
            ));
        }
        if let Some(ExpectedCollation { exact, severity }) = wanted.collation
            && !found.exact
        {
            let collation = match self.dialect {
                Dialect::Postgres => format!(" COLLATE \"{exact}\""),
                _ => format!(" COLLATE {exact}{still_required}"),
            };
            findings.push(Finding {
                severity,
                what: format!(
                    "the collation {} of the column {name} takes different texts for equal",
                    found.collation
                ),
                remedy: self.change(name, &found.kind, &collation),
            });
        }
    }

    fn judge_indexes(&self, found: &[FoundIndex], findings: &mut Vec<Finding>) {
        let is = |column: &String, name: &str| self.dialect.is_same_column(column, name);
        let key = self.key;
        if !found.iter().any(|index| index.unique && index.columns.len() == 1 && is(&index.columns[0], key)) {
            findings.push(Finding::fault(
                format!("the column {key} is not unique by itself, so that two sessions can have one key"),
                match self.dialect {
                    Dialect::Sqlite => self.anew(),
                    _ => format!("ALTER TABLE {} ADD PRIMARY KEY ({})", self.name(), self.quoted(key)),
                },
            ));
        }
        for index in found.iter().filter(|index| index.unique && !index.columns.is_empty()) {
            if !index.columns.iter().any(|column| is(column, key)) {
                let columns = index.columns.join(", ");
                findings.push(Finding::fault(
                    format!("a unique index on {columns} is not this layout's: the sessions that it refuses are lost"),
                    format!("drop it; an index on {columns} that is not unique does no harm"),
                ));
            }
        }
        for wanted in &self.indexes {
            let begins =
                |index: &FoundIndex| index.columns.first().is_some_and(|first| is(first, wanted.column));
            if !found.iter().any(begins) {
                findings.push(Finding::warning(
                    format!("there is no index on {}: {}", wanted.column, wanted.without),
                    wanted.remedy.clone(),
                ));
            }
        }
    }

    fn add(&self, wanted: &ExpectedColumn<'_>) -> String {
        let column = match self.dialect {
            Dialect::Mssql => "",
            _ => "COLUMN ",
        };
        let kind = wanted.kinds.first().copied().unwrap_or_default();
        format!("ALTER TABLE {} ADD {column}{} {kind}", self.name(), self.quoted(wanted.name))
    }

    /// The statement that gives a column another type or another quality.
    fn change(&self, name: &str, kind: &str, quality: &str) -> String {
        match self.dialect {
            Dialect::Postgres => format!("{} TYPE {kind}{quality}", self.alter_column(name)),
            Dialect::Mysql => {
                format!("ALTER TABLE {} MODIFY {} {kind}{quality}", self.name(), self.quoted(name))
            }
            Dialect::Mssql => format!("{} {kind}{quality}", self.alter_column(name)),
            Dialect::Sqlite => self.anew(),
        }
    }

    fn alter_column(&self, name: &str) -> String {
        format!("ALTER TABLE {} ALTER COLUMN {}", self.name(), self.quoted(name))
    }

    fn anew(&self) -> String {
        "compare the table with `schema_sql`; SQLite changes a column by making the table anew".to_owned()
    }

    fn name(&self) -> String {
        let (open, close) = self.dialect.quotes();
        self.table.quoted(open, close)
    }

    fn quoted(&self, column: &str) -> String {
        self.dialect.quoted(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(dialect: Dialect, table: &TableName) -> Expectation<'_> {
        Expectation {
            dialect,
            table,
            key: "key",
            columns: vec![
                ExpectedColumn::new("key", "text").or(&["varchar"]).collated("C", Severity::Fault),
                ExpectedColumn::new("version", "bigint"),
                ExpectedColumn::new("gone", "bigint").nullable().optional("nothing is kept"),
            ],
            indexes: vec![ExpectedIndex {
                column: "version",
                without: "it is slow",
                remedy: "make it".to_owned(),
            }],
        }
    }

    fn column(name: &str, kind: &str) -> FoundColumn {
        FoundColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            nullable: false,
            collation: String::new(),
            exact: true,
        }
    }

    fn index(columns: &[&str], unique: bool) -> FoundIndex {
        FoundIndex { columns: columns.iter().map(|&column| column.to_owned()).collect(), unique }
    }

    #[test]
    fn nothing_is_said_of_a_table_that_is_as_it_should_be() {
        let table = TableName::new("s").unwrap();
        let columns = [column("key", "varchar"), column("version", "bigint"), column("gone", "bigint")];
        let indexes = [index(&["version", "key"], false), index(&["key"], true)];
        assert_eq!(expectation(Dialect::Postgres, &table).judge(&columns, &indexes), []);
    }

    #[test]
    fn each_fault_is_named_with_a_remedy_in_the_dialect_s_own_words() {
        let table = TableName::new("web.s").unwrap();
        let key = FoundColumn { exact: false, collation: "ci".to_owned(), ..column("key", "text") };
        let version = FoundColumn { nullable: true, ..column("version", "integer") };
        let remedies = |dialect| {
            let findings = expectation(dialect, &table).judge(&[key.clone(), version.clone()], &[]);
            let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
            use Severity::{Fault, Warning};
            assert_eq!(severities, [Fault, Fault, Warning, Warning, Fault, Warning], "{findings:?}");
            findings.into_iter().map(|finding| finding.remedy).collect::<Vec<_>>()
        };
        assert_eq!(
            remedies(Dialect::Postgres),
            [
                r#"ALTER TABLE "web"."s" ALTER COLUMN "key" TYPE text COLLATE "C""#,
                r#"ALTER TABLE "web"."s" ALTER COLUMN "version" TYPE bigint"#,
                r#"ALTER TABLE "web"."s" ALTER COLUMN "version" SET NOT NULL"#,
                r#"ALTER TABLE "web"."s" ADD COLUMN "gone" bigint, as it stands in `schema_sql`"#,
                r#"ALTER TABLE "web"."s" ADD PRIMARY KEY ("key")"#,
                "make it"
            ]
        );
        assert_eq!(remedies(Dialect::Mysql)[2], "ALTER TABLE `web`.`s` MODIFY `version` integer NOT NULL");
        assert_eq!(
            remedies(Dialect::Mssql)[1],
            "ALTER TABLE [web].[s] ALTER COLUMN [version] bigint NOT NULL"
        );
        assert_eq!(
            remedies(Dialect::Mssql)[3],
            "ALTER TABLE [web].[s] ADD [gone] bigint, as it stands in `schema_sql`"
        );
        assert!(remedies(Dialect::Sqlite)[4].contains("schema_sql"));
    }

    #[test]
    fn a_unique_index_without_the_key_is_a_fault() {
        let table = TableName::new("s").unwrap();
        let columns = [column("key", "text"), column("version", "bigint"), column("gone", "bigint")];
        let indexes = [index(&["key"], true), index(&["version"], true), index(&["version", "key"], true)];
        let findings = expectation(Dialect::Postgres, &table).judge(&columns, &indexes);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].what.contains("unique index on version"), "{findings:?}");
        assert!(findings[0].remedy.contains("drop it"), "{findings:?}");
    }

    #[test]
    fn a_key_that_is_unique_with_another_column_alone_is_a_fault() {
        let table = TableName::new("s").unwrap();
        let columns = [column("key", "text"), column("version", "bigint"), column("gone", "bigint")];
        let indexes = [index(&["key", "version"], true), index(&["key"], false), index(&["version"], false)];
        let findings = expectation(Dialect::Postgres, &table).judge(&columns, &indexes);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].what.contains("not unique"), "{findings:?}");
    }

    #[test]
    fn names_are_the_same_in_any_case_but_on_postgres() {
        let table = TableName::new("s").unwrap();
        let columns = [column("KEY", "text"), column("Version", "BIGINT"), column("gone", "bigint")];
        let indexes = [index(&["Key"], true), index(&["VERSION"], false)];
        assert_eq!(expectation(Dialect::Mysql, &table).judge(&columns, &indexes), []);
        assert!(!expectation(Dialect::Postgres, &table).judge(&columns, &indexes).is_empty());
    }
}
