//! What is compared.

use bench_report::Role;

use crate::backend::Backend;
use crate::server::Kind;

/// A program that holds subjects. Each has a lock file of its own, as their dependencies exclude one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    Ours,
    OursSqlx,
    PeersSqlx,
    PeersRusqlite,
    PeersRedis,
    Node,
    /// Applications, with the browsers before them.
    WebOurs,
    WebPeers,
    WebNode,
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

const SQLITE: &[Backend] = Backend::DATABASES.split_at(1).0;
const SQLX: &[Backend] = Backend::DATABASES.split_at(4).0;
const POSTGRES: &[Backend] = SQLX.split_at(2).0.split_at(1).1;
const SERVERS: &[Backend] = SQLX.split_at(1).1;

/// The first is the one of its documentation.
const REDIS_POOLS: &[u32] = &[6, 1, 4, 8, 16];

/// All of them, ours first, with the default size of its pool. tower-sessions-rusqlite has one connection.
pub(crate) const SUBJECTS: &[Subject] = &[
    subject("session-store", Role::Ours, Program::Ours, Backend::DATABASES, &[10]),
    subject("one-by-one", Role::Variant, Program::Ours, Backend::DATABASES, &[10]),
    subject("cached", Role::Variant, Program::Ours, Backend::DATABASES, &[10]),
    subject("over-sqlx", Role::Variant, Program::OursSqlx, SQLX, &[10]),
    subject("bare", Role::Bare, Program::Ours, Backend::DATABASES, &[8, 4, 16, 32]),
    subject("tower-sessions-sqlx", Role::Peer, Program::PeersSqlx, SQLX, &[8, 1, 4, 16, 32]),
    subject("axum_session", Role::Peer, Program::PeersSqlx, SQLX, &[8, 1, 4, 16, 32]),
    subject("tower-sessions-rusqlite", Role::Peer, Program::PeersRusqlite, SQLITE, &[1]),
    subject("redis-always", Role::Redis, Program::PeersRedis, SQLX, REDIS_POOLS),
    subject("redis-everysec", Role::Redis, Program::PeersRedis, SQLX, REDIS_POOLS),
    subject("connect-typeorm", Role::Peer, Program::Node, SERVERS, &[10, 4, 32]),
    subject("connect-pg-simple", Role::Peer, Program::Node, POSTGRES, &[10, 4, 32]),
];

/// The same application over HTTP. axum_session keeps sessions in memory, as it does by default.
pub(crate) const WEB: &[Subject] = &[
    subject("session-store", Role::Ours, Program::WebOurs, SQLX, &[10]),
    subject("cached", Role::Variant, Program::WebOurs, SQLX, &[10]),
    subject("tower-sessions-sqlx", Role::Peer, Program::WebPeers, SQLX, &[8, 1, 4, 16, 32]),
    subject("axum_session", Role::Peer, Program::WebPeers, SQLX, &[8, 1, 4, 16, 32]),
    subject("redis-always", Role::Redis, Program::WebPeers, SQLX, REDIS_POOLS),
    subject("redis-everysec", Role::Redis, Program::WebPeers, SQLX, REDIS_POOLS),
    subject("connect-typeorm", Role::Peer, Program::WebNode, SERVERS, &[10, 4, 32]),
    subject("connect-pg-simple", Role::Peer, Program::WebNode, POSTGRES, &[10, 4, 32]),
];

const fn subject(
    name: &'static str,
    role: Role,
    program: Program,
    backends: &'static [Backend],
    pools: &'static [u32],
) -> Subject {
    Subject { name, role, program, backends, pools }
}

impl Subject {
    pub(crate) fn is_on(&self, backend: Backend) -> bool {
        self.backends.contains(&backend)
    }

    /// What it is called on a backend.
    pub(crate) fn title(&self, backend: Backend) -> &'static str {
        match (self.role, backend) {
            (Role::Bare, Backend::Sqlite) => "bare rusqlite",
            (Role::Bare, Backend::Server(Kind::Postgres)) => "bare tokio-postgres",
            (Role::Bare, Backend::Server(Kind::Mariadb | Kind::Mysql | Kind::Galera)) => "bare mysql_async",
            (Role::Bare, Backend::Server(Kind::Mssql)) => "bare tiberius",
            (Role::Variant, _) if self.name == "over-sqlx" => "session-store, over sqlx",
            (Role::Variant, _) if self.name == "cached" => "session-store, cached",
            (Role::Variant, _) => "session-store, one by one",
            (Role::Redis, _) if self.name == "redis-always" => "redis, appendfsync always",
            (Role::Redis, _) => "redis, appendfsync everysec",
            _ => self.name,
        }
    }
}
