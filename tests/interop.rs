//! A Node application and a Rust one on one table of sessions, and one browser that uses both.
//!
//! `cargo xtask interop` starts the database, installs and builds the applications, and says in the environment where all of it
//! is. Without it there is nothing to try, and that is what is shown.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::http::Request;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long an application may take until it listens.
const READY: Duration = Duration::from_secs(60);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Text that a careless store, driver or JSON library spoils.
const NOTE: &str = "O'Brien \"q\" \\ %s $1 ? é 😀 \u{2028}\t\r\n end ";
/// The same with the characters of Latin-1 alone: TypeORM's `text` on SQL Server has no others, and Node writes question
/// marks for them.
const LATIN_NOTE: &str = "O'Brien \"q\" \\ %s $1 ? é \t\r\n end ";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // All of them use the same two applications, and a visit is many requests in turn.
    arguments.test_threads = Some(1);
    let Some(place) = Place::given() else {
        let name = "not run: cargo xtask interop starts what this needs";
        let trial = Trial::test(name, || Ok(())).with_ignored_flag(true);
        return libtest_mimic::run(&arguments, vec![trial]).exit_code();
    };
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    match trials(&place) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Where everything is.
struct Place {
    node: PathBuf,
    rust: PathBuf,
    /// Holds a password: never to be printed.
    url: String,
    /// The Node package whose table it is.
    layout: String,
    /// `Node` or `Rust`: who makes the table.
    maker: String,
    /// Where logs go.
    folder: PathBuf,
}

impl Place {
    fn given() -> Option<Self> {
        let given = |name: &str| std::env::var(format!("INTEROP_{name}")).ok();
        Some(Self {
            node: given("NODE")?.into(),
            rust: given("RUST")?.into(),
            url: given("URL")?,
            layout: given("LAYOUT")?,
            maker: given("MAKER")?,
            folder: given("FOLDER")?.into(),
        })
    }
}

/// Every combination of where somebody signs in, counts first and signs out.
fn trials(place: &Place) -> Result<Vec<Trial>> {
    let other = if place.maker == "Node" { "Rust" } else { "Node" };
    let first = Twin::start(&place.maker, place, true)?;
    let twins = Arc::new([first, Twin::start(other, place, false)?]);
    let is_latin = place.layout == "connect-typeorm" && place.url.to_ascii_lowercase().starts_with("server=");
    let note = if is_latin { LATIN_NOTE } else { NOTE };
    let mut trials = Vec::new();
    let mut add = |name: String, visit: fn(&[Twin; 2], [usize; 3], &str) -> Result<()>, who| {
        let twins = Arc::clone(&twins);
        trials.push(Trial::test(name, move || {
            visit(&twins, who, note).map_err(|error| {
                let [first, second] = twins.each_ref().map(Twin::last_words);
                format!("{error}\n{first}\n{second}").into()
            })
        }));
    };
    add(
        "both send their cookie with the same attributes".to_owned(),
        |twins, _, _| same_cookies(twins),
        [0; 3],
    );
    for (signer, leaver, counter) in (0..8).map(|bits| (bits >> 2, bits >> 1 & 1, bits & 1)) {
        let names = [signer, counter, leaver].map(|index| &twins[index].name);
        let [signs, counts, leaves] = names;
        let name = format!("signed in on {signs}, counted first on {counts}, signed out on {leaves}");
        add(name, visit, [signer, counter, leaver]);
    }
    Ok(trials)
}

fn visit(twins: &[Twin; 2], [signer, counter, leaver]: [usize; 3], note: &str) -> Result<()> {
    let (signer, leaver) = (&twins[signer], &twins[leaver]);
    let counters = [&twins[counter], &twins[1 - counter]];
    let mut browser = Browser::default();
    for twin in counters {
        nobody(twin, &mut browser, NOW, "before anybody signed in")?;
    }
    let encoded = utf8_percent_encode(note, NON_ALPHANUMERIC);
    browser.ask("POST", signer, &format!("/login?user=ann&note={encoded}"))?.expect("ann", 0, note)?;
    for twin in counters {
        browser.ask("GET", twin, "/me")?.expect("ann", 0, note)?;
    }
    for count in 1..=6 {
        let twin = counters[usize::from(count % 2 == 0)];
        browser.ask("POST", twin, "/count")?.expect("ann", count, note)?;
    }
    // Whoever signs in again gets another id, and the old one is worth nothing.
    let mut thief = browser.clone();
    browser.ask("POST", signer, "/login?user=bob")?.expect("bob", 0, "")?;
    for twin in counters {
        browser.ask("GET", twin, "/me")?.expect("bob", 0, "")?;
        nobody(twin, &mut thief, signer.ends_sessions_within(), "with the id of before the second sign-in")?;
        nobody(twin, &mut browser.forged(), NOW, "with a forged signature")?;
    }
    let mut left_behind = browser.clone();
    browser.ask("POST", leaver, "/logout")?;
    for twin in counters {
        let patience = leaver.ends_sessions_within();
        nobody(twin, &mut left_behind, patience, "with the cookie of before signing out")?;
        nobody(twin, &mut browser, NOW, "after signing out")?;
    }
    Ok(())
}

/// Without any patience.
const NOW: Duration = Duration::ZERO;

