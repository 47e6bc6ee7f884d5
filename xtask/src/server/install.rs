//! What the operating system's packages hold, on Debian and Ubuntu, when asked.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Kind;
use crate::cleanup::{self, Guard, Leftover};
use crate::process;

/// A mirror that does not answer must not hold up everything.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Packages' scripts ask this program before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The packages that hold a server, if the distribution has it.
pub(super) fn packages(kind: Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Postgres => Some(&["postgresql"]),
        Kind::Mariadb => Some(&["mariadb-server"]),
        Kind::Galera => Some(&["mariadb-server", "galera-4", "haproxy", "rsync", "iproute2"]),
        // Debian's `mysql-server` is MariaDB; Microsoft has packages of its own.
        Kind::Mysql | Kind::Mssql => None,
    }
}

/// Installs packages. Only the programs are wanted: as root, the services in them are not started, unless the machine has a
/// policy of its own on that; through sudo they are, as after any installation.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let apt = process::find("apt-get", &[])
        .context("--install works on Debian and Ubuntu, and there is no apt-get here")?;
    let _quiet = keep_services_from_starting()?;
    process::must_show(as_root(&apt)?.args(["update", "--quiet=2"]), LIMIT)?;
    let mut install = as_root(&apt)?;
    install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(packages);
    process::must_show(&mut install, LIMIT)
}

fn as_root(program: &Path) -> Result<Command> {
    let mut command = if process::is_root() {
        Command::new(program)
    } else {
        let sudo = process::find("sudo", &[]).context("--install needs root or sudo")?;
        let mut command = Command::new(sudo);
        command.args(["--non-interactive", "--preserve-env=DEBIAN_FRONTEND"]).arg(program);
        command
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    Ok(command)
}

/// Only as root, and only if the machine has no policy of its own.
fn keep_services_from_starting() -> Result<Option<Guard>> {
    if !process::is_root() || Path::new(POLICY).exists() {
        return Ok(None);
    }
    let guard = cleanup::register(Leftover::File(POLICY.into()))?;
    let file = fs::File::options().write(true).create_new(true).mode(0o755).open(POLICY);
    file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"))
        .with_context(|| format!("{POLICY} cannot be written"))?;
    Ok(Some(guard))
}
