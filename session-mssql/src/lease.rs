//! A connection on loan from the pool, and how it is left.

use std::time::Duration;

use deadpool::managed::Object;
use futures_util::TryStreamExt as _;
use tiberius::{Query, QueryItem};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::pool::Manager;
use crate::value::{Row, Sets};

/// A pooled connection in use. It is closed when dropped, unless it was given back.
///
/// While the server still works for it, it keeps its place in the pool: the server is asked to stop, and a new
/// connection is opened in the place of this one only when the server has let go, or has not in its time.
pub(crate) struct Lease {
    // Some until it is given back or dropped.
    object: Option<Object<Manager>>,
    /// A statement was sent, and its answer was not read to the end.
    is_under_way: bool,
    /// How long the server may take to let go.
    within: Duration,
}

impl Lease {
    pub(crate) fn of(object: Object<Manager>, within: Duration) -> Lease {
        Lease { object: Some(object), is_under_way: false, within }
    }

    /// Runs a statement and reads its answer.
    pub(crate) async fn run(&mut self, query: Query<'_>, sets: &mut Sets) -> tiberius::Result<()> {
        let Some(connection) = &mut self.object else {
            return Ok(());
        };
        self.is_under_way = true;
        let outcome = async {
            let mut stream = query.query(&mut connection.client).await?;
            while let Some(item) = stream.try_next().await? {
                match (item, sets.last_mut()) {
                    (QueryItem::Metadata(_), _) => sets.push(Vec::new()),
                    (QueryItem::Row(row), Some(set)) => set.push(Row::new(row)),
                    (QueryItem::Row(row), None) => sets.push(vec![Row::new(row)]),
                }
            }
            Ok(())
        }
        .await;
        self.is_under_way = false;
        outcome
    }

    pub(crate) fn was_idle(&self) -> bool {
        self.object.as_ref().is_some_and(|connection| Object::metrics(connection).recycle_count > 0)
    }

    pub(crate) fn give_back(mut self) {
        if let Some(mut connection) = self.object.take() {
            connection.worked();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let mut leaving = Leaving(Some(object));
        // Without a runtime there is nobody to wait for the server.
        let Ok(runtime) = Handle::try_current() else { return };
        let (is_under_way, within) = (self.is_under_way, self.within);
        runtime.spawn(async move {
            if let Some(connection) = &mut leaving.0 {
                // A server that does not let go in this time is not there, or cannot be stopped.
                drop(timeout(within, connection.end(is_under_way)).await);
            }
        });
    }
}

/// A connection that is never lent again, whatever becomes of who holds it.
struct Leaving(Option<Object<Manager>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
