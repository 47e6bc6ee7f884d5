//! Where the workspace is, what it holds, and how cargo is called in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// The cargo that runs this program, in the workspace's folder, with nothing to read.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).stdin(Stdio::null());
    // What `cargo run` says of this package would mislead the build scripts and tests of others.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            command.env_remove(name);
        }
    }
    command
}

/// What cargo knows of the workspace and of everything that it depends on.
#[derive(Debug)]
pub(crate) struct Metadata(Value);

/// A package, of the workspace or not.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    pub(crate) features: Vec<String>,
    pub(crate) has_library: bool,
    /// The names of its integration tests.
    pub(crate) tests: Vec<String>,
}

impl Metadata {
    /// Asks cargo, with all features on.
    pub(crate) fn read() -> Result<Self> {
        metadata(&["--all-features"]).map(Self)
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> Vec<Package> {
        let members: Vec<_> = items(&self.0["workspace_members"]).collect();
        self.packages()
            .filter(|package| members.contains(&&package["id"]))
            .filter_map(Package::read)
            .collect()
    }

    /// The packages of the workspace and all that they, their builds and their tests use, on any platform.
    pub(crate) fn all(&self) -> Vec<Package> {
        self.packages().filter_map(Package::read).collect()
    }

    /// The names of everything that the package, not counting its tests, is built upon, near or far.
    pub(crate) fn dependencies(&self, package: &str) -> Option<BTreeSet<String>> {
        let id = self.packages().find(|found| found["name"] == package)?["id"].as_str()?;
        let nodes: Vec<_> = items(&self.0["resolve"]["nodes"]).collect();
        let mut seen = BTreeSet::from([id]);
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            let node = nodes.iter().find(|node| node["id"] == id)?;
            for dependency in items(&node["deps"]) {
                let is_needed = items(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
                let id = dependency["pkg"].as_str()?;
                if is_needed && seen.insert(id) {
                    next.push(id);
                }
            }
        }
        seen.remove(id);
        let names = self.packages().filter(|found| found["id"].as_str().is_some_and(|id| seen.contains(id)));
        Some(names.filter_map(|found| found["name"].as_str().map(str::to_owned)).collect())
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        items(&self.0["packages"])
    }
}

impl Package {
    fn read(value: &Value) -> Option<Self> {
        let targets = |kind: &str| {
            let has_kind = |target: &&Value| items(&target["kind"]).any(|found| found == kind);
            let targets = items(&value["targets"]).filter(has_kind);
            targets.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            version: value["version"].as_str()?.to_owned(),
            licence: value["license"].as_str().map(str::to_owned),
            features: value["features"].as_object()?.keys().cloned().collect(),
            has_library: !targets("lib").is_empty(),
            tests: targets("test"),
        })
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What `cargo metadata` says, with the arguments given.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value> {
    let output = cargo()
        .args(["metadata", "--format-version=1"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("`cargo metadata {}` failed", arguments.join(" "));
    }
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something that is not JSON")
}
