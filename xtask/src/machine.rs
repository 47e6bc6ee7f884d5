//! What was proven or measured, and on what: facts without which a report cannot be repeated.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

use crate::{process, workspace};

/// Facts about the machine, the tools and the code, by name.
pub(crate) type Facts = BTreeMap<String, String>;

pub(crate) fn describe() -> Facts {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let what = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(memory);
    let system = System::new_with_specifics(what);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let model = system.cpus().first().map(|cpu| cpu.brand()).filter(|brand| !brand.is_empty());
    let release = System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned());
    let mut facts = vec![
        ("processors", format!("{count} × {}", model.unwrap_or(std::env::consts::ARCH))),
        ("memory", format!("{} MiB", system.total_memory() >> 20)),
        ("system", format!("{release} {}", System::kernel_version().unwrap_or_default())),
        ("load at the start", format!("{:.2}", System::load_average().one)),
    ];
    facts.extend(answer("rustc", &["--version"]).map(|version| ("compiler", version)));
    facts.extend(answer("node", &["--version"]).map(|version| ("node", version)));
    if let Some(revision) = answer("git", &["rev-parse", "--short=12", "HEAD"]) {
        let changed = answer("git", &["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
        facts.push(("revision", revision + if changed { ", with uncommitted changes" } else { "" }));
    }
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

/// The time of a report, for people.
pub(crate) fn date(time: jiff::Timestamp) -> String {
    time.strftime("%F %T UTC").to_string()
}

/// The file system that a folder is on.
pub(crate) fn disk(folder: &Path) -> String {
    let disks = Disks::new_with_refreshed_list();
    let holders = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let holder = holders.max_by_key(|disk| disk.mount_point().components().count());
    holder.map_or_else(
        || "an unknown file system".to_owned(),
        |disk| format!("{} on {}", disk.file_system().display(), disk.name().display()),
    )
}

fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    let ended = process::answer(&mut command, Duration::from_secs(20)).ok()?;
    ended.status.success().then(|| ended.output.trim().to_owned())
}
