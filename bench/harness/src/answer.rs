//! What the runner hears: one JSON object a line.

use std::io::{Write, stdout};

use serde_json::{Value, json};

use crate::Result;

/// Tells the runner that the measured part begins or ends, so that it can read the server's clocks then.
pub(crate) fn announce(event: &str) -> Result<()> {
    answer(&json!({"event": event}))
}

/// Says a line.
pub(crate) fn answer(value: &Value) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
