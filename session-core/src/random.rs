//! Random bits of the operating system.

use crate::{Error, ErrorKind, Result};

/// Random bytes for `what`, which names it in the error.
pub(crate) fn bytes<const N: usize>(what: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Backend, format!("the operating system gave no random numbers for {what}"))
            .with_in_doubt(false)
            .with_source(error)
    })?;
    Ok(bytes)
}
