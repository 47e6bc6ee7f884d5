//! Compiling the programs that hold the subjects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::options::{Options, driver};
use super::subject::Program;
use crate::cleanup::{self, Guard, Leftover};
use crate::testing::LIMIT;
use crate::{process, terminal, workspace};

/// How to start each program, or why it cannot be.
pub(crate) type Programs = BTreeMap<Program, Result<Vec<PathBuf>, String>>;

/// Compiles what these backends and subjects need.
pub(crate) fn build(options: &Options) -> Programs {
    let mut programs = Programs::new();
    terminal::step("building");
    for subject in options.subjects() {
        let needed = options.backends().into_iter().any(|backend| subject.is_on(backend));
        if needed && !programs.contains_key(&subject.program) {
            let made = match subject.program {
                // Ours follow the manifests of this workspace, and their lock files with them.
                Program::Ours => cargo("ours", &["--no-default-features", "--features", &drivers(options)]),
                Program::OursSqlx => cargo("ours-sqlx", &[]),
                Program::PeersSqlx => cargo("peers-sqlx", &["--locked"]),
                Program::PeersRusqlite => cargo("peers-rusqlite", &["--locked"]),
                Program::PeersRedis => cargo("peers-redis", &["--locked"]),
                Program::Node => node("worker.mjs"),
                Program::WebOurs => {
                    browsers(cargo("web-ours", &["--no-default-features", "--features", &drivers(options)]))
                }
                Program::WebPeers => browsers(cargo("web-peers", &["--locked"])),
                Program::WebNode => browsers(node("web.mjs")),
            };
            programs.insert(subject.program, made.map_err(|error| format!("{error:#}")));
        }
    }
    programs
}

/// The features of our own program: compiling all drivers for the sake of one takes minutes.
fn drivers(options: &Options) -> String {
    let drivers: BTreeSet<_> = options.backends().into_iter().map(driver).collect();
    drivers.into_iter().collect::<Vec<_>>().join(",")
}

/// The browsers, and the application that they start.
fn browsers(application: Result<Vec<PathBuf>>) -> Result<Vec<PathBuf>> {
    let mut command = cargo("web", &["--locked"])?;
    command.extend(application?);
    Ok(command)
}

/// Where things are built: beside everything else that cargo makes.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace::root().join("target"), PathBuf::from)
        .join("bench")
}

/// A folder for database files, on the disk that holds the build, and not in memory as temporary folders often are.
pub(crate) fn data_folder() -> Result<(PathBuf, Guard)> {
    let folder = target().join(format!("data-{}", std::process::id()));
    let guard = cleanup::register(Leftover::Folder(folder.clone()))?;
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok((folder, guard))
}

fn cargo(name: &str, arguments: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = workspace::cargo();
    let manifest = workspace::root().join("bench").join(name).join("Cargo.toml");
    cargo.args(["build", "--release", "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(target());
    cargo.args(arguments);
    process::must_show(&mut cargo, LIMIT)?;
    Ok(vec![target().join("release").join(name)])
}

/// The Node peers, installed beside the build, as `npm ci` replaces whatever is there.
fn node(program: &str) -> Result<Vec<PathBuf>> {
    let (node, npm) = (process::need("node", &[])?, process::need("npm", &[])?);
    let (source, folder) = (workspace::root().join("bench/node"), target().join("node"));
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json", "stores.mjs", program] {
        fs::copy(source.join(file), folder.join(file)).with_context(|| format!("bench/node/{file}"))?;
    }
    workspace::npm_ci(&npm, &folder)?;
    Ok(vec![node, folder.join(program)])
}

/// How long a program may take to get ready, and a run beyond its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
