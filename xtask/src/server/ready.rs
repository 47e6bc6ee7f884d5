//! Asking a server, in its own protocol, whether it accepts connections.
//!
//! That a port can be connected to says little: a container engine's proxy listens before the server does, and
//! PostgreSQL and SQL Server listen before their databases are recovered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::READY;
use crate::process;
use crate::process_tree::POLL;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Postgres,
    Mysql,
    /// Only whether SQL Server's protocol is spoken there.
    Tds,
    /// The same, and whether it said in its log that its databases can be used: it answers long before.
    SqlServer,
}

/// What SQL Server prints at each start, when its databases can be used.
const RECOVERED: &str = "Recovery is complete";

impl Probe {
    /// What the server calls itself (empty if it does not say so to strangers), or why it does not accept
    /// connections.
    pub(super) fn ask(self, address: &str) -> Result<String, String> {
        let mut stream = connect(address).map_err(|error| format!("{address}: {error}"))?;
        let answer = match self {
            Self::Postgres => ask_postgres(&mut stream),
            Self::Mysql => ask_mysql(&mut stream),
            Self::Tds | Self::SqlServer => ask_mssql(&mut stream),
        };
        answer.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => "the connection was closed without an answer".to_owned(),
            ErrorKind::WouldBlock => format!("no answer within {} s", ANSWER.as_secs()),
            _ => error.to_string(),
        })?
    }
}

/// What somebody said, or why it was no answer; the outer error is the connection's.
pub(super) type Answer = io::Result<Result<String, String>>;

/// How a server that was started here is asked, and watched meanwhile.
pub(super) struct Started<'a> {
    /// All of these have to answer, at their ports.
    pub(super) probes: &'a [(Probe, u16)],
    /// How often it was started: its log has grown each time.
    pub(super) starts: usize,
    pub(super) log: &'a dyn Fn() -> String,
    pub(super) is_gone: &'a mut dyn FnMut() -> Result<()>,
}

impl Started<'_> {
    /// Waits until it is ready.
    pub(super) fn wait(self) -> Result<()> {
        let Self { probes, starts, log, is_gone } = self;
        let ready = until(READY, || {
            for (probe, port) in probes {
                let mut answer = probe.ask(&format!("127.0.0.1:{port}"));
                if *probe == Probe::SqlServer && answer.is_ok() && log().matches(RECOVERED).count() < starts {
                    answer = Err(format!("its log does not say `{RECOVERED}`"));
                }
                if let Err(answer) = answer {
                    return is_gone().map(|()| Err(answer));
                }
            }
            Ok(Ok(()))
        });
        ready.map_err(|error| {
            anyhow!("the server did not start: {error:#}; the end of its log:\n{}", process::tail(&log(), 25))
        })
    }
}

/// Looks again and again. The inner error says what is still amiss, the outer one why it is no use to go on.
pub(super) fn until<T>(deadline: Duration, mut look: impl FnMut() -> Result<Result<T, String>>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(answer) if start.elapsed() > deadline => {
                bail!("not ready after {} s; its last answer: {answer}", deadline.as_secs())
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut connected = Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in address.to_socket_addrs()? {
        connected = connected.or_else(|_| TcpStream::connect_timeout(&address, ANSWER));
    }
    let stream = connected?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// A start-up message, which a server that accepts connections answers by asking for a password.
fn ask_postgres(stream: &mut TcpStream) -> Answer {
    let body = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
    let length = u8::try_from(body.len() + 4).unwrap_or_default();
    let mut head = [0; 5];
    stream.write_all(&[&[0, 0, 0, length][..], body].concat())?;
    stream.read_exact(&mut head)?;
    if head[0] != b'E' {
        let known = (head[0] == b'R').then(String::new);
        return Ok(known.ok_or_else(|| "something that is not PostgreSQL answered".to_owned()));
    }
    let mut fields = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]])).saturating_sub(4)];
    stream.read_exact(&mut fields)?;
    let field = |name: u8| {
        let field = fields.split(|&byte| byte == 0).find(|field| field.first() == Some(&name));
        field.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    // 57P03: starting up, shutting down or recovering. Any other refusal comes from a server that is ready.
    Ok(if field(b'C') == "57P03" { Err(field(b'M')) } else { Ok(String::new()) })
}

/// Says hello as SQL Server's clients do.
fn ask_mssql(stream: &mut TcpStream) -> Answer {
    // A packet's head, then version, encryption (not supported by this client), end, and their values.
    let head = [0x12, 1, 0, 26, 0, 0, 1, 0];
    let hello = [&head[..], &[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff], &[0; 6], &[2]].concat();
    let mut head = [0; 8];
    stream.write_all(&hello)?;
    stream.read_exact(&mut head)?;
    Ok((head[0] == 4).then(String::new).ok_or_else(|| "something that is not SQL Server answered".to_owned()))
}

/// The server speaks first: a greeting with its version, or an error.
fn ask_mysql(stream: &mut TcpStream) -> Answer {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(u16::from_le_bytes([head[0], head[1]]))];
    stream.read_exact(&mut body)?;
    Ok(match body.as_slice() {
        [10, greeting @ ..] => {
            let version = greeting.split(|&byte| byte == 0).next().unwrap_or_default();
            Ok(mysql_version(&String::from_utf8_lossy(version)))
        }
        [0xff, _, _, error @ ..] => Err(String::from_utf8_lossy(error).into_owned()),
        _ => Err("something that is neither MariaDB nor MySQL answered".to_owned()),
    })
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
        let error = until(Duration::from_millis(1), || Ok(Probe::Mysql.ask(&nobody.to_string())));
        assert!(error.expect_err("nobody is there").to_string().contains("refused"));
    }
}
