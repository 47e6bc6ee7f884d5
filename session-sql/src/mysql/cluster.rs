//! What the doctor says of a server that is one of several.

use std::collections::BTreeMap;

use session_core::{Error, Finding, Result};

use super::{galera, group_replication};
use crate::value::text_or_empty;
use crate::{Run, Statement};

/// Names and values of the connection and of the server, where a server is a part of anything.
pub(super) const ASK: [&str; 2] = [
    "SHOW VARIABLES WHERE Variable_name LIKE 'wsrep%' OR Variable_name LIKE 'group_replication%' \
     OR Variable_name = 'server_uuid'",
    "SHOW STATUS WHERE Variable_name LIKE 'wsrep%' OR Variable_name LIKE 'group_replication%' \
     OR Variable_name = 'Slave_running'",
];

/// Adds what is wrong with the server's part, if it has one. `ask` is [`ASK`].
pub(super) async fn diagnose<R: Run>(
    run: &R,
    ask: [&Statement; 2],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let read = |row: &R::Row| {
        R::columns(row, |[name, value]| {
            Ok::<_, Error>((
                text_or_empty("catalog", name)?.to_ascii_lowercase(),
                text_or_empty("catalog", value)?,
            ))
        })
    };
    let mut told = BTreeMap::new();
    for ask in ask {
        for pair in run.read(ask.bind(&[]), read).await? {
            let (name, value) = pair?;
            told.insert(name, value);
        }
    }
    galera::judge(&told, findings);
    group_replication::judge(&told, findings);
    judge_replica(&told, findings);
    Ok(())
}

/// MariaDB tells whether it follows another server. MySQL tells that to administrators alone.
fn judge_replica(told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    if told.get("slave_running").is_some_and(|running| running.eq_ignore_ascii_case("on")) {
        findings.push(Finding::warning(
            "the server is a replica of another one: it may still show a session that was signed out there, and what is \
             written here is not there",
            "connect to the server that it follows",
        ));
    }
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    #[test]
    fn a_replica_is_told() {
        for (running, expected) in [("ON", Some(Severity::Warning)), ("OFF", None)] {
            let mut findings = Vec::new();
            judge_replica(&BTreeMap::from([("slave_running".to_owned(), running.to_owned())]), &mut findings);
            assert_eq!(findings.first().map(|finding| finding.severity), expected, "{running}");
        }
    }
}
