//! A pooler that lends a server's connection for one transaction at a time, as a doctor finds it.
//!
//! No statement tells of one. But two connections that are open at once never have the same process of the server, unless
//! a pooler stands before it: the first connection asks which process it has, and while it rests the second one asks
//! within a transaction. PgBouncer lends the connection that was used last.

use session_core::Finding;

/// Asks which process of the server runs this, and whether a pooler keeps prepared statements there, by the names that
/// PgBouncer (from 1.21 on), Odyssey and pgcat give them.
pub const ASK: &str = "SELECT pg_backend_pid()::bigint, (SELECT count(*) FROM pg_prepared_statements \
    WHERE name ~ '^(PGBOUNCER|PGCAT|odyssey)_')";

/// What is said of the two answers to [`ASK`], if they have the same process.
pub fn finding(one: [i64; 2], other: [i64; 2]) -> Option<Finding> {
    let ([process, _], [same, kept]) = (one, other);
    if process != same {
        return None;
    }
    Some(if kept > 0 {
        Finding::note(
            "a pooler lends the server's connections for one transaction, and keeps prepared statements",
        )
    } else {
        mixed()
    })
}

/// What is said of a pooler that mixes prepared statements.
pub fn mixed() -> Finding {
    Finding::fault(
        "a pooler lends the server's connections for one transaction, and mixes prepared statements: calls fail now and then",
        "set max_prepared_statements in PgBouncer 1.21 or later, lend a connection for as long as it is used, or build \
         session-diesel's store with `pgbouncer(true)`",
    )
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    #[test]
    fn two_connections_with_one_process_are_a_pooler_s() {
        assert_eq!(finding([7, 0], [8, 0]), None);
        assert_eq!(finding([7, 0], [8, 2]), None);
        assert_eq!(finding([7, 0], [7, 0]).map(|found| found.severity), Some(Severity::Fault));
        assert_eq!(finding([7, 0], [7, 1]).map(|found| found.severity), Some(Severity::Note));
    }
}
