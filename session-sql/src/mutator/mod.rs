//! Breaks statements as a careless change may, one place at a time: `cargo xtask mutants`.
//!
//! A statement is taken as data: its [words](tokens) are looked through for comparisons, predicates, locks, orders, limits
//! and so on, and each gives one [`Edit`](edits::Edit) or two. What an edit is called follows from the text that it makes,
//! without the table's name and without the size of lists. So it stays the same in every run and for every table.

mod edits;
mod tokens;

use session_core::mutants;

use crate::Dialect;

/// The statement with the fault that is on, if it is one of this statement's.
pub(crate) fn mutated(dialect: Dialect, template: &str) -> Option<String> {
    if !mutants::is_on() {
        return None;
    }
    let table = tokens::table(template);
    let plain = |text: &str| tokens::normalised(text, table);
    edits::of(dialect, template).into_iter().find_map(|edit| {
        let broken = edit.applied(template);
        let id = id(dialect, &plain(&broken));
        mutants::offer(&id, || format!("{}\t{}", plain(&edit.what(template)), plain(template)));
        mutants::broken(&id).then_some(broken)
    })
}

/// The dialect, and FNV-1a over the text: short, and the same for ever.
fn id(dialect: Dialect, text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{}-{:08x}", format!("{dialect:?}").to_lowercase(), hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a statement, one text for each fault.
    fn broken(template: &str) -> Vec<String> {
        edits::of(Dialect::Sqlite, template).iter().map(|edit| edit.applied(template)).collect()
    }

    #[track_caller]
    fn expect(template: &str, expected: &[&str]) {
        let mut came = broken(template);
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        came.sort();
        expected.sort();
        assert_eq!(came, expected);
    }

    #[test]
    fn every_comparison_and_every_predicate_is_broken() {
        expect(
            "DELETE FROM t WHERE a = :a AND (b <= :b OR c IS NULL)",
            &[
                "DELETE FROM t WHERE a <> :a AND (b <= :b OR c IS NULL)",
                "DELETE FROM t WHERE TRUE AND (b <= :b OR c IS NULL)",
                "DELETE FROM t WHERE a = :a AND (b < :b OR c IS NULL)",
                "DELETE FROM t WHERE a = :a AND (b > :b OR c IS NULL)",
                "DELETE FROM t WHERE a = :a AND TRUE",
                "DELETE FROM t WHERE a = :a AND (FALSE OR c IS NULL)",
                "DELETE FROM t WHERE a = :a AND (b <= :b OR FALSE)",
                "DELETE FROM t WHERE a = :a AND (b <= :b OR c IS NOT NULL)",
            ],
        );
    }

    #[test]
    fn every_item_of_a_set_list_is_left_out_and_assigns_nothing_else() {
        expect(
            "UPDATE t SET a = :a, b = b + 1 WHERE k = :k",
            &[
                "UPDATE t SET b = b + 1 WHERE k = :k",
                "UPDATE t SET a = :a WHERE k = :k",
                "UPDATE t SET a = :a, b = b WHERE k = :k",
                "UPDATE t SET a = :a, b = b + 1 WHERE k <> :k",
                "UPDATE t SET a = :a, b = b + 1 WHERE TRUE",
            ],
        );
        expect("UPDATE t SET a = :a", &["UPDATE t SET a = a"]);
    }

    #[test]
    fn locks_orders_limits_and_conflict_clauses_are_broken() {
        expect(
            "SELECT k FROM t ORDER BY k LIMIT :limit FOR UPDATE SKIP LOCKED",
            &[
                "SELECT k FROM t LIMIT :limit FOR UPDATE SKIP LOCKED",
                "SELECT k FROM t ORDER BY k DESC LIMIT :limit FOR UPDATE SKIP LOCKED",
                "SELECT k FROM t ORDER BY k FOR UPDATE SKIP LOCKED",
                "SELECT k FROM t ORDER BY k LIMIT :limit",
                "SELECT k FROM t ORDER BY k LIMIT :limit FOR UPDATE",
            ],
        );
        expect(
            "INSERT INTO t (k, p) VALUES (:k, :p) ON CONFLICT (k) DO NOTHING RETURNING k",
            &[
                "INSERT INTO t (k, p) VALUES (:k, :p) RETURNING k",
                "INSERT INTO t (k, p) VALUES (:k, :p) ON CONFLICT (k) DO UPDATE SET p = excluded.p RETURNING k",
            ],
        );
    }

    #[test]
    fn choices_take_one_side_only() {
        expect(
            "SELECT coalesce(:a, a), IF(b, c, d), CASE WHEN e THEN f ELSE g END FROM t",
            &[
                "SELECT (:a), IF(b, c, d), CASE WHEN e THEN f ELSE g END FROM t",
                "SELECT (a), IF(b, c, d), CASE WHEN e THEN f ELSE g END FROM t",
                "SELECT coalesce(:a, a), (c), CASE WHEN e THEN f ELSE g END FROM t",
                "SELECT coalesce(:a, a), (d), CASE WHEN e THEN f ELSE g END FROM t",
                "SELECT coalesce(:a, a), IF(b, c, d), (f) FROM t",
                "SELECT coalesce(:a, a), IF(b, c, d), (g) FROM t",
            ],
        );
    }

    #[test]
    fn a_fault_has_one_name_for_every_table_and_size() {
        let plain = |text: &str| tokens::normalised(text, tokens::table(text));
        let one = plain("SELECT a FROM \"one\" WHERE \"one\".k IN (:keys*2) AND \"p\" = :p.1");
        let other = plain("SELECT a FROM \"another\" WHERE \"another\".k IN (:keys*64) AND \"p\" = :p.9");
        assert_eq!(one, other);
        assert_eq!(one, "SELECT a FROM t WHERE t.k IN (:keys*n) AND \"p\" = :p.i");
    }
}
