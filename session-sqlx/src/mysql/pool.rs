//! Connections of the pool: how one is taken, and what becomes of it.

use std::fmt;

use session_core::Result;
use session_sql::checkout::of_lost;
use session_sql::mysql::number::DUPLICATE;
use session_sql::{Fault, Link};
use sqlx::MySql;
use sqlx::mysql::MySqlConnection;

use super::client::Client;
use super::error;
use crate::checkout::{Checkout, Pools};
use crate::transaction::Lent;

pub(super) type MysqlCheckout<'a> = Checkout<'a, Client, MySql>;

pub(super) struct Connections {
    pub(super) pool: Pools<Client, MySql>,
    /// What would make the table, for the error that says that it is missing.
    pub(super) schema: String,
}

impl Connections {
    /// The same within a transaction.
    pub(super) fn within(&self, lent: Lent<MySql>) -> Connections {
        Connections { pool: Pools::Within(lent), schema: self.schema.clone() }
    }

    pub(super) async fn checkout(&self) -> Result<MysqlCheckout<'_>> {
        self.pool.get(|error| error::connecting(&error)).await
    }

    /// Decides what becomes of the connection.
    pub(super) fn settle<T>(
        &self,
        connection: MysqlCheckout<'_>,
        outcome: sqlx::Result<T>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(error) => self.fault(&error),
        };
        match fault.link {
            // An error within a transaction may have ended it; a key that is taken has not.
            Link::Sound if !self.pool.is_within() || fault.error.code() == Some(DUPLICATE) => {
                connection.give_back();
            }
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

impl MysqlCheckout<'_> {
    /// sqlx's connection.
    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
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
