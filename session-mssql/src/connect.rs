//! A connection: from a URL or a configuration to one that has logged in.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::io::{AsyncRead, AsyncWrite};
use session_core::{Error, Result};
use session_sql::{Limits, Tls};
use socket2::{SockRef, TcpKeepalive};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, SqlBrowser as _};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::keywords;

/// How often a server may send a new connection on to another address before that counts as a fault. Azure does it
/// once.
const MAX_REDIRECTS: usize = 3;

/// Who logs in, in place of the configuration's user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) login: session_sql::Login,
    /// What it gives as a password is an access token.
    pub(crate) is_token: bool,
}

impl Source {
    pub(crate) fn of(login: session_sql::Login) -> Source {
        Source { login, is_token: false }
    }

    /// How the next connection logs in; `None` leaves it to the configuration.
    pub(crate) async fn method(&self) -> Result<Option<AuthMethod>> {
        let credentials = self.login.credentials().await?;
        Ok(credentials.map(|credentials| match self.is_token {
            true => AuthMethod::aad_token(credentials.password()),
            false => AuthMethod::sql_server(credentials.user(), credentials.password()),
        }))
    }
}

/// What stands in the place of what a URL says.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) tls: Option<Tls>,
    /// Certificates of authorities that are trusted, in PEM.
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) login: Source,
}

impl Options {
    /// True if there is nothing but what the URL says.
    pub(crate) fn is_empty(&self) -> bool {
        self.tls.is_none() && self.roots.is_none() && self.login.login.is_of_url()
    }

    /// The configuration that a URL describes.
    ///
    /// tiberius panics where a [`Config`] is told both to trust any certificate and whom to trust, and reports it where
    /// a connection string says both. So what is to be trusted is added to the string, whose last word counts.
    pub(crate) fn config(self, url: &str) -> Result<Config> {
        if let Some(form) = url.split_once("://").map(|(form, _)| form.trim().to_ascii_lowercase()) {
            let known = ["sqlserver", "mssql", "jdbc:sqlserver", "odbc"].contains(&form.as_str());
            if known || !form.contains('=') {
                return Err(Error::invalid_input(
                    "SQL Server is named by a connection string and not by a URL; write \
                     `Server=tcp:host,1433;User=…;Password=…;Database=…`",
                ));
            }
        }
        let url = &*keywords::translated(url)?;
        // tiberius quotes parts of the string in its errors, so they go no further.
        let plain = Config::from_ado_string(url).map_err(|_| {
            Error::invalid_input(
                "the connection string cannot be read; it has the form \
                 `Server=tcp:host,1433;User=…;Password=…;Database=…`, all in ASCII, with values that have a `;`, a \
                 leading quote or blanks at an end in quotes",
            )
        })?;
        let contradicting =
            || Error::invalid_input("either trust any certificate or name authorities, not both");
        let with =
            |more: &str| Config::from_ado_string(&format!("{url};{more}")).map_err(|_| contradicting());
        let mut config = match self.tls {
            None | Some(Tls::Disabled) => plain,
            Some(Tls::Verified) => with("TrustServerCertificate=false")?,
            Some(Tls::Unverified) => with("TrustServerCertificate=true")?,
        };
        match self.tls {
            None => {}
            Some(Tls::Disabled) => config.encryption(EncryptionLevel::NotSupported),
            Some(Tls::Verified | Tls::Unverified) if is_strict(url) => {}
            Some(Tls::Verified | Tls::Unverified) => config.encryption(EncryptionLevel::Required),
        }
        if let Some(pem) = self.roots {
            let trusts_anything = match self.tls {
                None | Some(Tls::Disabled) => with("TrustServerCertificateCA=another.pem").is_err(),
                Some(tls) => tls == Tls::Unverified,
            };
            if trusts_anything {
                return Err(contradicting());
            }
            config.trust_cert_ca_bundle(pem);
        }
        Ok(config)
    }
}

/// True if a connection string asks for the encryption of TDS 8.
fn is_strict(url: &str) -> bool {
    let encrypt = url
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .rfind(|(name, _)| name.trim().eq_ignore_ascii_case("encrypt"));
    encrypt.is_some_and(|(_, value)| {
        value.trim_matches([' ', '\'', '"', '{', '}']).eq_ignore_ascii_case("strict")
    })
}

/// A connection in a [`Pool`](crate::Pool).
pub struct Connection {
    pub(crate) client: Client<Socket>,
    socket: Arc<TcpStream>,
    /// When it last worked.
    worked: Instant,
}

/// In which state a connection begins.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// How long it is silent before the other side is asked whether it is there.
    keepalive: Option<Duration>,
    /// How long a statement waits for one lock. The server's default is without limit.
    lock: Option<Duration>,
}

impl Settings {
    pub(crate) fn of(limits: &Limits) -> Settings {
        Settings { keepalive: limits.keepalive, lock: limits.lock }
    }

    fn apply_to(self, stream: &TcpStream) -> io::Result<()> {
        const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);
        stream.set_nodelay(true)?;
        match self.keepalive {
            Some(silence) => SockRef::from(stream).set_tcp_keepalive(
                // The operating system counts seconds.
                &TcpKeepalive::new()
                    .with_time(silence.max(Duration::from_secs(1)))
                    .with_interval(BETWEEN_QUESTIONS),
            ),
            None => Ok(()),
        }
    }
}

