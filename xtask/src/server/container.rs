//! A server in a container of a released official image, with docker or podman.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

use super::ready::{Probe, Started};
use super::{Controlled, Kind, Server, Sources, TIME_ZONE, free_port, mssql, mysql, password};
use crate::cleanup::{self, Guard, Leftover};
use crate::command_line;
use crate::process::{self, Missing};

/// How long the engine may take for a command.
const COMMAND: Duration = Duration::from_secs(60);
/// How long a download may take.
const PULL: Duration = Duration::from_secs(600);

/// What is particular about an image.
///
/// Another image of the user's choice must behave like the official one in this: it takes the password from the
/// environment variable, passes arguments that begin with a dash on to the server, and listens on the port.
struct Image {
    name: &'static str,
    port: u16,
    probe: Probe,
    /// With the variable that takes the password first.
    environment: &'static [(&'static str, &'static str)],
    arguments: Vec<String>,
}

/// The official image of a server; there is none of a cluster.
fn image(kind: Kind, durable: bool) -> Option<Image> {
    let (name, port, probe, environment): (_, _, _, &[_]) = match kind {
        Kind::Postgres => {
            ("docker.io/library/postgres:17", 5432, Probe::Postgres, &[("POSTGRES_PASSWORD", "")])
        }
        Kind::Mariadb => {
            let environment = &[("MARIADB_ROOT_PASSWORD", ""), ("MARIADB_DATABASE", "sessions")];
            ("docker.io/library/mariadb:11.4", 3306, Probe::Mysql, environment)
        }
        Kind::Mysql => {
            let environment = &[("MYSQL_ROOT_PASSWORD", ""), ("MYSQL_DATABASE", "sessions")];
            ("docker.io/library/mysql:8.4", 3306, Probe::Mysql, environment)
        }
        Kind::Mssql => {
            let environment = &[("MSSQL_SA_PASSWORD", ""), ("ACCEPT_EULA", "Y"), ("MSSQL_PID", "Developer")];
            ("mcr.microsoft.com/mssql/server:2022-latest", 1433, Probe::SqlServer, environment)
        }
        Kind::Galera => return None,
    };
    let mut arguments = match kind {
        Kind::Postgres => {
            vec!["-cmax_connections=200".to_owned(), format!("-ctimezone={TIME_ZONE}")]
        }
        Kind::Mariadb | Kind::Mysql => {
            vec![format!("--default-time-zone={}", mysql::TIME_ZONE), "--max-connections=300".to_owned()]
        }
        Kind::Mssql | Kind::Galera => Vec::new(),
    };
    if kind == Kind::Mariadb && durable {
        arguments.extend(mysql::DURABLE.map(str::to_owned));
    }
    Some(Image { name, port, probe, environment, arguments })
}

/// An engine that does not do as it should is a reason to look further, unless the user asked for an image.
pub(super) fn open(kind: Kind, sources: &Sources) -> Result<Server> {
    let Some(image) = image(kind, sources.durable) else {
        bail!(Missing("there is no official image of a cluster".to_owned()));
    };
    let wanted = sources.image.iter().find(|(named, _)| *named == kind).map(|(_, image)| image.as_str());
    let name = wanted.unwrap_or(image.name);
    let started = engine().and_then(|(engine, version)| {
        let (url, container) = Container::run(kind, engine, name, &image)?;
        Server::started(url, format!("a container of {name} ({version})"), container)
    });
    started.map_err(|error| match wanted {
        Some(_) => anyhow!("--image was given, but {error:#}"),
        None => anyhow!(Missing(format!("no container ({error:#})"))),
    })
}

/// The first engine that is installed and answers, and what it calls itself.
fn engine() -> Result<(PathBuf, String)> {
    let mut silent = Vec::new();
    for name in ["docker", "podman"] {
        let Some(engine) = process::find(name, &[]) else { continue };
        match process::answer(Command::new(&engine).arg("info"), Duration::from_secs(20)) {
            Ok(ended) if ended.status.success() => {
                let version = process::answer(Command::new(&engine).arg("--version"), COMMAND);
                let version = version.map(|version| version.output.trim().to_owned()).unwrap_or_default();
                return Ok((engine, version));
            }
            Ok(ended) => silent.push(format!("`{name} info`: {}", process::tail(&ended.last_words(), 1))),
            Err(error) => silent.push(format!("{error:#}")),
        }
    }
    ensure!(!silent.is_empty(), "neither docker nor podman is on PATH");
    bail!("no engine answers: {}", silent.join("; "))
}

