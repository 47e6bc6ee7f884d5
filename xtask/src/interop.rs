//! `cargo xtask interop`: a Node application and a Rust one on one table of sessions, and one browser that uses both.

mod browser;
mod twin;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::server::{self, Kind, Opened, Sources};
use crate::{cleanup, process, report, tally, terminal};
use browser::{Answer, Browser};
use twin::{Language, Twin};

/// A database that a Node store and this project both know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    Sqlite,
    Server(Kind),
}

/// A table that both use: where it is, and the Node package whose layout it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    database: Database,
    layout: &'static str,
}

const CONNECT_TYPEORM: &str = "connect-typeorm";
const CONNECT_MSSQL_V2: &str = "connect-mssql-v2";

const TABLES: [Table; 5] = [
    Table { database: Database::Sqlite, layout: CONNECT_TYPEORM },
    Table { database: Database::Server(Kind::Postgres), layout: CONNECT_TYPEORM },
    Table { database: Database::Server(Kind::Mariadb), layout: CONNECT_TYPEORM },
    Table { database: Database::Server(Kind::Mssql), layout: CONNECT_MSSQL_V2 },
    Table { database: Database::Server(Kind::Mssql), layout: CONNECT_TYPEORM },
];

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Server(kind) => kind.name(),
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
struct Options {
    tables: Vec<Table>,
    /// Whether all of them were asked for, by naming none.
    everything: bool,
    /// Whether what cannot run is a failure.
    require: bool,
    sources: Sources,
    tally: Option<PathBuf>,
}

const HELP: &str = "\
Usage: cargo xtask interop [OPTIONS] [DATABASE...]

Runs a Node application (express, express-session; connect-typeorm, and on SQL Server also connect-mssql-v2) and a Rust
one (the layer for express sessions) on one live table, and a browser that signs in on one, is known on the other,
counts up on both in turn, signs out on one and is unknown on both: in every direction, on a table that either of them
made.

DATABASE is sqlite, postgres, mariadb or mssql; all of them by default. Needs Node 20 or later and npm, and says so
where they are missing. The first run installs the packages that interop/package-lock.json pins into
interop/node_modules; it needs npm's registry and no compiler.

Options:
  --require   fail if something cannot run, instead of saying so
  --install   install the packages of missing database servers (Debian, Ubuntu)
  --babelfish FOLDER  take the Babelfish that is installed there for SQL Server (also BABELFISH_HOME)
  --tally FILE  append how many passed and failed to FILE, and what failed
  -h, --help  show this
Servers are started and stopped here. One that was there before is never used: the tables have names of their own.";

