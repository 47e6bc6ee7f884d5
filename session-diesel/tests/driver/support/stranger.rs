//! What listens in a server's place and is none.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a stranger does with each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stranger {
    /// What it says: as soon as somebody connects, or as an answer.
    pub(crate) says: &'static [u8],
    pub(crate) at_once: bool,
    /// Whether it keeps the connection open.
    pub(crate) stays: bool,
}

impl Stranger {
    pub(crate) const fn answering(says: &'static [u8]) -> Stranger {
        Stranger { says, at_once: false, stays: false }
    }

    pub(crate) const fn greeting(says: &'static [u8]) -> Stranger {
        Stranger { says, at_once: true, stays: false }
    }

    pub(crate) const fn that_stays(self) -> Stranger {
        Stranger { stays: true, ..self }
    }

    /// Begins to listen, and returns where.
    pub(crate) async fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut heard = [0; 4096];
                    if self.at_once || stream.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {
                        _ = stream.write_all(self.says).await;
                    }
                    if self.stays {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                    }
                });
            }
        });
        port
    }
}
