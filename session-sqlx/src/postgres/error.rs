//! What sqlx reports, as errors of the contract.

use session_core::{Error, ErrorKind};
use session_sql::postgres::sqlstate;
use session_sql::{Fault, Link};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::error::{lost, refused, unfit};

/// What is said where a pooler does not let settings through.
pub(super) const POOLER: &str = "a pooler stands before the server that lends its connections for one transaction, or passes \
    no settings on; give the builder a pool of the application's, or take session-diesel with `pgbouncer(true)`";

/// What is said where a pooler mixes prepared statements.
const MIXED: &str = "a pooler between here and the server mixes prepared statements; let it keep them (PgBouncer from 1.21 \
    on: max_prepared_statements), or lend a connection for as long as it is used, or take session-diesel with \
    `pgbouncer(true)`";

/// Classifies what an operation came back with. `schema` is what would make the table.
pub(super) fn of_query(error: &sqlx::Error, schema: &str) -> Fault {
    let Some(server) = of_server(error) else {
        return match error {
            sqlx::Error::Io(_) => lost(error),
            other => unfit(other),
        };
    };
    let (code, message) = (server.code(), sqlstate::words(server.routine(), server.message()));
    match server.severity() {
        PgSeverity::Fatal | PgSeverity::Panic => sqlstate::ended(code, message, schema),
        _ if sqlstate::is_mixed(code) => {
            let error = Error::new(ErrorKind::Backend, format!("{MIXED} ({message})"));
            Fault::new(error.with_code(code).with_in_doubt(false), Link::Unfit)
        }
        _ => sqlstate::fault(Some(code), message, schema),
    }
}

/// The server only reads, and the URL asks for one that writes.
pub(super) fn only_reads() -> Error {
    Error::unavailable("this server only reads: a standby, or one told to; name the one that writes")
        .with_code("25006")
        .with_unreachable()
        .with_in_doubt(false)
}

/// Classifies why a connection was not made.
pub(super) fn connecting(error: &sqlx::Error) -> Error {
    let Some(server) = of_server(error) else { return refused(error) };
    let refused = sqlstate::refused(server.code(), server.message());
    let message = server.message().to_ascii_lowercase();
    let about_settings = ["startup parameter", "command-line options", "startup option"]
        .iter()
        .any(|part| message.contains(part));
    // A server takes every setting of ours; what refuses them is a pooler.
    if refused.kind() == ErrorKind::Backend && about_settings {
        return Error::invalid_input(POOLER).with_code(server.code().to_owned());
    }
    refused
}

fn of_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    match error {
        sqlx::Error::Database(server) => server.try_downcast_ref(),
        _ => None,
    }
}
