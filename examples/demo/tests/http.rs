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
        self.send(demo, path, &[])
    }

    fn sign_in(&self, demo: &Demo, name: &str) -> String {
        self.send(demo, "/sign-in", &[("name", name)])
    }

    fn send(&self, demo: &Demo, path: &str, form: &[(&str, &str)]) -> String {
        let mut answer = self.agent.post(demo.url(path)).send_form(form.iter().copied()).unwrap();
        answer.body_mut().read_to_string().unwrap()
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const IPHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1";

fn is_signed_in(page: &str) -> bool {
    page.contains("Where you are signed in")
}

/// What the two tabs counted.
fn counts(page: &str) -> [u64; 2] {
    [1, 2].map(|tab| {
        let (_, rest) = page
            .split_once(&format!("<output id=\"count-{tab}\">"))
            .expect("the page has a counter for each tab");
        rest.split_once('<').unwrap().0.parse().unwrap()
    })
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
    assert_eq!(counts(&laptop.send(&demo, "/count", &[("tab", "1")])), [1, 0]);
    assert_eq!(counts(&laptop.send(&demo, "/count", &[("tab", "2")])), [1, 1]);
    assert_eq!(counts(&phone.get(&demo)), [0, 0], "each browser has a session of its own");

    drop(demo); // kill -9
    let demo = Demo::start(&database);
    assert_eq!(counts(&laptop.get(&demo)), [1, 1], "whoever was signed in still is");
    assert!(is_signed_in(&phone.get(&demo)));

    assert_eq!(devices(&laptop.post(&demo, "/sign-out-elsewhere")), 1);
    assert!(!is_signed_in(&phone.get(&demo)));

    phone.sign_in(&demo, "alice");
    let page = laptop.get(&demo);
    let token = page.split_once("name=\"token\" value=\"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(devices(&laptop.send(&demo, "/sign-out-device", &[("token", token)])), 1);
    assert!(!is_signed_in(&phone.get(&demo)), "it was signed out from the laptop");

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
    for path in ["/count", "/sign-out-elsewhere", "/sign-out-everywhere"] {
        browser.post(demo.url(path)).header("cookie", &cookie).send_form(form).unwrap();
        let mut page = browser.get(demo.url("/")).header("cookie", &cookie).call().unwrap();
        assert!(!is_signed_in(&page.body_mut().read_to_string().unwrap()), "{path}");
    }
}

/// The value of the cookie that an answer sets.
fn set_cookie(answer: &ureq::http::Response<ureq::Body>) -> Option<String> {
    let header = answer.headers().get("set-cookie")?.to_str().unwrap();
    Some(header.split(';').next().unwrap().to_owned())
}

/// A client without a cookie jar, which shows what each answer says.
fn plain() -> ureq::Agent {
    ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().new_agent()
}

#[test]
fn a_visitor_has_no_cookie_until_something_is_written() {
    let folder = Folder::new("visitor");
    let demo = Demo::start(&folder.file("demo.db"));
    let client = plain();
    for path in ["/", "/?tab=2", "/state"] {
        assert_eq!(set_cookie(&client.get(demo.url(path)).call().unwrap()), None, "{path}");
    }
    assert_eq!(set_cookie(&client.post(demo.url("/sign-out")).send_empty().unwrap()), None);
    assert!(set_cookie(&client.post(demo.url("/count")).send_form([("tab", "1")]).unwrap()).is_some());
    let refused = client.post(demo.url("/sign-in")).send_form([("name", " ")]).unwrap();
    assert_eq!((refused.status().as_u16(), set_cookie(&refused)), (400, None));
}

#[test]
fn two_tabs_change_one_session_at_once_and_lose_nothing() {
    const EACH: u64 = 25;
    let folder = Folder::new("tabs");
    let demo = Demo::start(&folder.file("demo.db"));
    let first = plain().post(demo.url("/count")).send_form([("tab", "1")]).unwrap();
    let cookie = set_cookie(&first).unwrap();
    std::thread::scope(|scope| {
        for tab in ["1", "2", "1", "2"] {
            let (demo, cookie) = (&demo, &cookie);
            scope.spawn(move || {
                let client = plain();
                for _ in 0..EACH {
                    let request = client.post(demo.url("/count")).header("cookie", cookie);
                    assert_eq!(request.send_form([("tab", tab)]).unwrap().status(), 303);
                }
            });
        }
    });
    let mut state = plain().get(demo.url("/state")).header("cookie", &cookie).call().unwrap();
    let counts: [u64; 2] = state.body_mut().read_json().unwrap();
    assert_eq!(counts, [1 + 2 * EACH, 2 * EACH]);
}

#[test]
fn a_sign_in_among_parallel_requests_is_the_only_one_that_sets_a_cookie() {
    let folder = Folder::new("race");
    let demo = Demo::start(&folder.file("demo.db"));
    for round in 0..20 {
        let first = plain().post(demo.url("/count")).send_form([("tab", "1")]).unwrap();
        let old = set_cookie(&first).unwrap();
        let (new, kept) = std::thread::scope(|scope| {
            let others: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let request = plain().post(demo.url("/count")).header("cookie", &old);
                        let answer = request.send_form([("tab", "2")]).unwrap();
                        assert_eq!(set_cookie(&answer), None, "it would replace the new one");
                        let status = answer.status().as_u16();
                        assert!(status == 303 || status == 409, "{status}");
                        u64::from(status == 303)
                    })
                })
                .collect();
            let sign_in = plain().post(demo.url("/sign-in")).header("cookie", &old);
            let new = set_cookie(&sign_in.send_form([("name", "alice")]).unwrap()).unwrap();
            (new, others.into_iter().map(|other| other.join().unwrap()).sum::<u64>())
        });
        let mut page = plain().get(demo.url("/")).header("cookie", &new).call().unwrap();
        let page = page.body_mut().read_to_string().unwrap();
        assert!(is_signed_in(&page), "round {round}");
        assert_eq!(counts(&page), [1, kept], "what was answered is there, in round {round}");
        let mut page = plain().get(demo.url("/")).header("cookie", &old).call().unwrap();
        assert!(!is_signed_in(&page.body_mut().read_to_string().unwrap()), "the old id is worth nothing");
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