impl Connection {
    /// How long ago it last worked.
    pub(crate) fn idle(&self) -> Duration {
        self.worked.elapsed()
    }

    /// When it last worked.
    pub(crate) fn last_worked(&self) -> Instant {
        self.worked
    }

    /// Notes that it has just worked.
    pub(crate) fn worked(&mut self) {
        self.worked = Instant::now();
    }

    /// Asks the server whether anybody is there.
    pub(crate) async fn prove(&mut self) -> tiberius::Result<()> {
        self.client.simple_query("SELECT 1").await?.into_results().await?;
        self.worked();
        Ok(())
    }

    /// Has the server stop what it may be doing for this connection, closes it, and waits until the server has closed it,
    /// too. Of no more use after that.
    pub(crate) async fn end(&mut self, is_under_way: bool) {
        if is_under_way {
            // Where this fails, the server finds the connection closed when it looks next.
            drop(self.client.cancel_query().await);
        }
        if SockRef::from(&*self.socket).shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut rest = [0; 4096];
        while self.socket.readable().await.is_ok() {
            match self.socket.try_read(&mut rest) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// True if the server has neither closed the connection nor said anything unasked. Costs no round trip, and no
    /// system call either unless the operating system has reported something.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let mut nobody = Context::from_waker(Waker::noop());
        self.socket.poll_peek(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own `Debug` prints what it has received.
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Opens a connection and logs in.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(crate) async fn open(mut config: Config, settings: Settings) -> tiberius::Result<Connection> {
    let mut stream = TcpStream::connect_named(&config).await?;
    for _ in 0..=MAX_REDIRECTS {
        settings.apply_to(&stream)?;
        let socket = Arc::new(stream);
        match Box::pin(Client::connect(config.clone(), Socket(Arc::clone(&socket)))).await {
            Err(tiberius::error::Error::Routing { host, port }) => {
                // Azure names the host with an instance that is of no use to anybody outside.
                let host = host.split('\\').next().unwrap_or_default();
                config.host(host);
                config.port(port);
                // Not `connect_named`: it would ask that host's SQL Browser for an instance that was found before.
                stream = TcpStream::connect((host, port)).await?;
            }
            client => {
                let mut client = client?;
                if let Some(lock) = settings.lock {
                    let statement = format!("SET LOCK_TIMEOUT {}", Limits::millis(Some(lock)));
                    client.simple_query(statement).await?.into_results().await?;
                }
                return Ok(Connection { client, socket, worked: Instant::now() });
            }
        }
    }
    Err(tiberius::error::Error::Protocol("the server sent the login on to another address too often".into()))
}

/// A TCP connection that can be looked at while tiberius owns it.
pub(crate) struct Socket(Arc<TcpStream>);

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection ends when both owners are gone.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    const URL: &str = "Server=tcp:db.example,1433;User=u;Password=p";

    fn config(url: &str, tls: Option<Tls>) -> String {
        let options = Options { tls, ..Options::default() };
        format!("{:?}", options.config(url).unwrap())
    }

    #[test]
    fn the_option_for_tls_stands_in_the_place_of_what_the_string_says() {
        let open = format!("{URL};Encrypt=DANGER_PLAINTEXT;TrustServerCertificate=true");
        for (url, tls, encryption, trusts) in [
            (URL, None, "Required", "bypass: false"),
            (open.as_str(), None, "NotSupported", "bypass: true"),
            (open.as_str(), Some(Tls::Verified), "Required", "bypass: false"),
            (open.as_str(), Some(Tls::Unverified), "Required", "bypass: true"),
            (URL, Some(Tls::Unverified), "Required", "bypass: true"),
            (URL, Some(Tls::Disabled), "NotSupported", "bypass: false"),
        ] {
            let config = config(url, tls);
            assert!(config.contains(encryption) && config.contains(trusts), "{tls:?}: {config}");
        }
    }

    #[test]
    fn what_is_strict_stays_so() {
        for strict in
            ["Encrypt=strict", "encrypt = 'Strict'", "Encrypt={strict}", "Encrypt=false;ENCRYPT=STRICT"]
        {
            let config = config(&format!("{URL};{strict}"), Some(Tls::Verified));
            assert!(config.contains("Strict"), "{strict}: {config}");
        }
        assert!(!is_strict(&format!("{URL};Encrypt=strict;Encrypt=true")));
    }

    #[test]
    fn whom_to_trust_is_said_in_one_way() {
        let trusting = format!("{URL};TrustServerCertificate=true");
        let roots = |url: &str, tls| {
            let options = Options { tls, roots: Some(b"PEM".to_vec()), ..Options::default() };
            options.config(url).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(roots(&trusting, None), Err(ErrorKind::InvalidInput));
        assert_eq!(roots(URL, Some(Tls::Unverified)), Err(ErrorKind::InvalidInput));
        assert_eq!(roots(&trusting, Some(Tls::Disabled)), Err(ErrorKind::InvalidInput));
        assert_eq!(roots(&trusting, Some(Tls::Verified)), Ok(()));
        assert_eq!(roots(URL, None), Ok(()));
    }
}
