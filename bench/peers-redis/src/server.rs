//! A Redis of our own: on a free port, in a temporary folder, gone with this process.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use harness::Result;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    /// `Redis 7.0.15`
    pub(crate) version: String,
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts `redis-server` with its file in a new folder within `folder`, or where temporary files are.
    pub(crate) async fn start(folder: Option<&Path>, appendfsync: &str) -> Result<Server> {
        let version = version().await?;
        let folder = folder.map_or_else(TempDir::new, TempDir::new_in)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // It ends with this process, however that ends: util-linux' setpriv asks the kernel for that.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server"])
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", appendfsync, "--loglevel", "warning", "--logfile", "redis.log", "--dir"])
            .arg(folder.path())
            .kill_on_drop(true)
            .spawn()?;
        let mut server = Server { version, port, process, _folder: folder };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(ended) = server.process.try_wait()? {
                return Err(format!("redis-server ended at once: {ended}").into());
            }
            if Instant::now() > end {
                return Err(format!("redis-server does not listen after {PATIENCE:?}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process, while it lives.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process.id()
    }
}

async fn version() -> Result<String> {
    let told = Command::new("redis-server").arg("--version").output().await.map_err(|error| {
        format!("`redis-server` cannot be started ({error}): apt-get install redis-server")
    })?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let number = told.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(format!("Redis {}", number.unwrap_or("of an unknown version")))
}
