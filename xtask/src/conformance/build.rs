//! Compiling the tests of the backends, all with one call of cargo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{BACKENDS, Backend};
use crate::server::Kind;
use crate::{cleanup, process, terminal, workspace};

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
struct Target {
    package: String,
    id: String,
    folder: PathBuf,
    kind: &'static str,
    name: &'static str,
}

/// Compiles. With `everything` the whole workspace with all features, so that nothing is compiled twice on a machine that
/// also runs the other tests; otherwise only what these backends need.
pub(super) fn build(backends: &[Backend], everything: bool) -> Result<Programs> {
    let metadata = workspace::metadata(&["--no-deps"])?;
    let targets: BTreeMap<_, _> =
        backends.iter().filter_map(|&backend| Some((backend, find(backend, &metadata)?))).collect();
    if targets.is_empty() {
        return Ok(Programs::new());
    }
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--keep-going", "--message-format=json-render-diagnostics"]);
    for kind in ["test", "example"] {
        let target = targets.values().find(|target| target.kind == kind);
        cargo.args(target.map(|target| format!("--{kind}={}", target.name)));
    }
    if everything {
        cargo.args(["--workspace", "--all-features"]);
    } else {
        let mut packages: Vec<_> = targets.values().map(|target| target.package.as_str()).collect();
        packages.dedup();
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
            let Target { package, id, folder, kind, name } = target;
            let program = match executables.get(&(id, kind.to_owned(), name.to_owned())) {
                Some(executable) => Ok(Program { executable: executable.clone(), package, folder }),
                None => Err(format!("{package}'s {kind} `{name}` does not compile")),
            };
            (backend, program)
        })
        .collect())
}

fn package(backend: Backend) -> &'static str {
    match backend {
        Backend::Memory => "session-core",
        Backend::Custom => "custom-backend",
        Backend::Sqlite => "session-sqlite",
        Backend::Server(Kind::Postgres | Kind::Mariadb | Kind::Mysql) => "session-diesel",
        Backend::Server(Kind::Mssql) => "session-mssql",
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

/// The test `conformance` of the backend's package. The custom backend may also be an example of any package.
fn find(backend: Backend, metadata: &Value) -> Option<Target> {
    debug_assert!(BACKENDS.contains(&backend));
    let packages = metadata["packages"].as_array()?;
    let search = |package: Option<&str>, kind: &'static str, name: &'static str| {
        packages
            .iter()
            .filter(|found| package.is_none_or(|package| found["name"] == package))
            .find(|found| has_target(found, kind, name))
            .and_then(|found| {
                Some(Target {
                    package: found["name"].as_str()?.to_owned(),
                    id: found["id"].as_str()?.to_owned(),
                    folder: Path::new(found["manifest_path"].as_str()?).parent()?.to_path_buf(),
                    kind,
                    name,
                })
            })
    };
    let target = search(Some(package(backend)), "test", "conformance");
    if backend == Backend::Custom {
        return target.or_else(|| search(None, "example", "custom_backend"));
    }
    target
}

fn has_target(package: &Value, kind: &str, name: &str) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets.into_iter().any(|target| {
        target["name"] == name && target["kind"].as_array().is_some_and(|kinds| kinds.contains(&kind.into()))
    })
}

/// The executables that cargo says it made, by package, kind and name.
fn executables(messages: &str) -> BTreeMap<(String, String, String), PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let target = &message["target"];
            let key = (text(&message["package_id"])?, text(&target["kind"][0])?, text(&target["name"])?);
            Some((key, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}
