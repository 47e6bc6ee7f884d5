//! Every statement in Postgres' dialect, rendered once for a table.
//!
//! Each is one round trip. All run under READ COMMITTED: a statement that waited for a row sees its newest version
//! and tests its predicate again on it. `destroyed_at IS NULL AND expires_at > now` is what makes a session live.

use session_core::{DestroyMode, KeyFormat, TableName};

use super::ddl::SLOT_MILLIS;

/// What a read returns, in the order that `convert::record` takes.
const RECORD: &str = "payload, expires_at, created_at, version, principal";

#[derive(Debug)]
pub(super) struct Statements {
    /// key, payload, expires_at, now, principal.
    pub(super) create: String,
    /// key, now.
    pub(super) load: String,
    /// keys, now. Gives each row's place among the keys, from 1 on, after its record.
    pub(super) load_many: String,
    /// key, now, payload, expires_at, principal. Gives the new version.
    pub(super) update: String,
    /// key, now, payload, expires_at, principal, expected. Gives the new version and true, or if nothing was done the
    /// version of a live session and false.
    pub(super) update_expected: String,
    /// key, now, expires_at.
    pub(super) touch: String,
    /// key, now.
    pub(super) destroy: String,
    /// key, now.
    pub(super) remove: String,
    /// from, now, to, payload, expires_at, principal, expected. Gives the version before and, if it was done, after.
    pub(super) rotate: String,
    /// As `rotate`, and the old row goes.
    pub(super) rotate_removing: String,
    /// principal, now, keys to spare. Gives how many it ended, or fails with `LOOK_AGAIN`.
    pub(super) destroy_principal: String,
    /// As `destroy_principal`, and the rows go.
    pub(super) remove_principal: String,
    /// now, limit.
    pub(super) purge: String,
    /// now, limit. Gives keys for `purge_keys`.
    pub(super) find_expired: String,
    /// now, keys.
    pub(super) purge_keys: String,
    /// now, after, limit.
    pub(super) list: String,
    /// now, after, limit, principal.
    pub(super) list_principal: String,
    /// now.
    pub(super) count: String,
    /// now, principal.
    pub(super) count_principal: String,
    pub(super) clear: String,
    /// One for each set of kinds, by [`Kinds::index`].
    batches: Vec<String>,
}

/// Which kinds of writes a batch has.
#[derive(Clone, Copy, Debug, Default)]
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
    /// Touches alone: no payload is sent, and none is read.
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

