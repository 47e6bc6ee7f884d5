//! Counts of what passed and failed, added up over several commands in a file: a line of two numbers each.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Adds to the file, if there is to be one.
pub(crate) fn add(file: Option<&Path>, passed: usize, failed: usize) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{passed} {failed}"))
        .with_context(|| format!("{} cannot be written", path.display()))
}
