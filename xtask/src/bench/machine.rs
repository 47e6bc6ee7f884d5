//! What the numbers were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{process, workspace};

/// Facts about the machine and the tools, as pairs of a name and a value.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&info, "model name").unwrap_or(std::env::consts::ARCH);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    facts.push(("processors", format!("{count} × {model}")));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(total) = value(&memory, "MemTotal") {
        facts.push(("memory", total.to_owned()));
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    facts.push((
        "system",
        format!("{} {}", system.unwrap_or(std::env::consts::OS).trim_matches('"'), kernel.trim())
            .trim()
            .to_owned(),
    ));
    facts.extend(answer("rustc", &["--version"]).map(|version| ("compiler", version)));
    facts.extend(answer("node", &["--version"]).map(|version| ("node", version)));
    facts.extend(answer("git", &["rev-parse", "--short=12", "HEAD"]).map(|revision| ("revision", revision)));
    if let Some(load) =
        fs::read_to_string("/proc/loadavg").ok().and_then(|text| Some(text.split_once(' ')?.0.to_owned()))
    {
        facts.push(("load at the start", load));
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    facts.extend(
        answer("date", &["-u", "-d", &format!("@{seconds}"), "+%F %T UTC"]).map(|date| ("date", date)),
    );
    facts
}

/// The file system that a folder is on.
pub(crate) fn disk(folder: &Path) -> String {
    let mut ask = Command::new("df");
    ask.args(["--output=fstype,source"]).arg(folder);
    let answer =
        process::answer(&mut ask, Duration::from_secs(10)).ok().filter(|ended| ended.status.success());
    let line = answer.as_ref().and_then(|ended| ended.output.lines().nth(1));
    line.map_or_else(
        || "an unknown file system".to_owned(),
        |line| line.split_whitespace().collect::<Vec<_>>().join(" on "),
    )
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    let ended = process::answer(&mut command, Duration::from_secs(20)).ok()?;
    ended.status.success().then(|| ended.output.trim().to_owned())
}
