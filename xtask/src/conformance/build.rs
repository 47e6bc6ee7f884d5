//! Compiling the tests of the backends, all with one call of cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::Backend;
use crate::server::{self, Kind};
use crate::workspace::{self, Metadata, Package};
use crate::{cleanup, process, terminal};

/// The names of the tests that run the suite.
pub(crate) const TESTS: [&str; 2] = ["conformance", "custom_backend"];

/// A compiled test program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) executable: PathBuf,
    pub(super) package: String,
    /// The package's folder, where cargo would run it.
    pub(super) folder: PathBuf,
}

/// The programs of those backends that have one, or why theirs could not be made.
pub(super) type Programs = BTreeMap<Backend, Result<Program, String>>;

/// Where a backend's tests are.
struct Target<'a> {
    package: &'a Package,
    name: &'static str,
}

/// Installs what compiling needs beyond a C compiler, without which not even this program would be here: OpenSSL's
/// headers, for the mock of SQL Server in session-mssql's tests.
pub(super) fn prepare(backends: &[Backend]) -> Result<()> {
    let mut ask = Command::new("pkg-config");
    let found = process::answer(ask.args(["--exists", "openssl"]), Duration::from_secs(20));
    if backends.contains(&Backend::Server(Kind::Mssql)) && !found.is_ok_and(|found| found.status.success()) {
        server::install(&["libssl-dev", "pkg-config"])?;
    }
    Ok(())
}

/// Compiles. With `everything` the whole workspace with all features, so that nothing is compiled twice on a machine that
/// also runs the other tests; otherwise only what these backends need.
pub(super) fn build(backends: &[Backend], everything: bool) -> Result<Programs> {
    let metadata = Metadata::read_members()?;
    let members = metadata.members();
    let targets: BTreeMap<_, _> =
        backends.iter().filter_map(|&backend| Some((backend, find(backend, &members)?))).collect();
    if targets.is_empty() {
        return Ok(Programs::new());
    }
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--keep-going", "--message-format=json-render-diagnostics"]);
    let names: BTreeSet<_> = targets.values().map(|target| target.name).collect();
    cargo.args(names.into_iter().map(|name| format!("--test={name}")));
    if everything {
        cargo.args(metadata.everything());
    } else {
        let packages: BTreeSet<_> = targets.values().map(|target| &target.package.name).collect();
        for package in packages {
            cargo.args(["--package", package]);
        }
        let features: Vec<_> = targets.keys().filter_map(|&backend| feature(backend)).collect();
        if !features.is_empty() {
            cargo.arg(format!("--features={}", features.join(",")));
        }
    }
    terminal::step("building");
    terminal::command(&process::line(&cargo));
    let (child, guard) = cleanup::spawn(cargo.stdout(Stdio::piped()), Signal::SIGTERM)?;
    let output = child.wait_with_output().context("cargo was lost")?;
    guard.release();
    let executables = executables(&String::from_utf8_lossy(&output.stdout));
    Ok(targets
        .into_iter()
        .map(|(backend, target)| {
            let Target { package, name } = target;
            let program = match executables.get(&(package.id.clone(), name.to_owned())) {
                Some(executable) => Ok(Program {
                    executable: executable.clone(),
                    package: package.name.clone(),
                    folder: package.folder.clone(),
                }),
                None => Err(format!("{}'s test `{name}` does not compile", package.name)),
            };
            (backend, program)
        })
        .collect())
}

/// Package and test.
fn home(backend: Backend) -> (&'static str, &'static str) {
    match backend {
        Backend::Memory => ("session-core", "conformance"),
        Backend::Custom => ("session-store", "custom_backend"),
        Backend::Sqlite => ("session-sqlite", "conformance"),
        Backend::Server(Kind::Postgres | Kind::Mariadb | Kind::Mysql) => ("session-diesel", "conformance"),
        Backend::Server(Kind::Mssql) => ("session-mssql", "conformance"),
    }
}

fn feature(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Sqlite => Some("session-sqlite/bundled"),
        Backend::Server(Kind::Postgres) => Some("session-diesel/postgres"),
        Backend::Server(Kind::Mariadb | Kind::Mysql) => Some("session-diesel/mysql"),
        Backend::Memory | Backend::Custom | Backend::Server(Kind::Mssql) => None,
    }
}

/// The test of the backend's package that runs the suite.
fn find(backend: Backend, members: &[Package]) -> Option<Target<'_>> {
    let (package, name) = home(backend);
    let package = members.iter().find(|found| found.name == package)?;
    package.has_target("test", name).then_some(Target { package, name })
}

/// The executables that cargo says it made, by package and name.
fn executables(messages: &str) -> BTreeMap<(String, String), PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let target = &message["target"];
            if target["kind"][0] != "test" {
                return None;
            }
            let key = (text(&message["package_id"])?, text(&target["name"])?);
            Some((key, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}
