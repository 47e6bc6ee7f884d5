//! Where the workspace is, what it holds, and how cargo is called in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::testing::LIMIT;
use crate::{command_line, process, terminal};

/// How long npm may take.
const NPM: Duration = Duration::from_secs(300);

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

/// What cargo knows of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Those of the workspace.
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// What cargo's messages call it.
    pub(crate) id: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Value>,
    targets: Vec<Target>,
    /// The registries that it may go to; `None` for any.
    publish: Option<Vec<String>>,
}

/// A library, program, test or example.
#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Features that need more of a machine than a C compiler, and are left out where all are meant and the machine lacks
/// it: package, feature, what it needs, and whether that is here.
type Demanding = (&'static str, &'static str, &'static str, fn() -> bool);

const DEMANDING: [Demanding; 2] = [
    ("session-mssql", "integrated-auth-gssapi", "Kerberos' headers and libclang", || false),
    ("session-mssql-tests", "mock", "OpenSSL's headers (libssl-dev and pkg-config)", has_openssl),
];

/// Whether OpenSSL's headers are here, as its crate looks for them.
pub(crate) fn has_openssl() -> bool {
    let mut ask = Command::new("pkg-config");
    let found = process::answer(ask.args(["--exists", "openssl"]), Duration::from_secs(20));
    found.is_ok_and(|found| found.status.success())
}

impl Metadata {
    /// Asks cargo for the packages of the workspace alone, which needs no network.
    pub(crate) fn read() -> Result<Self> {
        let mut cargo = cargo();
        let ended = process::output(cargo.args(["metadata", "--format-version=1", "--no-deps"]), LIMIT)?;
        if !ended.status.success() {
            bail!("`{}` failed", command_line::line(&cargo));
        }
        serde_json::from_str(&ended.output).context("`cargo metadata` printed something else than expected")
    }

    /// The arguments that select the workspace with all features that any machine can build.
    pub(crate) fn everything(&self) -> Vec<String> {
        let features = self.packages.iter().flat_map(|package| {
            package.buildable_features().map(move |feature| format!("{}/{feature}", package.name))
        });
        vec!["--workspace".to_owned(), format!("--features={}", features.collect::<Vec<_>>().join(","))]
    }
}

impl Package {
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// The names of its targets of one kind.
    pub(crate) fn targets(&self, kind: &str) -> impl Iterator<Item = &str> {
        let of_kind = move |target: &&Target| target.kind.iter().any(|found| found == kind);
        self.targets.iter().filter(of_kind).map(|target| target.name.as_str())
    }

    /// Its features but `default` and those that not every machine can build.
    pub(crate) fn buildable_features(&self) -> impl Iterator<Item = &str> {
        let left_out = |feature: &&str| {
            // The faults of `cargo xtask mutants`.
            let is_hidden = feature.starts_with("__");
            is_hidden
                || DEMANDING
                    .iter()
                    .any(|(name, left, _, is_here)| *name == self.name && left == feature && !is_here())
        };
        let features = self.features.keys().map(String::as_str);
        features.filter(move |feature| *feature != "default" && !left_out(feature))
    }
}

/// What is left out where all features are meant, and why, for people.
pub(crate) fn left_out() -> impl Iterator<Item = String> {
    let left_out = DEMANDING.into_iter().filter(|(.., is_here)| !is_here());
    left_out.map(|(name, feature, needs, _)| format!("left out: {name}/{feature}, which needs {needs}"))
}

/// Runs `cargo build` with these arguments. Returns the executables that it made, by the package's id and the target's
/// name; what does not compile is missing, and cargo has said why.
pub(crate) fn build(arguments: &[String]) -> Result<BTreeMap<(String, String), PathBuf>> {
    let mut cargo = cargo();
    cargo.arg("build").args(arguments);
    terminal::command(&command_line::line(&cargo));
    cargo.args(["--keep-going", "--message-format=json-render-diagnostics"]);
    let messages = process::output(&mut cargo, LIMIT)?.output;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter_map(|message| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let made = (text(&message["package_id"])?, text(&message["target"]["name"])?);
            Some((made, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect())
}

/// Installs what the lock file of this folder pins, unless that was done before. Nothing is compiled.
pub(crate) fn npm_ci(npm: &Path, folder: &Path) -> Result<()> {
    let lock = fs::read(folder.join("package-lock.json")).context("package-lock.json cannot be read")?;
    // Written last, so that a run that was interrupted is done again.
    let stamp = folder.join("node_modules").join(".installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut install = Command::new(npm);
    install.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::must(&mut install, NPM)?;
    fs::write(stamp, lock).with_context(|| format!("{} cannot be written", folder.display()))
}
