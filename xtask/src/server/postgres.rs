//! PostgreSQL from local programs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::local::{Home, Local, Recipe};
use super::ready::Probe;
use super::{Found, Server, free_port, password, unprivileged};
use crate::process;

/// As far from UTC as a zone can be, so that whatever depends on the server's zone shows.
pub(super) const TIME_ZONE: &str = "Pacific/Kiritimati";

pub(super) fn open() -> Result<Found> {
    let Some(initdb) = process::find("initdb", &debian_folders()) else {
        return Ok(Err(
            "no local programs (initdb is neither on PATH nor in /usr/lib/postgresql/*/bin)".to_owned()
        ));
    };
    // Not beside the link on PATH, but beside the program that it leads to.
    let folder = fs::canonicalize(&initdb)?.parent().map(PathBuf::from).unwrap_or_default();
    let program = folder.join("postgres");
    if !process::is_executable(&program) {
        return Ok(Err(format!("no local programs (there is no `postgres` beside {})", initdb.display())));
    }
    let home = Home::new("postgres", unprivileged(&["postgres", "nobody"])?)?;
    let password = password()?;
    let password_file = home.write("password", &password)?;
    let data = home.folder.join("data");
    let mut make = home.command(&folder.join("initdb"));
    make.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"])
        .arg("--pwfile")
        .arg(&password_file)
        .arg("--pgdata")
        .arg(&data);
    // A language's order of texts is what most databases have; the plain order of bytes would hide mistakes.
    let mut make_like_most = home.command(&folder.join("initdb"));
    make_like_most.args(make.get_args()).args(["--locale-provider=icu", "--icu-locale=en-US", "--locale=C"]);
    let limit = Duration::from_secs(120);
    if process::must(&mut make_like_most, limit).is_err() {
        let _ = fs::remove_dir_all(&data);
        process::must(&mut make, limit)?;
    }
    let version = process::must(home.command(&program).arg("--version"), limit)?;
    let port = free_port()?;
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        format!("timezone={TIME_ZONE}"),
        format!("log_timezone={TIME_ZONE}"),
        "max_connections=200".to_owned(),
    ];
    let mut arguments = vec!["-D".into(), data.into_os_string()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    let origin = format!("{} from {}", nice(&version), folder.display());
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
    let recipe = Recipe {
        home,
        program,
        arguments,
        environment: vec![("TZ", TIME_ZONE.to_owned())],
        // Ends the connections and then itself.
        stop: Signal::SIGINT,
        port,
        probe: Probe::Postgres,
    };
    Server::started(url, origin, Local::start(recipe)?).map(Ok)
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

/// `postgres (PostgreSQL) 15.14 (Debian …)` as `PostgreSQL 15.14`.
fn nice(version: &str) -> String {
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    format!("PostgreSQL {number}")
}
