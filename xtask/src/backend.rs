//! What can be proven, measured or shared: the backends, by the names that the command line has for them.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::server::Kind;

/// A backend, or two that differ in their server alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backend {
    Memory,
    /// The example of a backend that a stranger wrote.
    Custom,
    Sqlite,
    Server(Kind),
    /// A primary and a standby, which are started, hurt and stopped by the drills themselves.
    PostgresPair,
    /// The same under Patroni.
    Patroni,
}

impl Backend {
    /// Quickest first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Memory,
        Self::Custom,
        Self::Sqlite,
        Self::Server(Kind::Postgres),
        Self::Server(Kind::Mariadb),
        Self::Server(Kind::Mysql),
        Self::Server(Kind::Mssql),
    ];

    /// These, and several servers that act as one, which take minutes more.
    pub(crate) const WITH_CLUSTERS: [Self; 10] = {
        let [a, b, c, d, e, f, g] = Self::ALL;
        [a, b, c, d, e, f, g, Self::PostgresPair, Self::Patroni, Self::Server(Kind::Galera)]
    };

    /// Those that are a database of their own.
    pub(crate) const DATABASES: &'static [Self] = Self::ALL.split_at(2).1;

    /// The name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Custom => "custom",
            Self::Sqlite => "sqlite",
            Self::Server(kind) => kind.name(),
            Self::PostgresPair => "postgres-pair",
            Self::Patroni => "patroni",
        }
    }

    /// Reads the name of one of these from the command line.
    pub(crate) fn parser(among: &'static [Self]) -> impl TypedValueParser<Value = Self> {
        PossibleValuesParser::new(among.iter().map(|backend| backend.name())).map(|name| {
            let named = among.iter().find(|backend| backend.name() == name);
            *named.expect("no other name is possible")
        })
    }
}
