//! Compiling the programs that hold the subjects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::options::Options;
use super::subject::{Program, Role};
use crate::cleanup::{self, Guard, Leftover};
use crate::{process, terminal, workspace};

/// How to start each program, or why it cannot be.
pub(crate) type Programs = BTreeMap<Program, Result<Vec<PathBuf>, String>>;

/// Compiles what these backends and subjects need.
pub(crate) fn build(options: &Options) -> Programs {
    let mut programs = Programs::new();
    terminal::step("building");
    for subject in &options.subjects {
        let needed = options.backends.iter().any(|&backend| subject.is_on(backend));
        if needed && !programs.contains_key(&subject.program) {
            let made = match subject.program {
                // It follows the manifests of this workspace, and its lock file with it.
                Program::Ours => cargo("ours", &["--no-default-features", "--features", &drivers(options)]),
                Program::PeersSqlx => cargo("peers-sqlx", &["--locked"]),
                Program::PeersRusqlite => cargo("peers-rusqlite", &["--locked"]),
                Program::Node => node(),
            };
            let made = made.map_err(|error| format!("{error:#}"));
            if let Err(why) = &made {
                terminal::detail(&format!("not measured: {}: {why}", names(options, subject.program)));
            }
            programs.insert(subject.program, made);
        }
    }
    programs
}

/// The features of our own program: compiling all drivers for the sake of one takes minutes.
fn drivers(options: &Options) -> String {
    let drivers: BTreeSet<_> = options.backends.iter().map(|backend| backend.driver()).collect();
    drivers.into_iter().collect::<Vec<_>>().join(",")
}

fn names(options: &Options, program: Program) -> String {
    let mut names = Vec::new();
    for subject in options.subjects.iter().filter(|subject| subject.program == program) {
        names.push(if subject.role == Role::Bare { "bare drivers" } else { subject.name });
    }
    names.join(", ")
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
    run(&mut cargo)?;
    Ok(vec![target().join("release").join(name)])
}

/// The Node peers, installed beside the build, as `npm ci` replaces whatever is there.
fn node() -> Result<Vec<PathBuf>> {
    let find = |name: &str| process::find(name, &[]).with_context(|| format!("{name} is not on PATH"));
    let (node, npm) = (find("node")?, find("npm")?);
    let (source, folder) = (workspace::root().join("bench/node"), target().join("node"));
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json", "worker.mjs"] {
        fs::copy(source.join(file), folder.join(file)).with_context(|| format!("bench/node/{file}"))?;
    }
    let installed = fs::read(folder.join("node_modules/.installed")).unwrap_or_default();
    let wanted = fs::read(folder.join("package-lock.json"))?;
    if installed != wanted {
        let mut install = Command::new(npm);
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        run(&mut install)?;
        fs::write(folder.join("node_modules/.installed"), wanted)?;
    }
    Ok(vec![node, folder.join("worker.mjs")])
}

/// Runs a program whose output a person may want to watch.
fn run(command: &mut Command) -> Result<()> {
    terminal::command(&process::line(command));
    let (mut child, guard) = cleanup::spawn(command, Signal::SIGTERM)?;
    let status = child.wait().context("the program was lost")?;
    guard.release();
    if !status.success() {
        bail!("`{}` failed", process::line(command));
    }
    Ok(())
}

/// How long a program may take to get ready, and a run beyond its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
