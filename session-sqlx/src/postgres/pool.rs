//! Connections of the pool: how one is taken, and what becomes of it.

use std::fmt;

use session_core::Result;
use session_sql::checkout::of_lost;
use session_sql::{Fault, Link};
use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::client::Client;
use super::error;
use crate::checkout::{Checkout, Pools};
use crate::transaction::Lent;

pub(super) type PgCheckout<'a> = Checkout<'a, Client, Postgres>;

pub(super) struct Connections {
    pub(super) pool: Pools<Client, Postgres>,
    /// What would make the table, for the error that says that it is missing.
    pub(super) schema: String,
}

impl Connections {
    /// The same within a transaction.
    pub(super) fn within(&self, lent: Lent<Postgres>) -> Connections {
        Connections { pool: Pools::Within(lent), schema: self.schema.clone() }
    }

    pub(super) async fn checkout(&self) -> Result<PgCheckout<'_>> {
        self.pool.get(|error| error::connecting(&error)).await
    }

    /// Decides what becomes of the connection.
    pub(super) fn settle<T>(&self, connection: PgCheckout<'_>, outcome: sqlx::Result<T>) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(error) => self.fault(&error),
        };
        match fault.link {
            // An error within a transaction ends it.
            Link::Sound if !self.pool.is_within() => connection.give_back(),
            Link::Sound => connection.close(),
            Link::Unfit | Link::Lost => connection.close(),
        }
        Err(fault)
    }

    /// Classifies an error. If the server went away, the idle connections are closed, too.
    pub(super) fn fault(&self, error: &sqlx::Error) -> Fault {
        let fault = of_lost(error::of_query(error, &self.schema));
        if fault.link == Link::Lost {
            self.pool.forget_idle();
        }
        fault
    }
}

impl PgCheckout<'_> {
    /// sqlx's connection.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        match self {
            Checkout::Own(client) => &mut client.connection,
            Checkout::Given(given) => given,
            Checkout::Within(held) => held,
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("pool", &self.pool).finish_non_exhaustive()
    }
}
