//! How the server is asked to give up what nobody waits for.

use std::sync::Arc;

use deadpool::managed::Object;
use diesel_async::AsyncMysqlConnection;
use futures_util::FutureExt;
use session_sql::mysql::settings;
use tokio::sync::Semaphore;

use super::client::Client;
use super::connect::Connector;
use crate::checkout::{Asking, Cancel, Diesel, Maker};

/// Kills a statement over another connection of the pool, as soon as one is free: one more beside them would be a backend
/// beyond the pool's size, just when the server has enough of them.
///
/// Where none comes free until the server should long have given up by itself, one connection beside the pool ends what is
/// still under way: it lives for a login and a statement, and without it the next one in this place would be there for as
/// long as the other goes on. MySQL bounds in time only what reads, and counts the wait for each lock alone.
pub(super) fn own(connector: Connector) -> Box<Cancel<Maker<Client>>> {
    let one_at_a_time = Arc::new(Semaphore::new(1));
    Box::new(move |client, pool| {
        let (number, pool) = (client.number(), Arc::new(pool.weak()));
        let (connector, one_at_a_time) = (connector.clone(), Arc::clone(&one_at_a_time));
        let last = Box::new(move || {
            let (connector, one_at_a_time) = (connector.clone(), Arc::clone(&one_at_a_time));
            async move {
                let Ok(_turn) = one_at_a_time.acquire().await else { return false };
                let Ok(mut client) = connector.connect().await else { return false };
                client.script(&settings::end(number)).await.is_ok()
            }
            .boxed()
        });
        let ask = Box::new(move || {
            let pool = Arc::clone(&pool);
            async move {
                let Some(pool) = pool.upgrade() else { return false };
                let Ok(object) = pool.get().await else { return false };
                Killer(Some(object)).kill(number).await
            }
            .boxed()
        });
        Asking { ask, last: Some(last) }
    })
}

/// diesel-async does not tell the server's number of a connection.
pub(super) fn given() -> Box<Cancel<Diesel<AsyncMysqlConnection>>> {
    Box::new(|_, _| Asking { ask: Box::new(|| std::future::ready(false).boxed()), last: None })
}

/// A connection of the pool, which goes back if it was heard to the end.
struct Killer(Option<Object<Maker<Client>>>);

impl Killer {
    async fn kill(&mut self, number: u32) -> bool {
        let Some(client) = &mut self.0 else { return false };
        let killed = client.script(&settings::cancel(number)).await.is_ok();
        if killed {
            drop(self.0.take());
        }
        killed
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
