//! A statement of this dialect, and ways of sending one that several operations share.

use session_core::contract::Created;
use session_core::{ErrorKind, Result};

use super::number::DUPLICATE;
use crate::{Bound, Dialect, Run, Statement, value};

/// The one number that a statement answers with, if it does.
pub(super) async fn number_of<R: Run>(run: &R, statement: Bound<'_>) -> Result<Option<i64>> {
    let read = |row: &R::Row| R::columns(row, |[number]| value::bigint("number", number));
    run.read(statement, read).await?.into_iter().next().transpose()
}

pub(super) fn statement(template: impl AsRef<str>) -> Statement {
    Statement::new(Dialect::Mysql, template)
}

/// Makes a row. `is_taken` finds a row if the key is taken: the server's number is the same for a unique index that
/// somebody added, and another id would not help there.
pub(super) async fn create_row<R: Run>(run: &R, create: Bound<'_>, is_taken: Bound<'_>) -> Result<Created> {
    let mut tries = 2;
    loop {
        let refused = match run.execute(create).await {
            Ok(_) => return Ok(Created::Created),
            Err(error) if error.code() == Some(DUPLICATE) => error,
            Err(error) => return Err(error),
        };
        // Whatever becomes of the look, the server has refused the row.
        let found = run.read(is_taken, |_| ()).await.map_err(|error| error.with_in_doubt(false))?;
        if !found.is_empty() {
            return Ok(Created::KeyTaken);
        }
        tries -= 1;
        // Or the row that had the key was removed before it was looked for.
        if tries == 0 {
            return Err(refused);
        }
    }
}

/// Runs a part of a work of several statements, of which the ones before changed so many rows. Once there are any, it tries
/// again a few times where the server gave it up, and any other error leaves in doubt what was done in all.
pub(super) async fn execute_part<R: Run>(run: &R, statement: Bound<'_>, before: u64) -> Result<u64> {
    let mut tries = 4;
    loop {
        tries -= 1;
        match run.execute(statement).await {
            Err(error) if before > 0 && tries > 0 && error.kind() == ErrorKind::Conflict => {}
            Err(error) if before > 0 => return Err(error.with_in_doubt(true)),
            outcome => return outcome,
        }
    }
}
