//! The many-key forms: one statement for each kind of operation, and an outcome for each operation.
//!
//! A batch of writes is cut into parts ([`plan`](super::plan)), of which each has its values ([`bind`](super::bind)), runs,
//! and is read ([`answers`](super::answers)). What a part leaves open, because nothing of it was done or that cannot be
//! told, goes write by write.

use std::collections::HashMap;
use std::sync::Arc;

use session_core::contract::{Load, Loaded, Write, Written};
use session_core::{Error, ErrorKind, Result, SessionKey, Timestamp};
use session_sql::value;
use tracing::warn;

use super::Native;
use super::answers::Answers;
use super::bind::Rows;
use super::plan::{Part, parts};
use crate::run::Connections;

impl Native {
    pub(crate) async fn load_many(
        &self,
        run: &Connections,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        if let [load] = loads {
            return Ok(vec![self.load(run, load, now).await]);
        }
        let rows = Rows::of_loads(loads, now)?;
        let sets = match run.read(self.many.load.bind(&rows.named())).await {
            Ok(sets) => sets,
            // A text of one of them is no UTF-16, behind which tiberius cannot read the others.
            Err(error) if error.kind() == ErrorKind::Corrupt => return self.load_each(run, loads, now).await,
            Err(error) => return Err(error),
        };
        let places: HashMap<&SessionKey, usize> = loads.iter().map(|load| &load.key).zip(0..).collect();
        let mut outcomes: Vec<Result<Loaded>> = loads.iter().map(|_| Ok(Loaded::Gone)).collect();
        for row in sets.iter().flatten() {
            let [payload, expires_at, created_at, version, principal, key] = row.columns();
            if let Some(&place) = places.get(&value::key(self.format, key)?) {
                let record = [payload, expires_at, created_at, version, principal];
                outcomes[place] = value::loaded(record, loads[place].known);
            }
        }
        Ok(outcomes)
    }

    async fn load_each(
        &self,
        run: &Connections,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        let mut outcomes = Vec::with_capacity(loads.len());
        for load in loads {
            outcomes.push(self.load(run, load, now).await);
        }
        Ok(outcomes)
    }

    /// The outcomes of the writes that go together. That of each other one is `None`: nothing of it was done, and it is
    /// to go alone.
    pub(crate) async fn write_many(
        &self,
        run: &Connections,
        writes: &[Write],
        now: Timestamp,
    ) -> Vec<Option<Result<Written>>> {
        let mut outcomes: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        for part in parts(writes) {
            match self.write_part(run, &part, now).await {
                Ok(answers) => {
                    for (&place, outcome) in part.places.iter().zip(answers) {
                        outcomes[place] = outcome;
                    }
                }
                // One of them may be what the database does not take, or they were in the way of others.
                Err(error) if !error.is_in_doubt() && error.kind() != ErrorKind::Unavailable => {
                    let writes = part.writes.len();
                    warn!(writes, %error, "a batch of writes was refused, each is tried on its own");
                }
                Err(error) => {
                    fail(&mut outcomes, &part, error);
                    break;
                }
            }
        }
        outcomes
    }

    async fn write_part(
        &self,
        run: &Connections,
        part: &Part<'_>,
        now: Timestamp,
    ) -> Result<Vec<Option<Result<Written>>>> {
        let rows = Rows::of_writes(&part.writes, now)?;
        let sets = run.run(part.kind.statement(&self.many).bind(&rows.named())).await?;
        let answers = Answers::read(part.kind, self.format, sets)?;
        Ok(part
            .writes
            .iter()
            .map(|write| answers.as_ref().and_then(|answers| answers.outcome(write)))
            .collect())
    }
}

/// Gives the error of a part to its writes, and to those that have not been tried, of which nothing was done: they would
/// fare no better.
fn fail(outcomes: &mut [Option<Result<Written>>], part: &Part<'_>, error: Error) {
    let error = Arc::new(error);
    for (place, outcome) in outcomes.iter_mut().enumerate().filter(|(_, outcome)| outcome.is_none()) {
        let shared = Error::shared(&error);
        *outcome = Some(Err(match part.places.contains(&place) {
            true => shared,
            false => shared.with_in_doubt(false),
        }));
    }
}

#[cfg(test)]
mod tests {
    use session_core::DestroyMode;
    use session_core::contract::Destroy;

    use super::*;

    #[test]
    fn what_was_not_tried_behind_a_failure_is_not_in_doubt() {
        let key = |number: u8| SessionKey::from_digest([number; 32]);
        let write = |number| Write::Destroy(Destroy { key: key(number), mode: DestroyMode::Keep });
        let writes = [1, 2, 3, 4].map(write);
        let part = parts(&writes[..2]).remove(0);
        let mut outcomes = vec![None, None, None, Some(Ok(Written::Destroyed(true)))];
        fail(&mut outcomes, &part, Error::unavailable("the connection broke").with_in_doubt(true));
        let doubts: Vec<Option<bool>> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().unwrap().as_ref().err().map(Error::is_in_doubt))
            .collect();
        assert_eq!(doubts, [Some(true), Some(true), Some(false), None]);
    }
}
