//! MariaDB and MySQL from local programs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::local::{Home, Local, Recipe};
use super::postgres::INIT;
use super::ready::{self, Probe};
use super::{Kind, Server, address, free_port, password, unprivileged};
use crate::process::{self, Missing};

/// As far from UTC as both servers let it be.
pub(super) const TIME_ZONE: &str = "+13:00";

/// By itself MariaDB shows a write to others before it is on the disk, and if the server is killed in between, somebody
/// has seen what never was. With its binary log flushed first, as MySQL has it by default, it does not.
pub(super) const DURABLE: [&str; 2] = ["--log-bin", "--sync-binlog=1"];

/// What MariaDB writes is written in the same order, and not waited for.
pub(super) const UNSYNCED: [&str; 2] = ["--debug-no-sync", "--innodb-flush-method=nosync"];

/// The programs of a server.
pub(super) struct Programs {
    pub(super) server: PathBuf,
    /// What makes the system tables, where it is not the server itself.
    install: Option<PathBuf>,
}

impl Programs {
    pub(super) fn of_mariadb() -> Result<Programs> {
        let server = find(Kind::Mariadb, &["mariadbd", "mysqld"], &["/usr/sbin", "/usr/local/sbin"])?;
        let install = process::need("mariadb-install-db", &[])
            .or_else(|missing| process::find("mysql_install_db", &[]).ok_or(missing))?;
        Ok(Programs { server, install: Some(install) })
    }
}

pub(super) fn open_mariadb(more: &[&str]) -> Result<Server> {
    start(&Programs::of_mariadb()?, "mariadb", more)
}

pub(super) fn open_mysql() -> Result<Server> {
    let server = find(Kind::Mysql, &["mysqld"], &["/usr/sbin", "/usr/local/mysql/bin"])?;
    start(&Programs { server, install: None }, "mysql", &["--mysqlx=OFF"])
}

fn start(programs: &Programs, purpose: &str, more: &[&str]) -> Result<Server> {
    let (password, port) = (password()?, free_port()?);
    let (home, arguments) = prepared(programs, purpose, &password, port)?;
    let url = format!("mysql://session:{password}@127.0.0.1:{port}/sessions");
    let mut recipe = Recipe::new(home, programs.server.clone(), Probe::Mysql, port);
    recipe.arguments.extend(arguments.iter().map(String::as_str).chain(more.iter().copied()).map(Into::into));
    Server::started(url, origin(programs)?, Local::start(recipe)?)
}

/// A folder with system tables, and the arguments with which a server begins there.
pub(super) fn prepared(
    programs: &Programs,
    purpose: &str,
    password: &str,
    port: u16,
) -> Result<(Home, Vec<String>)> {
    let home = Home::new(purpose, unprivileged(&["mysql", "nobody"])?)?;
    let mut make = home.command(programs.install.as_ref().unwrap_or(&programs.server));
    make.arg("--no-defaults");
    match programs.install {
        // Without the last two everybody on this machine could log in as the server's root.
        Some(_) => make.args(["--skip-test-db", "--auth-root-authentication-method=socket"]).arg(format!(
            "--auth-root-socket-user={}",
            home.user.as_ref().map_or("mysql", |user| &user.name)
        )),
        None => make.arg("--initialize-insecure"),
    };
    make.arg(format!("--datadir={}/data", home.folder.display()));
    process::must(&mut make, INIT)?;
    let init = home.write(
        "init.sql",
        &format!(
            "CREATE DATABASE IF NOT EXISTS sessions;\n\
             CREATE USER IF NOT EXISTS 'session'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO 'session'@'127.0.0.1' WITH GRANT OPTION;\n"
        ),
    )?;
    let folder = home.folder.display();
    // No file of this machine's configuration, so also the server's own default character set and order of texts.
    let arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={folder}/data"),
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
    Ok((home, arguments))
}

/// Where a server comes from, in words.
pub(super) fn origin(programs: &Programs) -> Result<String> {
    let mut ask = std::process::Command::new(&programs.server);
    let version = process::must(ask.args(["--no-defaults", "--version"]), Duration::from_secs(30))?;
    // `…/mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu …`
    let version = version.split_whitespace().skip_while(|&word| word != "Ver").nth(1).unwrap_or_default();
    Ok(format!("{} from {}", ready::mysql_version(version), programs.server.display()))
}

/// Debian's `mysqld` may be either server: what it says of itself decides.
fn find(kind: Kind, names: &[&str], elsewhere: &[&str]) -> Result<PathBuf> {
    let elsewhere: Vec<_> = elsewhere.iter().map(PathBuf::from).collect();
    let found = names.iter().filter_map(|name| process::find(name, &elsewhere)).find(|program| {
        let mut ask = std::process::Command::new(program);
        let answer = process::answer(ask.args(["--no-defaults", "--version"]), Duration::from_secs(30));
        answer.is_ok_and(|answer| kind_of(&answer.output) == kind)
    });
    let why = || format!("{}'s `{}` is neither on PATH nor in /usr/sbin", kind.name(), names[0]);
    found.ok_or_else(|| anyhow!(Missing(why())))
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
