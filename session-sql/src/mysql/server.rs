//! Which of the two servers answers, and what it takes.

use std::sync::OnceLock;

use session_core::contract::Payload;
use session_core::{Error, ErrorKind, Result};

use super::engine::{self, SHARDS};
use super::number::PACKET_TOO_LARGE;
use super::sending::statement;
use crate::engine::Engine;
use crate::value::text_or_empty;
use crate::{Run, Statement, value};

/// What matters of the server for each operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) flavor: Flavor,
    /// The most bytes that it takes in one packet. One that is larger makes it close the connection.
    largest_packet: usize,
    /// What answers in its place.
    pub(super) engine: Option<Engine>,
}

/// Which of the two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Mariadb,
    Mysql,
}

/// The server, asked once.
#[derive(Debug)]
pub(super) struct Known {
    ask: Statement,
    shards: Statement,
    server: OnceLock<Server>,
    /// Whether an engine that nothing was proven on is taken.
    unproven: bool,
}

impl Known {
    pub(super) fn new() -> Known {
        Known {
            ask: statement("SELECT VERSION(), @@max_allowed_packet, DATABASE()"),
            shards: statement(SHARDS),
            server: OnceLock::new(),
            unproven: false,
        }
    }

    pub(super) fn takes_unproven(&mut self, unproven: bool) {
        self.unproven = unproven;
    }

    /// The server that these connections lead to. Calls that come before the first answer ask each for itself.
    ///
    /// # Errors
    /// Those of the server, and the refusal of an engine.
    pub(super) async fn server<R: Run>(&self, run: &R) -> Result<Server> {
        let server = self.ask(run).await?;
        match server.engine {
            Some(engine) if !self.unproven => Err(engine.refusal()),
            _ => Ok(server),
        }
    }

    /// As [`server`](Known::server), whatever it is.
    pub(super) async fn ask<R: Run>(&self, run: &R) -> Result<Server> {
        if let Some(server) = self.server.get() {
            return Ok(*server);
        }
        let read = |row: &R::Row| {
            R::columns(row, |[version, packet, database]| {
                let version = value::text("version", version)?.to_owned();
                let largest_packet = value::bigint("max_allowed_packet", packet)?;
                let server = Server {
                    flavor: if version.contains("MariaDB") { Flavor::Mariadb } else { Flavor::Mysql },
                    largest_packet: usize::try_from(largest_packet).unwrap_or(usize::MAX),
                    engine: engine::by_version(&version),
                };
                let keyspace = engine::is_vitess(&version).then(|| text_or_empty("database", database));
                Ok((server, keyspace.transpose()?))
            })
        };
        let told = run.read(self.ask.bind(&[]), read).await?.into_iter().next();
        let told = told.unwrap_or_else(|| Err(Error::corrupt("the server did not say what it is")));
        let (mut server, keyspace) = told?;
        if let Some(keyspace) = keyspace {
            let read = |row: &R::Row| R::columns(row, |[shard]| text_or_empty("shard", shard));
            let shards: Result<Vec<String>> =
                run.read(self.shards.bind(&[]), read).await?.into_iter().collect();
            server.engine = engine::by_shards(&keyspace, shards?.iter().map(String::as_str));
        }
        Ok(*self.server.get_or_init(|| server))
    }
}

impl Server {
    /// True if payloads of so many bytes together fit into one packet, with what goes beside them.
    pub(super) fn takes(self, bytes: usize) -> bool {
        const BESIDE: usize = 128 << 10;
        bytes < self.largest_packet.saturating_sub(BESIDE)
    }

    /// Refuses what the server would answer by closing the connection.
    pub(super) fn check(self, payload: &Payload) -> Result<()> {
        if self.takes(payload.len()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge, PACKET_TOO_LARGE))
    }
}
