//! The examples as programs: each is started, and spoken to as its documentation does. The first of them, `axum`, is README's
//! program, which `tests/readme.rs` runs.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A running example, on a database file of its own where SQLite is compiled in.
struct Example {
    process: Child,
    url: String,
    database: PathBuf,
}

impl Example {
    fn start(name: &str) -> Example {
        // Cargo puts examples beside the folder of the tests.
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
        assert!(
            program.with_extension(std::env::consts::EXE_EXTENSION).exists(),
            "{} is not built; run `cargo build --examples` with the features of these tests",
            program.display()
        );
        let database =
            std::env::temp_dir().join(format!("session-store-example-{name}-{}.db", std::process::id()));
        let url = if cfg!(feature = "sqlite-bundled") || name == "sqlx" {
            format!("sqlite:{}", database.display())
        } else {
            "memory:".to_owned()
        };
        let mut process =
            Command::new(program).args([&url, "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{name} says {line:?}");
        Example { process, url, database }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for suffix in ["", "-wal", "-shm"] {
            // What cannot be removed now is in the system's temporary folder anyway.
            _ = std::fs::remove_file(format!("{}{suffix}", self.database.display()));
        }
    }
}

/// A visitor with the one cookie that an example sets.
struct Visitor<'a> {
    example: &'a Example,
    cookie: String,
}

impl Visitor<'_> {
    fn new(example: &Example) -> Visitor<'_> {
        Visitor { example, cookie: String::new() }
    }

    /// The status and the text of an answer, whose cookie is taken.
    fn call(&mut self, method: &str, path: &str, form: &str) -> (u16, String) {
        // A new one for each request, as it may keep cookies of its own.
        let agent = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false);
        let agent = agent.build().new_agent();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.example.url))
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        let mut answer = match method {
            "GET" => agent.run(request.body(()).unwrap()),
            _ => agent.run(request.body(form).unwrap()),
        }
        .unwrap();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        self.call("GET", path, "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_counts_in_two_tabs() {
    let example = Example::start("websocket");
    let mut visitor = Visitor::new(&example);
    assert!(visitor.get("/").1.contains("WebSocket"));
    let connect = async || {
        let url = format!("{}/socket", example.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("cookie", visitor.cookie.parse().unwrap());
        connect_async(request).await.unwrap().0
    };
    let (mut first, mut second) = (connect().await, connect().await);
    for (socket, count) in [(&mut first, "1"), (&mut second, "2")] {
        socket.send(Message::text("")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), count);
    }
}

#[test]
fn sqlx_makes_the_account_and_the_session_or_neither() {
    let example = Example::start("sqlx");
    let (mut ann, mut other) = (Visitor::new(&example), Visitor::new(&example));
    assert_eq!(ann.get("/"), (200, "nobody, one of 0\n".to_owned()));
    assert_eq!(ann.call("POST", "/sign-up/ann", "").0, 200);
    assert_eq!(ann.get("/"), (200, "ann, one of 1\n".to_owned()));
    assert_eq!(other.call("POST", "/sign-up/ann", "").0, 409);
    assert_eq!(other.cookie, "", "nothing was signed in");
    assert_eq!(other.get("/").1, "nobody, one of 1\n");
}

#[test]
fn tower_sessions_and_actix_remember_a_thing() {
    for name in ["tower_sessions", "actix"] {
        let example = Example::start(name);
        let mut visitor = Visitor::new(&example);
        assert_eq!(visitor.get("/add/apple"), (200, "apple is in your basket\n".to_owned()), "{name}");
        assert_ne!(visitor.cookie, "", "{name}");
        assert_eq!(visitor.get("/add/pear").0, 200, "{name}");
    }
}

#[test]
fn axum_login_signs_in_lists_and_ends_sessions_everywhere() {
    let example = Example::start("axum_login");
    let (mut laptop, mut phone) = (Visitor::new(&example), Visitor::new(&example));
    for device in [&mut laptop, &mut phone] {
        assert_eq!(device.get("/devices").0, 401);
        assert_eq!(device.call("POST", "/sign-in", "name=ann&password=wrong").0, 401);
        assert_eq!(device.call("POST", "/sign-in", "name=ann&password=correct+horse").0, 200);
    }
    let (status, listed) = laptop.get("/devices");
    assert_eq!((status, listed.matches(',').count()), (200, 1), "two expiries: {listed}");
    assert_eq!(phone.call("POST", "/sign-out-everywhere", ""), (200, "2 sessions ended".to_owned()));
    assert_eq!((laptop.get("/devices").0, phone.get("/devices").0), (401, 401));
}
