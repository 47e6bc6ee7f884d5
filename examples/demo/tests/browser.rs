//! The built program, driven by a real browser through its WebDriver, where one is installed.

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
    assert_eq!(laptop.text("#user"), "alice");
    laptop.click("#increment");
    laptop.click("#increment-in-parallel");
    assert_eq!(laptop.text("#count"), "21");

    phone.open(&demo.url("/"));
    phone.write("#name", "alice");
    phone.click(".primary");
    assert_eq!(phone.texts(".device").len(), 2);
    assert_eq!(phone.texts(".badge"), ["this device"]);
    phone.click("#sign-out-elsewhere");
    assert_eq!(phone.texts(".device").len(), 1);

    laptop.open(&demo.url("/"));
    assert_eq!(laptop.text("h1"), "Welcome", "the other browser is signed out");
    phone.click("#sign-out-everywhere");
    assert_eq!(phone.text("h1"), "Welcome");
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

    /// Clicks and waits, as the WebDriver does, until the page that follows is there.
    fn click(&self, selector: &str) {
        call(&self.element_url(&self.find(selector), "click"), Some(&json!({})));
    }

    fn text(&self, selector: &str) -> String {
        call(&self.element_url(&self.find(selector), "text"), None).as_str().unwrap().to_owned()
    }

    fn texts(&self, selector: &str) -> Vec<String> {
        let wish = json!({"using": "css selector", "value": selector});
        let elements = call(&format!("{}/elements", self.url), Some(&wish));
        let text =
            |element: &Value| call(&self.element_url(element, "text"), None).as_str().unwrap().to_owned();
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

/// One command; its result. Panics with the driver's message.
fn call(url: &str, body: Option<&Value>) -> Value {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let answer = match body {
        Some(body) => agent.post(url).send_json(body),
        None => agent.get(url).call(),
    };
    let mut answer: Value = answer.unwrap().body_mut().read_json().unwrap();
    let value = answer["value"].take();
    assert!(value.get("error").is_none(), "{url}: {}", value["message"]);
    value
}