impl Statements {
    /// `ordered` says that the statements run on connections with [`SET_UP`].
    pub(super) fn new(table: &TableName, format: KeyFormat, ordered: bool) -> Statements {
        let t = table.quoted('"', '"');
        let live = "destroyed_at IS NULL AND expires_at > $2";
        Statements {
            create: format!(
                "INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
                 VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (key) DO NOTHING"
            ),
            // IS NOT FALSE: a row whose expiry is NULL is found, and reported as corrupt.
            load: format!(
                "SELECT {RECORD} FROM {t} \
                 WHERE key = $1 AND destroyed_at IS NULL AND (expires_at > $2) IS NOT FALSE"
            ),
            // A join with the keys in their order costs less than `= ANY`, which sorts them again.
            load_many: format!(
                "SELECT {RECORD}, u.place FROM unnest($1::{}[]) WITH ORDINALITY AS u (key, place) \
                 JOIN {t} AS t ON t.key = u.key \
                 WHERE destroyed_at IS NULL AND (expires_at > $2) IS NOT FALSE",
                key_type(format)
            ),
            update: format!(
                "UPDATE {t} SET payload = $3, expires_at = $4, principal = $5, version = version + 1 \
                 WHERE key = $1 AND {live} RETURNING version"
            ),
            // Both parts read the state at the statement's beginning, and the second one only if the first did
            // nothing: then a session with another version was stale at that instant, and no session was gone. With
            // the expected version it was changed or ended while the first part waited for it: that is neither.
            update_expected: format!(
                "WITH saved AS (UPDATE {t} SET payload = $3, expires_at = $4, principal = $5, \
                 version = version + 1 WHERE key = $1 AND {live} AND version = $6 RETURNING version) \
                 SELECT version, true FROM saved UNION ALL SELECT version, false FROM {t} \
                 WHERE key = $1 AND {live} AND NOT EXISTS (SELECT FROM saved)"
            ),
            touch: format!("UPDATE {t} SET expires_at = $3 WHERE key = $1 AND {live}"),
            destroy: format!("UPDATE {t} SET destroyed_at = $2 WHERE key = $1 AND {live}"),
            remove: format!("DELETE FROM {t} WHERE key = $1 AND {live}"),
            rotate: rotate(&t, DestroyMode::Soft),
            rotate_removing: rotate(&t, DestroyMode::Hard),
            destroy_principal: destroy_principal(&t, DestroyMode::Soft),
            remove_principal: destroy_principal(&t, DestroyMode::Hard),
            // ARRAY, not a join: the planner then takes the primary key whatever it thinks of the limit. The
            // predicate stands in the DELETE again, as READ COMMITTED tests only that one on a newer version.
            purge: format!(
                "DELETE FROM {t} WHERE key = ANY(ARRAY(SELECT key FROM {t} WHERE expiry_slot <= $1 / {SLOT_MILLIS} \
                 AND expires_at <= $1 ORDER BY expiry_slot LIMIT $2 FOR UPDATE SKIP LOCKED)) AND expires_at <= $1"
            ),
            find_expired: format!(
                "SELECT key FROM {t} WHERE expiry_slot <= $1 / {SLOT_MILLIS} AND expires_at <= $1 \
                 ORDER BY expiry_slot LIMIT $2 FOR UPDATE SKIP LOCKED"
            ),
            purge_keys: format!(
                "DELETE FROM {t} WHERE key = ANY(ARRAY(SELECT key FROM {t} WHERE key = ANY($2) AND expires_at <= $1 \
                 ORDER BY key FOR UPDATE SKIP LOCKED)) AND expires_at <= $1"
            ),
            list: format!(
                "SELECT {RECORD}, key FROM {t} WHERE key > $2 AND destroyed_at IS NULL \
                 AND (expires_at > $1) IS NOT FALSE ORDER BY key LIMIT $3"
            ),
            list_principal: format!(
                "SELECT {RECORD}, key FROM {t} WHERE principal = $4 AND key > $2 AND destroyed_at IS NULL \
                 AND (expires_at > $1) IS NOT FALSE ORDER BY key LIMIT $3"
            ),
            count: format!("SELECT count(*) FROM {t} WHERE destroyed_at IS NULL AND expires_at > $1"),
            count_principal: format!(
                "SELECT count(*) FROM {t} WHERE principal = $2 AND destroyed_at IS NULL AND expires_at > $1"
            ),
            clear: format!("DELETE FROM {t}"),
            batches: Kinds::all().map(|kinds| batch(&t, format, kinds, ordered)).collect(),
        }
    }

    /// $1 now. After that, in this order and only for the kinds that it has:
    /// creates (keys, payloads, expiries, principals), changes (keys, expiries, and unless they are touches alone
    /// payloads, principals, expected versions), removals (keys).
    /// Without a payload a change is a touch, without an expiry a mark. Keys of changes and removals ascend.
    /// Gives rows of [`outcome`], place among the operations of that kind from 1 on, version.
    pub(super) fn batch(&self, kinds: Kinds) -> &str {
        &self.batches[kinds.index()]
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
        !self.creates && self.changes == Changes::None && !self.removals
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

fn key_type(format: KeyFormat) -> &'static str {
    match format {
        KeyFormat::Hashed => "bytea",
        KeyFormat::Plain => "text",
    }
}

/// The insert decides: without it the old row stays as it is. Both rows change in one statement, so together.
fn rotate(t: &str, mode: DestroyMode) -> String {
    let end = match mode {
        DestroyMode::Soft => format!("UPDATE {t} AS t SET destroyed_at = $2 FROM moved WHERE t.key = $1"),
        DestroyMode::Hard => format!("DELETE FROM {t} AS t USING moved WHERE t.key = $1"),
    };
    format!(
        "WITH live AS (SELECT payload, created_at, version FROM {t} \
         WHERE key = $1 AND destroyed_at IS NULL AND expires_at > $2 FOR UPDATE), \
         moved AS (INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
         SELECT $3, COALESCE($4, payload), $5, created_at, version + 1, $6 FROM live \
         WHERE $7 IS NULL OR version = $7 ON CONFLICT (key) DO NOTHING RETURNING version), \
         ended AS ({end}) \
         SELECT live.version, moved.version FROM live LEFT JOIN moved ON TRUE"
    )
}

