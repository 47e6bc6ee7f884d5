//! What is compared.

use super::options::Backend;

/// A program that holds subjects. Each has a lock file of its own, as their dependencies exclude one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    Ours,
    PeersSqlx,
    PeersRusqlite,
    Node,
}

/// What a subject is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// This project, as it is used.
    Ours,
    /// This project, with something switched off.
    Variant,
    /// The driver without anything above it.
    Bare,
    Peer,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Variant => "variant",
            Self::Bare => "bare",
            Self::Peer => "peer",
        }
    }
}

/// One way to keep sessions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) program: Program,
    backends: &'static [Backend],
    /// The sizes of its pool that are tried; the best is used. The first where there is no time to try.
    pub(crate) pools: &'static [u32],
}

const EVERYWHERE: &[Backend] =
    &[Backend::Sqlite, Backend::Postgres, Backend::Mariadb, Backend::Mysql, Backend::Mssql];
const SQLX: &[Backend] = &[Backend::Sqlite, Backend::Postgres, Backend::Mariadb, Backend::Mysql];
const SERVERS: &[Backend] = &[Backend::Postgres, Backend::Mariadb, Backend::Mysql];

/// All of them, ours first.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "session-store",
        role: Role::Ours,
        program: Program::Ours,
        backends: EVERYWHERE,
        // Its default.
        pools: &[10],
    },
    Subject {
        name: "one-by-one",
        role: Role::Variant,
        program: Program::Ours,
        backends: EVERYWHERE,
        pools: &[10],
    },
    Subject {
        name: "bare",
        role: Role::Bare,
        program: Program::Ours,
        backends: EVERYWHERE,
        pools: &[8, 4, 16, 32],
    },
    Subject {
        name: "tower-sessions-sqlx",
        role: Role::Peer,
        program: Program::PeersSqlx,
        backends: SQLX,
        pools: &[8, 1, 4, 16, 32],
    },
    Subject {
        name: "axum_session",
        role: Role::Peer,
        program: Program::PeersSqlx,
        backends: SQLX,
        pools: &[8, 1, 4, 16, 32],
    },
    Subject {
        name: "tower-sessions-rusqlite",
        role: Role::Peer,
        program: Program::PeersRusqlite,
        backends: &[Backend::Sqlite],
        // It has one connection.
        pools: &[1],
    },
    Subject {
        name: "connect-typeorm",
        role: Role::Peer,
        program: Program::Node,
        backends: SERVERS,
        pools: &[10, 4, 32],
    },
    Subject {
        name: "connect-pg-simple",
        role: Role::Peer,
        program: Program::Node,
        backends: &[Backend::Postgres],
        pools: &[10, 4, 32],
    },
];

impl Subject {
    pub(crate) fn is_on(&self, backend: Backend) -> bool {
        self.backends.contains(&backend)
    }

    /// What it is called on a backend.
    pub(crate) fn title(&self, backend: Backend) -> &'static str {
        match (self.role, backend) {
            (Role::Bare, Backend::Sqlite) => "bare rusqlite",
            (Role::Bare, Backend::Postgres) => "bare tokio-postgres",
            (Role::Bare, Backend::Mariadb | Backend::Mysql) => "bare mysql_async",
            (Role::Bare, Backend::Mssql) => "bare tiberius",
            (Role::Variant, _) => "session-store, one by one",
            _ => self.name,
        }
    }
}
