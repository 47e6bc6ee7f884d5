//! PgBouncer before a pool of the application's.

use std::process::Command;

use libtest_mimic::Trial;
use session_core::Severity;
use session_core::contract::Store as _;
use session_sqlx::PostgresStore;
use session_sqlx::sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::scratch::{Scratch, command_as, find};
use crate::{address, fresh};

pub(crate) fn trial() -> Trial {
    let url = address("SESSION_STORE_POSTGRES_URL");
    let program = find("pgbouncer", &["/usr/sbin"]);
    let missing = url.clone().err().or(program.err());
    let name = "postgres::pgbouncer_before_a_pool_of_the_application_is_found_by_the_doctor";
    crate::trial(name.to_owned(), missing, move || the_doctor_finds_it(url.unwrap_or_default()))
}

async fn the_doctor_finds_it(url: String) {
    for (mode, expected) in [("transaction", Some(Severity::Fault)), ("session", None)] {
        let bouncer = before(&url, mode);
        let port = bouncer.port;
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).database("bounced");
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options.username("anybody"));
        let store = PostgresStore::builder().pool(pool).table(fresh("bounced")).build().unwrap();
        let findings = store.diagnose().await.unwrap();
        let found = findings.iter().find(|found| found.what.contains("lends the server's connections"));
        assert_eq!(found.map(|found| found.severity), expected, "{mode}: {findings:?}");
    }
}

/// PgBouncer before the server of a URL.
fn before(url: &str, mode: &str) -> Scratch {
    let server: PgConnectOptions = url.parse().unwrap();
    let authority = url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let password = password.map(|(_, password)| format!(" password={password}")).unwrap_or_default();
    let mut bouncer = Scratch::new(&format!("sqlx-{mode}"));
    // auth_type any takes the user of the database's entry.
    let ini = format!(
        "[databases]\nbounced = host={} port={} user={} dbname={}{password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nauth_type = any\npool_mode = {mode}\n\
         unix_socket_dir =\nignore_startup_parameters = extra_float_digits\n",
        server.get_host(),
        server.get_port(),
        server.get_username(),
        server.get_database().unwrap_or("postgres"),
        bouncer.port,
    );
    std::fs::write(bouncer.path("ini"), ini).unwrap();
    bouncer.give_to("postgres");
    let program = find("pgbouncer", &["/usr/sbin"]).unwrap();
    let (mut command, ini): (Command, _) = (command_as("postgres", &program), bouncer.path("ini"));
    bouncer.start(command.arg(ini).current_dir("/"));
    bouncer
}
