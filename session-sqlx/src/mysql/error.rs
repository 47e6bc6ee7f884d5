//! What sqlx reports, as errors of the contract.

use session_core::{Error, ErrorKind};
use session_sql::Fault;
use session_sql::mysql::number;
use sqlx::mysql::MySqlDatabaseError;

use crate::error::{lost, refused, unfit};

/// Classifies what an operation came back with. `schema` is what would make the table.
pub(super) fn of_query(error: &sqlx::Error, schema: &str) -> Fault {
    match (of_server(error), error) {
        (Some(server), _) => {
            let message = number::words(server.code().unwrap_or_default(), server.message());
            number::fault(Some(&server.number().to_string()), message, schema)
        }
        (None, sqlx::Error::Io(_)) => lost(error),
        (None, other) => unfit(other),
    }
}

/// Classifies why a connection was not made.
pub(super) fn connecting(error: &sqlx::Error) -> Error {
    match of_server(error) {
        Some(server) => number::refused(&server.number().to_string(), server.message()),
        None if is_about_clear_text(error) => {
            Error::new(ErrorKind::Backend, number::ASKS_IN_CLEAR).with_in_doubt(false)
        }
        None => refused(error),
    }
}

/// sqlx's own words, as nothing else tells it.
fn is_about_clear_text(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(what) if what.contains("cleartext_plugin disabled"))
}

fn of_server(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    match error {
        sqlx::Error::Database(server) => server.try_downcast_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_connection_is_said_with_what_to_do() {
        let protocol = |what: &str| connecting(&sqlx::Error::Protocol(what.to_owned()));
        for (what, says) in [
            ("mysql_cleartext_plugin disabled", "enable_cleartext_plugin=true"),
            ("unknown authentication plugin: sha", "caching_sha2_password"),
            ("unexpected packet", "host and port"),
        ] {
            let error = protocol(what);
            assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{what}");
            assert!(error.to_string().contains(says), "{what}: {error}");
        }
        let io = |kind| connecting(&sqlx::Error::Io(std::io::Error::new(kind, "a certificate")));
        let untrusted = io(std::io::ErrorKind::InvalidData);
        assert!(untrusted.kind() == ErrorKind::Backend && !untrusted.is_transient(), "{untrusted}");
        assert!(untrusted.to_string().contains("a certificate"), "{untrusted}");
        assert!(io(std::io::ErrorKind::UnexpectedEof).is_unreachable());
    }
}
