//! The built program, driven by a real browser through its WebDriver, where one is installed.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Demo, Folder};

#[test]
fn a_real_browser_signs_in_counts_and_signs_out() {
    let folder = Folder::new("browser");
    let Some(driver) = Driver::start() else {
        eprintln!(
            "not run: no browser, as `chromedriver` is not on PATH (Debian: apt-get install chromium-driver)"
        );
        return;
    };
    let demo = Demo::start(&folder.file("demo.db"));
    let profile = folder.file("profile");
    let (laptop, phone) = (driver.browser(&profile.join("1")), driver.browser(&profile.join("2")));

    laptop.open(&demo.url("/"));
    laptop.write("#name", "alice");
    laptop.click(".primary");
    laptop.shows("#user", &["alice"]);
    laptop.click("#increment");
    laptop.shows("#count", &["1"]);
    laptop.click("#increment-in-parallel");
    laptop.shows("#count", &["21"]);

    phone.open(&demo.url("/"));
    phone.write("#name", "alice");
    phone.click(".primary");
    phone.shows(".badge", &["this device"]);
    assert_eq!(phone.texts(".device").len(), 2);
    phone.click("#sign-out-elsewhere");
    phone.shows("#sign-out-elsewhere", &[]);
    assert_eq!(phone.texts(".device").len(), 1);

    laptop.open(&demo.url("/"));
    laptop.shows("h1", &["Welcome"]);
    phone.click("#sign-out-everywhere");
    phone.shows("h1", &["Welcome"]);
}

/// A WebDriver that is installed here.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    /// `None` if there is none on this machine.
    fn start() -> Option<Driver> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let driver = Driver { process, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while ureq::get(driver.url("/status")).call().is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not answer on port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(driver)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A new browser with an empty cookie jar.
    fn browser(&self, profile: &std::path::Path) -> Browser {
        // Without the last ones the browser looks for its maker's servers at every start.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = call(&self.url("/session"), Some(&wish));
        Browser { url: self.url(&format!("/session/{}", session["sessionId"].as_str().unwrap())) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// One browser window, by the commands of the W3C's WebDriver.
struct Browser {
    url: String,
}

impl Browser {
    fn open(&self, url: &str) {
        call(&format!("{}/url", self.url), Some(&json!({"url": url})));
    }

    fn write(&self, selector: &str, text: &str) {
        call(&self.element_url(&self.find(selector), "value"), Some(&json!({"text": text})));
    }

    fn click(&self, selector: &str) {
        call(&self.element_url(&self.find(selector), "click"), Some(&json!({})));
    }

    /// Waits until the elements have these texts.
    fn shows(&self, selector: &str, texts: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            // Between two pages an element that was found may be gone already.
            let shown = self.try_texts(selector);
            if shown.as_ref().is_ok_and(|shown| shown == texts) {
                return;
            }
            assert!(Instant::now() < deadline, "{selector} shows {shown:?} and not {texts:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn texts(&self, selector: &str) -> Vec<String> {
        self.try_texts(selector).unwrap()
    }

    fn try_texts(&self, selector: &str) -> Result<Vec<String>, String> {
        let wish = json!({"using": "css selector", "value": selector});
        let elements = try_call(&format!("{}/elements", self.url), Some(&wish))?;
        let text = |element: &Value| {
            let text = try_call(&self.element_url(element, "text"), None)?;
            Ok(text.as_str().unwrap().to_owned())
        };
        elements.as_array().unwrap().iter().map(text).collect()
    }

    fn find(&self, selector: &str) -> Value {
        call(&format!("{}/element", self.url), Some(&json!({"using": "css selector", "value": selector})))
    }

    fn element_url(&self, element: &Value, command: &str) -> String {
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        format!("{}/element/{id}/{command}", self.url)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is gone already is as well.
        _ = ureq::delete(&self.url).call();
    }
}

/// One command; its result.
fn call(url: &str, body: Option<&Value>) -> Value {
    try_call(url, body).unwrap_or_else(|message| panic!("{url}: {message}"))
}

/// One command; its result, or the driver's message.
fn try_call(url: &str, body: Option<&Value>) -> Result<Value, String> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let answer = match body {
        Some(body) => agent.post(url).send_json(body),
        None => agent.get(url).call(),
    };
    let mut answer: Value = answer.unwrap().body_mut().read_json().unwrap();
    let value = answer["value"].take();
    if value.get("error").is_some() { Err(value["message"].to_string()) } else { Ok(value) }
}
