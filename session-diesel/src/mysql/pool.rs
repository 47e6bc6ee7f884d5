//! Connections of the pool: how one is taken, and what becomes of it.

use std::fmt;

use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use session_core::Result;
use session_sql::mysql::settings;
use session_sql::{Fault, Link};

use super::client::Client;
use super::error::{self, Failed};
use crate::checkout::{Checkout, Pools, of_lost};

pub(super) type MysqlCheckout<'a> = Checkout<'a, Client, AsyncMysqlConnection>;

pub(super) struct Connections {
    pub(super) pool: Pools<Client, AsyncMysqlConnection>,
    /// What would make the table, for the error that says that it is missing.
    pub(super) schema: String,
}

impl Connections {
    pub(super) async fn checkout(&self) -> Result<MysqlCheckout<'_>> {
        self.pool.get(error::of_connecting, |error| error::of_query(error, "")).await
    }

    /// Decides what becomes of the connection.
    pub(super) fn settle<T>(
        &self,
        connection: MysqlCheckout<'_>,
        outcome: Result<T, Failed>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(failed) => self.fault(failed),
        };
        match fault.link {
            Link::Sound => connection.give_back(),
            Link::Unfit | Link::Lost => connection.close(),
        }
        Err(fault)
    }

    /// Classifies an error. If the server went away, the idle connections are closed, too.
    pub(super) fn fault(&self, failed: Failed) -> Fault {
        let fault = of_lost(failed.into_fault(&self.schema));
        if fault.link == Link::Lost {
            self.pool.forget_idle();
        }
        fault
    }
}

/// Whether the server answers on a connection of diesel-async.
pub(super) fn sign_of_life(connection: &mut AsyncMysqlConnection) -> BoxFuture<'_, bool> {
    async { connection.batch_execute(settings::SIGN_OF_LIFE).await.is_ok() }.boxed()
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("pool", &self.pool).finish_non_exhaustive()
    }
}
