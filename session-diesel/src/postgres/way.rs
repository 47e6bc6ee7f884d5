//! The way to a server, beneath tokio-postgres: encrypted or in clear, and watched for what no server of Postgres says.
//!
//! tokio-postgres makes room for a message as soon as its length is announced. What is no server of Postgres announces
//! anything: `HTTP/` reads as 1.4 GB.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

type Failure = Box<dyn StdError + Send + Sync>;
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type Handshake = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// How the error of a stranger begins.
pub(super) const STRANGER: &str = "what listens there is no PostgreSQL server";

/// The longest message of a login: an error with its context is a few KiB.
const MOST_OF_LOGIN: u32 = 1 << 20;

/// The longest message behind a login, which is one row: far more than a session has.
const MOST: u32 = 256 << 20;

/// A request for encryption: its length, and the code that stands in the place of the protocol's version.
const ASK_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Makes the streams of connections: for tokio-postgres a kind of encryption that needs no asking, so that all of what is
/// said passes here, in clear as well.
#[derive(Clone)]
pub(super) struct Way {
    tls: Option<MakeRustlsConnect>,
    /// Encrypted from the first byte on, without asking first.
    direct: bool,
}

impl Way {
    pub(super) fn new(tls: Option<MakeRustlsConnect>, direct: bool) -> Way {
        Way { tls, direct }
    }
}

impl MakeTlsConnect<Socket> for Way {
    type Stream = Watched;
    type TlsConnect = Greeting;
    type Error = Failure;

    fn make_tls_connect(&mut self, host: &str) -> Result<Greeting, Failure> {
        let handshake = match &mut self.tls {
            Some(tls) => Some(MakeTlsConnect::<Socket>::make_tls_connect(tls, host)?),
            None => None,
        };
        Ok(Greeting { handshake, direct: self.direct })
    }
}

/// What comes before the login.
pub(super) struct Greeting {
    handshake: Option<Handshake>,
    direct: bool,
}

impl TlsConnect<Socket> for Greeting {
    type Stream = Watched;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Watched, Failure>>;

    fn connect(self, mut stream: Socket) -> Self::Future {
        async move {
            let Some(handshake) = self.handshake else { return Ok(Watched::new(Stream::Clear(stream))) };
            if !self.direct {
                ask_for_tls(&mut stream).await?;
            }
            Ok(Watched::new(Stream::Encrypted(Box::new(handshake.connect(stream).await?))))
        }
        .boxed()
    }
}

async fn ask_for_tls(stream: &mut Socket) -> io::Result<()> {
    stream.write_all(&ASK_FOR_TLS).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        b'S' => Ok(()),
        b'N' => Err(io::Error::other("server does not support TLS")),
        b'E' => Err(io::Error::other("the server answered the request for encryption with an error")),
        other => {
            // What else has come tells who it is.
            let mut heard = [other, 0, 0, 0, 0, 0, 0, 0];
            let more = timeout(Duration::from_millis(100), stream.read(&mut heard[1..])).await;
            let more = more.ok().and_then(Result::ok).unwrap_or_default();
            Err(stranger(&heard[..=more]))
        }
    }
}

/// By how strangers begin.
fn stranger(heard: &[u8]) -> io::Error {
    let begins = |with: &[u8]| heard.starts_with(&with[..with.len().min(heard.len())]);
    let what = if begins(b"HTTP/") {
        ": it speaks HTTP"
    } else if begins(b"SSH-") {
        ": it speaks SSH"
    } else if begins(b"\x15\x03") || begins(b"\x16\x03") {
        ": it speaks TLS at once"
    } else if heard.get(3) == Some(&0) && heard.get(4).is_some_and(|version| matches!(version, 9 | 10 | 0xff))
    {
        ": it speaks MySQL's protocol"
    } else {
        ""
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("{STRANGER}{what}; check host and port"))
}

enum Stream {
    Clear(Socket),
    Encrypted(Box<Encrypted>),
}

/// A stream whose messages are looked at by their heads before they are read.
pub(super) struct Watched {
    stream: Stream,
    frames: Frames,
}

