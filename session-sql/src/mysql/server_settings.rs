//! Which of the server's settings a session store suffers from.

use std::collections::HashMap;

use session_core::{Finding, Result};

use crate::value::text_or_empty;
use crate::{Run, Statement};

/// Those that this connection has, by their names. A server that does not know one has none of it.
pub(super) const ASK: &str = "SHOW VARIABLES WHERE Variable_name IN ('autocommit', 'character_set_client', \
    'character_set_connection', 'character_set_results', 'general_log', 'idle_readonly_transaction_timeout', \
    'idle_transaction_timeout', 'idle_write_transaction_timeout', 'innodb_doublewrite', 'innodb_read_only', 'log_bin', \
    'lower_case_table_names', 'max_execution_time', 'max_statement_time', 'offline_mode', 'super_read_only', \
    'sync_binlog', 'transaction_read_only', 'tx_read_only', 'version', 'wait_timeout')";

/// A connection that rests between two requests of a quiet site rests for longer, in seconds.
const SHORT_REST: f64 = 10.0;

/// A purge's batch, or a statement that waits for a lock, takes longer on a busy server, in seconds.
const SHORT_STATEMENT: f64 = 1.0;

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
    let is_on = |name: &str| matches!(value(name).to_ascii_uppercase().as_str(), "ON" | "1");
    let is_off = |name: &str| matches!(value(name).to_ascii_uppercase().as_str(), "OFF" | "0");
    let number = |name: &str| value(name).parse::<f64>().ok().filter(|number| *number > 0.0);
    let mut findings = Vec::new();
    if is_off("autocommit") {
        findings.push(Finding::fault(
            "autocommit is off: a write is acknowledged and never committed",
            "SET autocommit = 1 on the connections of the pool",
        ));
    }
    for name in ["super_read_only", "innodb_read_only", "offline_mode"] {
        if is_on(name) {
            findings.push(Finding::fault(
                format!("{name} is on: no write is taken"),
                "connect to the server that writes",
            ));
        }
    }
    if is_on("transaction_read_only") || is_on("tx_read_only") {
        findings.push(Finding::fault(
            "transactions are read-only on these connections: every write fails with 1792",
            "SET SESSION TRANSACTION READ WRITE on the connections of the pool",
        ));
    }
    for name in ["character_set_client", "character_set_connection", "character_set_results"] {
        if !["", "utf8mb4"].contains(&value(name)) {
            findings.push(Finding::fault(
                format!("{name} is {}, in which not every character of a payload arrives", value(name)),
                "SET NAMES utf8mb4 on the connections of the pool",
            ));
        }
    }
    if is_off("innodb_doublewrite") {
        findings.push(Finding::warning(
            "innodb_doublewrite is off: a crash of the machine may damage pages",
            "start the server with innodb_doublewrite = ON",
        ));
    }
    if let Some(seconds) = number("wait_timeout").filter(|seconds| *seconds < SHORT_REST) {
        findings.push(Finding::warning(
            format!("wait_timeout is {seconds} s: after each rest of that length a call has to log in anew"),
            "SET GLOBAL wait_timeout = 28800, or keep the store's `idle_timeout` below it",
        ));
    }
    for name in
        ["idle_transaction_timeout", "idle_write_transaction_timeout", "idle_readonly_transaction_timeout"]
    {
        if let Some(seconds) = number(name).filter(|seconds| *seconds < SHORT_REST) {
            findings.push(Finding::warning(
                format!("{name} is {seconds} s: a slow network ends a batch between two of its statements"),
                format!("SET GLOBAL {name} = 60"),
            ));
        }
    }
    let statement = number("max_statement_time").map(|seconds| ("max_statement_time", seconds));
    let execution = number("max_execution_time").map(|millis| ("max_execution_time", millis / 1000.0));
    for (name, seconds) in statement.into_iter().chain(execution) {
        if seconds < SHORT_STATEMENT {
            findings.push(Finding::warning(
                format!(
                    "{name} is {seconds} s: a purge, or a call that waits for another, may never complete"
                ),
                "set it just below the deadline of a call, which is 5 seconds by default",
            ));
        }
    }
    if is_on("log_bin") && !["", "1"].contains(&value("sync_binlog")) {
        findings.push(Finding::note(format!(
            "sync_binlog is {}: a crash of the machine loses the last sessions, or a replica has others; \
             SET GLOBAL sync_binlog = 1",
            value("sync_binlog")
        )));
    }
    if is_off("log_bin") && value("version").contains("MariaDB") {
        findings.push(Finding::note(
            "log_bin is off: MariaDB shows a write to others a moment before it is on the disk",
        ));
    }
    if is_on("general_log") {
        findings.push(Finding::note(
            "general_log is on: payloads and principals stand in the server's log; SET GLOBAL general_log = OFF",
        ));
    }
    if !["", "0"].contains(&value("lower_case_table_names")) {
        findings.push(Finding::note(format!(
            "lower_case_table_names is {}: two tables whose names differ in case alone are one",
            value("lower_case_table_names")
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
            ("autocommit", "OFF", "ON", Severity::Fault),
            ("super_read_only", "ON", "OFF", Severity::Fault),
            ("innodb_read_only", "1", "0", Severity::Fault),
            ("offline_mode", "ON", "OFF", Severity::Fault),
            ("character_set_client", "latin1", "utf8mb4", Severity::Fault),
            ("character_set_connection", "utf8mb3", "utf8mb4", Severity::Fault),
            ("character_set_results", "latin1", "utf8mb4", Severity::Fault),
            ("innodb_doublewrite", "OFF", "DETECT_ONLY", Severity::Warning),
            ("wait_timeout", "2", "60", Severity::Warning),
            ("idle_transaction_timeout", "1", "0", Severity::Warning),
            ("max_statement_time", "0.100000", "4.500000", Severity::Warning),
            ("max_execution_time", "100", "4500", Severity::Warning),
            ("general_log", "ON", "OFF", Severity::Note),
            ("lower_case_table_names", "1", "0", Severity::Note),
        ] {
            let found = of(&[(name, wrong)]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0].severity, severity, "{name}");
            assert!(found[0].what.contains(name), "{found:?}");
            assert_eq!(of(&[(name, right)]), [], "{name}");
        }
        for name in ["transaction_read_only", "tx_read_only"] {
            assert_eq!(of(&[(name, "ON")])[0].severity, Severity::Fault);
        }
        assert_eq!(of(&[("log_bin", "ON"), ("sync_binlog", "0")]).len(), 1);
        assert_eq!(of(&[("log_bin", "ON"), ("sync_binlog", "1")]), []);
        assert_eq!(of(&[("log_bin", "OFF"), ("version", "10.11.6-MariaDB")]).len(), 1);
        assert_eq!(of(&[]), []);
    }
}
