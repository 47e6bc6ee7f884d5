//! The demo as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running demo. It is killed with -9 when this is dropped, as every test of it should stand.
pub(crate) struct Demo {
    process: Child,
    url: String,
}

impl Demo {
    /// Starts the built program on a free port and waits for the URL that it prints.
    pub(crate) fn start(database: &Path) -> Demo {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo"))
            .arg("--database")
            .arg(format!("sqlite:{}", database.display()))
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo was built along with this test");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().next().unwrap_or_else(|| panic!("the demo ended without a URL"));
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Demo { url: url.to_owned(), process }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // SIGKILL: the program gets no chance to put anything in order.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A folder that goes with its guard.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("session-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is in the system's temporary folder anyway.
        _ = std::fs::remove_dir_all(&self.0);
    }
}