impl Watched {
    fn new(stream: Stream) -> Watched {
        Watched { stream, frames: Frames::default() }
    }
}

/// Where in the server's messages a stream is.
#[derive(Debug, Default)]
struct Frames {
    /// The letter and the length of a message, as far as they have come.
    head: [u8; 5],
    known: usize,
    /// How much of the message is still to come.
    rest: usize,
    /// A message was read whole: it is a server.
    is_known: bool,
    /// The login is over.
    is_ready: bool,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let now = self.rest.min(bytes.len());
                self.rest -= now;
                bytes = &bytes[now..];
                continue;
            }
            let now = (self.head.len() - self.known).min(bytes.len());
            self.head[self.known..self.known + now].copy_from_slice(&bytes[..now]);
            self.known += now;
            bytes = &bytes[now..];
            if self.known == self.head.len() {
                self.begin()?;
            }
        }
        Ok(())
    }

    /// A message begins.
    fn begin(&mut self) -> io::Result<()> {
        let [letter, length @ ..] = self.head;
        let length = u32::from_be_bytes(length);
        // A login's messages: authentication, error, notice, a setting, the key for cancelling, the version, the end.
        let is_of_login = matches!(letter, b'R' | b'E' | b'N' | b'S' | b'K' | b'v' | b'Z');
        let most = if self.is_ready { MOST } else { MOST_OF_LOGIN };
        if length < 4 || length > most || !(self.is_ready || is_of_login) {
            if !self.is_known {
                return Err(stranger(&self.head));
            }
            let what =
                format!("a message of {length} bytes was announced, and {most} are the most that is taken");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.is_known = true;
        self.is_ready |= letter == b'Z';
        self.known = 0;
        self.rest = usize::try_from(length).unwrap_or(usize::MAX) - 4;
        Ok(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        })?;
        Poll::Ready(self.frames.pass(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_write(cx, data),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Watched {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Stream::Clear(_) => ChannelBinding::none(),
            Stream::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x09a\0b\0\0Z\0\0\0\x05I";

    #[test]
    fn a_server_s_messages_pass_however_they_are_cut() {
        let row = b"D\0\0\0\x06\0\0C\0\0\0\x0bSELECT\0".repeat(3);
        let all = [LOGIN, &row].concat();
        for size in 1..all.len() {
            let mut frames = Frames::default();
            for piece in all.chunks(size) {
                frames.pass(piece).unwrap();
            }
            assert_eq!((frames.known, frames.rest, frames.is_ready), (0, 0, true), "{size}");
        }
    }

    #[test]
    fn what_no_server_says_is_refused_before_its_length_is_believed() {
        for (said, what) in [
            (b"HTTP/1.1 502 Bad Gateway".as_slice(), "HTTP"),
            (b"SSH-2.0-OpenSSH_9.2", "SSH"),
            (b"\x15\x03\x03\0\x02\x02\x46", "TLS"),
            (b"J\0\0\0\x0a8.0.36\0", "MySQL"),
            (b"R\xff\xff\xff\xff", "no PostgreSQL"),
            (b"R\0\0\0\0", "no PostgreSQL"),
            (b"D\0\0\0\x06\0\0", "no PostgreSQL"),
        ] {
            let error = Frames::default().pass(said).unwrap_err().to_string();
            assert!(error.contains(what) && error.starts_with(STRANGER), "{error}");
        }
        // A server that lies once it is known for one: in its login, and behind it.
        let mut frames = Frames::default();
        frames.pass(b"R\0\0\0\x08\0\0\0\0").unwrap();
        assert!(frames.pass(b"S\x7f\xff\xff\xff").unwrap_err().to_string().contains("1048576 are the most"));
        let mut frames = Frames::default();
        frames.pass(LOGIN).unwrap();
        frames.pass(b"D\x0f\xff\xff\xff").unwrap();
        let mut frames = Frames::default();
        frames.pass(LOGIN).unwrap();
        assert!(frames.pass(b"D\x7f\xff\xff\xff").unwrap_err().to_string().contains("2147483647"));
    }
}
