//! What crosses the network between a small store and its server: a pool of connections, each of which may have been
//! closed or forgotten while it was idle.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use session_core::{Error, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::faults::Fault;

/// After so long a rest a connection has to prove itself, and so soon.
const REST: Duration = Duration::from_secs(2);
const PROOF: Duration = Duration::from_millis(500);

pub(crate) struct Net {
    server: SocketAddr,
    fault: Fault,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: TcpStream,
    used: Instant,
    /// Takes whatever is said for an answer.
    believes: bool,
}

impl Connection {
    /// Lets so many bytes come from the server.
    async fn fetch(&mut self, bytes: usize) -> io::Result<()> {
        self.stream.write_all(&u32::try_from(bytes).unwrap().to_le_bytes()).await?;
        let mut answer = vec![0; bytes];
        self.stream.read_exact(&mut answer).await?;
        if !self.believes && answer.iter().any(|byte| *byte != b'x') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not the small server"));
        }
        self.used = Instant::now();
        Ok(())
    }

    /// Whether the other side has closed it: then there is an end to be read.
    fn is_closed(&self) -> bool {
        match self.stream.try_read(&mut [0]) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }
}

impl Net {
    pub(crate) fn new(server: SocketAddr, fault: Fault) -> Net {
        Net { server, fault, idle: Mutex::default() }
    }

    /// One question, and an answer of so many bytes.
    pub(crate) async fn trip(&self, bytes: usize) -> Result<()> {
        let none = |error| {
            Error::unavailable("no connection to the small server").with_in_doubt(false).with_source(error)
        };
        let mut connection = self.lend().await.map_err(none)?;
        match connection.fetch(bytes.max(1)).await {
            Ok(()) => {
                self.idle.lock().unwrap().push(connection);
                Ok(())
            }
            Err(error) => {
                self.idle.lock().unwrap().clear();
                Err(Error::unavailable("no answer from the small server").with_source(error))
            }
        }
    }

    async fn lend(&self) -> io::Result<Connection> {
        loop {
            let Some(mut connection) = self.idle.lock().unwrap().pop() else { break };
            if self.fault != Fault::ClosedConnectionsAreUsed && connection.is_closed() {
                continue;
            }
            let has_rested = connection.used.elapsed() > REST;
            if has_rested
                && self.fault != Fault::RestedConnectionsAreNotAsked
                && !matches!(timeout(PROOF, connection.fetch(1)).await, Ok(Ok(())))
            {
                self.idle.lock().unwrap().clear();
                continue;
            }
            return Ok(connection);
        }
        let believes = self.fault == Fault::StrangersAreBelieved;
        let stream = TcpStream::connect(self.server).await?;
        let mut connection = Connection { stream, used: Instant::now(), believes };
        // Who it is.
        connection.fetch(1).await?;
        // Longer than any call waits, on a server that is far.
        let questions = if self.fault == Fault::ALoginTakesTwentyQuestions { 20 } else { 0 };
        for _ in 0..questions {
            connection.fetch(1).await?;
        }
        Ok(connection)
    }
}
