//! What came of each fault, kept in a file: a run of all takes hours, and is done in parts.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// What came of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The case that failed first.
    Found(String),
    NotFound,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Found(case) => write!(f, "found by {case}"),
            Verdict::NotFound => f.write_str("NOT FOUND"),
        }
    }
}

pub(crate) struct Results {
    file: File,
    by_id: HashMap<String, Verdict>,
}

impl Results {
    /// Opens the file, or makes it. With `again` it forgets what was not found.
    pub(crate) fn open(path: &Path, again: bool) -> Result<Results> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut by_id = HashMap::new();
        for (id, case) in text.lines().filter_map(|line| line.split_once('\t')) {
            let verdict = if case.is_empty() { Verdict::NotFound } else { Verdict::Found(case.to_owned()) };
            by_id.insert(id.to_owned(), verdict);
        }
        if again {
            by_id.retain(|_, verdict| *verdict != Verdict::NotFound);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Results { file: file.with_context(|| format!("{} cannot be written", path.display()))?, by_id })
    }

    pub(crate) fn of(&self, id: &str) -> Option<&Verdict> {
        self.by_id.get(id)
    }

    pub(crate) fn add(&mut self, id: &str, verdict: Verdict) {
        let case = match &verdict {
            Verdict::Found(case) => case,
            Verdict::NotFound => "",
        };
        if let Err(error) = writeln!(self.file, "{id}\t{case}") {
            eprintln!("the result of {id} is not kept: {error}");
        }
        self.by_id.insert(id.to_owned(), verdict);
    }
}
