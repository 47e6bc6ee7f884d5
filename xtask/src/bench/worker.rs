//! A subject's process, and the conversation with it: one JSON object a line in each direction.

use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench_report::Run;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::cpu;
use super::programs::PATIENCE;
use crate::process::{self, Running};

/// A subject that is ready for orders.
pub(crate) struct Worker {
    /// How it is set up, in its own words.
    pub(crate) settings: String,
    input: ChildStdin,
    output: Receiver<String>,
    _running: Running,
}

impl Worker {
    /// Starts the process, with what it is told in variables, and waits until it is ready.
    pub(crate) fn start(program: &[PathBuf], told: [(&str, &str); 5]) -> Result<Worker> {
        let (program, arguments) = program.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(told).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = process::start(&mut command, Signal::SIGKILL)?;
        let input = running.child.stdin.take().context("no standard input")?;
        let output = running.lines();
        let mut worker = Worker { settings: String::new(), input, output, _running: running };
        let ready = worker.hear(PATIENCE)?;
        worker.settings = ready["settings"].as_str().context("the subject is not ready")?.to_owned();
        Ok(worker)
    }

    /// Gives an order and waits for the result: none if there was nothing to do. If a part of it is measured, and `server` is
    /// known, the result says how much processor time the server took meanwhile.
    pub(crate) fn order(&mut self, order: &Value, server: Option<cpu::Server>) -> Result<Option<Run>> {
        writeln!(self.input, "{order}").context("the subject's process has ended")?;
        let (mut begin, mut spent) = (None, None);
        loop {
            let answer = self.hear(PATIENCE * 5)?;
            if let Some(failed) = answer["failed"].as_str() {
                bail!("{failed}");
            }
            match answer["event"].as_str() {
                Some("begin") => begin = server.map(cpu::Server::seconds),
                Some(_) => spent = begin.zip(server).map(|(begin, server)| server.seconds() - begin),
                None if answer["ops"].as_f64().is_some_and(|ops| ops > 0.0) => {
                    let mut run: Run = serde_json::from_value(answer)?;
                    // Of the database, and of what the subject has started itself: its Redis, its application.
                    let all = [run.server_cpu_seconds, spent];
                    run.server_cpu_seconds = all.into_iter().flatten().reduce(|one, other| one + other);
                    return Ok(Some(run));
                }
                None => return Ok(None),
            }
        }
    }

    fn hear(&mut self, patience: Duration) -> Result<Value> {
        let line =
            self.output.recv_timeout(patience).context("the subject's process says nothing or has ended")?;
        serde_json::from_str(&line).with_context(|| format!("the subject's process said `{line}`"))
    }
}
