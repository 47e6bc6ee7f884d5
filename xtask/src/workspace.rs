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
    /// What cargo's messages call it.
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
    pub(crate) licence: Option<String>,
    pub(crate) features: Vec<String>,
    /// Kind and name of each library, program, test and example.
    pub(crate) targets: Vec<(String, String)>,
}

/// Features that need more of a machine than a C compiler, and are therefore left out where all are meant.
const LEFT_OUT: &[(&str, &str, &str)] =
    &[("session-mssql", "integrated-auth-gssapi", "it needs Kerberos' headers and libclang")];

impl Metadata {
    /// Asks cargo for everything, with all features on.
    pub(crate) fn read() -> Result<Self> {
        metadata(&["--all-features"]).map(Self)
    }

    /// Asks cargo for the packages of the workspace alone, which needs no network.
    pub(crate) fn read_members() -> Result<Self> {
        metadata(&["--no-deps"]).map(Self)
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> Vec<Package> {
        let members: Vec<_> = items(&self.0["workspace_members"]).collect();
        self.packages()
            .filter(|package| members.contains(&&package["id"]))
            .filter_map(Package::read)
            .collect()
    }

    /// The arguments that select the workspace with all features that any machine can build.
    pub(crate) fn everything(&self) -> Vec<String> {
        let mut features = Vec::new();
        for package in self.members() {
            features
                .extend(package.buildable_features().map(|feature| format!("{}/{feature}", package.name)));
        }
        vec!["--workspace".to_owned(), format!("--features={}", features.join(","))]
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
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let mut targets = Vec::new();
        for target in items(&value["targets"]) {
            for kind in items(&target["kind"]) {
                targets.push((kind.as_str()?.to_owned(), target["name"].as_str()?.to_owned()));
            }
        }
        Some(Self {
            name: text("name")?,
            id: text("id")?,
            version: text("version")?,
            folder: Path::new(value["manifest_path"].as_str()?).parent()?.to_path_buf(),
            licence: text("license"),
            features: value["features"].as_object()?.keys().cloned().collect(),
            targets,
        })
    }

    pub(crate) fn has_target(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|target| target.0 == kind && target.1 == name)
    }

    /// The names of its targets of one kind.
    pub(crate) fn targets(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(move |target| target.0 == kind).map(|target| target.1.as_str())
    }

    /// Its features but `default` and those that not every machine can build.
    pub(crate) fn buildable_features(&self) -> impl Iterator<Item = &str> {
        let left_out =
            |feature: &str| LEFT_OUT.iter().any(|(name, left, _)| *name == self.name && *left == feature);
        self.features
            .iter()
            .map(String::as_str)
            .filter(move |feature| *feature != "default" && !left_out(feature))
    }
}

/// What is left out where all features are meant, and why, for people.
pub(crate) fn left_out() -> impl Iterator<Item = String> {
    LEFT_OUT.iter().map(|(name, feature, why)| format!("left out: {name}/{feature}: {why}"))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What `cargo metadata` says, with the arguments given.
fn metadata(arguments: &[&str]) -> Result<Value> {
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
