//! What listens in a server's place and is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What a stranger says to whoever connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// Takes the connection, and never answers.
    Nothing,
    /// Answers the first message with this, and keeps the connection.
    This(&'static [u8]),
    /// Answers the first message with this, and closes the connection.
    AndGoes(&'static [u8]),
}

/// A listener that is no SQL Server.
pub(crate) struct Stranger {
    port: u16,
    most: Arc<AtomicUsize>,
}

impl Stranger {
    pub(crate) async fn start(says: Says) -> Stranger {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let highest = Arc::clone(&most);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let open = Arc::clone(&open);
                highest.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut heard = [0; 4096];
                    let begins = stream.read(&mut heard).await.is_ok_and(|bytes| bytes > 0);
                    if let (true, Says::This(bytes) | Says::AndGoes(bytes)) = (begins, says) {
                        _ = stream.write_all(bytes).await;
                    }
                    while !matches!(says, Says::AndGoes(_))
                        && stream.read(&mut heard).await.is_ok_and(|bytes| bytes > 0)
                    {}
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Stranger { port, most }
    }

    pub(crate) fn url(&self) -> String {
        format!("Server=tcp:127.0.0.1,{};User=u;Password=hunter2;Encrypt=DANGER_PLAINTEXT", self.port)
    }

    /// How many connections were open at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}
