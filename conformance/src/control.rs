//! Stops and starts the server, through whoever runs it.

use std::env;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::case::{Stop, Verdict, failed, not_run};

/// A server may take its time to start after it was killed: it has a log to replay.
const PATIENCE: Duration = Duration::from_secs(120);

/// The control of the server under test.
#[derive(Clone, Debug)]
pub(crate) struct Control(String);

impl Control {
    /// The control whose address the environment holds.
    pub(crate) fn from_env() -> Verdict<Control> {
        match env::var("CONFORMANCE_CONTROL") {
            Ok(address) if !address.is_empty() => Ok(Control(address)),
            _ => not_run("no server control: CONFORMANCE_CONTROL is not set"),
        }
    }

    pub(crate) async fn pause(&self) -> Verdict {
        self.command("pause").await
    }

    pub(crate) async fn resume(&self) -> Verdict {
        self.command("resume").await
    }

    pub(crate) async fn kill(&self) -> Verdict {
        self.command("kill").await
    }

    pub(crate) async fn start(&self) -> Verdict {
        self.command("start").await
    }

    async fn command(&self, command: &str) -> Verdict {
        let ask = async {
            let mut stream = BufReader::new(TcpStream::connect(&self.0).await?);
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = match timeout(PATIENCE, ask).await {
            Ok(answer) => {
                answer.map_err(|error| Stop::Failed(format!("server control at {}: {error}", self.0)))?
            }
            Err(_) => return failed(format!("server control: no answer to {command} within {PATIENCE:?}")),
        };
        if answer.trim() == "ok" {
            return Ok(());
        }
        failed(format!("server control: {command}: {}", answer.trim()))
    }
}
