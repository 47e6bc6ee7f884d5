//! How the server is asked to give up what nobody waits for.

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use tokio_postgres::NoTls;

use super::client::Client;
use super::way::Way;
use crate::checkout::{Asking, Cancel, Diesel, Maker};

/// Postgres takes such a request over a connection that it closes at once, and that is no backend.
pub(super) fn own(way: Way) -> Box<Cancel<Maker<Client>>> {
    Box::new(move |client, _| {
        let (token, way) = (client.cancel_token(), way.clone());
        let ask = Box::new(move || {
            let (token, way) = (token.clone(), way.clone());
            async move { token.cancel_query(way).await.is_ok() }.boxed()
        });
        Asking { ask, last: None }
    })
}

/// The same for a connection of the application's own pool, whose server is asked in clear.
pub(super) fn given() -> Box<Cancel<Diesel<AsyncPgConnection>>> {
    Box::new(|connection, _| {
        let token = connection.cancel_token();
        let ask = Box::new(move || {
            let token = token.clone();
            async move { token.cancel_query(NoTls).await.is_ok() }.boxed()
        });
        Asking { ask, last: None }
    })
}
