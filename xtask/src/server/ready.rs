//! Asking a server, in its own protocol, whether it accepts connections.
//!
//! That a port can be connected to says little: a container engine's proxy listens before the server does, and
//! PostgreSQL and SQL Server listen before their databases are recovered.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::mssql::{self, Login};
use crate::process::POLL;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How to ask.
#[derive(Clone, Debug)]
pub(super) enum Probe {
    Postgres,
    Mysql,
    /// With a login; without one, only whether SQL Server's protocol is spoken there.
    Tds(Option<Login>),
}

impl Probe {
    /// What the server calls itself (empty if it does not say so to strangers), or why it does not accept
    /// connections.
    pub(super) fn ask(&self, address: &str) -> Result<String, String> {
        let mut stream = connect(address).map_err(|error| format!("{address}: {error}"))?;
        match self {
            Self::Postgres => ask_postgres(&mut stream),
            Self::Mysql => ask_mysql(&mut stream),
            Self::Tds(login) => mssql::ask(&mut stream, login.as_ref()),
        }
    }
}

/// Asks again and again until the server accepts connections.
///
/// # Errors
/// Its last answer, if it did not within the deadline or `alive` says that it is gone.
pub(super) fn wait(
    probe: &Probe,
    address: &str,
    deadline: Duration,
    alive: &mut dyn FnMut() -> Result<(), String>,
) -> Result<String> {
    let start = Instant::now();
    loop {
        let answer = match probe.ask(address) {
            Ok(version) => return Ok(version),
            Err(answer) => answer,
        };
        if let Err(end) = alive() {
            bail!("{end}");
        }
        if start.elapsed() > deadline {
            bail!("not ready after {} s; its last answer: {answer}", deadline.as_secs());
        }
        thread::sleep(POLL);
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER))?;
                stream.set_write_timeout(Some(ANSWER))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Bytes that were asked for and did not come, in words.
pub(super) fn silence(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
            "the connection was closed without an answer".to_owned()
        }
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("no answer within {} s", ANSWER.as_secs())
        }
        _ => error.to_string(),
    }
}

/// A start-up message, which a server that accepts connections answers by asking for a password.
fn ask_postgres(stream: &mut TcpStream) -> Result<String, String> {
    let body = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).map_err(|error| error.to_string())?;
    let message = [&length.to_be_bytes()[..], body].concat();
    let mut head = [0; 5];
    stream
        .write_all(&message)
        .and_then(|()| stream.read_exact(&mut head))
        .map_err(|error| silence(&error))?;
    let length = usize::from(u16::from_be_bytes([head[3], head[4]])).saturating_sub(4);
    match head[0] {
        b'R' => Ok(String::new()),
        b'E' => {
            let mut fields = vec![0; length];
            stream.read_exact(&mut fields).map_err(|error| silence(&error))?;
            let field = |name: u8| {
                fields
                    .split(|&byte| byte == 0)
                    .find(|field| field.first() == Some(&name))
                    .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            };
            let code = field(b'C').unwrap_or_default();
            // 57P03: starting up, shutting down or recovering. Any other refusal comes from a server that is ready.
            if code == "57P03" { Err(field(b'M').unwrap_or(code)) } else { Ok(String::new()) }
        }
        _ => Err("something that is not PostgreSQL answered".to_owned()),
    }
}

/// The server speaks first: a greeting with its version, or an error.
fn ask_mysql(stream: &mut TcpStream) -> Result<String, String> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).map_err(|error| silence(&error))?;
    let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|error| silence(&error))?;
    match body.first() {
        Some(10) => {
            let text = body[1..].split(|&byte| byte == 0).next().unwrap_or_default();
            Ok(mysql_version(&String::from_utf8_lossy(text)))
        }
        Some(0xff) => Err(String::from_utf8_lossy(body.get(3..).unwrap_or_default()).into_owned()),
        _ => Err("something that is neither MariaDB nor MySQL answered".to_owned()),
    }
}

/// `5.5.5-10.11.14-MariaDB-0+deb12u2` as `MariaDB 10.11.14`, `8.4.3` as `MySQL 8.4.3`. Older MariaDBs put `5.5.5-` before
/// their version, for clients that take a first digit of 1 for something ancient.
pub(super) fn mysql_version(text: &str) -> String {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let number = text.split('-').next().unwrap_or(text);
    let name = if text.to_ascii_lowercase().contains("mariadb") { "MariaDB" } else { "MySQL" };
    format!("{name} {number}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The address of a server that waits for `expected` bytes and then says this to one caller.
    fn server(expected: usize, answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            stream.read_exact(&mut vec![0; expected]).expect("a question");
            stream.write_all(answer).expect("an answer");
        });
        address
    }

    #[test]
    fn a_postgres_that_recovers_is_not_ready() {
        let starting = b"E\0\0\0\x2dSFATAL\0C57P03\0Mstarting up, please wait\0\0";
        assert_eq!(Probe::Postgres.ask(&server(41, starting)), Err("starting up, please wait".to_owned()));
        assert_eq!(Probe::Postgres.ask(&server(41, b"R\0\0\0\x08\0\0\0\x05")), Ok(String::new()));
    }

    #[test]
    fn a_greeting_tells_mariadb_from_mysql() {
        let mariadb = b"\x22\0\0\0\x0a5.5.5-10.11.14-MariaDB-0+deb12u2\0.";
        assert_eq!(Probe::Mysql.ask(&server(0, mariadb)), Ok("MariaDB 10.11.14".to_owned()));
        assert_eq!(Probe::Mysql.ask(&server(0, b"\x07\0\0\0\x0a8.4.3\0")), Ok("MySQL 8.4.3".to_owned()));
        let refusal = b"\x10\0\0\0\xff\x15\x04Too many call";
        assert_eq!(Probe::Mysql.ask(&server(0, refusal)), Err("Too many call".to_owned()));
    }

    #[test]
    fn a_proxy_without_a_server_behind_it_is_not_ready() {
        let answer = Probe::Mysql.ask(&server(0, b""));
        assert_eq!(answer, Err("the connection was closed without an answer".to_owned()));
    }

    #[test]
    fn waiting_in_vain_shows_the_last_answer() {
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let error = wait(&Probe::Mysql, &nobody.to_string(), Duration::from_millis(1), &mut || Ok(()));
        assert!(error.expect_err("nobody is there").to_string().contains("refused"));
    }
}
