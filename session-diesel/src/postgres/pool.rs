//! Connections of the pool: how one is taken, and what becomes of it.

use std::fmt;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use session_core::Result;
use session_sql::postgres::settings;
use session_sql::{Fault, Link};

use super::client::Client;
use super::error::{self, Failed};
use crate::checkout::{Checkout, Pools, of_lost};

pub(super) type PgCheckout<'a> = Checkout<'a, Client, AsyncPgConnection>;

pub(super) struct Connections {
    pub(super) pool: Pools<Client, AsyncPgConnection>,
    /// Nothing stays on a connection: on one of diesel-async, each statement has a transaction around it.
    pub(super) pgbouncer: bool,
    /// What would make the table, for the error that says that it is missing.
    pub(super) schema: String,
}

impl Connections {
    pub(super) async fn checkout(&self) -> Result<PgCheckout<'_>> {
        self.pool.get(error::of_connecting, |error| error::of_query(error, "")).await
    }

    /// Decides what becomes of the connection.
    pub(super) fn settle<T>(
        &self,
        connection: PgCheckout<'_>,
        outcome: Result<T, Failed>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(failed) => of_lost(failed.into_fault(&self.schema)),
        };
        match fault.link {
            // An error inside of a transaction leaves it open.
            Link::Sound if !self.pgbouncer || self.pool.is_own() => connection.give_back(),
            Link::Sound | Link::Unfit => connection.close(),
            Link::Lost => {
                connection.close();
                self.pool.forget_idle();
            }
        }
        Err(fault)
    }
}

/// Whether the server answers on a connection of diesel-async.
pub(super) fn sign_of_life(connection: &mut AsyncPgConnection) -> BoxFuture<'_, bool> {
    async { connection.batch_execute(settings::SIGN_OF_LIFE).await.is_ok() }.boxed()
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("pool", &self.pool)
            .field("pgbouncer", &self.pgbouncer)
            .finish_non_exhaustive()
    }
}
