//! Connections: opening, pooling, and throwing away.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::io::{AsyncRead, AsyncWrite};
use session_core::{Error, ErrorKind, Result};
use tiberius::{Client, Config, QueryItem, Row, SqlBrowser as _, ToSql};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::error;
use crate::statements::SERVER_TIME;

/// A pool of connections to one SQL Server database.
pub type Pool = managed::Pool<Manager>;

/// How often a server may send a new connection on to another address before that counts as a fault. Azure does it
/// once.
const MAX_REDIRECTS: usize = 3;

/// How long an opening that nobody waits for is kept for the next caller.
const OPENING_KEPT: Duration = Duration::from_secs(5);

/// Opens connections for a [`Pool`].
///
/// It resolves named instances (`host\instance`) through the SQL Browser, and follows the address that Azure's
/// gateway answers a login with. A pooled connection that the server has closed is found without a round trip and
/// replaced. A connection whose opening takes longer than its caller waits is not begun anew: the next caller goes on
/// with it. So a deadline shorter than a login on a busy server delays calls, but does not keep them out for ever.
pub struct Manager {
    config: Config,
    /// What callers began to open and did not wait for.
    unfinished: Mutex<Vec<Opening>>,
}

impl Manager {
    /// Opens connections as this configuration says.
    pub fn new(config: Config) -> Manager {
        Manager { config, unfinished: Mutex::default() }
    }

    /// An opening that another caller left, unless it is so old that its server may be gone.
    fn left_opening(&self) -> Option<Opening> {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.retain(Opening::is_young);
        unfinished.pop()
    }

    fn new_opening(&self) -> Opening {
        Opening { since: Instant::now(), future: Box::pin(open(self.config.clone())) }
    }
}

/// A connection that is being opened.
struct Opening {
    since: Instant,
    /// On the heap, as tiberius's future is larger than a good part of a thread's stack.
    future: BoxFuture<'static, tiberius::Result<Connection>>,
}

impl Opening {
    fn is_young(&self) -> bool {
        self.since.elapsed() < OPENING_KEPT
    }
}

/// An opening in the hands of a caller, which goes back to the manager if the caller leaves.
struct Opener<'a> {
    manager: &'a Manager,
    opening: Option<Opening>,
    /// This caller began it.
    is_new: bool,
}

impl Future for Opener<'_> {
    type Output = tiberius::Result<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let manager = self.manager;
        if self.opening.is_none() {
            self.opening = manager.left_opening();
            self.is_new = self.opening.is_none();
        }
        loop {
            let opening = self.opening.get_or_insert_with(|| manager.new_opening());
            let connection = ready!(opening.future.as_mut().poll(cx));
            self.opening = None;
            // What failed meanwhile tells nothing of the server as it is now.
            if connection.is_ok() || self.is_new {
                return Poll::Ready(connection);
            }
            self.is_new = true;
        }
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            self.manager.unfinished.lock().unwrap_or_else(PoisonError::into_inner).push(opening);
        }
    }
}

async fn open(mut config: Config) -> tiberius::Result<Connection> {
    let mut stream = TcpStream::connect_named(&config).await?;
    for _ in 0..=MAX_REDIRECTS {
        stream.set_nodelay(true)?;
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
            client => return Ok(Connection { client: client?, socket }),
        }
    }
    Err(tiberius::error::Error::Protocol("the server sent the login on to another address too often".into()))
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = tiberius::error::Error;

    async fn create(&self) -> Result<Connection, tiberius::error::Error> {
        Opener { manager: self, opening: None, is_new: false }.await
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        _metrics: &Metrics,
    ) -> RecycleResult<tiberius::error::Error> {
        match connection.is_quiet() {
            true => Ok(()),
            false => Err(RecycleError::message("the server has closed the connection")),
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Manager").field("address", &self.config.get_addr()).finish_non_exhaustive()
    }
}

/// A connection in a [`Pool`].
pub struct Connection {
    client: Client<Socket>,
    socket: Arc<TcpStream>,
}

