//! A statement of this dialect, and ways of sending one that several operations share.

use session_core::{ErrorKind, Result};

use crate::{Bound, Dialect, Run, Statement, value};

/// The one number that a statement answers with, if it does.
pub(super) async fn number_of<R: Run>(run: &R, statement: Bound<'_>) -> Result<Option<i64>> {
    let read = |row: &R::Row| R::columns(row, |[number]| value::bigint("number", number));
    run.read(statement, read).await?.into_iter().next().transpose()
}

pub(super) fn statement(template: impl AsRef<str>) -> Statement {
    Statement::new(Dialect::Mysql, template)
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
