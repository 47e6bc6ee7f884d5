//! What the doctor says of a server that is one of several.

use std::collections::BTreeMap;

use session_core::{Error, Finding, Result};

use super::sending::number_of;
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

/// How many channels MySQL receives from other servers by, but for those of its group. It tells whoever may read this.
pub(super) const CHANNELS: &str = "SELECT COUNT(*) FROM performance_schema.replication_connection_status \
    WHERE SERVICE_STATE <> 'OFF' AND LEFT(CHANNEL_NAME, 17) <> 'group_replication'";

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

/// MariaDB tells everybody whether it follows another server.
fn judge_replica(told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    if told.get("slave_running").is_some_and(|running| running.eq_ignore_ascii_case("on")) {
        findings.push(follows());
    }
}

/// Adds that MySQL follows another server, where the user may learn it. `ask` is [`CHANNELS`].
pub(super) async fn channels<R: Run>(run: &R, ask: &Statement, findings: &mut Vec<Finding>) -> Result<()> {
    match number_of(run, ask.bind(&[])).await {
        Ok(channels) => findings.extend(channels.filter(|channels| *channels > 0).map(|_| follows())),
        // No right to it, or no such table.
        Err(error) if matches!(error.code(), Some("1142" | "1044" | "1146" | "1049")) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn follows() -> Finding {
    Finding::warning(
        "the server is a replica of another one: it may still show a session that was signed out there, and what is \
         written here is not there",
        "connect to the server that it follows",
    )
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;
    use crate::mysql::sending::statement;
    use crate::scripted::{Answer, Script};

    #[test]
    fn a_replica_is_told() {
        for (running, expected) in [("ON", Some(Severity::Warning)), ("OFF", None)] {
            let mut findings = Vec::new();
            judge_replica(&BTreeMap::from([("slave_running".to_owned(), running.to_owned())]), &mut findings);
            assert_eq!(findings.first().map(|finding| finding.severity), expected, "{running}");
        }
    }

    #[tokio::test]
    async fn a_replica_of_mysql_is_told_to_whoever_may_know() {
        let ask = statement(CHANNELS);
        let channels = |number: i64| Answer::Rows(vec![vec![number.into()]]);
        for (answer, expected) in
            [(channels(1), 1), (channels(0), 0), (Answer::Code("1142"), 0), (Answer::Code("1146"), 0)]
        {
            let mut findings = Vec::new();
            super::channels(&Script::new([answer]), &ask, &mut findings).await.unwrap();
            assert_eq!(findings.len(), expected, "{findings:?}");
        }
        let lost = Script::new([Answer::Code("2013")]);
        assert!(super::channels(&lost, &ask, &mut Vec::new()).await.is_err());
    }
}
