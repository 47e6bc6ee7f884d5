//! Compiling the tests of the backends, all with one call of cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Options;
use crate::backend::Backend;
use crate::server::Kind;
use crate::terminal;
use crate::workspace::{self, Metadata};

/// The names of the tests that run the suite.
pub(crate) const TESTS: [&str; 2] = ["conformance", "custom_backend"];

/// The test that hurts servers which it starts for itself.
const DRILLS: &str = "cluster";

/// A compiled test program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) executable: PathBuf,
    pub(super) package: String,
    /// The package's folder, where cargo would run it.
    pub(super) folder: PathBuf,
    /// It takes no server, and hurts its own.
    pub(super) drills: bool,
}

/// The programs of those backends that have any, or why one could not be made.
pub(super) type Programs = BTreeMap<Backend, Vec<Result<Program, String>>>;

/// Compiles. If no backend is named, the whole workspace with all features, so that nothing is compiled twice on a machine
/// that also runs the other tests; otherwise only what these backends need.
pub(super) fn build(options: &Options) -> Result<Programs> {
    let metadata = Metadata::read()?;
    let mut targets = Vec::new();
    for backend in options.backends() {
        for &(package, name, feature) in homes(backend) {
            let package = metadata.packages.iter().find(|found| found.name == package);
            if let Some(package) = package.filter(|package| package.targets("test").any(|test| test == name))
            {
                targets.push((backend, package, name, feature));
            }
        }
    }
    if targets.is_empty() {
        return Ok(Programs::new());
    }
    let names: BTreeSet<_> = targets.iter().map(|(_, _, name, _)| format!("--test={name}")).collect();
    let mut arguments: Vec<_> = names.into_iter().collect();
    if options.named.is_empty() {
        arguments.extend(metadata.everything());
    } else {
        let packages: BTreeSet<_> =
            targets.iter().map(|(_, package, ..)| format!("--package={}", package.name)).collect();
        arguments.extend(packages);
        arguments.extend(
            targets.iter().filter_map(|(_, _, _, feature)| Some(format!("--features={}", (*feature)?))),
        );
    }
    terminal::step("building (some minutes the first time)");
    let executables = workspace::build(&arguments)?;
    let mut programs = Programs::new();
    for (backend, package, name, _) in targets {
        let program = match executables.get(&(package.id.clone(), name.to_owned())) {
            Some(executable) => Ok(Program {
                executable: executable.clone(),
                package: package.name.clone(),
                folder: package.folder().to_owned(),
                drills: name == DRILLS,
            }),
            None => Err(format!("{}'s test `{name}` does not compile", package.name)),
        };
        programs.entry(backend).or_default().push(program);
    }
    Ok(programs)
}

/// Compiles a backend's first test program with the faults of `cargo xtask mutants`, and the program that switches them on.
pub(super) fn with_faults(backend: Backend) -> Result<(Program, PathBuf)> {
    let metadata = Metadata::read()?;
    let (package, test, feature) = homes(backend)[0];
    let faults = if package == "session-core" { "session-core/__mutants" } else { "session-sql/__mutants" };
    let features = feature.into_iter().chain([faults]).collect::<Vec<_>>().join(",");
    let arguments = [
        &format!("--package={package}"),
        "--package=session-mutants",
        "--package=session-sql",
        &format!("--test={test}"),
        "--bin=session-mutants",
        &format!("--features={features}"),
    ];
    let executables = workspace::build(&arguments.map(str::to_owned))?;
    let of = |package: &str, target: &str| {
        let found = metadata.packages.iter().find(|found| found.name == package);
        let package = found.with_context(|| format!("there is no package {package}"))?;
        let executable = executables.get(&(package.id.clone(), target.to_owned()));
        let executable = executable.with_context(|| format!("`{target}` does not compile"))?.clone();
        Ok::<_, anyhow::Error>(Program {
            executable,
            package: package.name.clone(),
            folder: package.folder().to_owned(),
            drills: false,
        })
    };
    Ok((of(package, test)?, of("session-mutants", "session-mutants")?.executable))
}

/// The tests of a backend's drivers: package, test and the feature that the test needs.
fn homes(backend: Backend) -> &'static [(&'static str, &'static str, Option<&'static str>)] {
    match backend {
        Backend::Memory => &[("session-core", "conformance", None)],
        Backend::Custom => &[("session-store", "custom_backend", None)],
        Backend::Sqlite => &[
            ("session-sqlite", "conformance", Some("session-sqlite/bundled")),
            ("session-sqlx", "conformance", Some("session-sqlx/sqlite")),
        ],
        Backend::Server(Kind::Postgres) => &[
            ("session-diesel", "conformance", Some("session-diesel/postgres")),
            ("session-sqlx", "conformance", Some("session-sqlx/postgres")),
        ],
        Backend::PostgresPair | Backend::Patroni => {
            &[("session-diesel", DRILLS, Some("session-diesel/postgres"))]
        }
        Backend::Server(Kind::Galera) => &[
            ("session-diesel", "conformance", Some("session-diesel/mysql")),
            ("session-sqlx", "conformance", Some("session-sqlx/mysql")),
            ("session-diesel", DRILLS, Some("session-diesel/mysql")),
        ],
        Backend::Server(Kind::Mariadb | Kind::Mysql) => &[
            ("session-diesel", "conformance", Some("session-diesel/mysql")),
            ("session-sqlx", "conformance", Some("session-sqlx/mysql")),
        ],
        Backend::Server(Kind::Mssql) => &[("session-mssql", "conformance", None)],
    }
}
