//! Which of the server's settings a session store suffers from.

use std::collections::HashMap;

use session_core::{Finding, Result};

use crate::value::text_or_empty;
use crate::{Run, Statement};

/// Those of `pg_settings` that this connection has, by their names. A server that is too old for one has none of it.
pub(super) const ASK: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('autovacuum', 'track_counts', \
    'default_transaction_read_only', 'fsync', 'full_page_writes', 'idle_session_timeout', 'statement_timeout', \
    'transaction_timeout', 'log_statement', 'log_min_duration_statement', 'log_parameter_max_length', \
    'synchronous_commit', 'synchronous_standby_names') \
    UNION ALL SELECT 'standbys', count(*)::text FROM pg_stat_replication";

/// A connection that rests between two requests of a quiet site rests for longer.
const SHORT_REST: i64 = 10_000;

/// A purge's batch, or a statement that waits for a lock, takes longer on a busy server.
const SHORT_STATEMENT: i64 = 1000;

/// Asks for the settings, and says what is wrong with them.
pub(super) async fn diagnose<R: Run>(run: &R, ask: &Statement) -> Result<Vec<Finding>> {
    let read = |row: &R::Row| {
        R::columns(row, |[name, value]| {
            Ok((text_or_empty("catalog", name)?, text_or_empty("catalog", value)?))
        })
    };
    let settings: Result<HashMap<String, String>> =
        run.read(ask.bind(&[]), read).await?.into_iter().collect();
    Ok(judge(&settings?))
}

fn judge(settings: &HashMap<String, String>) -> Vec<Finding> {
    let value = |name: &str| settings.get(name).map_or("", String::as_str);
    let number = |name: &str| value(name).parse::<i64>().ok();
    let mut findings = Vec::new();
    if value("default_transaction_read_only") == "on" {
        findings.push(Finding::fault(
            "default_transaction_read_only is on: every write fails with 25006",
            "ALTER ROLE … RESET default_transaction_read_only, and the same for the database",
        ));
    }
    if value("fsync") == "off" {
        findings.push(Finding::warning(
            "fsync is off: a crash of the machine may damage the whole database",
            "ALTER SYSTEM SET fsync = on",
        ));
    }
    if value("full_page_writes") == "off" {
        findings.push(Finding::warning(
            "full_page_writes is off: a crash of the machine may damage pages",
            "ALTER SYSTEM SET full_page_writes = on",
        ));
    }
    if value("autovacuum") == "off" || value("track_counts") == "off" {
        findings.push(Finding::warning(
            "autovacuum does not run: touches and purges leave dead rows, and the table grows without end",
            "ALTER SYSTEM SET autovacuum = on, and track_counts = on",
        ));
    }
    if let Some(limit @ 1..SHORT_REST) = number("idle_session_timeout") {
        findings.push(Finding::warning(
            format!(
                "idle_session_timeout is {limit} ms: after each rest of that length a call has to log in anew"
            ),
            "set it to 0 for this user, or keep the store's `idle_timeout` below it",
        ));
    }
    for name in ["statement_timeout", "transaction_timeout"] {
        if let Some(limit @ 1..SHORT_STATEMENT) = number(name) {
            findings.push(Finding::warning(
                format!(
                    "{name} is {limit} ms: a purge, or a call that waits for another, may never complete"
                ),
                "set it just below the deadline of a call, which is 5 seconds by default",
            ));
        }
    }
    if number("statement_timeout") == Some(0) {
        findings.push(Finding::note(
            "statement_timeout is 0 on these connections: the server goes on with what a caller has given up, so set it \
             just below the deadline of a call",
        ));
    }
    let logs_statements = matches!(value("log_statement"), "mod" | "all")
        || number("log_min_duration_statement").is_some_and(|least| least >= 0);
    // Before version 13 all of them were logged.
    if logs_statements && number("log_parameter_max_length") != Some(0) {
        findings.push(Finding::note(
            "the server logs statements with their values, payloads and principals among them: set \
             log_parameter_max_length to 0, or log_statement to ddl",
        ));
    }
    let standbys = number("standbys").unwrap_or_default();
    let waits = !value("synchronous_standby_names").is_empty();
    if standbys > 0 && (!waits || matches!(value("synchronous_commit"), "off" | "local")) {
        findings.push(Finding::note(format!(
            "no commit waits for any of {standbys} standbys: a failover may bring back a session that was signed out; \
             synchronous_standby_names makes it wait"
        )));
    }
    findings
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    fn of(settings: &[(&str, &str)]) -> Vec<Finding> {
        judge(&settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_wrong_setting_is_a_finding_and_a_right_one_is_none() {
        for (name, wrong, right, severity) in [
            ("default_transaction_read_only", "on", "off", Severity::Fault),
            ("fsync", "off", "on", Severity::Warning),
            ("full_page_writes", "off", "on", Severity::Warning),
            ("autovacuum", "off", "on", Severity::Warning),
            ("track_counts", "off", "on", Severity::Warning),
            ("idle_session_timeout", "2000", "600000", Severity::Warning),
            ("statement_timeout", "100", "4500", Severity::Warning),
            ("statement_timeout", "0", "1000", Severity::Note),
            ("transaction_timeout", "999", "0", Severity::Warning),
            ("log_statement", "all", "ddl", Severity::Note),
            ("log_min_duration_statement", "0", "-1", Severity::Note),
            ("standbys", "2", "0", Severity::Note),
        ] {
            let found = of(&[(name, wrong)]);
            assert_eq!(found.len(), 1, "{name} {found:?}");
            assert_eq!(found[0].severity, severity, "{name}");
            assert!(
                found[0].what.contains(name.trim_end_matches('s'))
                    || name.starts_with("log")
                    || name == "track_counts",
                "{found:?}"
            );
            assert_eq!(of(&[(name, right)]), [], "{name}");
        }
        assert_eq!(of(&[("log_statement", "all"), ("log_parameter_max_length", "0")]), []);
        assert_eq!(of(&[("standbys", "2"), ("synchronous_standby_names", "*")]), []);
        assert_eq!(of(&[]), []);
    }
}
