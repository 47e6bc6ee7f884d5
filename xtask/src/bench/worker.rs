//! A subject's process, and the conversation with it: one JSON object a line in each direction.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::cpu;
use super::programs::PATIENCE;
use crate::cleanup::{self, Guard};

/// What a subject's process is told at its start.
pub(crate) struct Role<'a> {
    pub(crate) subject: &'a str,
    pub(crate) backend: &'a str,
    pub(crate) url: &'a str,
    pub(crate) pool: u32,
    pub(crate) table: &'a str,
}

/// A subject that is ready for orders.
pub(crate) struct Worker {
    /// How it is set up, in its own words.
    pub(crate) settings: String,
    input: ChildStdin,
    output: Receiver<String>,
    _child: Child,
    _guard: Guard,
}

impl Worker {
    /// Starts the process and waits until it is ready.
    pub(crate) fn start(program: &[PathBuf], role: &Role<'_>) -> Result<Worker> {
        let (program, arguments) = program.split_first().context("no program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("BENCH_SUBJECT", role.subject)
            .env("BENCH_BACKEND", role.backend)
            .env("BENCH_URL", role.url)
            .env("BENCH_POOL", role.pool.to_string())
            .env("BENCH_TABLE", role.table)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let (mut child, guard) = cleanup::spawn(&mut command, Signal::SIGKILL)?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut worker =
            Worker { settings: String::new(), input, output: receiver, _child: child, _guard: guard };
        let ready = worker.hear(PATIENCE)?;
        worker.settings = ready["settings"].as_str().context("the subject is not ready")?.to_owned();
        Ok(worker)
    }

    /// Gives an order and waits for the result. If a part of it is measured, and `server` is known, the result says
    /// how much processor time the server took meanwhile.
    pub(crate) fn order(&mut self, order: &Value, server: Option<cpu::Server>) -> Result<Value> {
        writeln!(self.input, "{order}").context("the subject's process has ended")?;
        let mut begin = None;
        let mut spent = None;
        loop {
            let mut answer = self.hear(PATIENCE * 5)?;
            match answer["event"].as_str() {
                Some("begin") => begin = server.map(cpu::Server::seconds),
                Some(_) => {
                    spent = begin.zip(server).map(|(begin, server)| server.seconds() - begin);
                }
                None => {
                    if let Some(failed) = answer["failed"].as_str() {
                        bail!("{failed}");
                    }
                    if let Some(spent) = spent {
                        answer["server_cpu_seconds"] = spent.into();
                    }
                    return Ok(answer);
                }
            }
        }
    }

    fn hear(&mut self, patience: Duration) -> Result<Value> {
        let line =
            self.output.recv_timeout(patience).context("the subject's process says nothing or has ended")?;
        serde_json::from_str(&line).with_context(|| format!("the subject's process said `{line}`"))
    }
}