/// `theirs` counts what the statement's snapshot shows, `ended` what is left of it once every lock is held. If they
/// differ, a session may have been rotated away meanwhile, and its new row is in no snapshot of this statement: it
/// then divides by zero, so that nothing is done, and is to be sent again.
fn destroy_principal(t: &str, mode: DestroyMode) -> String {
    let theirs = "principal = $1 AND destroyed_at IS NULL AND expires_at > $2 AND key <> ALL($3)";
    let end = match mode {
        DestroyMode::Soft => {
            format!("UPDATE {t} AS t SET destroyed_at = $2 FROM locked WHERE t.key = locked.key RETURNING 1")
        }
        DestroyMode::Hard => {
            format!("DELETE FROM {t} AS t USING locked WHERE t.key = locked.key RETURNING 1")
        }
    };
    format!(
        "WITH theirs AS (SELECT count(*) AS rows FROM {t} WHERE {theirs}), \
         locked AS (SELECT key FROM {t} WHERE {theirs} ORDER BY key FOR UPDATE), \
         ended AS ({end}) \
         SELECT e.rows / (CASE WHEN e.rows = theirs.rows THEN 1 ELSE 0 END) \
         FROM theirs, (SELECT count(*) AS rows FROM ended) AS e"
    )
}

/// One statement for a batch: one commit, and one lock on each row, taken in the order of keys, so that batches
/// cannot wait for each other in a circle. UNNEST makes rows of arrays: the text is the same for every size.
///
/// With the settings of [`SET_UP`], an update that joins sorted keys finds and locks its rows in their order. Elsewhere,
/// and where both an update and a delete lock rows, the locks come first, which doubles the server's work.
///
/// What is usual is not said: rows of an answer cost both sides time. A condition that names no column of its FROM is
/// tested once, before anything is read there.
fn batch(t: &str, format: KeyFormat, kinds: Kinds, ordered: bool) -> String {
    let key = key_type(format);
    let changes = kinds.changes != Changes::None;
    let locks = if ordered { changes && kinds.removals } else { changes || kinds.removals };
    let mut parameter = 1;
    // The rows that arrays make, and the parameter with the keys among them.
    let mut rows = |columns: &[(&str, &str)]| {
        let keys = format!("${}", parameter + 1);
        let arrays: Vec<String> = columns
            .iter()
            .map(|(_, kind)| {
                parameter += 1;
                format!("${parameter}::{kind}[]")
            })
            .collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        (format!("unnest({}) WITH ORDINALITY AS u ({}, place)", arrays.join(", "), names.join(", ")), keys)
    };
    let places = |keys: &str| format!("unnest({keys}) WITH ORDINALITY AS u (key, place)");
    let live = "t.key = u.key AND t.destroyed_at IS NULL AND t.expires_at > $1";
    let first = if locks { "(SELECT count(*) FROM locked) >= 0 AND " } else { "" };

    let mut parts = Vec::new();
    let mut answers = Vec::new();
    let mut locked = Vec::new();
    if kinds.creates {
        let (rows, keys) =
            rows(&[("key", key), ("payload", "text"), ("expires_at", "bigint"), ("principal", "text")]);
        parts.push(format!(
            "created AS (INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
             SELECT u.key, u.payload, u.expires_at, $1, 1, u.principal FROM {rows} \
             ON CONFLICT (key) DO NOTHING RETURNING key)"
        ));
        answers.push(format!(
            "SELECT {}::bigint, u.place, 0::bigint FROM {} \
             WHERE (SELECT count(*) FROM created) < cardinality({keys}) \
             AND NOT EXISTS (SELECT FROM created WHERE created.key = u.key)",
            outcome::TAKEN,
            places(&keys)
        ));
    }
    match kinds.changes {
        Changes::None => {}
        Changes::Touches => {
            let (rows, keys) = rows(&[("key", key), ("expires_at", "bigint")]);
            parts.push(format!(
                "changed AS (UPDATE {t} AS t SET expires_at = u.expires_at FROM {rows} \
                 WHERE {first}{live} RETURNING u.place)"
            ));
            answers.push(format!(
                "SELECT {}::bigint, u.place, 0::bigint FROM {} \
                 WHERE (SELECT count(*) FROM changed) < cardinality({keys}) \
                 AND NOT EXISTS (SELECT FROM changed WHERE changed.place = u.place)",
                outcome::GONE,
                places(&keys)
            ));
            locked.push(keys);
        }
        Changes::Any => {
            let (rows, keys) = rows(&[
                ("key", key),
                ("expires_at", "bigint"),
                ("payload", "text"),
                ("principal", "text"),
                ("expected", "bigint"),
            ]);
            parts.push(format!(
                "changed AS (UPDATE {t} AS t SET expires_at = COALESCE(u.expires_at, t.expires_at), \
                 payload = COALESCE(u.payload, t.payload), \
                 principal = CASE WHEN u.payload IS NULL THEN t.principal ELSE u.principal END, \
                 version = CASE WHEN u.payload IS NULL THEN t.version ELSE t.version + 1 END, \
                 destroyed_at = CASE WHEN u.expires_at IS NULL THEN $1 END FROM {rows} \
                 WHERE {first}{live} AND (u.expected IS NULL OR u.expected = t.version) \
                 RETURNING u.place, t.version)"
            ));
            answers.push(format!("SELECT {}::bigint, place, version FROM changed", outcome::CHANGED));
            // As in `update_expected`.
            answers.push(format!(
                "SELECT {}::bigint, u.place, t.version FROM {} JOIN {t} AS t ON t.key = u.key \
                 WHERE (SELECT count(*) FROM changed) < cardinality({keys}) AND {live}",
                outcome::LIVE,
                places(&keys)
            ));
            locked.push(keys);
        }
    }
    if kinds.removals {
        let (rows, keys) = rows(&[("key", key)]);
        parts.push(format!(
            "removed AS (DELETE FROM {t} AS t USING {rows} WHERE {first}{live} RETURNING u.place)"
        ));
        answers.push(format!("SELECT {}::bigint, place, 0::bigint FROM removed", outcome::REMOVED));
        locked.push(keys);
    }
    if locks {
        let locked = format!(
            "locked AS (SELECT key FROM {t} WHERE key = ANY({}) \
             AND destroyed_at IS NULL AND expires_at > $1 ORDER BY key FOR UPDATE)",
            locked.join(" || ")
        );
        parts.insert(0, locked);
    }
    format!("WITH {} {}", parts.join(", "), answers.join(" UNION ALL "))
}

