//! The state in which our own connections begin.

use session_core::mutants::drops;

use crate::Limits;

/// For each new connection.
///
/// READ COMMITTED, but where the binary log holds statements: InnoDB logs none below REPEATABLE READ, and every write
/// would fail with 1665. The variable has two names; MariaDB passes over comments for MySQL 5.7 and later, and MySQL over
/// MariaDB's.
pub const SET_UP: [&str; 2] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, time_zone = '+00:00', \
     character_set_client = 'utf8mb4', character_set_connection = 'utf8mb4', character_set_results = 'utf8mb4'",
    "SET SESSION /*M!100000 tx_isolation */ /*!80000 transaction_isolation */ = \
     IF(@@log_bin AND @@binlog_format = 'STATEMENT', 'REPEATABLE-READ', 'READ-COMMITTED')",
];

/// Whether the server is a node of a Galera cluster: a row whose second column is `ON`. Other servers have no such
/// variable, or it is `OFF`.
pub const ASK_GALERA: &str = "SHOW VARIABLES LIKE 'wsrep_on'";

/// For each new connection to such a node: each statement waits until the node has applied what any other had acknowledged
/// before. Without it a session that was ended through one node is still live on another for a moment.
pub const SET_UP_GALERA: &str = "SET SESSION wsrep_sync_wait = 7";

/// [`SET_UP`], and the limits of time.
pub fn set_up(limits: &Limits) -> Vec<String> {
    let mut statements = SET_UP.map(str::to_owned).to_vec();
    statements.extend(bounded(limits));
    statements.into_iter().filter(|statement| !drops("mysql", statement)).collect()
}

/// Locks are waited for in whole seconds, of rows and of tables. MariaDB bounds every statement, MySQL those that only
/// read; MariaDB leaves out what is for a MySQL from 5.7 on, and MySQL what is for MariaDB.
fn bounded(limits: &Limits) -> Option<String> {
    let mut settings = Vec::new();
    if let Some(lock) = limits.lock {
        // The most that either takes.
        let seconds = lock.as_secs().clamp(1, 31_536_000);
        settings.push(format!("innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"));
    }
    if limits.statement.is_some() {
        let millis = Limits::millis(limits.statement);
        settings.push(format!(
            "autocommit = 1 /*M!100101 , max_statement_time = {}.{:03} */ /*!50708 , max_execution_time = {millis} */",
            millis / 1000,
            millis % 1000
        ));
    }
    if settings.is_empty() { None } else { Some(format!("SET SESSION {}", settings.join(", "))) }
}

/// Lifts the limits of time, for one who makes a table: others may be at it, and a large one takes its time.
pub const UNLIMITED: &str = "SET SESSION innodb_lock_wait_timeout = 31536000, lock_wait_timeout = 31536000 /*M!100101 , max_statement_time = 0 */";

/// The server's number of the connection, for [`cancel`].
pub const NUMBER: &str = "SELECT CAST(CONNECTION_ID() AS SIGNED)";

/// Asks the server to give up what another connection runs.
pub fn cancel(number: impl std::fmt::Display) -> String {
    format!("KILL QUERY {number}")
}

/// Ends another connection, with what it runs.
pub fn end(number: impl std::fmt::Display) -> String {
    format!("KILL {number}")
}

/// Whether anybody is there.
pub const SIGN_OF_LIFE: &str = "SELECT 1";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_are_counted_as_the_server_counts_them() {
        let limits = Limits {
            statement: Some(Duration::from_millis(4050)),
            lock: Some(Duration::from_millis(300)),
            ..Limits::default()
        };
        assert_eq!(
            bounded(&limits).unwrap(),
            "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, autocommit = 1 \
             /*M!100101 , max_statement_time = 4.050 */ /*!50708 , max_execution_time = 4050 */"
        );
        assert_eq!(bounded(&Limits { statement: None, lock: None, ..limits }), None);
    }
}
