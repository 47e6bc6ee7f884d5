//! The crates depend in one direction: drivers and the suite on the core, the core on no driver, this one on none. And
//! no driver of a database server links a library of the system's.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Counts;
use crate::workspace::Metadata;

/// Which crates of the workspace a crate may be built upon. Those that are not named (the facade, the examples) may use
/// them all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("session-core", &[]),
    ("session-sqlite", &["session-core"]),
    ("session-diesel", &["session-core"]),
    ("session-mssql", &["session-core"]),
    ("conformance", &["session-core"]),
    ("xtask", &[]),
];

/// The crates that may not know of any database.
const NEUTRAL: &[&str] = &["session-core", "conformance"];

/// The crates that speak to databases.
pub(super) const DRIVERS: &[&str] = &[
    "diesel",
    "diesel-async",
    "libsqlite3-sys",
    "mysql_async",
    "mysql_common",
    "postgres-protocol",
    "postgres-types",
    "rusqlite",
    "sqlx-core",
    "tiberius",
    "tokio-postgres",
];

/// The drivers that need no client library of their databases, nor OpenSSL, to be built.
const SELF_CONTAINED: &[&str] = &["session-diesel", "session-mssql"];

/// The crates that link such a library.
const CLIENT_LIBRARIES: &[&str] = &["pq-sys", "mysqlclient-sys", "openssl-sys", "native-tls"];

pub(super) fn check(metadata: &Metadata) -> Result<Counts> {
    let mut findings = Vec::new();
    for (name, may_use) in MAY_USE {
        let uses = metadata.dependencies(name).with_context(|| format!("there is no crate {name}"))?;
        let members: BTreeSet<_> = metadata.members().into_iter().map(|member| member.name).collect();
        for used in uses.iter().filter(|used| members.contains(*used) && !may_use.contains(&used.as_str())) {
            findings.push(format!("{name} must not depend on {used}"));
        }
    }
    for name in NEUTRAL {
        let uses = metadata.dependencies(name).with_context(|| format!("there is no crate {name}"))?;
        for driver in uses.iter().filter(|used| DRIVERS.contains(&used.as_str())) {
            findings.push(format!("{name} must not depend on a driver, and it does on {driver}"));
        }
    }
    for name in SELF_CONTAINED {
        let uses = metadata.dependencies(name).with_context(|| format!("there is no crate {name}"))?;
        for library in uses.iter().filter(|used| CLIENT_LIBRARIES.contains(&used.as_str())) {
            findings.push(format!("{name} must link no library of the system's, and does by {library}"));
        }
    }
    Ok(Counts::of_findings(&findings))
}
