//! A server in a container of a released official image, with docker or podman.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::mssql::Login;
use super::ready::{self, Probe};
use super::{Controlled, Found, Kind, READY, Server, Sources, free_port, mssql, mysql, password, postgres};
use crate::cleanup::{self, Guard, Leftover};
use crate::{process, terminal};

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
    /// With the variable that takes the password first.
    environment: &'static [(&'static str, &'static str)],
    arguments: Vec<String>,
}

fn image(kind: Kind) -> Image {
    match kind {
        Kind::Postgres => Image {
            name: "docker.io/library/postgres:17",
            port: 5432,
            environment: &[("POSTGRES_PASSWORD", "")],
            arguments: ["max_connections=200".to_owned(), format!("timezone={}", postgres::TIME_ZONE)]
                .into_iter()
                .flat_map(|setting| ["-c".to_owned(), setting])
                .collect(),
        },
        Kind::Mariadb => Image {
            name: "docker.io/library/mariadb:11.4",
            port: 3306,
            environment: &[("MARIADB_ROOT_PASSWORD", ""), ("MARIADB_DATABASE", "sessions")],
            arguments: mysql_arguments(),
        },
        Kind::Mysql => Image {
            name: "docker.io/library/mysql:8.4",
            port: 3306,
            environment: &[("MYSQL_ROOT_PASSWORD", ""), ("MYSQL_DATABASE", "sessions")],
            arguments: mysql_arguments(),
        },
        Kind::Mssql => Image {
            name: "mcr.microsoft.com/mssql/server:2022-latest",
            port: 1433,
            environment: &[("MSSQL_SA_PASSWORD", ""), ("ACCEPT_EULA", "Y"), ("MSSQL_PID", "Developer")],
            arguments: Vec::new(),
        },
    }
}

fn mysql_arguments() -> Vec<String> {
    vec![format!("--default-time-zone={}", mysql::TIME_ZONE), "--max-connections=300".to_owned()]
}

/// An engine that does not do as it should is a reason to look further, unless the user asked for an image.
pub(super) fn open(kind: Kind, sources: &Sources) -> Result<Found> {
    let other_image = sources.images.get(&kind).map(String::as_str);
    let (engine, version) = match engine() {
        Ok(engine) => engine,
        Err(why) if other_image.is_none() => return Ok(Err(why)),
        Err(why) => bail!("--image was given, but {why}"),
    };
    let mut image = image(kind);
    if kind == Kind::Mariadb && sources.durable {
        image.arguments.extend(mysql::DURABLE.map(str::to_owned));
    }
    let name = other_image.unwrap_or(image.name);
    if let Err(error) = fetch(&engine, name) {
        return match other_image {
            None => Ok(Err(format!("no container ({error:#})"))),
            Some(_) => Err(error),
        };
    }
    let password = password()?;
    let port = free_port()?;
    let login = Login { user: "sa".to_owned(), password: password.clone() };
    let (url, probe) = match kind {
        Kind::Postgres => {
            (format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"), Probe::Postgres)
        }
        Kind::Mariadb | Kind::Mysql => {
            (format!("mysql://root:{password}@127.0.0.1:{port}/sessions"), Probe::Mysql)
        }
        Kind::Mssql => (mssql::url(port, &login, "true"), Probe::Tds(Some(login))),
    };
    let origin = format!("a container of {name} ({version})");
    match Container::run(kind, engine, name, image, port, probe, &password) {
        Ok(container) => Server::started(url, origin, container).map(Ok),
        Err(error) if other_image.is_none() => Ok(Err(format!("no container ({error:#})"))),
        Err(error) => Err(error),
    }
}

/// The first engine that is installed and answers, and what it calls itself.
fn engine() -> std::result::Result<(PathBuf, String), String> {
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
    Err(if silent.is_empty() {
        "no container engine (neither docker nor podman on PATH)".to_owned()
    } else {
        format!("no container engine answers ({})", silent.join("; "))
    })
}

/// Makes sure that the image is on this machine.
fn fetch(engine: &PathBuf, image: &str) -> Result<()> {
    let here = process::answer(Command::new(engine).args(["image", "inspect", image]), COMMAND)?;
    if here.status.success() {
        return Ok(());
    }
    let mut pull = Command::new(engine);
    pull.args(["pull", "--quiet", image]);
    terminal::command(&process::line(&pull));
    let ended = process::answer(&mut pull, PULL)?;
    if !ended.status.success() {
        bail!(
            "the image {image} is not here and cannot be pulled: {}",
            process::tail(&ended.last_words(), 1)
        );
    }
    Ok(())
}

/// A running container. The guard removes it with its volumes.
struct Container {
    engine: PathBuf,
    name: String,
    address: String,
    probe: Probe,
    _guard: Guard,
}

impl Container {
    fn run(
        kind: Kind,
        engine: PathBuf,
        image: &str,
        particulars: Image,
        port: u16,
        probe: Probe,
        password: &str,
    ) -> Result<Self> {
        let name = format!("session-store-{}-{}", kind.name(), std::process::id());
        let guard = cleanup::register(Leftover::Container { engine: engine.clone(), name: name.clone() })?;
        let mut run = Command::new(&engine);
        run.args(["run", "--detach", "--name", &name]);
        run.arg(format!("--publish=127.0.0.1:{port}:{}", particulars.port));
        run.arg(format!("--env=TZ={}", postgres::TIME_ZONE));
        for (variable, value) in particulars.environment {
            if value.is_empty() {
                // Named here and given through the engine's environment: arguments can be read by everybody.
                run.arg(format!("--env={variable}")).env(variable, password);
            } else {
                run.arg(format!("--env={variable}={value}"));
            }
        }
        run.arg(image).args(&particulars.arguments);
        process::must(&mut run, PULL)?;
        let address = format!("127.0.0.1:{port}");
        let container = Self { engine, name, address, probe, _guard: guard };
        container.await_ready()?;
        Ok(container)
    }

    fn await_ready(&self) -> Result<()> {
        let mut alive = || {
            let mut inspect = self.engine(&["inspect", "--format", "{{.State.Running}}", &self.name]);
            match process::answer(&mut inspect, COMMAND) {
                Ok(ended) if ended.output.trim() == "false" => Err("the container ended".to_owned()),
                _ => Ok(()),
            }
        };
        ready::wait(&self.probe, &self.address, READY, &mut alive).map(drop).map_err(|error| {
            let (name, log) = (&self.name, self.log_tail());
            anyhow!("the container {name} did not start: {error:#}; the end of its log:\n{log}")
        })
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
            bail!("`{}` failed: {}", process::line(&command), ended.last_words());
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
        self.await_ready()
    }

    fn log_tail(&self) -> String {
        let log = process::answer(&mut self.engine(&["logs", "--tail", "25", &self.name]), COMMAND);
        log.map(|log| format!("{}{}", log.output, log.errors).trim_end().to_owned()).unwrap_or_default()
    }
}
