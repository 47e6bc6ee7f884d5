//! The built program, driven over HTTP by two browsers' cookie jars.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use support::{Demo, Folder};

/// One browser: a cookie jar and a name.
struct Browser {
    agent: ureq::Agent,
    name: &'static str,
}

impl Browser {
    fn new(name: &'static str) -> Browser {
        Browser { agent: ureq::Agent::config_builder().user_agent(name).build().into(), name }
    }

    fn get(&self, demo: &Demo) -> String {
        let mut answer =
            self.agent.get(demo.url("/")).call().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        answer.body_mut().read_to_string().unwrap()
    }

    fn post(&self, demo: &Demo, path: &str) -> String {
        let form: [(&str, &str); 0] = [];
        let mut answer = self.agent.post(demo.url(path)).send_form(form).unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    fn sign_in(&self, demo: &Demo, name: &str) -> String {
        let mut answer = self.agent.post(demo.url("/sign-in")).send_form([("name", name)]).unwrap();
        answer.body_mut().read_to_string().unwrap()
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const IPHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1";

fn is_signed_in(page: &str) -> bool {
    page.contains("Where you are signed in")
}

fn count(page: &str) -> u64 {
    let (_, rest) = page.split_once("<output id=\"count\">").expect("the page has a counter");
    rest.split_once('<').unwrap().0.parse().unwrap()
}

fn devices(page: &str) -> usize {
    page.matches("class=\"device").count()
}

#[test]
fn two_browsers_sign_in_count_and_sign_out_through_kill_9_and_restart() {
    let folder = Folder::new("http");
    let database = folder.file("demo.db");
    let (laptop, phone) = (Browser::new(FIREFOX), Browser::new(IPHONE));

    let demo = Demo::start(&database);
    assert!(!is_signed_in(&laptop.get(&demo)));
    assert_eq!(devices(&laptop.sign_in(&demo, "alice")), 1);
    let page = phone.sign_in(&demo, "alice");
    assert!(page.contains("Firefox on Linux") && page.contains("Safari on iPhone"), "{page}");
    assert_eq!((devices(&page), page.matches("this device").count()), (2, 1));
    assert_eq!(count(&laptop.post(&demo, "/count")), 1);
    assert_eq!(count(&laptop.post(&demo, "/count-in-parallel")), 21, "no parallel increment is lost");
    assert_eq!(count(&phone.get(&demo)), 0, "each browser has a session of its own");

    drop(demo); // kill -9
    let demo = Demo::start(&database);
    assert_eq!(count(&laptop.get(&demo)), 21, "whoever was signed in still is");
    assert!(is_signed_in(&phone.get(&demo)));

    assert_eq!(devices(&laptop.post(&demo, "/sign-out-elsewhere")), 1);
    assert!(!is_signed_in(&phone.get(&demo)));

    phone.sign_in(&demo, "alice");
    assert!(!is_signed_in(&laptop.post(&demo, "/sign-out-everywhere")));
    assert!(!is_signed_in(&phone.get(&demo)));

    laptop.sign_in(&demo, "bob");
    assert!(!is_signed_in(&laptop.post(&demo, "/sign-out")));
    drop(demo);
    let demo = Demo::start(&database);
    assert!(!is_signed_in(&laptop.get(&demo)), "a logout survives kill -9 as well");
}

#[test]
fn a_cookie_that_was_kept_is_worth_nothing_after_sign_out() {
    let folder = Folder::new("kept-cookie");
    let demo = Demo::start(&folder.file("demo.db"));
    let browser = ureq::Agent::config_builder().max_redirects(0).build().new_agent();
    let answer = browser.post(demo.url("/sign-in")).send_form([("name", "mallory")]).unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let attributes = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"), "{attributes}");

    let form: [(&str, &str); 0] = [];
    browser.post(demo.url("/sign-out")).header("cookie", &cookie).send_form(form).unwrap();
    for path in ["/count", "/count-in-parallel", "/sign-out-elsewhere"] {
        browser.post(demo.url(path)).header("cookie", &cookie).send_form(form).unwrap();
        let mut page = browser.get(demo.url("/")).header("cookie", &cookie).call().unwrap();
        assert!(!is_signed_in(&page.body_mut().read_to_string().unwrap()), "{path}");
    }
}

#[test]
fn bad_arguments_end_with_the_usage() {
    for arguments in [&["--port", "many"][..], &["--prot", "1"], &["--database", "redis://localhost"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_demo")).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let problem = String::from_utf8(output.stderr).unwrap();
        assert!(problem.starts_with("demo: "), "{problem}");
    }
}
