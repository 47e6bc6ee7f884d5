//! No type of a driver in a public signature: the driver could otherwise not be changed without breaking users.
//!
//! A search of the text, which knows a driver's types by a file's imports, and looks at what begins with `pub`: rustfmt and
//! the lint `unreachable_pub` see to it that public items do, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DRIVERS: [&str; 7] =
    ["diesel", "diesel_async", "mysql_async", "rusqlite", "sqlx", "tiberius", "tokio_postgres"];

/// Where a driver's type is the point: what a user who already has a pool or a connection hands over, each documented as bound
/// to the driver's version. The folder, and how the item begins.
const ALLOWED: &[(&str, &str)] = &[
    ("session-diesel/src", "pub use diesel"),
    ("session-mssql/src", "pub use tiberius"),
    ("session-sqlx/src", "pub use sqlx"),
    // The application's own pool.
    ("session-diesel/src", "pub fn pool("),
    ("session-sqlx/src", "pub fn pool("),
    // The application's own connection, and the transaction on it.
    ("session-sqlx/src", "pub async fn begin("),
    ("session-sqlx/src", "pub trait Speaks"),
    // The driver's configuration, which has more than a URL can say.
    ("session-mssql/src", "pub fn new(config"),
    ("session-mssql/src", "pub fn config("),
];

#[test]
fn no_public_signature_shows_a_drivers_type() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for krate in ["core", "diesel", "mssql", "sql", "sqlite", "sqlx"] {
        sources(&root.join(format!("session-{krate}/src")), &mut files);
    }
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 100, "only {} files", files.len());
    let mut findings = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("it can be read");
        let path = path.strip_prefix(root).expect("it is in the workspace");
        let is_allowed = |item: &&str| {
            ALLOWED.iter().any(|(folder, start)| path.starts_with(folder) && item.starts_with(start))
        };
        let shown = shown(&text).into_iter().filter(|item| !is_allowed(item));
        findings.extend(shown.map(|item| format!("{}: {item}", path.display())));
    }
    assert_eq!(findings, Vec::<String>::new());
}

/// The files below a folder, without those of tests.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// The public items of a file that name a driver's type, up to their body or end.
fn shown(text: &str) -> Vec<&str> {
    let code = text.split_once("#[cfg(test)]").map_or(text, |(code, _)| code);
    let mut names: BTreeSet<_> = DRIVERS.into();
    // Not in the sentence of a comment.
    let begins = |at: usize| {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        before.is_empty() || before.starts_with("pub")
    };
    let uses = code.match_indices("use ").filter(|(at, _)| begins(*at));
    for import in uses.filter_map(|(at, word)| code[at + word.len()..].split(';').next()) {
        if words(import).next().is_some_and(|first| DRIVERS.contains(&first)) {
            // The last names of the paths: `Mine` and `Other` of `{module::Name as Mine, Other}`.
            let last = import.split(['{', '}', ',']).filter_map(|path| words(path).last());
            names.extend(last.filter(|name| *name != "self"));
        }
    }
    let starts = code.match_indices("pub ").map(|(at, _)| at);
    let starts = starts.filter(|&at| code[..at].trim_end_matches(' ').ends_with('\n'));
    let items = starts.filter_map(|at| {
        let (mut depth, mut last) = (0, ' ');
        let end = code[at..].find(|c| {
            match c {
                '(' | '[' | '<' => depth += 1,
                ')' | ']' => depth -= 1,
                '>' if !"-=".contains(last) => depth -= 1,
                _ => {}
            }
            last = c;
            c == '{' || depth == 0 && ";,".contains(c)
        });
        Some(code[at..at + end?].trim_end())
    });
    items.filter(|item| words(item).any(|word| names.contains(word))).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn a_drivers_type_in_a_public_place_is_found() {
    let text = "
use tiberius::{Client as C, error::Error};
pub struct Store {
    pub client: Option<C>,
    inner: C,
}
impl Store {
    pub async fn open<A, B>(
        config: rusqlite::Config,
    ) -> Self {
        let it: C = todo();
    }
    pub(crate) fn inner(&self) -> &C { todo() }
    pub fn name(&self) -> &str { C::name() }
}
pub use tokio_postgres::Row;
";
    let open = "pub async fn open<A, B>(\n        config: rusqlite::Config,\n    ) -> Self";
    assert_eq!(shown(text), ["pub client: Option<C>", open, "pub use tokio_postgres::Row"]);
}
