//! Engines that speak MySQL's protocol.

use crate::engine::Engine;

pub(super) const TIDB: Engine =
    Engine { name: "TiDB", why: "it has no SKIP LOCKED, and does not lock what an INSERT … SELECT reads" };

pub(super) const VITESS: Engine = Engine {
    name: "Vitess, with a sharded keyspace",
    why: "no statement may change the key by which rows are sharded, which a rotation does",
};

/// The shards of all keyspaces, as `keyspace/shard`.
pub(super) const SHARDS: &str = "SHOW VITESS_SHARDS";

pub(super) fn is_vitess(version: &str) -> bool {
    version.contains("Vitess")
}

pub(super) fn by_version(version: &str) -> Option<Engine> {
    version.contains("TiDB").then_some(TIDB)
}

/// Whether rows of this keyspace, or without one of any, lie on several shards. One that holds all is `0` or `-`.
pub(super) fn by_shards<'a>(keyspace: &str, shards: impl IntoIterator<Item = &'a str>) -> Option<Engine> {
    // The keyspace may name a kind of tablets: `web@primary`.
    let keyspace = keyspace.split('@').next().unwrap_or_default();
    let sharded = shards
        .into_iter()
        .filter_map(|shard| shard.split_once('/'))
        .any(|(of, shard)| (keyspace.is_empty() || of == keyspace) && !matches!(shard, "0" | "-"));
    sharded.then_some(VITESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidb_is_told_by_its_version() {
        for version in ["8.0.11-TiDB-v7.5.1", "5.7.25-TiDB-v6.1.0"] {
            assert_eq!(by_version(version), Some(TIDB));
        }
        for version in ["8.0.46", "10.11.19-MariaDB-0+deb12u1", "8.0.36-28.1", "8.0.mysql_aurora.3.05.2"] {
            assert_eq!(by_version(version), None, "{version}");
        }
        assert!(is_vitess("8.0.30-Vitess") && !is_vitess("8.0.46"));
    }

    #[test]
    fn a_keyspace_of_several_shards_is_sharded_and_others_do_not_matter() {
        let shards = ["web/0", "shop/-80", "shop/80-", "one/-"];
        for (keyspace, is_sharded) in
            [("web", false), ("web@primary", false), ("one", false), ("shop", true), ("", true)]
        {
            assert_eq!(by_shards(keyspace, shards).is_some(), is_sharded, "{keyspace}");
        }
        assert_eq!(by_shards("", ["web/0"]), None);
    }
}