/// Nobody is signed in here, at the latest within `patience`.
fn nobody(twin: &Twin, browser: &mut Browser, patience: Duration, when: &str) -> Result<()> {
    let end = Instant::now() + patience;
    let mut answer = browser.ask("GET", twin, "/me")?;
    while !answer.body["user"].is_null() && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
        answer = browser.ask("GET", twin, "/me")?;
    }
    if answer.status != 200 || !answer.body["user"].is_null() {
        return Err(format!("{when} {} takes a stranger for somebody: {answer:?}", twin.name).into());
    }
    let answer = browser.ask("POST", twin, "/count")?;
    if answer.status != 401 {
        return Err(format!("{when} {} counts for a stranger: {answer:?}", twin.name).into());
    }
    Ok(())
}

fn same_cookies(twins: &[Twin; 2]) -> Result<()> {
    let mut attributes = Vec::new();
    for twin in twins {
        let answer = Browser::default().ask("POST", twin, "/login?user=ann")?;
        let cookie = answer.cookie.ok_or_else(|| format!("{} set no cookie", twin.name))?;
        let (name, rest) = cookie.split_once('=').ok_or("a cookie without a value")?;
        // The id and the second differ; a signature has one length.
        let rest = rest.split("; ").skip(1).map(|part| part.split("Expires=").next().unwrap_or(part));
        attributes.push(format!("{name}; {}", rest.collect::<Vec<_>>().join("; ")));
    }
    if attributes[0] != attributes[1] {
        return Err(format!("the cookies differ: {} and {}", attributes[0], attributes[1]).into());
    }
    Ok(())
}

/// One person's browser, with one cookie. All applications are one site to it: 127.0.0.1.
#[derive(Clone, Debug, Default)]
struct Browser {
    /// `name=value`.
    cookie: Option<String>,
}

/// What an application answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Null if it is no JSON: an error page's status says enough.
    body: Value,
    /// The `Set-Cookie` header.
    cookie: Option<String>,
}

impl Browser {
    /// A browser with the same id, signed by somebody who does not know the secret.
    fn forged(&self) -> Self {
        let swap = |cookie: &String| {
            let (rest, signature) = cookie.rsplit_once('.')?;
            let other: String = signature.chars().rev().collect();
            (other != signature).then(|| format!("{rest}.{other}"))
        };
        Self { cookie: self.cookie.as_ref().and_then(swap) }
    }

    fn ask(&mut self, method: &str, twin: &Twin, path: &str) -> Result<Answer> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent = ureq::Agent::new_with_config(config.timeout_global(Some(PATIENCE)).build());
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", twin.address));
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let answer = agent.run(request.body(())?);
        let mut answer = answer.map_err(|error| format!("{}: {method} {path}: {error}", twin.name))?;
        let cookie = answer.headers().get("Set-Cookie").and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.map(str::to_owned);
        if let Some(cookie) = &cookie {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let body = answer.body_mut().read_json().unwrap_or_default();
        Ok(Answer { status: answer.status().as_u16(), body, cookie })
    }
}

impl Answer {
    fn expect(&self, user: &str, count: u64, note: &str) -> Result<()> {
        let body = &self.body;
        let is_note = if note.is_empty() { body["note"].is_null() } else { body["note"] == note };
        if self.status != 200 || body["user"] != user || body["count"] != count || !is_note {
            return Err(format!("expected {user} with {count} and {note:?}, got {self:?}").into());
        }
        Ok(())
    }
}

/// An application that listens. It is stopped when this is dropped.
struct Twin {
    name: String,
    layout: String,
    /// `127.0.0.1:PORT`.
    address: String,
    errors: PathBuf,
    child: Child,
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Twin {
    /// Starts it on a port of its own choice, with the database's address where nobody else reads it.
    fn start(name: &str, place: &Place, create_table: bool) -> Result<Self> {
        let mut command = Command::new(if name == "Node" { &place.node } else { &place.rust });
        command.args((name == "Node").then_some("app.js")).args(["0", &place.layout]);
        command.args(create_table.then_some("--create-table"));
        let errors = place.folder.join(format!("{name}.log"));
        let mut child = command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop"))
            .env("DATABASE_URL", &place.url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()?;
        let address = listening(&mut child).unwrap_or_default();
        let twin = Self { name: name.to_owned(), layout: place.layout.clone(), address, errors, child };
        if twin.address.is_empty() {
            return Err(format!("{name} does not listen:\n{}", twin.last_words()).into());
        }
        Ok(twin)
    }

    /// How long a session may live after the answer that said it is over: connect-typeorm answers before it asks the
    /// database.
    fn ends_sessions_within(&self) -> Duration {
        let is_late = self.name == "Node" && self.layout == "connect-typeorm";
        if is_late { Duration::from_secs(5) } else { NOW }
    }

    /// What it complained about.
    fn last_words(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

/// The address in the line that says that it listens. What it prints afterwards is read and dropped.
fn listening(child: &mut Child) -> Option<String> {
    let lines = BufReader::new(child.stdout.take()?).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(std::io::Result::ok) {
            if let Some(address) = line.strip_prefix("listening on ") {
                let _ = sender.send(address.to_owned());
            }
        }
    });
    receiver.recv_timeout(READY).ok()
}
