//! The two applications: built or installed, started, and stopped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cleanup::{self, Guard};
use crate::{process, terminal, workspace};

/// The oldest Node that runs what `interop/package-lock.json` pins.
const OLDEST_NODE: u32 = 20;

/// How long an application may take until it listens.
const READY: Duration = Duration::from_secs(60);

/// How long npm may take. Nothing is compiled: the registry has it all ready to run.
const INSTALLED: Duration = Duration::from_secs(300);

/// What an application is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Node,
    Rust,
}

impl Language {
    pub(super) const BOTH: [Self; 2] = [Self::Node, Self::Rust];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Rust => "Rust",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Node => Self::Rust,
            Self::Rust => Self::Node,
        }
    }
}

/// What is needed to start both.
#[derive(Debug)]
pub(super) struct Programs {
    node: PathBuf,
    rust: PathBuf,
}

/// Finds Node, installs the packages, and builds the Rust application. The inner error says what is missing here.
/// With `everything` it is built with the features that the other tests are built with, so that nothing is compiled
/// twice on a machine that runs them all.
pub(super) fn programs(everything: bool) -> Result<std::result::Result<Programs, String>> {
    let missing = "install Node 20 or later and npm";
    let Some(node) = process::find("node", &[]) else {
        return Ok(Err(format!("there is no `node` on PATH: {missing}")));
    };
    let Some(npm) = process::find("npm", &[]) else {
        return Ok(Err(format!("there is no `npm` on PATH: {missing}")));
    };
    let answer = process::answer(Command::new(&node).arg("--version"), Duration::from_secs(30))?.output;
    let version =
        answer.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if version.is_none_or(|version: u32| version < OLDEST_NODE) {
        return Ok(Err(format!("`node` is {}: {missing}", answer.trim())));
    }
    terminal::step("programs");
    install(&npm)?;
    Ok(Ok(Programs { node, rust: build(everything)? }))
}

fn folder() -> PathBuf {
    workspace::root().join("interop")
}

/// Installs what the lock file pins, unless that was done before.
fn install(npm: &Path) -> Result<()> {
    let lock =
        fs::read(folder().join("package-lock.json")).context("interop/package-lock.json cannot be read")?;
    // Written last, so that a run that was interrupted is done again.
    let stamp = folder().join("node_modules").join(".installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        terminal::detail("interop/node_modules is what the lock file pins");
        return Ok(());
    }
    let mut install = Command::new(npm);
    install.current_dir(folder()).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::must(&mut install, INSTALLED)?;
    fs::write(stamp, lock).context("interop/node_modules cannot be written")
}

/// Builds the example and returns where it is.
fn build(everything: bool) -> Result<PathBuf> {
    let mut build = workspace::cargo();
    build.args(["build", "--example=express_twin"]);
    if everything {
        build.args(workspace::Metadata::read_members()?.everything());
    } else {
        build.args(["--package=session-store", "--features=express,sqlite-bundled,postgres,mysql,mssql"]);
    }
    terminal::command(&process::line(&build));
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = build.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("examples/express_twin.rs does not compile");
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "express_twin")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where the example is")
}

/// Where both work.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Holds a password: never to be printed.
    pub(super) url: &'a str,
    /// The Node package whose table it is.
    pub(super) layout: &'static str,
    /// Where logs go.
    pub(super) folder: &'a Path,
}

/// An application that listens. It is stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Twin {
    language: Language,
    layout: &'static str,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    errors: PathBuf,
    // Dropped in this order: asked to end, then waited for.
    _guard: Guard,
    _child: Reaped,
}

/// A child that is waited for when it has been stopped.
#[derive(Debug)]
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

impl Twin {
    /// Starts it on a port of its own choice, with the database's address where nobody else reads it.
    pub(super) fn start(
        language: Language,
        programs: &Programs,
        place: &Place<'_>,
        create_table: bool,
    ) -> Result<Self> {
        let mut command = match language {
            Language::Node => {
                let mut command = Command::new(&programs.node);
                command.arg("app.js");
                command
            }
            Language::Rust => Command::new(&programs.rust),
        };
        command.args(["0", place.layout]).args(create_table.then_some("--create-table"));
        terminal::command(&process::line(&command));
        let errors = place.folder.join(format!("{}.log", language.name()));
        command
            .current_dir(self::folder())
            .env("DATABASE_URL", place.url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?);
        let (mut child, guard) = cleanup::spawn(&mut command, Signal::SIGTERM)?;
        let listening = first_line(&mut child);
        let twin = Self {
            language,
            layout: place.layout,
            address: listening.unwrap_or_default(),
            errors,
            _guard: guard,
            _child: Reaped(child),
        };
        if twin.address.is_empty() {
            bail!("{} does not listen:\n{}", twin.name(), twin.last_words());
        }
        Ok(twin)
    }

    pub(super) fn name(&self) -> &'static str {
        self.language.name()
    }

    /// How long a session may live after the answer that said it is over: connect-typeorm answers before it asks the
    /// database.
    pub(super) fn ends_sessions_within(&self) -> Duration {
        match (self.language, self.layout) {
            (Language::Node, super::CONNECT_TYPEORM) => Duration::from_secs(5),
            _ => Duration::ZERO,
        }
    }

    /// The end of what it complained about.
    pub(super) fn last_words(&self) -> String {
        process::tail(&fs::read_to_string(&self.errors).unwrap_or_default(), 12)
    }
}

/// The address in the line that says that it listens. What it prints afterwards is read and dropped.
fn first_line(child: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if let Some(address) = line.strip_prefix("listening on ") {
                let _ = sender.send(address.to_owned());
            }
        }
    });
    receiver.recv_timeout(READY).ok()
}
