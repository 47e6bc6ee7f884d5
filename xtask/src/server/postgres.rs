//! PostgreSQL from local programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::local::{Home, Local, Recipe};
use super::ready::Probe;
use super::{Server, TIME_ZONE, free_port, password, unprivileged};
use crate::process::{self, Missing};

pub(super) fn open(unsynced: bool) -> Result<Server> {
    let initdb = process::need("initdb", &debian_folders())?;
    // Not beside the link on PATH, but beside the program that it leads to.
    let folder = fs::canonicalize(&initdb)?.parent().map(PathBuf::from).unwrap_or_default();
    let program = folder.join("postgres");
    if !process::is_executable(&program) {
        bail!(Missing(format!("there is no `postgres` beside {}", initdb.display())));
    }
    let home = Home::new("postgres", unprivileged(&["postgres", "nobody"])?)?;
    let password = password()?;
    // A language's order of texts is what most databases have; the plain order of bytes would hide mistakes.
    let like_most = ["--auth=scram-sha-256", "--locale-provider=icu", "--icu-locale=en-US", "--locale=C"];
    init(&home, &folder, &password, &like_most).or_else(|_| {
        fs::remove_dir_all(home.folder.join("data"))?;
        init(&home, &folder, &password, &like_most[..1])
    })?;
    let version = process::must(home.command(&program).arg("--version"), INIT)?;
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    let origin = format!("PostgreSQL {number} from {}", folder.display());
    let port = free_port()?;
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
    let mut settings = vec!["unix_socket_directories=".to_owned(), format!("log_timezone={TIME_ZONE}")];
    settings.extend(unsynced.then(|| "fsync=off".to_owned()));
    let recipe = recipe(home, program, port, &settings);
    Server::started(url, origin, Local::start(recipe)?)
}

/// How long it may take to make the system tables.
pub(super) const INIT: Duration = Duration::from_secs(180);

/// Makes the folder `data`.
pub(super) fn init(home: &Home, programs: &Path, password: &str, more: &[&str]) -> Result<()> {
    let password = home.write("password", password)?;
    let mut make = home.command(&programs.join("initdb"));
    make.args(["--username=postgres", "--encoding=UTF8", "--no-sync"]).args(more);
    make.arg("--pwfile").arg(password).arg("--pgdata").arg(home.folder.join("data"));
    process::must(&mut make, INIT).map(drop)
}

/// How the server that has the folder `data` is started.
pub(super) fn recipe(home: Home, program: PathBuf, port: u16, more: &[String]) -> Recipe {
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        "max_connections=200".to_owned(),
        format!("port={port}"),
        format!("timezone={TIME_ZONE}"),
    ];
    let data = home.folder.join("data").into_os_string();
    let mut recipe = Recipe::new(home, program, Probe::Postgres, port);
    recipe.arguments.extend(["-D".into(), data]);
    recipe.arguments.extend(settings.iter().chain(more).flat_map(|setting| ["-c".into(), setting.into()]));
    // Ends the connections and then itself.
    recipe.stop = Signal::SIGINT;
    recipe
}

/// Debian keeps the server's programs away from PATH. Newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    folders.sort_by_key(|folder| {
        let version = folder.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    folders
}
