//! The built program, driven by a real browser through its WebDriver, where one is installed.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "../../../tests/ports/mod.rs"]
mod ports;
mod support;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ports::free_port;
use serde_json::{Value, json};
use support::{Demo, Folder};

#[test]
#[allow(
    clippy::explicit_write,
    reason = "the harness keeps to itself what a test that passes prints with `eprintln!`"
)]
fn a_real_browser_counts_in_two_tabs_signs_in_among_requests_and_signs_out() {
    let folder = Folder::new("browser");
    let Some(driver) = Driver::start() else {
        let why = "a browser, as `chromedriver` is not on PATH (Debian: apt-get install chromium-driver)";
        writeln!(std::io::stderr(), "not run: {why}").unwrap();
        return;
    };
    let demo = Demo::start(&folder.file("demo.db"));
    let profile = folder.file("profile");
    let (laptop, phone) = (driver.browser(&profile.join("1")), driver.browser(&profile.join("2")));

    // Two tabs of one browser change one session.
    laptop.open(&demo.url("/"));
    laptop.shows("h1", &["Welcome"]);
    laptop.click("#count");
    laptop.shows("output", &["1", "0"]);
    let first = laptop.window();
    laptop.click("#tabs a.button");
    laptop.switch_to_other_than(&first);
    laptop.shows("output", &["1", "0"]);
    laptop.click("#count-at-once");
    laptop.shows("output", &["11", "10"]);
    laptop.shows("#told", &["20 of 20 requests were answered, and 20 are in the session."]);
    laptop.click("#count");
    laptop.shows("output", &["11", "11"]);
    laptop.switch_to(&first);
    // It was told, and shows what the other one did.
    laptop.shows("output", &["11", "11"]);

    // A sign-in while others of the page's requests are under way.
    laptop.write("#name", "alice");
    laptop.click("#sign-in-among-others");
    laptop.shows("#user", &["alice"]);
    let told = laptop.texts("#told").remove(0);
    let kept: u64 = told.split_once(": ").unwrap().1.split('.').next().unwrap().parse().unwrap();
    laptop.shows("output", &[&(12 + kept).to_string(), "11"]);
    laptop.open(&demo.url("/"));
    laptop.shows("#user", &["alice"]);

    // Another device, which is signed out from here, and then signs out the others itself.
    let sign_in = |browser: &Browser| {
        browser.open(&demo.url("/"));
        browser.write("#name", "alice");
        browser.click("#sign-in");
        browser.shows(".badge", &["this tab", "this device"]);
    };
    sign_in(&phone);
    assert_eq!(phone.texts(".device").len(), 2);
    phone.fits(&demo.url("/"));
    laptop.open(&demo.url("/"));
    laptop.click(".sign-out-device");
    laptop.shows(".sign-out-device", &[]);
    phone.open(&demo.url("/"));
    phone.shows("h1", &["Welcome"]);
    sign_in(&phone);
    phone.click("#sign-out-elsewhere");
    phone.shows("#sign-out-elsewhere", &[]);
    assert_eq!(phone.texts(".device").len(), 1);
    laptop.open(&demo.url("/"));
    laptop.shows("h1", &["Welcome"]);
    phone.click("#sign-out-everywhere");
    phone.shows("h1", &["Welcome"]);

    phone.fits(&demo.url("/"));
}

/// A WebDriver that is installed here.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    /// `None` if there is none on this machine.
    fn start() -> Option<Driver> {
        let port = free_port();
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

    /// The window that commands go to.
    fn window(&self) -> Value {
        call(&format!("{}/window", self.url), None)
    }

    fn switch_to(&self, window: &Value) {
        call(&format!("{}/window", self.url), Some(&json!({"handle": window})));
    }

    /// Waits until a second window is open, and goes there.
    fn switch_to_other_than(&self, window: &Value) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let windows = call(&format!("{}/window/handles", self.url), None);
            if let Some(other) = windows.as_array().unwrap().iter().find(|other| *other != window) {
                return self.switch_to(other);
            }
            assert!(Instant::now() < deadline, "no second window opens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing of this page is cut off, or beyond the margin, on a phone's narrow screen.
    fn fits(&self, url: &str) {
        for width in [320_u32, 390] {
            let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true});
            let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
            call(&format!("{}/goog/cdp/execute", self.url), Some(&command));
            self.open(url);
            let edge = self.evaluate(
                "return Math.max(...[...document.querySelectorAll('body *')]\
                 .map(element => element.getBoundingClientRect().right))",
            );
            assert!(edge.as_f64().unwrap() <= f64::from(width), "{edge} at a width of {width}");
            let card = self.evaluate(
                "return Math.max(...[...document.querySelectorAll('.card')]\
                 .map(card => card.getBoundingClientRect().right))",
            );
            assert!(card.as_f64().unwrap() <= f64::from(width - 16), "{card} at a width of {width}");
        }
    }

    fn evaluate(&self, script: &str) -> Value {
        call(&format!("{}/execute/sync", self.url), Some(&json!({"script": script, "args": []})))
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
