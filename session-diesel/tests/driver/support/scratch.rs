//! Servers that a test starts for itself, with encryption, in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

#[path = "../../../../tests/ports/mod.rs"]
mod ports;

pub(crate) use ports::free_port;

/// A server that ends with this value.
pub(crate) struct Scratch {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Scratch {
    /// A folder with a CA, and a certificate of it for `localhost`.
    pub(crate) fn new(name: &str) -> Scratch {
        let dir = env::temp_dir().join(format!("session-diesel-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary folder");
        Scratch { dir, port: free_port(), process: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn certificates(&self) {
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca \
             -addext basicConstraints=critical,CA:TRUE && \
             openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other && \
             openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost && \
             printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE' > server.ext && \
             openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile server.ext -out server.pem && chmod 600 server.key";
        run(Command::new("sh").args(["-c", script]).current_dir(&self.dir));
    }

    /// Gives the folder to the user that the server runs as: servers refuse to run as root.
    pub(crate) fn give_to(&self, user: &str) {
        if is_root() {
            run(Command::new("chown").args(["-R", user]).arg(&self.dir));
        }
    }

    pub(crate) fn start(&mut self, command: &mut Command) {
        let log = fs::File::create(self.path("log")).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(process.expect("the server starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "the server does not listen; see {}",
                self.path("log").display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SIGTERM lets runuser pass it on, and the server remove its shared memory.
            let _ = Command::new("kill").arg(process.id().to_string()).status();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A command as `user`, where this process is root.
pub(crate) fn command_as(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    // exec of the program by a shell of that user: a signal to it reaches the server.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]).arg(program);
    command
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program on PATH, or in one of these folders.
pub(crate) fn find(program: &str, folders: &[&str]) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(folders.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(format!("{program} is not installed"))
}

pub(crate) fn is_root() -> bool {
    // No crate and no unsafe code for one number.
    fs::read_to_string("/proc/self/status")
        .map(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
        .unwrap_or_else(|_: io::Error| false)
}
