//! A server made of programs that are installed here, in a temporary folder and on a port of 127.0.0.1.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, User};

use super::ready::{Probe, Started};
use super::{Controlled, TIME_ZONE};
use crate::cleanup::{self, Guard};
use crate::process::{self, Running};
use crate::{command_line, process_tree, terminal};

/// How long a thread may take to stop: one may be waiting for the disk.
const STOPPED: Duration = Duration::from_secs(5);

/// A temporary folder that belongs to the user whom the server runs as.
pub(super) struct Home {
    pub(super) folder: PathBuf,
    pub(super) user: Option<User>,
    _guard: Guard,
}

impl Home {
    pub(super) fn new(purpose: &str, user: Option<User>) -> Result<Self> {
        let (folder, guard) = cleanup::folder(purpose)?;
        let home = Self { folder, user, _guard: guard };
        home.give(&home.folder)?;
        Ok(home)
    }

    /// A file in the folder, readable by the server alone.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        self.give(&path)?;
        Ok(path)
    }

    /// A command that runs as the server's user, in its folder.
    pub(super) fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("HOME", &self.folder).env("LC_ALL", "C");
        // MariaDB removes every other server's temporary tables from the folder that it shares with it.
        command.env("TMPDIR", &self.folder);
        if let Some(user) = &self.user {
            // As root the standard library also drops the supplementary groups.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn give(&self, path: &PathBuf) -> Result<()> {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("{} cannot be given to {}", path.display(), user.name))?;
        }
        Ok(())
    }
}

/// How a server is started, each time.
pub(super) struct Recipe {
    pub(super) home: Home,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// What makes it stop quickly and in order.
    pub(super) stop: Signal,
    /// All of these have to answer, at their ports.
    pub(super) probes: Vec<(Probe, u16)>,
}

impl Recipe {
    /// One that is asked to stop with SIGTERM.
    pub(super) fn new(home: Home, program: PathBuf, probe: Probe, port: u16) -> Self {
        let environment = vec![("TZ", TIME_ZONE.to_owned())];
        let probes = vec![(probe, port)];
        Self { home, program, arguments: Vec::new(), environment, stop: Signal::SIGTERM, probes }
    }

    fn log(&self) -> PathBuf {
        self.home.folder.join("server.log")
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }
}

/// A server that was started from a recipe.
pub(super) struct Local {
    // Dropped in this order: the process before its folder.
    running: Option<Running>,
    recipe: Recipe,
    starts: usize,
}

impl Local {
    pub(super) fn start(recipe: Recipe) -> Result<Self> {
        let mut server = Self { running: None, recipe, starts: 0 };
        Controlled::start(&mut server)?;
        Ok(server)
    }

    /// Waits until it also answers at this port, and from now on each time.
    pub(super) fn expect(&mut self, probe: Probe, port: u16) -> Result<()> {
        self.recipe.probes.push((probe, port));
        self.await_ready()
    }

    fn await_ready(&mut self) -> Result<()> {
        let running = self.running.as_mut().context("the server is not running")?;
        let mut is_gone =
            || running.child.try_wait()?.map_or(Ok(()), |status| bail!("the server ended: {status}"));
        let (probes, starts, log) = (&self.recipe.probes, self.starts, || self.recipe.log_text());
        Started { probes, starts, log: &log, is_gone: &mut is_gone }.wait()
    }

    fn pid(&mut self) -> Result<Pid> {
        let log = self.log_tail();
        let running = self.running.as_mut().context("the server is not running")?;
        if let Some(status) = running.child.try_wait()? {
            bail!("the server ended by itself ({status}):\n{log}");
        }
        running.pid()
    }
}

impl Controlled for Local {
    fn pause(&mut self) -> Result<()> {
        let root = self.pid()?;
        process_tree::await_stop(&process_tree::freeze_tree(root), STOPPED)
            .inspect_err(|_| process_tree::signal_tree(root, Signal::SIGCONT))
    }

    fn resume(&mut self) -> Result<()> {
        process_tree::signal_tree(self.pid()?, Signal::SIGCONT);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        process_tree::kill_tree(self.pid()?);
        // PostgreSQL takes a process that nobody waited for as a sign that its data are in use.
        self.running.take().map_or(Ok(()), |running| running.wait(STOPPED).map(drop))
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the server is running");
        }
        let log = File::options().create(true).append(true).open(self.recipe.log())?;
        let mut command = self.recipe.home.command(&self.recipe.program);
        command
            .args(&self.recipe.arguments)
            .envs(self.recipe.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The terminal's Ctrl-C must not reach it: it is stopped when nobody needs it any more.
            .process_group(0);
        if self.starts == 0 {
            terminal::command(&command_line::line(&command));
        }
        self.starts += 1;
        self.running = Some(process::start(&mut command, self.recipe.stop)?);
        self.await_ready()
    }

    fn log_tail(&self) -> String {
        process::tail(&self.recipe.log_text(), 25)
    }
}
