//! Runs the conformance suite on PostgreSQL and on MySQL or MariaDB, where the environment names a server.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

use std::process::ExitCode;

use conformance::Availability;
use session_core::KeyFormat;

fn main() -> ExitCode {
    let mut backends: Vec<Availability> = Vec::new();
    #[cfg(feature = "postgres")]
    backends.extend(postgres::backends());
    #[cfg(not(feature = "postgres"))]
    backends.push(Availability::not_run("postgres", "the feature `postgres` is off"));
    #[cfg(feature = "mysql")]
    backends.extend(mysql::backends());
    #[cfg(not(feature = "mysql"))]
    backends.push(Availability::not_run("mysql", "the feature `mysql` is off"));
    conformance::main(backends)
}

/// How a store is opened; each way is proven on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Native,
    /// Ids stored as they are, and the other of the two forms of purge.
    Plain,
    /// The table of connect-typeorm.
    Typeorm,
    /// The same as version 1.1.4 has it, without `destroyedAt`; and the other of the two forms of purge.
    TypeormOld,
}

impl Variant {
    pub(crate) const ALL: [Variant; 4] =
        [Variant::Native, Variant::Plain, Variant::Typeorm, Variant::TypeormOld];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Native => "native",
            Variant::Plain => "native, plain ids, purge in two statements",
            Variant::Typeorm => "connect-typeorm",
            Variant::TypeormOld => "connect-typeorm without destroyedAt, purge in two statements",
        }
    }

    pub(crate) fn key_format(self) -> KeyFormat {
        if self == Variant::Native { KeyFormat::Hashed } else { KeyFormat::Plain }
    }

    pub(crate) fn limit_subquery(self) -> bool {
        matches!(self, Variant::Native | Variant::Typeorm)
    }

    pub(crate) fn is_typeorm(self) -> bool {
        matches!(self, Variant::Typeorm | Variant::TypeormOld)
    }

    /// The columns of the id and of the payload.
    pub(crate) fn columns(self) -> [&'static str; 2] {
        if self.is_typeorm() { ["id", "json"] } else { ["key", "payload"] }
    }
}

/// The host and port of a URL.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let after_scheme = url.split_once("://")?.1;
    let authority = after_scheme.split(['/', '?']).next()?;
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// A URL with another host and port.
pub(crate) fn with_host(url: &str, host: &str) -> String {
    match host_of(url) {
        Some(old) => url.replacen(old, host, 1),
        None => url.to_owned(),
    }
}
