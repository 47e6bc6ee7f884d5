//! SQL is prose, and stands in one place for each dialect: in files named after statements.

use std::path::Path;

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Counts, source};

/// The crates that are searched. The suite is not: it knows no SQL, and it says `update` and `from` often.
const CRATES: &[&str] = &[".", "session-core", "session-sqlite", "session-diesel", "session-mssql"];

/// Files whose subject is SQL: the statements, the table's definition, and what the doctor asks the catalogue and advises.
/// What is asked of a foreign table stands in a file of that table's name.
const HOMES: &[&str] = &["statement", "ddl", "layout", "diagnose", "connect_mssql_v2"];

/// Words that begin a statement or a clause if they are written in capitals.
const OPENINGS: &[&str] = &[
    "ALTER",
    "BEGIN",
    "CREATE",
    "DELETE",
    "DROP",
    "EXEC",
    "EXPLAIN",
    "FROM",
    "INSERT",
    "MERGE",
    "ORDER",
    "PRAGMA",
    "RETURNING",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "TRUNCATE",
    "UPDATE",
    "VALUES",
    "WHERE",
    "WITH",
];

/// The same in small letters says SQL only together with the second word, somewhere after it.
const PHRASES: &[(&str, &str)] = &[
    ("select", "from"),
    ("insert", "into"),
    ("update", "set"),
    ("delete", "from"),
    ("merge", "using"),
    ("create", "table"),
    ("create", "index"),
    ("alter", "table"),
    ("drop", "table"),
    ("order", "by"),
];

/// The ends of a transaction are the same in all dialects, and nothing can be bound to them.
const COMMON: &[&str] = &["BEGIN", "COMMIT", "ROLLBACK"];

pub(super) fn check(_: &crate::workspace::Metadata) -> Result<Counts> {
    let mut findings = Vec::new();
    for source in source::read(CRATES)? {
        if is_home(&source.path) {
            continue;
        }
        for (line, text) in literals(&source.syntax).into_iter().filter(|(_, text)| is_sql(text)) {
            let start: String = text.chars().take(60).collect();
            findings.push(format!(
                "{}:{line}: SQL outside of a statement file: {start:?}",
                source.path.display()
            ));
        }
    }
    Ok(Counts::of_findings(&findings))
}

fn is_home(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        HOMES.iter().any(|home| name.starts_with(home))
    })
}

fn is_sql(text: &str) -> bool {
    if COMMON.contains(&text) {
        return false;
    }
    // `{table} SET …` is a clause, too.
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    while let Some((_, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        rest = after.trim_start();
    }
    let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let Some(first) = words.next().filter(|first| rest.starts_with(first)) else { return false };
    let phrase = PHRASES.iter().find(|(start, _)| *start == first);
    OPENINGS.contains(&first) || phrase.is_some_and(|(_, second)| words.any(|word| word == *second))
}

/// The text literals of a file with their lines, without those of tests, documentation and other attributes.
fn literals(file: &syn::File) -> Vec<(usize, String)> {
    let mut collector = Collector(Vec::new());
    collector.visit_file(file);
    collector.0
}

struct Collector(Vec<(usize, String)>);

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !source::is_test(source::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.push((literal.span().start().line, literal.value()));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

impl Collector {
    /// A macro's arguments are tokens, which no visitor looks into.
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.0.push((line, text.value()));
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_and_clauses_are_sql() {
        for text in [
            "SELECT 1",
            "select payload from sessions",
            "insert into t values (?)",
            "  UPDATE t SET a = 1",
            "CREATE TABLE IF NOT EXISTS t (a int)",
            " WHERE key = ?",
            "{columns} FROM {table}",
            "BEGIN IMMEDIATE",
        ] {
            assert!(is_sql(text), "{text}");
        }
    }

    #[test]
    fn sentences_are_not() {
        for text in [
            "COMMIT",
            "a right is missing; grant SELECT and CREATE TABLE",
            "the table has no column `version`; create it or choose another table",
            "update the table's definition",
            "an update from another session came first",
            "sessions",
            "delete",
            "",
        ] {
            assert!(!is_sql(text), "{text}");
        }
    }

    #[test]
    fn literals_of_tests_and_documentation_do_not_count() {
        let file = syn::parse_file(
            r#"
            /// SELECT in a doc
            fn f() { g("one"); format!("two {}", h(["three"])); }
            #[cfg(test)]
            mod tests { fn f() { g("four"); } }
            "#,
        )
        .expect("it parses");
        let texts: Vec<_> = literals(&file).into_iter().collect();
        assert_eq!(texts, [(3, "one".to_owned()), (3, "two {}".to_owned()), (3, "three".to_owned())]);
    }
}
