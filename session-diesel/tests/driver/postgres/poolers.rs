//! PgBouncer in transaction mode, with servers of the tests' own.

use std::process::Command;
use std::sync::Arc;

use libtest_mimic::Trial;
use session_core::contract::{Filter, Store};
use session_core::{ErrorKind, Severity, TableName, Updated, Version};
use session_diesel::PostgresStore;
use tokio_postgres::SimpleQueryMessage;

use super::support::{connection_pool, no_server_of_its_own, raw, ready, server};
use crate::support::scratch::{Scratch, command_as, find};
use crate::support::{NOW, create, load, trial, update};

/// The first PgBouncer that keeps prepared statements.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

pub(super) fn trials() -> Vec<Trial> {
    let version = version();
    let none = no_server_of_its_own().or_else(|| version.clone().err());
    let old = match version {
        Ok(found) if found < KEEPS_STATEMENTS => {
            Some(format!("PgBouncer {}.{} keeps no prepared statements", found.0, found.1))
        }
        _ => None,
    };
    vec![
        trial("postgres::poolers::pgbouncer_in_transaction_mode_works", none.clone(), || {
            transaction_mode("pgbouncer", "", |url, table| {
                PostgresStore::builder().url(url).table(table).pgbouncer(true).pool_size(16).build().unwrap()
            })
        }),
        trial(
            "postgres::poolers::pgbouncer_before_a_pool_of_the_application_is_found_by_the_doctor",
            none.clone(),
            the_doctor_finds_it,
        ),
        trial("postgres::poolers::pgbouncer_that_drops_settings_is_found_out", none.clone(), || {
            transaction_mode("pgbouncer-drops", "ignore_startup_parameters = options\n", |url, table| {
                PostgresStore::builder().url(url).table(table).pgbouncer(true).build().unwrap()
            })
        }),
        trial(
            "postgres::poolers::pgbouncer_that_keeps_prepared_statements_needs_no_setting",
            none.or(old),
            || {
                transaction_mode("pgbouncer-keeps", "max_prepared_statements = 200\n", |url, table| {
                    let pool = connection_pool(url.to_owned(), 16, String::new());
                    PostgresStore::builder().pool(pool).table(table).build().unwrap()
                })
            },
        ),
    ]
}

/// `PgBouncer 1.18.0 …` as 1 and 18.
fn version() -> Result<(u32, u32), String> {
    let program = find("pgbouncer", &["/usr/sbin"])?;
    let says = Command::new(program).arg("--version").output().map_err(|error| error.to_string())?;
    let says = String::from_utf8_lossy(&says.stdout).into_owned();
    let number = says.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("PgBouncer says no version: {says}")),
    }
}

async fn the_doctor_finds_it() {
    for (mode, expected) in [("transaction", Some(Severity::Fault)), ("session", None)] {
        let bounced = Bounced::start(&format!("pgbouncer-doctor-{mode}"), mode, "").await;
        let pool = connection_pool(bounced.url.clone(), 2, String::new());
        let store = PostgresStore::builder().pool(pool).build().unwrap();
        let findings = store.diagnose().await.unwrap();
        let found = findings.iter().find(|found| found.what.contains("lends the server's connections"));
        assert_eq!(found.map(|found| found.severity), expected, "{mode}: {findings:?}");
    }
}

/// A server behind PgBouncer.
struct Bounced {
    url: String,
    // Ends first: the server waits for those who are connected.
    _bouncer: Scratch,
    _server: Scratch,
}

impl Bounced {
    async fn start(name: &str, mode: &str, settings: &str) -> Bounced {
        let server = server(&format!("pg-{name}"), &[]);
        ready(|| {
            PostgresStore::builder().url(format!("postgres://postgres@127.0.0.1:{}/postgres", server.port))
        })
        .await;
        let mut bouncer = Scratch::new(name);
        let ini = format!(
            "[databases]\npostgres = host=127.0.0.1 user=postgres port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {}\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 3\n\
         max_client_conn = 200\nunix_socket_dir =\n{settings}",
            server.port, bouncer.port
        );
        // auth_type any takes the user of the database's entry.
        std::fs::write(bouncer.path("ini"), ini).unwrap();
        bouncer.give_to("postgres");
        let program = find("pgbouncer", &["/usr/sbin"]).unwrap();
        let mut command: Command = command_as("postgres", &program);
        let ini = bouncer.path("ini");
        bouncer.start(command.arg(ini).current_dir("/"));

        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", bouncer.port);
        Bounced { url, _bouncer: bouncer, _server: server }
    }
}

async fn transaction_mode(
    name: &str,
    settings: &str,
    build: impl Fn(&str, TableName) -> PostgresStore + Send,
) {
    let bounced = Bounced::start(name, "transaction", settings).await;
    let url = &bounced.url;
    // Two stores stand for two processes that share the three connections of the server.
    let table = TableName::new("bounced").unwrap();
    let stores = [Arc::new(build(url, table.clone())), Arc::new(build(url, table))];
    stores[0].create_table().await.unwrap();
    // A store that was not told is refused, by the pooler itself or, where that drops what it does not know, by ours;
    // and nothing of it stays on a connection that other applications get.
    let untold = PostgresStore::builder().url(url).build().unwrap();
    let error = untold.server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::InvalidInput, false), "{error}");
    assert!(error.to_string().contains("`pgbouncer(true)`"), "{error}");
    for _ in 0..6 {
        let other = raw(url).await;
        let rows = other.simple_query("SHOW enable_seqscan").await.unwrap();
        let settings: Vec<_> = rows
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        assert_eq!(settings, ["on"]);
    }
    let tasks = (0..16_u32).map(|number| {
        let store = Arc::clone(&stores[usize::try_from(number % 2).unwrap()]);
        tokio::spawn(async move {
            let id = format!("b{number}");
            store.create(&create(&id), NOW).await.unwrap();
            for round in 1..20 {
                let saved = store.update(&update(&id, Some(round)), NOW).await.unwrap();
                assert_eq!(saved, Updated::Saved(Version::new(round + 1)));
                assert!(load(&*store, &id).await.is_some());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(stores[1].count(&Filter::default(), NOW).await.unwrap(), 16);
}
