//! What the doctor says of a node of a Galera cluster.

use std::collections::BTreeMap;

use session_core::Finding;

/// Bits of `wsrep_sync_wait`: reads, updates and deletes, and inserts wait until the node has what others acknowledged.
const ALL_STATEMENTS: u8 = 7;

/// The handle's default deadline. A node that is gone holds everybody up for the suspect time-out.
const DEADLINE_SECONDS: f64 = 5.0;

/// Adds what is wrong with the node and with the connection, if the server is a node.
pub(super) fn judge(told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    let value = |name: &str| told.get(name).map_or("", String::as_str);
    if !value("wsrep_on").eq_ignore_ascii_case("on") {
        return;
    }
    findings.push(Finding::note(format!(
        "the server is a node of a Galera cluster of {}",
        value("wsrep_cluster_size")
    )));
    let waits = value("wsrep_sync_wait").parse::<u8>().unwrap_or_default();
    if waits & ALL_STATEMENTS != ALL_STATEMENTS {
        findings.push(Finding::fault(
            format!(
                "wsrep_sync_wait is {waits} on this connection: a session that was ended through another node is still \
                 live here for a moment, and outcomes lie"
            ),
            "SET SESSION wsrep_sync_wait = 7 on each connection of the pool, or give the store a URL and no pool",
        ));
    }
    let state = value("wsrep_local_state_comment");
    if state != "Synced" {
        findings.push(Finding::fault(
            format!("the node is not in step with its cluster ({state})"),
            "wait until SHOW STATUS LIKE 'wsrep_local_state_comment' says Synced, or connect to another node",
        ));
    }
    if value("wsrep_cluster_status") != "Primary" {
        findings.push(Finding::fault(
            "the node has lost its cluster, and refuses what it is asked",
            "mend the network between the nodes, or connect to another one",
        ));
    }
    if let Some(seconds) = suspect_timeout(value("wsrep_provider_options"))
        && seconds >= DEADLINE_SECONDS
    {
        findings.push(Finding::warning(
            format!(
                "a node that is gone holds up every write for {seconds} s (evs.suspect_timeout), the deadline of a call"
            ),
            "set evs.keepalive_period=PT0.5S; evs.suspect_timeout=PT2S; evs.inactive_timeout=PT6S in \
             wsrep_provider_options of every node",
        ));
    }
}

/// `…; evs.suspect_timeout = PT5S; …`, in seconds.
fn suspect_timeout(options: &str) -> Option<f64> {
    let option = options.split(';').find_map(|option| {
        let (name, value) = option.split_once('=')?;
        (name.trim() == "evs.suspect_timeout").then_some(value.trim())
    })?;
    let (minutes, seconds) = match option.strip_prefix("PT")?.split_once('M') {
        Some((minutes, seconds)) => (minutes.parse::<f64>().ok()?, seconds),
        None => (0.0, option.strip_prefix("PT")?),
    };
    let seconds = match seconds.strip_suffix('S') {
        Some(seconds) => seconds.parse::<f64>().ok()?,
        None => 0.0,
    };
    Some(minutes * 60.0 + seconds)
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    /// What a node tells, with some of it replaced.
    fn findings(other: &[(&str, &str)]) -> Vec<Finding> {
        let healthy = [
            ("wsrep_on", "ON"),
            ("wsrep_sync_wait", "7"),
            ("wsrep_cluster_size", "3"),
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_local_state_comment", "Synced"),
            ("wsrep_provider_options", "base_port = 4567; evs.suspect_timeout = PT2S; gcache.size = 128M"),
        ];
        let told = healthy.iter().chain(other).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut findings = Vec::new();
        judge(&told.collect(), &mut findings);
        findings
    }

    #[test]
    fn a_healthy_node_is_named_and_nothing_else_is_said() {
        let findings = findings(&[]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("a Galera cluster of 3"), "{:?}", findings[0]);
    }

    #[test]
    fn a_server_without_galera_is_not_spoken_of() {
        assert!(findings(&[("wsrep_on", "OFF")]).is_empty());
        let mut nothing = Vec::new();
        judge(&BTreeMap::new(), &mut nothing);
        assert!(nothing.is_empty());
    }

    #[test]
    fn each_wrong_setting_is_found() {
        let table = [
            (("wsrep_sync_wait", "1"), Severity::Fault, "SET SESSION wsrep_sync_wait = 7"),
            (("wsrep_local_state_comment", "Donor/Desynced"), Severity::Fault, "Synced"),
            (("wsrep_cluster_status", "non-Primary"), Severity::Fault, "another one"),
            (("wsrep_provider_options", "evs.suspect_timeout = PT5S"), Severity::Warning, "PT2S"),
        ];
        for (told, severity, advice) in table {
            let findings = findings(&[told]);
            assert_eq!(findings.len(), 2, "{told:?}");
            assert_eq!(findings[1].severity, severity, "{told:?}");
            assert!(findings[1].remedy.contains(advice), "{told:?}: {:?}", findings[1]);
        }
    }

    #[test]
    fn a_time_out_is_read_in_its_iso_form() {
        for (text, seconds) in [
            ("PT5S", Some(5.0)),
            ("PT0.5S", Some(0.5)),
            ("PT1M", Some(60.0)),
            ("PT1M30S", Some(90.0)),
            ("5", None),
        ] {
            assert_eq!(suspect_timeout(&format!("a = b; evs.suspect_timeout = {text};")), seconds, "{text}");
        }
        assert_eq!(suspect_timeout(""), None);
    }
}
