//! The many-key forms: one statement for each kind of operation, and an outcome for each operation.
//!
//! A batch of writes is cut into parts ([`plan`](super::plan)), which go over connections of their own at the same time:
//! the server then commits them together. What a part leaves open, because nothing of it was done or that cannot be told,
//! goes write by write.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use session_core::contract::{Created, Load, Loaded, Store, Write, Written};
use session_core::{Error, Result, SessionKey, Timestamp};

use super::answers::{Rows, answer, of_changed};
use super::plan::{Part, Way, parts};
use super::value::key;
use super::{Native, all_or_none};
use crate::mysql::number::DUPLICATE;
use crate::mysql::server::{Flavor, Server};
use crate::mysql::sizes::{MAX_ROWS, fill};
use crate::{Named, Run, Statement, Transact, Value, value};

/// The most connections that a batch has at a time.
const CONNECTIONS: usize = 4;

impl Native {
    /// As [`Store::load_many`](session_core::contract::Store::load_many).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn load_many<R: Run>(
        &self,
        run: &R,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        if let [load] = loads {
            return Ok(vec![self.load(run, load, now).await]);
        }
        let places: HashMap<&SessionKey, usize> =
            loads.iter().enumerate().map(|(place, load)| (&load.key, place)).collect();
        let mut outcomes: Vec<Result<Loaded>> = loads.iter().map(|_| Ok(Loaded::Gone)).collect();
        let read = |row: &R::Row| {
            R::columns(row, |[payload, expires_at, created_at, version, principal, key]| {
                let place = places.get(&value::key(self.format, key)?).copied();
                let known = place.and_then(|place| loads[place].known);
                Ok((place, value::loaded([payload, expires_at, created_at, version, principal], known)))
            })
        };
        for loads in loads.chunks(MAX_ROWS) {
            let many = self.statements.many.of_size(loads.len());
            let mut keys: Vec<Value<'_>> = loads.iter().map(|load| key(&load.key)).collect();
            fill(&mut keys, many.rows, None);
            let mut values: Vec<Named<'_>> = vec![("keys", Value::List(&keys)), ("now", now.into())];
            let mut known: Vec<Value<'_>> = Vec::new();
            let statement = if loads.iter().any(|load| load.known.is_some()) {
                known.extend(loads.iter().map(|load| Value::from(load.known)));
                fill(&mut known, many.rows, None);
                values.push(("known", Value::List(&known)));
                &many.load_known
            } else {
                &many.load
            };
            let rows: Vec<Result<_>> = run.read(statement.bind(&values), read).await?;
            for row in rows {
                let (place, loaded) = row?;
                if let Some(place) = place {
                    outcomes[place] = loaded;
                }
            }
        }
        Ok(outcomes)
    }

    /// As [`Store::write_many`](session_core::contract::Store::write_many), as far as writes can go together; the outcome
    /// of each other one is `None`: nothing of it was done, and it is to go [`alone`].
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn write_many<R: Transact>(
        &self,
        run: &R,
        writes: &[Write],
        now: Timestamp,
    ) -> Result<Vec<Option<Result<Written>>>> {
        let mut outcomes: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        if writes.len() < 2 {
            return Ok(outcomes);
        }
        let server = self.server(run).await?;
        let parts = parts(&self.statements, server, writes, now);
        let tasks: Vec<_> = parts.iter().map(|part| written(self, run, server, part)).collect();
        let done: Vec<_> = stream::iter(tasks).buffered(CONNECTIONS).collect().await;
        for (part, done) in parts.iter().zip(done) {
            for (&place, outcome) in part.places.iter().zip(done) {
                outcomes[place] = outcome;
            }
        }
        Ok(outcomes)
    }
}

/// Does each write of a batch that has no outcome yet by itself.
pub async fn alone<S: Store + ?Sized>(
    store: &S,
    writes: &[Write],
    outcomes: Vec<Option<Result<Written>>>,
    now: Timestamp,
) -> Vec<Result<Written>> {
    if outcomes.iter().all(Option::is_some) {
        return outcomes.into_iter().flatten().collect();
    }
    let tasks: Vec<_> = writes
        .iter()
        .zip(outcomes)
        .map(|(write, outcome)| async move {
            match outcome {
                Some(outcome) => outcome,
                None => write.apply(store, now).await,
            }
        })
        .collect();
    stream::iter(tasks).buffered(CONNECTIONS).collect().await
}

/// What a part came to, write by write; `None` for each that was not done and is to go alone.
async fn written<R: Transact>(
    native: &Native,
    run: &R,
    server: Server,
    part: &Part<'_>,
) -> Vec<Option<Result<Written>>> {
    let answers = match part.way {
        Way::Alone => return part.writes.iter().map(|_| None).collect(),
        Way::Create(statement) => create(run, part, statement).await,
        Way::Change { forms, lock } => match server.flavor {
            Flavor::Mariadb => change(native, run, part, &forms.returning).await,
            Flavor::Mysql => all_or_none::change(run, native.format, part, forms, lock)
                .await
                .map(|outcomes| outcomes.into_iter().map(Some).collect()),
        },
    };
    match answers {
        Ok(answers) => answers,
        // It may have been done: it is not tried again.
        Err(error) if error.is_in_doubt() => {
            let error = Arc::new(error);
            part.writes.iter().map(|_| Some(Err(Error::shared(&error)))).collect()
        }
        Err(_) => part.writes.iter().map(|_| None).collect(),
    }
}

/// New rows. If a key is taken, none is made, and each goes alone.
async fn create<R: Transact>(
    run: &R,
    part: &Part<'_>,
    statement: &Statement,
) -> Result<Vec<Option<Result<Written>>>> {
    match run.execute(statement.bind(&part.values.named())).await {
        Ok(_) => Ok(part.writes.iter().map(|_| Some(Ok(Written::Created(Created::Created)))).collect()),
        Err(error) if error.code() == Some(DUPLICATE) => Ok(part.writes.iter().map(|_| None).collect()),
        Err(error) => Err(error),
    }
}

/// Changes, of which MariaDB returns the rows.
async fn change<R: Transact>(
    native: &Native,
    run: &R,
    part: &Part<'_>,
    statement: &Statement,
) -> Result<Vec<Option<Result<Written>>>> {
    let values = part.values.named();
    let rows = run.write(statement.bind(&values), |row| answer::<R>(native.format, row)).await?;
    let mut rows: Rows =
        rows.into_iter().collect::<Result<_>>().map_err(|error| error.with_in_doubt(true))?;
    Ok(part.writes.iter().map(|write| of_changed(write, rows.remove(write.key()))).collect())
}
