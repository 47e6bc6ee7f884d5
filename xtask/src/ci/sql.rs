//! SQL is prose, and stands in one place for each dialect: in files named after statements.

use std::path::Path;

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Counts, source};

/// The crates that are searched. The suite is not: it knows no SQL, and it says `update` and `from` often.
const CRATES: &[&str] = &[".", "session-core", "session-sqlite", "session-diesel", "session-mssql"];

/// Files whose subject is SQL.
const HOMES: &[&str] = &["statement", "ddl", "layout"];

/// Words that only SQL puts side by side, in any case. Between those of a pair other words may stand.
const PHRASES: &[(&str, &str)] = &[
    ("select", "from"),
    ("insert", "into"),
    ("update", "set"),
    ("delete", "from"),
    ("merge", "into"),
    ("merge", "using"),
    ("create", "table"),
    ("create", "index"),
    ("alter", "table"),
    ("drop", "table"),
    ("truncate", "table"),
    ("order", "by"),
];

/// Words that begin a statement or a clause if they are written in capitals.
const OPENINGS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "PRAGMA",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "WHERE",
    "WITH",
    "SET",
    "VALUES",
    "RETURNING",
    "ON",
    "FOR",
    "EXPLAIN",
    "EXEC",
];

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
    let words: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let phrase = PHRASES.iter().any(|(first, second)| match *first {
        // Anything may stand between these two; an English sentence has neither word as its first.
        "select" | "update" => {
            words.first().is_some_and(|word| word == first) && words.iter().any(|word| word == second)
        }
        _ => words.windows(2).any(|pair| pair[0] == *first && pair[1] == *second),
    });
    let first = text.split_whitespace().next().unwrap_or_default();
    phrase || OPENINGS.contains(&first.trim_end_matches([';', '(']))
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
            "COMMIT;",
            " WHERE key = ?",
            "... ORDER BY key",
        ] {
            assert!(is_sql(text), "{text}");
        }
    }

    #[test]
    fn sentences_are_not() {
        for text in [
            "the table has no column `version`; create it or choose another table",
            "select another table",
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
