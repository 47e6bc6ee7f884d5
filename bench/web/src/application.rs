//! The application: a process of its own.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use harness::{Orders, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Application {
    pub(crate) port: u16,
    pub(crate) settings: String,
    /// It, and what works for it.
    processes: Vec<u32>,
    _process: Child,
}

impl Application {
    /// Starts a program, which gets the runner's orders from the environment as this one did.
    pub(crate) async fn start(
        mut command: impl Iterator<Item = OsString>,
        orders: &Orders,
    ) -> Result<Application> {
        let program = command.next().ok_or("no application is named; run `cargo xtask bench web` instead")?;
        let mut process = Command::new(program)
            .args(command)
            // Its end ends the application, too.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PATIENCE, lines.next_line()).await??;
        let line = line.ok_or_else(|| format!("{} ended at once", orders.subject))?;
        let told: Value = serde_json::from_str(&line)?;
        let port =
            told["port"].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or("no port is told")?;
        let others = told["processes"].as_array().into_iter().flatten();
        let mut processes: Vec<u32> =
            others.filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()).collect();
        processes.extend(process.id());
        let settings = told["settings"].as_str().unwrap_or_default().to_owned();
        Ok(Application { port, settings, processes, _process: process })
    }

    /// Processor time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.processes.iter().copied().map(harness::cpu_seconds_of).sum()
    }
}
