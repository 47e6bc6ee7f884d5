//! A server made of programs that are installed here, in a temporary folder and on a port of 127.0.0.1.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, User};

use super::ready::{self, Probe};
use super::{Controlled, READY};
use crate::cleanup::{self, Guard};
use crate::{process, terminal};

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
    pub(super) port: u16,
    pub(super) probe: Probe,
}

/// A server that was started from a recipe.
pub(super) struct Local {
    // Dropped in this order: the process before its folder.
    running: Option<Running>,
    recipe: Recipe,
    announced: bool,
}

struct Running {
    child: Child,
    guard: Option<Guard>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.guard.take());
        let _ = self.child.wait();
    }
}

impl Local {
    pub(super) fn start(recipe: Recipe) -> Result<Self> {
        let mut server = Self { running: None, recipe, announced: false };
        Controlled::start(&mut server)?;
        Ok(server)
    }

    /// Waits until it also answers on another port, which is the one that matters from now on.
    pub(super) fn expect(&mut self, port: u16, probe: Probe) -> Result<()> {
        self.recipe.port = port;
        self.recipe.probe = probe;
        self.await_ready()
    }

    fn await_ready(&mut self) -> Result<()> {
        let running = self.running.as_mut().context("the server is not running")?;
        let mut alive = || match running.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the server ended: {status}")),
            Err(error) => Err(error.to_string()),
        };
        let address = format!("127.0.0.1:{}", self.recipe.port);
        ready::wait(&self.recipe.probe, &address, READY, &mut alive).map(drop).map_err(|error| {
            let program = self.recipe.program.display();
            anyhow!("{program} did not start: {error:#}; the end of its log:\n{}", self.log_tail())
        })
    }

    fn log(&self) -> PathBuf {
        self.recipe.home.folder.join("server.log")
    }

    fn pid(&mut self) -> Result<Pid> {
        let log = self.log_tail();
        let running = self.running.as_mut().context("the server is not running")?;
        if let Some(status) = running.child.try_wait()? {
            bail!("the server ended by itself ({status}):\n{log}");
        }
        process::pid(running.child.id())
    }
}

impl Controlled for Local {
    fn pause(&mut self) -> Result<()> {
        let root = self.pid()?;
        process::await_stop(&process::freeze_tree(root), STOPPED)
            .inspect_err(|_| process::signal_tree(root, Signal::SIGCONT))
    }

    fn resume(&mut self) -> Result<()> {
        process::signal_tree(self.pid()?, Signal::SIGCONT);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        process::kill_tree(self.pid()?);
        if let Some(mut running) = self.running.take() {
            // PostgreSQL takes a process that nobody waited for as a sign that its data are in use.
            running.child.wait()?;
            if let Some(guard) = running.guard.take() {
                guard.release();
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the server is running");
        }
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.recipe.home.command(&self.recipe.program);
        command
            .args(&self.recipe.arguments)
            .envs(self.recipe.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The terminal's Ctrl-C must not reach it: it is stopped when nobody needs it any more.
            .process_group(0);
        if !self.announced {
            terminal::command(&process::line(&command));
            self.announced = true;
        }
        let (child, guard) = cleanup::spawn(&mut command, self.recipe.stop)?;
        self.running = Some(Running { child, guard: Some(guard) });
        self.await_ready()
    }

    fn log_tail(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        process::tail(&String::from_utf8_lossy(&bytes), 25)
    }
}
