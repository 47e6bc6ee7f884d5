//! MariaDB and MySQL from local programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::local::{Home, Local, Recipe};
use super::ready::{self, Probe};
use super::{Found, Kind, Server, address, free_port, password, unprivileged};
use crate::process;

/// As far from UTC as both servers let it be.
pub(super) const TIME_ZONE: &str = "+13:00";

/// By itself MariaDB shows a write to others before it is on the disk, and if the server is killed in between, somebody
/// has seen what never was. With its binary log flushed first, as MySQL has it by default, it does not.
pub(super) const DURABLE: [&str; 2] = ["--log-bin", "--sync-binlog=1"];

/// How long it may take to make the system tables.
const INSTALL: Duration = Duration::from_secs(180);

pub(super) fn open_mariadb(more: &[&str]) -> Result<Found> {
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    let Some(program) = find(Kind::Mariadb, &["mariadbd", "mysqld"], &sbin) else {
        return Ok(Err("no local programs (mariadbd is neither on PATH nor in /usr/sbin)".to_owned()));
    };
    let Some(install) =
        process::find("mariadb-install-db", &[]).or_else(|| process::find("mysql_install_db", &[]))
    else {
        return Ok(Err("no local programs (mariadb-install-db is not on PATH)".to_owned()));
    };
    let home = Home::new("mariadb", unprivileged(&["mysql", "nobody"])?)?;
    let data = home.folder.join("data");
    let mut make = home.command(&install);
    // Without the last two everybody on this machine could log in as the server's root.
    make.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=socket"])
        .arg(format!("--auth-root-socket-user={}", home.user.as_ref().map_or("mysql", |user| &user.name)))
        .arg(format!("--datadir={}", data.display()));
    process::must(&mut make, INSTALL)?;
    start(home, program, &data, more).map(Ok)
}

pub(super) fn open_mysql() -> Result<Found> {
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/mysql/bin")];
    let Some(program) = find(Kind::Mysql, &["mysqld"], &sbin) else {
        return Ok(Err(
            "no local programs (MySQL's mysqld is neither on PATH nor in /usr/sbin; MariaDB's is another server)"
                .to_owned(),
        ));
    };
    let home = Home::new("mysql", unprivileged(&["mysql", "nobody"])?)?;
    let data = home.folder.join("data");
    let mut make = home.command(&program);
    make.args(["--no-defaults", "--initialize-insecure"]).arg(format!("--datadir={}", data.display()));
    process::must(&mut make, INSTALL)?;
    start(home, program, &data, &["--mysqlx=OFF"]).map(Ok)
}

fn start(home: Home, program: PathBuf, data: &Path, more: &[&str]) -> Result<Server> {
    let version = process::must(home.command(&program).arg("--version"), Duration::from_secs(30))?;
    let password = password()?;
    let init = home.write(
        "init.sql",
        &format!(
            "CREATE DATABASE IF NOT EXISTS sessions;\n\
             CREATE USER IF NOT EXISTS 'session'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO 'session'@'127.0.0.1' WITH GRANT OPTION;\n"
        ),
    )?;
    let port = free_port()?;
    let folder = home.folder.display();
    // No file of this machine's configuration, so also the server's own default character set and order of texts.
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        format!("--tmpdir={folder}"),
        format!("--socket={folder}/socket"),
        format!("--pid-file={folder}/pid"),
        format!("--init-file={}", init.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        "--skip-name-resolve".to_owned(),
        "--max-connections=300".to_owned(),
        format!("--default-time-zone={TIME_ZONE}"),
    ];
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    let origin = format!("{} from {}", nice(&version), program.display());
    let url = format!("mysql://session:{password}@127.0.0.1:{port}/sessions");
    let recipe = Recipe {
        home,
        program,
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: vec![("TZ", super::postgres::TIME_ZONE.to_owned())],
        stop: Signal::SIGTERM,
        port,
        probe: Probe::Mysql,
    };
    Server::started(url, origin, Local::start(recipe)?)
}

/// Debian's `mysqld` may be either server: what it says of itself decides.
fn find(kind: Kind, names: &[&str], elsewhere: &[PathBuf]) -> Option<PathBuf> {
    names.iter().filter_map(|name| process::find(name, elsewhere)).find(|program| {
        let mut ask = std::process::Command::new(program);
        let answer = process::answer(ask.args(["--no-defaults", "--version"]), Duration::from_secs(30));
        answer.is_ok_and(|answer| kind_of(&answer.output) == kind)
    })
}

/// Whether what is there is this kind of server. Nobody there counts as yes: then that is what must be said.
pub(super) fn answers_as(kind: Kind, url: &str) -> bool {
    let Some(address) = address(kind, url) else { return kind == Kind::Mysql };
    match Probe::Mysql.ask(&address) {
        Ok(version) => kind_of(&version) == kind,
        Err(_) => kind == Kind::Mysql,
    }
}

/// Which of the two servers calls itself so.
pub(super) fn kind_of(version: &str) -> Kind {
    if version.to_ascii_lowercase().contains("mariadb") { Kind::Mariadb } else { Kind::Mysql }
}

/// `…/mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu …` as `MariaDB 10.11.14`.
fn nice(version: &str) -> String {
    let name = version.split_whitespace().skip_while(|&word| word != "Ver").nth(1).unwrap_or_default();
    ready::mysql_version(name)
}
