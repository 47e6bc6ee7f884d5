//! The crates depend in one direction: drivers and the suite on the core, the core on no driver, this one on none.

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
    Ok(Counts::of_findings(&findings))
}
