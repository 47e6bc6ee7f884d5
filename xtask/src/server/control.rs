//! The commands that hurt a server, served to the test binary: one connection a command, one line each way.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Shared;

/// Serves until it is dropped.
pub(super) struct Control {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(super) fn serve(server: Shared) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the server's control")?;
        let address = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                for connection in listener.incoming() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that went away has nobody to be told.
                    let _ = connection.map(|connection| answer(&connection, &server));
                }
            }
        });
        Ok(Self { address, over, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(connection: &TcpStream, server: &Shared) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    let answer = match obey(line.trim(), server) {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("error: {}", format!("{error:#}").replace('\n', " | ")),
    };
    let mut connection = connection;
    writeln!(connection, "{answer}")
}

fn obey(command: &str, server: &Shared) -> Result<()> {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    match command {
        "pause" => server.pause(),
        "resume" => server.resume(),
        "kill" => server.kill(),
        "start" => server.start(),
        other => bail!("no command `{other}`: there are pause, resume, kill and start"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::server::Controlled;

    #[derive(Default)]
    struct Diary(Vec<&'static str>);

    impl Controlled for Diary {
        fn pause(&mut self) -> Result<()> {
            self.0.push("pause");
            Ok(())
        }
        fn resume(&mut self) -> Result<()> {
            self.0.push("resume");
            Ok(())
        }
        fn kill(&mut self) -> Result<()> {
            self.0.push("kill");
            Ok(())
        }
        fn start(&mut self) -> Result<()> {
            bail!("the port\nis taken")
        }
        fn log_tail(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn each_connection_carries_one_command_and_its_answer() {
        let diary = Arc::new(Mutex::new(Diary::default()));
        let control = Control::serve(diary.clone()).expect("a free port");
        let say = |line: &str| {
            let mut connection = TcpStream::connect(control.address()).expect("it listens");
            writeln!(connection, "{line}").expect("it reads");
            let mut answer = String::new();
            BufReader::new(connection).read_line(&mut answer).expect("it answers");
            answer.trim_end().to_owned()
        };
        assert_eq!(say("pause"), "ok");
        assert_eq!(say("resume"), "ok");
        assert_eq!(say("kill"), "ok");
        assert_eq!(say("start"), "error: the port | is taken");
        assert!(say("explode").starts_with("error: no command `explode`"));
        drop(control);
        assert_eq!(diary.lock().expect("unpoisoned").0, ["pause", "resume", "kill"]);
    }
}