/// Runs the command.
pub(crate) fn run(parser: lexopt::Parser) -> Result<ExitCode> {
    let options = match parse(parser) {
        Ok(Some(options)) => options,
        Ok(None) => {
            terminal::say(HELP);
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            terminal::failure(&format!("{error}; see cargo xtask interop --help"));
            return Ok(ExitCode::from(2));
        }
    };
    let start = Instant::now();
    let programs = match twin::programs(options.everything)? {
        Ok(programs) => programs,
        Err(why) => {
            terminal::say(&format!("interop: not run: {why}"));
            let failures =
                if options.require { vec![format!("interop: not run: {why}")] } else { Vec::new() };
            tally::add(options.tally.as_deref(), 0, failures.len(), &failures)?;
            return Ok(if options.require { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    };
    let (mut passed, mut missing) = (0, 0);
    let mut failures = Vec::new();
    for &table in &options.tables {
        for maker in Language::BOTH {
            let Table { database, layout } = table;
            let title = format!("{}, {layout}, on a table that {} made", database.name(), maker.name());
            terminal::step(&format!("\n{title}"));
            match prove(table, maker, &programs, &options.sources) {
                Ok(Ok(visits)) => passed += visits,
                Ok(Err(why)) => {
                    missing += 1;
                    terminal::detail(&format!("not run: {why}"));
                }
                Err(error) => {
                    terminal::detail(&format!(
                        "{} {error:#}",
                        terminal::paint(terminal::Paint::Red, "failed:")
                    ));
                    failures.push(format!("{title}: {error:#}"));
                }
            }
        }
    }
    let failed = failures.len();
    tally::add(options.tally.as_deref(), passed, failed, &failures)?;
    let took = report::human(start.elapsed());
    terminal::say(&format!("\ninterop: {passed} passed, {failed} failed, {missing} not run in {took}"));
    let is_failure = failed > 0 || options.require && missing > 0;
    Ok(if is_failure { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    use lexopt::prelude::{Long, Short, Value};

    let mut options = Options {
        tables: Vec::new(),
        everything: false,
        require: false,
        sources: Sources { fresh: true, ..Sources::default() },
        tally: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("require") => options.require = true,
            Long("install") => options.sources.install = true,
            Long("babelfish") => options.sources.babelfish = Some(parser.value()?.into()),
            Long("tally") => options.tally = Some(parser.value()?.into()),
            Value(name) => {
                let known = options.tables.len();
                options.tables.extend(TABLES.into_iter().filter(|table| name == table.database.name()));
                if options.tables.len() == known {
                    bail!("no database {name:?}");
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if options.tables.is_empty() {
        options.everything = true;
        options.tables.extend(TABLES);
    }
    Ok(Some(options))
}

/// Starts the database and both applications, and lets the browser loose. Returns how many visits it made; the inner
/// error says what is missing here.
fn prove(
    table: Table,
    maker: Language,
    programs: &twin::Programs,
    sources: &Sources,
) -> Result<std::result::Result<usize, String>> {
    let Table { database, layout } = table;
    let (folder, _guard) = cleanup::folder("interop")?;
    let mut server = None;
    let url = match database {
        Database::Sqlite => format!("sqlite:{}", folder.join("sessions.db").display()),
        Database::Server(kind) => match server::open(kind, sources)? {
            Opened::Server(opened) => {
                terminal::detail(&format!("server: {}", opened.origin));
                server.insert(opened).url.clone()
            }
            Opened::Unavailable(why) => return Ok(Err(why)),
        },
    };
    let place = twin::Place { url: &url, layout, folder: &folder };
    let first = Twin::start(maker, programs, &place, true)?;
    let second = Twin::start(maker.other(), programs, &place, false)?;
    let twins = [&first, &second];
    let note = match table {
        Table { database: Database::Server(Kind::Mssql), layout: CONNECT_TYPEORM } => LATIN_NOTE,
        _ => NOTE,
    };
    let outcome = twins_share_sessions(twins, note);
    if outcome.is_err() {
        for twin in twins {
            twin.last_words().lines().for_each(terminal::detail);
        }
    }
    outcome.map(Ok)
}

/// Text that a careless store, driver or JSON library spoils.
const NOTE: &str = "O'Brien \"q\" \\ %s $1 ? é 😀 \u{2028}\t\r\n end ";
/// The same with the characters of Latin-1 alone: TypeORM's `text` on SQL Server has no others, and Node writes question
/// marks for them.
const LATIN_NOTE: &str = "O'Brien \"q\" \\ %s $1 ? é \t\r\n end ";

/// Every combination of where somebody signs in, counts first and signs out.
fn twins_share_sessions(twins: [&Twin; 2], note: &str) -> Result<usize> {
    same_cookies(twins)?;
    let mut visits = 0;
    for signer in twins {
        for leaver in twins {
            for counter in twins {
                let counters = if std::ptr::eq(counter, twins[0]) { twins } else { [twins[1], twins[0]] };
                let name = format!(
                    "signed in on {}, counted first on {}, signed out on {}",
                    signer.name(),
                    counter.name(),
                    leaver.name()
                );
                one_visit(signer, counters, leaver, note).context(name.clone())?;
                terminal::detail(&format!("{} {name}", terminal::paint(terminal::Paint::Green, "ok")));
                visits += 1;
            }
        }
    }
    Ok(visits)
}

fn one_visit(signer: &Twin, counters: [&Twin; 2], leaver: &Twin, note: &str) -> Result<()> {
    let mut browser = Browser::default();
    for twin in counters {
        nobody(twin, &mut browser, NOW).context("before anybody signed in")?;
    }
    browser
        .post(signer, &format!("/login?user=ann&note={}", browser::encode(note)))?
        .expect("ann", 0, note)?;
    for twin in counters {
        browser.get(twin, "/me")?.expect("ann", 0, note)?;
    }
    for count in 1..=6 {
        let twin = counters[usize::from(count % 2 == 0)];
        browser.post(twin, "/count")?.expect("ann", count, note)?;
    }
    // Whoever signs in again gets another id, and the old one is worth nothing.
    let mut thief = browser.clone();
    browser.post(signer, "/login?user=bob")?.expect("bob", 0, "")?;
    for twin in counters {
        browser.get(twin, "/me")?.expect("bob", 0, "")?;
        nobody(twin, &mut thief, signer.ends_sessions_within())
            .context("with the id of before the second sign-in")?;
        nobody(twin, &mut browser.forged(), NOW).context("with a forged signature")?;
    }
    let mut left_behind = browser.clone();
    browser.post(leaver, "/logout")?;
    for twin in counters {
        nobody(twin, &mut left_behind, leaver.ends_sessions_within())
            .context("with the cookie of before signing out")?;
        nobody(twin, &mut browser, NOW).context("after signing out")?;
    }
    Ok(())
}

/// Without any patience.
const NOW: Duration = Duration::ZERO;

/// Nobody is signed in here, at the latest within `patience`.
fn nobody(twin: &Twin, browser: &mut Browser, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    let mut answer = browser.get(twin, "/me")?;
    while !answer.body["user"].is_null() && Instant::now() < end {
        thread::sleep(process::POLL);
        answer = browser.get(twin, "/me")?;
    }
    if answer.status != 200 || !answer.body["user"].is_null() {
        bail!("{} takes a stranger for somebody: {answer:?}", twin.name());
    }
    let answer = browser.post(twin, "/count")?;
    if answer.status != 401 {
        bail!("{} counts for a stranger: {answer:?}", twin.name());
    }
    Ok(())
}

/// Both send their cookie with the same attributes.
fn same_cookies(twins: [&Twin; 2]) -> Result<()> {
    let mut attributes = Vec::new();
    for twin in twins {
        let answer = Browser::default().post(twin, "/login?user=ann")?;
        let cookie = answer.cookie.with_context(|| format!("{} set no cookie", twin.name()))?;
        let (name, rest) = cookie.split_once('=').context("a cookie without a value")?;
        // The id and the second differ; a signature has one length.
        let rest: Vec<_> =
            rest.split("; ").skip(1).map(|part| part.split("Expires=").next().unwrap_or(part)).collect();
        attributes.push(format!("{name}; {}", rest.join("; ")));
    }
    if attributes[0] != attributes[1] {
        bail!("the cookies differ: {} and {}", attributes[0], attributes[1]);
    }
    Ok(())
}

impl Answer {
    fn expect(&self, user: &str, count: u64, note: &str) -> Result<()> {
        let body = &self.body;
        let is_note = if note.is_empty() { body["note"].is_null() } else { body["note"] == note };
        if self.status != 200 || body["user"] != user || body["count"] != count || !is_note {
            bail!("expected {user} with {count} and {note:?}, got {self:?}");
        }
        Ok(())
    }
}
