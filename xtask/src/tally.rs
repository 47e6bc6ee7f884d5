//! What passed and failed, added up over several commands in a file: a line of two numbers each, and a line for each
//! thing to know about what failed, so that it can be said last, where a reader of a long log looks first.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Before a line about what failed.
const FAILED: &str = "FAILED ";

/// Adds to the file, if there is to be one.
pub(crate) fn add(file: Option<&Path>, passed: usize, failed: usize, failures: &[String]) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    let mut text = format!("{passed} {failed}\n");
    for line in failures.iter().flat_map(|failure| failure.lines()) {
        text.extend([FAILED, line, "\n"]);
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}
