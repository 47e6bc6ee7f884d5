//! The faults there are.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A fault that can be switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What switches it on.
    pub(crate) id: String,
    /// What is done, and to which statement; empty where the id says it.
    pub(crate) what: String,
    /// The variants that it concerns; all of them, if there is none.
    pub(crate) variants: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.what)
    }
}

/// The crates that have faults in their code.
const CRATES: [&str; 5] = ["session-core", "session-sql", "session-sqlite", "session-diesel", "session-sqlx"];

/// The faults that stand in the code as `broken("…")` and concern this backend. What stands before the colon says where
/// they are.
pub(crate) fn in_code(root: &Path, backend: &str) -> Result<Vec<Fault>> {
    let mut names = BTreeSet::new();
    for krate in CRATES {
        search(&root.join(krate).join("src"), &mut names)?;
    }
    let mut places = vec!["gatherer", "handle"];
    match backend {
        "memory" => {}
        "sqlite" => places.push("sqlite"),
        server => places.extend(["pool", server]),
    }
    names.retain(|name| name.split(':').next().is_some_and(|place| places.contains(&place)));
    Ok(names.into_iter().map(|id| Fault { id, what: String::new(), variants: Vec::new() }).collect())
}

fn search(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(called(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The names with which a text calls `broken`.
fn called(text: &str) -> Vec<String> {
    let calls = text.split("broken(").skip(1).map(str::trim_start).filter_map(|rest| rest.strip_prefix('"'));
    calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_seen_wherever_its_lines_break() {
        let text =
            "if broken(\"handle: a\") || broken(\n    \"handle: b\",\n) { is_broken(name); broken(name) }";
        assert_eq!(called(text), ["handle: a", "handle: b"]);
    }

    #[test]
    fn a_backend_has_the_faults_of_its_own_parts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let of = |backend: &str| in_code(root, backend).unwrap_or_default();
        let has = |backend: &str, place: &str| of(backend).iter().any(|fault| fault.id.starts_with(place));
        assert!(has("memory", "handle:") && has("memory", "gatherer:") && !has("memory", "sqlite:"));
        assert!(has("sqlite", "sqlite:") && !has("sqlite", "pool:"));
        assert!(has("postgres", "pool:") && has("postgres", "postgres:") && !has("postgres", "sqlite:"));
    }
}