/// The server's clock in ms. `clock_timestamp` is a point in time, which no time zone touches.
pub(super) const SERVER_TIME: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// For each new connection of our own. A batch's plan does not depend on its values, and planning costs more than
/// running it. Neither does it depend on the table's size: a plan made while the table is small stays while it grows,
/// so no row is ever found but by an index; and rows are then locked in the order of a batch's sorted keys.
/// Messages in English, as diesel-async drops the SQLSTATE; who may not set that keeps the server's language.
pub(super) const SET_UP: &str = "\
    SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET jit = off; \
    SET default_transaction_isolation = 'read committed'; \
    DO $$ BEGIN \
    IF current_setting('lc_messages') !~ '^(C|POSIX|en)' THEN PERFORM set_config('lc_messages', 'C', false); END IF; \
    EXCEPTION WHEN insufficient_privilege THEN NULL; \
    END $$";

/// Held until the end of the transaction that makes a table. The number is any that nobody else uses.
pub(super) const LOCK_SCHEMA: &str = "SELECT pg_advisory_xact_lock(8316578041)";

/// Three quoted names: how many of them are no table or index.
pub(super) const MISSING_RELATIONS: &str =
    "SELECT count(*) FROM unnest(ARRAY[$1, $2, $3]) AS n (name) WHERE to_regclass(n.name) IS NULL";

/// The server: version, encoding, language of messages, isolation, whether it only reads, whether its settings and
/// ours for plans agree.
pub(super) const SERVER: &str = "\
    SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
    current_setting('server_encoding'), current_setting('lc_messages'), \
    current_setting('transaction_isolation'), pg_is_in_recovery(), current_setting('synchronous_commit')";

/// The table by its quoted name: durability, options, rows, updates and how many of them were HOT, kind.
pub(super) const TABLE: &str = "\
    SELECT c.relpersistence::text, array_to_string(c.reloptions, ','), \
    COALESCE(s.n_tup_upd, 0), COALESCE(s.n_tup_hot_upd, 0), c.relkind::text, \
    has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
    AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') \
    FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid WHERE c.oid = to_regclass($1)";

/// The table's columns by its quoted name: name, type, NOT NULL, collation, whether that compares bytes, generation.
pub(super) const COLUMNS: &str = "\
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, COALESCE(l.collname::text, ''), \
    COALESCE(l.collisdeterministic, true), COALESCE(pg_get_expr(d.adbin, d.adrelid), '') \
    FROM pg_attribute AS a LEFT JOIN pg_collation AS l ON l.oid = a.attcollation \
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

/// The table's valid indexes by its quoted name: their columns, whether primary.
pub(super) const INDEXES: &str = "\
    SELECT (SELECT string_agg(a.attname, ',' ORDER BY k.place) FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum), i.indisprimary \
    FROM pg_index AS i WHERE i.indrelid = to_regclass($1) AND i.indisvalid";
