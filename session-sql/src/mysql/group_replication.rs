//! What the doctor says of a member of MySQL's Group Replication.

use std::collections::BTreeMap;

use session_core::Finding;

/// With these a member waits for what others acknowledged before it answers.
const WAITS: [&str; 2] = ["BEFORE", "BEFORE_AND_AFTER"];

/// Adds what is wrong with the member and with the connection, if the server is a member.
pub(super) fn judge(told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    let value = |name: &str| told.get(name).map_or("", String::as_str);
    if value("group_replication_group_name").is_empty() {
        return;
    }
    findings.push(Finding::note("the server is a member of a Group Replication"));
    let consistency = value("group_replication_consistency").to_ascii_uppercase();
    if value("group_replication_single_primary_mode").eq_ignore_ascii_case("off") {
        if !WAITS.contains(&consistency.as_str()) {
            findings.push(Finding::fault(
                format!(
                    "the group has several primaries, and group_replication_consistency is {consistency}: a session that \
                     was ended through another member is still live here for a moment"
                ),
                "SET SESSION group_replication_consistency = 'BEFORE' on each connection, or have one primary",
            ));
        }
        return;
    }
    let (primary, own) = (value("group_replication_primary_member"), value("server_uuid"));
    if !primary.is_empty() && primary != own {
        findings.push(Finding::fault(
            "the server is a secondary of its group, which takes no writes and may show a session that was signed out",
            "connect to the primary, as MySQL Router's port for writes does",
        ));
    }
    if consistency == "EVENTUAL" {
        findings.push(Finding::warning(
            "group_replication_consistency is EVENTUAL: a new primary shows old sessions until it has caught up",
            "SET PERSIST group_replication_consistency = 'BEFORE_ON_PRIMARY_FAILOVER' on every member",
        ));
    }
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    /// What a member tells, with some of it replaced.
    fn findings(other: &[(&str, &str)]) -> Vec<Finding> {
        let healthy = [
            ("group_replication_group_name", "3e11fa47-71ca-11e1-9e33-c80aa9429562"),
            ("group_replication_single_primary_mode", "ON"),
            ("group_replication_consistency", "BEFORE_ON_PRIMARY_FAILOVER"),
            ("group_replication_primary_member", "one"),
            ("server_uuid", "one"),
        ];
        let told = healthy.iter().chain(other).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut findings = Vec::new();
        judge(&told.collect(), &mut findings);
        findings
    }

    #[test]
    fn a_healthy_member_is_named_and_nothing_else_is_said() {
        assert_eq!(findings(&[]).len(), 1);
        assert!(findings(&[("group_replication_group_name", "")]).is_empty());
        let several = ("group_replication_single_primary_mode", "OFF");
        assert_eq!(findings(&[several, ("group_replication_consistency", "BEFORE")]).len(), 1);
    }

    #[test]
    fn each_wrong_setting_is_found() {
        for (told, severity, advice) in [
            (&[("group_replication_consistency", "EVENTUAL")][..], Severity::Warning, "FAILOVER"),
            (&[("server_uuid", "two")], Severity::Fault, "primary"),
            (&[("group_replication_single_primary_mode", "OFF")], Severity::Fault, "'BEFORE'"),
        ] {
            let findings = findings(told);
            assert_eq!(findings.len(), 2, "{told:?}");
            assert_eq!(findings[1].severity, severity, "{told:?}");
            assert!(findings[1].remedy.contains(advice), "{told:?}: {:?}", findings[1]);
        }
    }
}
