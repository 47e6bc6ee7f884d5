//! One statement on a connection, and what becomes of the connection.

use std::pin::pin;
use std::time::Duration;

use deadpool::managed::PoolError;
use session_core::{Error, ErrorKind, Result};
use session_sql::Bound;
use tokio::time::{Instant, timeout_at};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::error;
use crate::lease::Lease;
use crate::pool::Pool;
use crate::value::{self, Row, Sets};

/// Where a store's statements run.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) pool: Pool,
    /// How long a round trip may take, with waiting for a connection or opening one.
    pub(crate) limit: Duration,
    /// How long a statement may take.
    pub(crate) statement: Option<Duration>,
    /// How long the server may take to let go of what its caller has left.
    pub(crate) abandoned: Duration,
}

/// What a statement gave until it ended, and the error that ended it, if one did.
struct Answer {
    sets: Sets,
    error: Option<Error>,
    /// The connection had been idle in the pool, and turned out to be broken.
    stale: bool,
}

impl Connections {
    /// Takes a connection from the pool.
    async fn lend(&self) -> Result<Lease, PoolError<Error>> {
        self.pool.manager().look_through(&self.pool);
        Ok(Lease::of(self.pool.get().await?, self.abandoned))
    }

    /// Runs a statement, which arrives as one call of `sp_executesql`, once, and reads its answer to the end.
    ///
    /// # Cancel safety
    /// If this is dropped, or ends in any error, the connection is closed, and the server rolls back what it has not
    /// committed. So nobody ever reads the rest of an answer that was meant for another.
    pub(crate) async fn run(&self, statement: Bound<'_>) -> Result<Sets> {
        let answer = self.answer(statement).await?;
        answer.error.map_or(Ok(answer.sets), Err)
    }

    /// The same without the limit for a statement, for one that changes the schema. Its connection is closed after it: a
    /// statement that sets a limit aside leaves it so on Babelfish, and not on SQL Server.
    pub(crate) async fn run_unhurried(&self, statement: Bound<'_>) -> Result<Sets> {
        let (answer, lease) = self.answer_within(statement, None).await?;
        drop(lease);
        answer.error.map_or(Ok(answer.sets), Err)
    }

    /// Runs a statement that changes nothing. A pooled connection that turns out to be broken is replaced and the
    /// statement run again, once.
    pub(crate) async fn read(&self, statement: Bound<'_>) -> Result<Sets> {
        let answer = self.answer(statement).await?;
        match answer.error {
            None => Ok(answer.sets),
            Some(_) if answer.stale => Box::pin(self.run(statement)).await,
            Some(error) => Err(error),
        }
    }

    /// Runs a statement that gives at most one row.
    pub(crate) async fn run_for_row(&self, statement: Bound<'_>) -> Result<Option<Row>> {
        Ok(first_row(self.run(statement).await?))
    }

    /// The same for one that changes nothing.
    pub(crate) async fn read_for_row(&self, statement: Bound<'_>) -> Result<Option<Row>> {
        Ok(first_row(self.read(statement).await?))
    }

    /// Runs a listing. Where a text of one row is no UTF-16, tiberius, which decodes texts as it reads them, cannot read
    /// the rows behind it either, and the listing that gives texts as their `bytes` is run in its place. `texts` is where
    /// they stand.
    pub(crate) async fn read_listing(
        &self,
        decoded: Bound<'_>,
        bytes: Bound<'_>,
        texts: &'static [usize],
    ) -> Result<Vec<Row>> {
        let error = match self.read(decoded).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            answer => return Ok(answer?.into_iter().flatten().collect()),
        };
        match Box::pin(self.read(bytes)).await {
            // A server that has no such texts.
            Err(refused) if refused.kind() == ErrorKind::Backend => Err(error),
            answer => Ok(answer?.into_iter().flatten().map(|row| row.decoding(texts)).collect()),
        }
    }

    async fn answer(&self, statement: Bound<'_>) -> Result<Answer> {
        let (answer, lease) = self.answer_within(statement, self.statement).await?;
        if answer.error.is_none() {
            lease.give_back();
        }
        Ok(answer)
    }

    /// With the answer comes the connection, for whoever wants to give it back.
    async fn answer_within(&self, statement: Bound<'_>, most: Option<Duration>) -> Result<(Answer, Lease)> {
        let query = value::query(statement)?;
        let begun = Instant::now();
        let deadline = begun.checked_add(self.limit);
        // Pinned here: a future that is handed on by value is part of this one twice.
        let lease = within(deadline, pin!(self.lend())).await;
        let lease = lease.ok_or_else(|| error::no_connection_within(self.limit))?;
        let mut lease = lease.map_err(error::pool)?;
        let mut sets = Sets::new();
        let last = most.and_then(|most| Instant::now().checked_add(most));
        let last = deadline.into_iter().chain(last).min();
        let outcome = {
            // tiberius traces every row that it reads, and so the secrets in it.
            let untraced = pin!(lease.run(query, &mut sets).with_subscriber(NoSubscriber::default()));
            within(last, untraced).await
        };
        let outcome = outcome.ok_or_else(|| error::no_answer_within(begun.elapsed()))?;
        let answer = match outcome {
            Ok(()) => Answer { sets, error: None, stale: false },
            Err(error) => {
                let stale = lease.was_idle() && error::is_broken_connection(&error);
                Answer { sets, error: Some(error::running(error)), stale }
            }
        };
        Ok((answer, lease))
    }
}

fn first_row(sets: Sets) -> Option<Row> {
    sets.into_iter().flatten().next()
}

/// The count of rows that a statement gives in its last set.
pub(crate) fn count(sets: Sets) -> Result<u64> {
    let row = sets.into_iter().next_back().and_then(|set| set.into_iter().next());
    let count = row.and_then(|row| row.number("rows").ok()).and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| {
        error::unexpected("the server gave no count of rows; check that the table has no triggers")
    })
}

/// The future's output, or `None` at the deadline. Without one (a limit beyond the clock's range) there is none.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

#[cfg(test)]
mod tests {
    use session_sql::{Dialect, Statement};
    use tiberius::Config;

    use super::*;
    use crate::connect::Source;
    use crate::pool::pool_of;

    /// A future of tiberius's or the pool's that is part of another one makes that one as large, and several in each other
    /// fill a thread's stack of 2 MiB in a program that is not optimized.
    #[test]
    fn a_call_fits_a_stack() {
        const MOST: usize = 12 * 1024;
        let pool = pool_of(Config::new(), Source::default(), 1, session_sql::Limits::default()).unwrap();
        let long = Duration::from_secs(1);
        let run = Connections { pool, limit: long, statement: None, abandoned: long };
        let statement = Statement::new(Dialect::Mssql, "SELECT 1");
        for (what, size) in [
            ("a loan", size_of_val(&run.lend())),
            ("a read", size_of_val(&run.read(statement.bind(&[])))),
            ("a listing", size_of_val(&run.read_listing(statement.bind(&[]), statement.bind(&[]), &[]))),
        ] {
            assert!(size <= MOST, "{what} takes {size} bytes");
        }
    }
}