impl Connection {
    /// True if the server has neither closed the connection nor said anything unasked. Costs no round trip, and no
    /// system call either unless the operating system has reported something.
    fn is_quiet(&self) -> bool {
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

/// The database as the stores use it: a pool, and a limit on how long anything may take.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: Pool,
    limit: Duration,
}

/// The rows of a batch's results, one set for each statement that gives rows.
pub(crate) type Sets = Vec<Vec<Row>>;

/// What a batch gave until it ended, and the error that ended it, if one did.
pub(crate) struct Answer {
    pub(crate) sets: Sets,
    pub(crate) error: Option<Error>,
    /// The connection had been idle in the pool, and turned out to be broken.
    stale: bool,
}

impl Database {
    pub(crate) fn new(pool: Pool, limit: Duration) -> Database {
        Database { pool, limit }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Makes sure that the server answers. Where it cannot be reached it tries again, `retries` times, with pauses
    /// of `delay`, twice `delay`, and so on.
    pub(crate) async fn probe(&self, retries: u32, delay: Duration) -> Result<()> {
        for retry in 1..=retries {
            match self.run(SERVER_TIME, &[]).await {
                Err(error) if error.is_transient() => sleep(delay.saturating_mul(retry)).await,
                other => return other.map(drop),
            }
        }
        self.run(SERVER_TIME, &[]).await.map(drop)
    }

    /// Runs a batch, which arrives as one call of `sp_executesql`, and reads its answer to the end.
    pub(crate) async fn run(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Sets> {
        let answer = self.answer(sql, params).await?;
        answer.error.map_or(Ok(answer.sets), Err)
    }

    /// Runs a batch that changes nothing. A pooled connection that turns out to be broken is replaced and the batch
    /// run again, once.
    pub(crate) async fn read(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Sets> {
        let answer = self.answer(sql, params).await?;
        match answer.error {
            None => Ok(answer.sets),
            Some(_) if answer.stale => self.run(sql, params).await,
            Some(error) => Err(error),
        }
    }

    /// Runs a listing. Where a text of one row is no UTF-16, tiberius cannot read the rows behind it either, and the
    /// listing that gives texts as their `bytes` is run in its place.
    pub(crate) async fn read_listing(&self, texts: &str, bytes: &str, params: &[&dyn ToSql]) -> Result<Sets> {
        match self.read(texts, params).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => match self.read(bytes, params).await {
                // A server that has no such texts.
                Err(refused) if refused.kind() == ErrorKind::Backend => Err(error),
                answer => answer,
            },
            answer => answer,
        }
    }

    /// Runs a batch and keeps what its first statements gave where a later one fails.
    ///
    /// # Cancel safety
    /// If this is dropped, or ends in any error, the connection is closed, and the server rolls back what it has not
    /// committed. So nobody ever reads the rest of an answer that was meant for another.
    pub(crate) async fn answer(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Answer> {
        let deadline = Instant::now().checked_add(self.limit);
        let lease =
            within(deadline, self.pool.get()).await.ok_or_else(|| error::no_connection_within(self.limit))?;
        let mut lease = Lease(Some(lease.map_err(error::pool)?));
        let mut sets = Sets::new();
        // tiberius traces every row that it reads, and so the secrets in it.
        let untraced = lease.run(sql, params, &mut sets).with_subscriber(NoSubscriber::default());
        let outcome = within(deadline, untraced).await.ok_or_else(|| error::no_answer_within(self.limit))?;
        match outcome {
            Ok(()) => {
                lease.give_back();
                Ok(Answer { sets, error: None, stale: false })
            }
            Err(error) => {
                let stale = lease.was_idle() && error::is_broken_connection(&error);
                Ok(Answer { sets, error: Some(error::running(error)), stale })
            }
        }
    }
}

/// A pooled connection in use. It is closed when dropped, unless it was given back.
struct Lease(Option<Object<Manager>>);

impl Lease {
    async fn run(&mut self, sql: &str, params: &[&dyn ToSql], sets: &mut Sets) -> tiberius::Result<()> {
        let Some(connection) = &mut self.0 else {
            return Ok(());
        };
        let mut stream = connection.client.query(sql, params).await?;
        while let Some(item) = stream.try_next().await? {
            match (item, sets.last_mut()) {
                (QueryItem::Metadata(_), _) => sets.push(Vec::new()),
                (QueryItem::Row(row), Some(set)) => set.push(row),
                (QueryItem::Row(row), None) => sets.push(vec![row]),
            }
        }
        Ok(())
    }

    fn was_idle(&self) -> bool {
        self.0.as_ref().is_some_and(|connection| Object::metrics(connection).recycle_count > 0)
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// The future's output, or `None` at the deadline. Without one (a limit beyond the clock's range) there is none.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// A TCP connection that can be looked at while tiberius owns it.
struct Socket(Arc<TcpStream>);

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
