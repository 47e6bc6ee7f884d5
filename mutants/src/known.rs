//! The faults that need not be found, and why.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What `known.txt` says.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<String, String>);

impl Known {
    /// Reads the list: on each line a fault's id, a bar, `equivalent` or `speed`, a colon, and why.
    pub(crate) fn read(file: &Path) -> Result<Known> {
        let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Known::of(&text)
    }

    fn of(text: &str) -> Result<Known> {
        let mut known = HashMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let parts = line.split_once(" | ").and_then(|(id, why)| Some((id, why.split_once(": ")?, why)));
            let Some((id, ("equivalent" | "speed", _), why)) = parts else {
                bail!("known.txt has a line that is not `ID | equivalent: WHY` or `ID | speed: WHY`: {line}");
            };
            if known.insert(id.trim().to_owned(), why.to_owned()).is_some() {
                bail!("known.txt has {id} twice");
            }
        }
        Ok(Known(known))
    }

    /// Why a fault need not be found.
    pub(crate) fn why(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_id_a_kind_and_a_reason() {
        let known = Known::of("# no fault\n\nsqlite-1 | speed: it is slower\nhandle: x | equivalent: a: b\n");
        let known = known.unwrap_or_default();
        assert_eq!(known.why("sqlite-1"), Some("speed: it is slower"));
        assert_eq!(known.why("handle: x"), Some("equivalent: a: b"));
        for wrong in ["sqlite-1", "sqlite-1 | because", "a | speed: x\na | speed: y"] {
            assert!(Known::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_can_be_read() {
        assert!(Known::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("known.txt")).is_ok());
    }
}