/// A running container. The guard removes it with its volumes.
struct Container {
    engine: PathBuf,
    name: String,
    probe: (Probe, u16),
    starts: usize,
    _guard: Guard,
}

impl Container {
    fn run(kind: Kind, engine: PathBuf, image: &str, particulars: &Image) -> Result<(String, Self)> {
        let (password, port) = (password()?, free_port()?);
        let name = format!("session-store-{}-{}", kind.name(), std::process::id());
        let guard = cleanup::register(Leftover::Container { engine: engine.clone(), name: name.clone() })?;
        let mut run = Command::new(&engine);
        // Downloads the image unless it is here.
        run.args(["run", "--detach", "--name", &name]);
        run.arg(format!("--publish=127.0.0.1:{port}:{}", particulars.port));
        run.arg(format!("--env=TZ={TIME_ZONE}"));
        for (variable, value) in particulars.environment {
            if value.is_empty() {
                // Named here and given through the engine's environment: arguments can be read by everybody.
                run.arg(format!("--env={variable}")).env(variable, &password);
            } else {
                run.arg(format!("--env={variable}={value}"));
            }
        }
        run.arg(image).args(&particulars.arguments);
        process::must(&mut run, PULL)?;
        let address = format!("127.0.0.1:{port}");
        let url = match kind {
            Kind::Postgres => format!("postgres://postgres:{password}@{address}/postgres"),
            Kind::Mariadb | Kind::Mysql | Kind::Galera => {
                format!("mysql://root:{password}@{address}/sessions")
            }
            Kind::Mssql => mssql::url(port, "sa", &password, "true"),
        };
        let container = Self { engine, name, probe: (particulars.probe, port), starts: 1, _guard: guard };
        container.await_ready()?;
        Ok((url, container))
    }

    fn await_ready(&self) -> Result<()> {
        let mut is_gone = || {
            let mut inspect = self.engine(&["inspect", "--format", "{{.State.Running}}", &self.name]);
            match process::answer(&mut inspect, COMMAND) {
                Ok(ended) if ended.output.trim() == "false" => bail!("the container {} ended", self.name),
                _ => Ok(()),
            }
        };
        let (probes, starts, log) = (&[self.probe], self.starts, || self.log(&[]));
        Started { probes, starts, log: &log, is_gone: &mut is_gone }.wait()
    }

    fn log(&self, options: &[&str]) -> String {
        let mut logs = self.engine(&["logs"]);
        let log = process::answer(logs.args(options).arg(&self.name), COMMAND);
        log.map(|log| format!("{}{}", log.output, log.errors).trim_end().to_owned()).unwrap_or_default()
    }

    fn engine(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.engine);
        command.args(arguments);
        command
    }

    fn tell(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.engine(arguments);
        command.arg(&self.name);
        let ended = process::answer(&mut command, COMMAND)?;
        if !ended.status.success() {
            bail!("`{}` failed: {}", command_line::line(&command), ended.last_words());
        }
        Ok(())
    }
}

impl Controlled for Container {
    fn pause(&mut self) -> Result<()> {
        self.tell(&["pause"])
    }

    fn resume(&mut self) -> Result<()> {
        self.tell(&["unpause"])
    }

    fn kill(&mut self) -> Result<()> {
        // Engines refuse to kill a paused container.
        let _ = self.tell(&["unpause"]);
        self.tell(&["kill", "--signal=KILL"])?;
        self.tell(&["wait"])
    }

    fn start(&mut self) -> Result<()> {
        self.tell(&["start"])?;
        self.starts += 1;
        self.await_ready()
    }

    fn log_tail(&self) -> String {
        self.log(&["--tail", "25"])
    }
}
