//! A real browser with its own cookie jar, driven through its WebDriver, where one is installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use session_store::web::SessionLayer;

use crate::ports::free_port;
use crate::stores;
use crate::support::{Site, plain};

const ROUNDS: usize = 100;

/// A visitor with a basket signs in, while seven other requests of the same page are under way. What the server then
/// takes the browser for is the result.
const ROUND: &str = "
    const [round, done] = arguments;
    const text = async path => (await fetch(path)).text();
    const paths = ['/', '/count', '/read-and-count', '/sign-in/ann', '/part/1', '/read-twice', '/fails', '/devices'];
    (async () => {
        await text('/sign-out');
        await text('/count');
        const turned = paths.map((_, number) => paths[(number + round) % paths.length]);
        await Promise.all(turned.map(text));
        return await text('/');
    })().then(done, error => done('failed: ' + error));
";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_signed_in_after_a_sign_in_among_parallel_requests() {
    let Some(driver) = Driver::start().await else {
        stores::not_run(
            "a browser, as `chromedriver` is not on PATH (Debian: apt-get install chromium-driver)",
        );
        return;
    };
    for opened in stores::all().await {
        let site = Site::serve(&opened, plain, |sessions, router| {
            router.layer(SessionLayer::builder(sessions).insecure_for_development().build().unwrap())
        });
        let site = site.await;
        let browser = driver.browser().await;
        browser.command("url", json!({"url": format!("http://{}/static", site.address)})).await;
        for round in 0..ROUNDS {
            let signed_in = browser.command("execute/async", json!({"script": ROUND, "args": [round]})).await;
            assert_eq!(signed_in, "ann", "round {round} on {}", site.name);
        }
        browser.close().await;
        eprintln!("{}: the browser is signed in after each of {ROUNDS} rounds", site.name);
    }
}

/// A WebDriver that is installed here.
struct Driver {
    process: Child,
    port: u16,
    profile: PathBuf,
}

impl Driver {
    /// `None` if there is none on this machine.
    async fn start() -> Option<Driver> {
        let port = free_port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let profile = std::env::temp_dir().join(format!("session-store-web-{}", std::process::id()));
        let driver = Driver { process, port, profile };
        let deadline = Instant::now() + Duration::from_secs(20);
        while call(&driver.url("/status"), None).await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not answer on port {port}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(driver)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A new browser with an empty cookie jar.
    async fn browser(&self) -> Browser {
        _ = std::fs::remove_dir_all(&self.profile);
        // Without the last ones the browser looks for its maker's servers at every start.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", self.profile.display()),
        ];
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = call(&self.url("/session"), Some(&wish)).await.unwrap();
        Browser { url: self.url(&format!("/session/{}", session["sessionId"].as_str().unwrap())) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // What cannot be removed now is in the system's temporary folder anyway.
        _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// One browser window, by the commands of the W3C's WebDriver.
struct Browser {
    url: String,
}

impl Browser {
    async fn command(&self, name: &str, body: Value) -> Value {
        call(&format!("{}/{name}", self.url), Some(&body))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    async fn close(self) {
        let request = Request::delete(&self.url).body(Full::default()).unwrap();
        client().request(request).await.unwrap();
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// One command; its result, or why there is none.
async fn call(url: &str, body: Option<&Value>) -> Result<Value, String> {
    let request = match body {
        None => Request::get(url).body(Full::default()),
        Some(body) => {
            Request::post(url).header("content-type", "application/json").body(Full::from(body.to_string()))
        }
    };
    let response = client().request(request.unwrap()).await.map_err(|error| error.to_string())?;
    let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let mut answer: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if value.get("error").is_some() { Err(value["message"].to_string()) } else { Ok(value) }
}
