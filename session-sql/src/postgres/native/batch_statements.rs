//! The statements for batches of writes in the native layout, written once for a table and for each set of kinds.

use session_core::{KeyFormat, TableName};

use super::statements::key_type;
use crate::Statement;
use crate::postgres::shared::statement;

/// One statement for each set of kinds, by [`Kinds::index`].
#[derive(Debug)]
pub(super) struct Batches(Vec<Statement>);

/// Which kinds of writes a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) creates: bool,
    pub(super) changes: Changes,
    /// Destroys that delete the row.
    pub(super) removals: bool,
}

/// What a batch changes in rows that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Changes {
    #[default]
    None,
    /// Touches alone that expect no version: no payload is sent, and none is read.
    Touches,
    /// Updates, touches, and destroys that leave the row, marked.
    Any,
}

/// What a row of a batch's answer says of the operation that it names.
pub(super) mod outcome {
    /// The create was not done, as the key is taken. A create that is not named was done.
    pub(in super::super) const TAKEN: i64 = 0;
    /// The touch of a batch of [`Touches`](super::Changes::Touches) was not done. One that is not named was done.
    pub(in super::super) const GONE: i64 = 1;
    /// The change of a batch of [`Any`](super::Changes::Any) was done. The version follows.
    pub(in super::super) const CHANGED: i64 = 2;
    /// The session was live when the statement began, with the version that follows. Counts only for a change that is
    /// not said to be done.
    pub(in super::super) const LIVE: i64 = 3;
    /// The row was deleted.
    pub(in super::super) const REMOVED: i64 = 4;
}

impl Batches {
    /// `ordered` says that the statements run on connections with the settings of
    /// [`OPTIONS`](crate::postgres::settings::OPTIONS).
    pub(super) fn new(table: &TableName, format: KeyFormat, ordered: bool) -> Batches {
        let t = table.quoted('"', '"');
        Batches(Kinds::all().map(|kinds| statement(batch(&t, key_type(format), kinds, ordered))).collect())
    }

    /// Values are arrays, but for `now`. Names of creates begin with `new_`; removals have `removed` alone. Without a
    /// payload a change is a touch; with an end, `ends`, which is the time of it, a mark, and an empty payload empties
    /// the row. Keys of changes and removals ascend.
    ///
    /// Gives rows of [`outcome`], place among the operations of that kind from 1 on, version.
    pub(super) fn of(&self, kinds: Kinds) -> &Statement {
        &self.0[kinds.index()]
    }
}

impl Kinds {
    fn all() -> impl Iterator<Item = Kinds> {
        [false, true].into_iter().flat_map(|removals| {
            [Changes::None, Changes::Touches, Changes::Any].into_iter().flat_map(move |changes| {
                [false, true].into_iter().map(move |creates| Kinds { creates, changes, removals })
            })
        })
    }

    /// Nothing to do.
    pub(super) fn is_none(self) -> bool {
        self == Kinds::default()
    }

    /// The place among [`all`](Kinds::all).
    fn index(self) -> usize {
        let changes = match self.changes {
            Changes::None => 0,
            Changes::Touches => 1,
            Changes::Any => 2,
        };
        (usize::from(self.removals) * 3 + changes) * 2 + usize::from(self.creates)
    }
}

