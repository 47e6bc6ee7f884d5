//! What README tells a newcomer works as it stands there: its commands run in a shell, in a folder of their own, its program
//! is compiled and answers as README says, and the demo starts.
//!
//! Two things differ: session-store comes from this folder, and the programs listen at ports that are free.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

mod ports;

use ports::free_port;

const README: &str = include_str!("../README.md");
/// What README's program listens at.
const PORT: &str = "3000";
/// What README names besides, and `.ci/run` runs.
const ELSEWHERE: &str = "cargo xtask conformance";

#[test]
fn a_newcomer_gets_what_the_readme_shows() {
    if is_without_curl() {
        return;
    }
    let (_, start) = README.split_once("## Start\n").expect("a section `Start`");
    let (start, _) = start.split_once("\n## ").expect("a section after it");
    let port = free_port().to_string();
    let [make, run, visit] = blocks(start, "console").try_into().expect("three blocks of commands");
    let [program] = blocks(start, "rust,ignore").try_into().expect("one program");
    assert!(include_str!("../examples/axum.rs").ends_with(&program), "README's program is examples/axum.rs");
    assert_eq!(lines_of_code(&program), 20);
    let folder = Folder::new("shop");

    let root = env!("CARGO_MANIFEST_DIR");
    let make = make.replace("cargo add session-store", &format!("cargo add session-store --path '{root}'"));
    let make: Vec<_> = steps(&make).into_iter().map(|step| step.command).collect();
    make_crate(&folder.0, &make);
    let shop = folder.0.join("shop");
    fs::write(shop.join("src/main.rs"), program.replace(PORT, &port)).unwrap();
    // The versions that the tests of this workspace are run with.
    fs::copy(Path::new(root).join("Cargo.lock"), shop.join("Cargo.lock")).unwrap();

    let [serve] = steps(&run).try_into().expect("one command");
    assert_eq!(serve.shows, "", "the program says nothing");
    let _server = Server::start(&shop, &serve.command, &port);
    for Step { command, shows } in steps(&visit) {
        let answer = done(shell(&shop, &command.replace(PORT, &port)).output().unwrap(), &command);
        assert_eq!(answer, shows, "{command}");
    }
}

#[test]
fn the_demo_starts_by_its_command() {
    if is_without_curl() {
        return;
    }
    assert!(README.contains("`cargo demo`") && README.contains("`--database URL`"));
    let (folder, port) = (Folder::new("demo"), free_port().to_string());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let command = format!("cargo demo --port {port} --database '{}'", folder.0.join("demo.db").display());
    let _server = Server::start(root, &command, &port);
    let visit = format!("curl -sf http://127.0.0.1:{port}/");
    assert!(done(shell(root, &visit).output().unwrap(), &visit).contains("Welcome"));
}

#[test]
fn every_command_of_the_readme_is_run() {
    let outside = README.split("## ").filter(|section| !section.starts_with("Start\n"));
    let commands = outside.flat_map(|section| blocks(section, "console")).flat_map(|block| {
        let commands = steps(&block).into_iter().map(|step| step.command);
        commands
            .map(|command| command.split(" #").next().unwrap_or_default().trim().to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(commands.collect::<Vec<_>>(), [ELSEWHERE]);
    assert!(include_str!("../.ci/run").contains(ELSEWHERE));
}

#[test]
fn the_picture_shows_figures_that_were_measured() {
    let picture = include_str!("../docs/figures.svg");
    let results = include_str!("../bench/RESULTS.md");
    let shown: Vec<_> = picture
        .split("</text>")
        .filter_map(|text| text.rsplit_once('>'))
        .map(|(_, text)| text)
        .filter(|text| text.contains(',') && !text.contains(' '))
        .collect();
    // Four figures for each of three databases.
    assert_eq!(shown.len(), 12, "{shown:?}");
    for figure in shown {
        assert!(results.contains(&format!("| {figure} |")), "{figure} does not stand in bench/RESULTS.md");
    }
}

/// Whether README's commands cannot be run here, which is said past the harness: it keeps what a test that passes prints.
fn is_without_curl() -> bool {
    let is_missing = Command::new("curl").arg("--version").output().is_err();
    if is_missing {
        let mut past = std::io::stderr();
        writeln!(past, "not run: README's commands, as `curl` is not on PATH").unwrap();
    }
    is_missing
}

/// A command, and what README shows below it.
#[derive(Debug)]
struct Step {
    command: String,
    shows: String,
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shows: String::new() });
        } else {
            let step = steps.last_mut().expect("a command before what it shows");
            step.shows.extend([line, "\n"]);
        }
    }
    steps
}

/// What stands in the code blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut is_within = false;
    for line in text.lines() {
        if line == format!("```{language}") {
            is_within = true;
            blocks.push(String::new());
        } else if line.starts_with("```") {
            is_within = false;
        } else if let (true, Some(block)) = (is_within, blocks.last_mut()) {
            block.extend([line, "\n"]);
        }
    }
    blocks
}

/// Without those that are empty or a comment.
fn lines_of_code(program: &str) -> usize {
    let lines = program.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// Without the network if what cargo has downloaded for this workspace is enough.
fn make_crate(folder: &Path, commands: &[String]) {
    let script = format!("set -e\n{}", commands.join("\n"));
    let offline = shell(folder, &script).env("CARGO_NET_OFFLINE", "true").output().unwrap();
    if !offline.status.success() {
        fs::remove_dir_all(folder.join("shop")).unwrap();
        done(shell(folder, &script).output().unwrap(), &script);
    }
}

/// In a shell, as a reader does it, but with the compiled dependencies of this workspace.
fn shell(folder: &Path, command: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    // What cargo says of this package to its tests.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            shell.env_remove(&*name);
        }
    }
    shell
}

fn done(output: Output, command: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder outside of this workspace, which `cargo new` would otherwise add the crate to.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("session-store-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that runs until the test ends.
struct Server(Child);

impl Server {
    /// Returns when somebody can speak to it.
    fn start(folder: &Path, command: &str, port: &str) -> Self {
        // Cargo is replaced by the program that it runs, so that ending the child ends the program.
        let mut server = Self(shell(folder, &format!("exec {command}")).spawn().unwrap());
        // It is compiled first.
        let deadline = Instant::now() + Duration::from_secs(900);
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            let ended = server.0.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{command}: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
