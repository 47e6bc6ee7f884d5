//! The commands that hurt a server, served to the test binary: one connection a command, one line each way.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Shared;

/// Serves the commands as long as there is the server, and waits for more until this program ends. Returns the address.
pub(super) fn serve(server: &Shared) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the server's control")?;
    let address = listener.local_addr()?.to_string();
    let server = Arc::downgrade(server);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Some(server) = server.upgrade() else { return };
            // A client that went away has nobody to be told.
            let _ = connection.map(|connection| answer(&connection, &server));
        }
    });
    Ok(address)
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

    struct Diary(Vec<&'static str>);

    impl Controlled for Diary {
        fn pause(&mut self) -> Result<()> {
            self.0.push("pause");
            Ok(())
        }
        fn resume(&mut self) -> Result<()> {
            bail!("not paused")
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
        let diary = Arc::new(Mutex::new(Diary(Vec::new())));
        let server: Shared = diary.clone();
        let address = serve(&server).expect("a free port");
        let say = |line: &str| {
            let mut connection = TcpStream::connect(&address).expect("it listens");
            writeln!(connection, "{line}").expect("it reads");
            std::io::read_to_string(connection).expect("it answers")
        };
        assert_eq!([say("pause"), say("kill")], ["ok\n", "ok\n"]);
        assert_eq!(say("start"), "error: the port | is taken\n");
        assert!(say("explode").starts_with("error: no command `explode`"));
        assert_eq!(diary.lock().expect("unpoisoned").0, ["pause", "kill"]);
    }
}