/// One statement for a batch: one commit, and one lock on each row, taken in the order of keys, so that batches
/// cannot wait for each other in a circle. UNNEST makes rows of arrays: the text is the same for every size.
///
/// With the settings of `OPTIONS`, an update that joins sorted keys finds and locks its rows in their order. Elsewhere,
/// and where both an update and a delete lock rows, the locks come first, which doubles the server's work.
///
/// What is usual is not said: rows of an answer cost both sides time. A condition that names no column of its FROM is
/// tested once, before anything is read there.
fn batch(t: &str, key: &str, kinds: Kinds, ordered: bool) -> String {
    let changes = kinds.changes != Changes::None;
    let locks = if ordered { changes && kinds.removals } else { changes || kinds.removals };
    let first = if locks { "(SELECT count(*) FROM locked) >= 0 AND " } else { "" };
    let live = "t.key = u.key AND t.destroyed_at IS NULL AND t.expires_at > :now";
    let places = |keys: &str| format!("unnest({keys}::{key}[]) WITH ORDINALITY AS u (key, place)");

    let mut parts = Vec::new();
    let mut answers = Vec::new();
    let mut locked = Vec::new();
    if kinds.creates {
        parts.push(format!(
            "created AS (INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
             SELECT u.key, u.payload, u.expires_at, :now, u.version, u.principal \
             FROM unnest(:new_keys::{key}[], :new_payloads::text[], :new_expiries::bigint[], :new_principals::text[], \
             :new_versions::bigint[]) WITH ORDINALITY AS u (key, payload, expires_at, principal, version, place) \
             ON CONFLICT (key) DO NOTHING RETURNING key)"
        ));
        answers.push(format!(
            "SELECT {}::bigint, u.place, 0::bigint FROM {} \
             WHERE (SELECT count(*) FROM created) < cardinality(:new_keys) \
             AND NOT EXISTS (SELECT FROM created WHERE created.key = u.key)",
            outcome::TAKEN,
            places(":new_keys")
        ));
    }
    match kinds.changes {
        Changes::None => {}
        Changes::Touches => {
            parts.push(format!(
                "changed AS (UPDATE {t} AS t SET expires_at = u.expires_at \
                 FROM unnest(:keys::{key}[], :expiries::bigint[]) WITH ORDINALITY AS u (key, expires_at, place) \
                 WHERE {first}{live} RETURNING u.place)"
            ));
            answers.push(format!(
                "SELECT {}::bigint, u.place, 0::bigint FROM {} \
                 WHERE (SELECT count(*) FROM changed) < cardinality(:keys) \
                 AND NOT EXISTS (SELECT FROM changed WHERE changed.place = u.place)",
                outcome::GONE,
                places(":keys")
            ));
            locked.push(":keys");
        }
        Changes::Any => {
            parts.push(format!(
                "changed AS (UPDATE {t} AS t SET expires_at = COALESCE(u.expires_at, t.expires_at), \
                 payload = COALESCE(u.payload, t.payload), \
                 principal = CASE WHEN u.payload IS NULL THEN t.principal ELSE u.principal END, \
                 version = CASE WHEN u.payload IS NULL OR u.ended_at IS NOT NULL THEN t.version ELSE t.version + 1 END, \
                 destroyed_at = u.ended_at \
                 FROM unnest(:keys::{key}[], :expiries::bigint[], :payloads::text[], :principals::text[], \
                 :ends::bigint[], :expected::bigint[]) \
                 WITH ORDINALITY AS u (key, expires_at, payload, principal, ended_at, expected, place) \
                 WHERE {first}{live} AND (u.expected IS NULL OR u.expected = t.version) \
                 RETURNING u.place, t.version)"
            ));
            answers.push(format!("SELECT {}::bigint, place, version FROM changed", outcome::CHANGED));
            // As with a single change that expects a version.
            answers.push(format!(
                "SELECT {}::bigint, u.place, t.version FROM {} JOIN {t} AS t ON t.key = u.key \
                 WHERE (SELECT count(*) FROM changed) < cardinality(:keys) AND {live}",
                outcome::LIVE,
                places(":keys")
            ));
            locked.push(":keys");
        }
    }
    if kinds.removals {
        parts.push(format!(
            "removed AS (DELETE FROM {t} AS t USING {} WHERE {first}{live} RETURNING u.place)",
            places(":removed")
        ));
        answers.push(format!("SELECT {}::bigint, place, 0::bigint FROM removed", outcome::REMOVED));
        locked.push(":removed");
    }
    if locks {
        let locked = format!(
            "locked AS (SELECT key FROM {t} WHERE key = ANY({}) \
             AND destroyed_at IS NULL AND expires_at > :now ORDER BY key FOR UPDATE)",
            locked.join(" || ")
        );
        parts.insert(0, locked);
    }
    format!("WITH {} {}", parts.join(", "), answers.join(" UNION ALL "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_locked_first_where_the_plan_does_not_order_them() {
        let table = TableName::new("s").unwrap();
        let touches = Kinds { changes: Changes::Touches, ..Kinds::default() };
        let both = Kinds { removals: true, ..touches };
        let locks = |ordered, kinds| {
            Batches::new(&table, KeyFormat::Hashed, ordered).of(kinds).sql().contains("FOR UPDATE")
        };
        assert!(!locks(true, touches) && locks(true, both) && locks(false, touches) && locks(false, both));
    }

    #[test]
    fn each_set_of_kinds_has_the_statement_with_its_parts() {
        let batches = Batches::new(&TableName::new("s").unwrap(), KeyFormat::Plain, true);
        for kinds in Kinds::all().filter(|kinds| !kinds.is_none()) {
            let sql = batches.of(kinds).sql();
            assert_eq!(sql.contains("created AS"), kinds.creates, "{kinds:?}");
            assert_eq!(sql.contains("changed AS"), kinds.changes != Changes::None, "{kinds:?}");
            assert_eq!(sql.contains("payload = COALESCE"), kinds.changes == Changes::Any, "{kinds:?}");
            assert_eq!(sql.contains("removed AS"), kinds.removals, "{kinds:?}");
        }
    }
}
