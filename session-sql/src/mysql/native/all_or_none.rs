//! A part of a batch on MySQL, which has no RETURNING. Most often all of its writes fit, and one statement makes all or none.
//! Otherwise their rows are locked and their versions read, which gives every outcome; what fits is changed in one
//! statement; and both are one transaction.

use session_core::contract::Written;
use session_core::{KeyFormat, Result};

use super::answers::{Answer, Rows, answer, of_all, of_live};
use super::many::Forms;
use super::plan::Part;
use crate::{Named, Statement, Transact, Value};

/// Stands for the key of a write that does not fit. No key is empty.
const NO_KEY: Value<'_> = Value::Bytes(Some(b""));

/// Makes the changes of a part, which are of one kind.
pub(super) async fn change<R: Transact>(
    run: &R,
    format: KeyFormat,
    part: &Part<'_>,
    forms: &Forms,
    lock: &Statement,
) -> Result<Vec<Result<Written>>> {
    let rows = i64::try_from(part.writes.len()).unwrap_or(i64::MAX);
    let mut named = part.values.named();
    named.push(("rows", rows.into()));
    if run.execute(forms.all.bind(&named)).await? > 0 {
        return Ok(part.writes.iter().map(|write| Ok(of_all(write))).collect());
    }

    // What is decided on is bound to these.
    let (mut keys, mut named) = (Vec::new(), Vec::new());
    let (fitting, change) = (&mut keys, &mut named);
    let lock_values = part.values.keys_and_now();
    let read = |row: &R::Row| answer::<R>(format, row);
    run.lock_then_change(lock.bind(&lock_values), read, move |rows: Vec<Answer>| {
        let mut live: Rows = match rows.into_iter().collect() {
            Ok(live) => live,
            Err(error) => return (None, Err(error)),
        };
        fitting.clone_from(&part.values.keys);
        let mut any = false;
        let mut outcomes = Vec::with_capacity(part.writes.len());
        for (place, write) in part.writes.iter().enumerate() {
            let (outcome, fits) = of_live(write, live.remove(write.key()));
            outcomes.push(outcome);
            any |= fits;
            if !fits {
                fitting[place] = NO_KEY;
            }
        }
        // Those beyond the writes repeat the last one.
        let (own, beyond) = fitting.split_at_mut(part.writes.len());
        beyond.fill(own.last().copied().unwrap_or(NO_KEY));
        *change = part.values.named_with(fitting);
        let change: &[Named<'_>] = change;
        (any.then(|| forms.locked.bind(change)), Ok(outcomes))
    })
    .await?
}
