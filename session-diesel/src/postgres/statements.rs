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
    /// keys, now.
    pub(super) load_many: String,
    /// key, now, payload, expires_at, principal, expected. Gives the version before and, if it was done, after.
    pub(super) update: String,
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
    pub(super) updates: bool,
    pub(super) touches: bool,
    /// Destroys that leave the row, marked.
    pub(super) ends: bool,
    /// Destroys that delete the row.
    pub(super) removals: bool,
}

/// What a row of a batch's answer says of its key.
pub(super) mod outcome {
    /// The session was live, and now has this statement's touch or destroy. Its version follows.
    pub(in super::super) const LIVE: i64 = 0;
    /// The update was done. The new version follows.
    pub(in super::super) const UPDATED: i64 = 1;
    /// The create was done.
    pub(in super::super) const CREATED: i64 = 2;
}

impl Statements {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Statements {
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
            load_many: format!(
                "SELECT {RECORD}, key FROM {t} \
                 WHERE key = ANY($1) AND destroyed_at IS NULL AND (expires_at > $2) IS NOT FALSE"
            ),
            // The lock comes first, so that "stale" and "gone" speak of the same instant as "saved" would.
            update: format!(
                "WITH live AS (SELECT key, version FROM {t} WHERE key = $1 AND {live} FOR UPDATE), \
                 saved AS (UPDATE {t} AS t SET payload = $3, expires_at = $4, principal = $5, \
                 version = live.version + 1 FROM live \
                 WHERE t.key = live.key AND ($6 IS NULL OR live.version = $6) RETURNING t.version) \
                 SELECT live.version, saved.version FROM live LEFT JOIN saved ON TRUE"
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
            batches: (0..32).map(|index| batch(&t, format, Kinds::from_index(index))).collect(),
        }
    }

    /// $1 keys to lock and $2 now, unless the batch has creates alone, which then have now as $1. After that, in this
    /// order and only for the kinds that it has:
    /// creates (keys, payloads, expiries, principals), updates (keys, payloads, expiries, principals, expected
    /// versions), touches (keys, expiries), ends (keys), removals (keys).
    /// Gives rows of key, [`outcome`], version.
    pub(super) fn batch(&self, kinds: Kinds) -> &str {
        &self.batches[kinds.index()]
    }
}

impl Kinds {
    /// True if a kind concerns rows that are there already.
    pub(super) fn locks(self) -> bool {
        self.updates || self.touches || self.ends || self.removals
    }

    fn index(self) -> usize {
        [self.creates, self.updates, self.touches, self.ends, self.removals]
            .into_iter()
            .rev()
            .fold(0, |index, kind| index * 2 + usize::from(kind))
    }

    fn from_index(index: usize) -> Kinds {
        let has = |bit: usize| index >> bit & 1 == 1;
        Kinds { creates: has(0), updates: has(1), touches: has(2), ends: has(3), removals: has(4) }
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
fn batch(t: &str, format: KeyFormat, kinds: Kinds) -> String {
    let key = match format {
        KeyFormat::Hashed => "bytea",
        KeyFormat::Plain => "text",
    };
    let mut parameter = if kinds.locks() { 2 } else { 1 };
    let now = parameter;
    let mut rows = |columns: &[(&str, &str)]| {
        let arrays: Vec<String> = columns
            .iter()
            .map(|(_, kind)| {
                parameter += 1;
                format!("${parameter}::{kind}[]")
            })
            .collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        format!("unnest({}) AS u ({})", arrays.join(", "), names.join(", "))
    };

    let mut parts = Vec::new();
    let mut answers = Vec::new();
    if kinds.locks() {
        parts.push(format!(
            "locked AS (SELECT key, version FROM {t} \
             WHERE key = ANY($1) AND destroyed_at IS NULL AND expires_at > $2 ORDER BY key FOR UPDATE)"
        ));
        answers.push(format!("SELECT key, {}::bigint, version FROM locked", outcome::LIVE));
    }
    if kinds.creates {
        let rows =
            rows(&[("key", key), ("payload", "text"), ("expires_at", "bigint"), ("principal", "text")]);
        parts.push(format!(
            "created AS (INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
             SELECT u.key, u.payload, u.expires_at, ${now}, 1, u.principal FROM {rows} \
             ON CONFLICT (key) DO NOTHING RETURNING key)"
        ));
        answers.push(format!("SELECT key, {}::bigint, 1::bigint FROM created", outcome::CREATED));
    }
    if kinds.updates {
        let rows = rows(&[
            ("key", key),
            ("payload", "text"),
            ("expires_at", "bigint"),
            ("principal", "text"),
            ("expected", "bigint"),
        ]);
        parts.push(format!(
            "updated AS (UPDATE {t} AS t SET payload = u.payload, expires_at = u.expires_at, \
             principal = u.principal, version = locked.version + 1 \
             FROM {rows} JOIN locked ON locked.key = u.key \
             WHERE t.key = u.key AND (u.expected IS NULL OR u.expected = locked.version) \
             RETURNING t.key, t.version)"
        ));
        answers.push(format!("SELECT key, {}::bigint, version FROM updated", outcome::UPDATED));
    }
    if kinds.touches {
        let rows = rows(&[("key", key), ("expires_at", "bigint")]);
        parts.push(format!(
            "touched AS (UPDATE {t} AS t SET expires_at = u.expires_at \
             FROM {rows} JOIN locked ON locked.key = u.key WHERE t.key = u.key)"
        ));
    }
    if kinds.ends {
        let rows = rows(&[("key", key)]);
        parts.push(format!(
            "ended AS (UPDATE {t} AS t SET destroyed_at = ${now} \
             FROM {rows} JOIN locked ON locked.key = u.key WHERE t.key = u.key)"
        ));
    }
    if kinds.removals {
        let rows = rows(&[("key", key)]);
        parts.push(format!(
            "removed AS (DELETE FROM {t} AS t \
             USING {rows} JOIN locked ON locked.key = u.key WHERE t.key = u.key)"
        ));
    }
    format!("WITH {} {}", parts.join(", "), answers.join(" UNION ALL "))
}

/// The server's clock in ms. `clock_timestamp` is a point in time, which no time zone touches.
pub(super) const SERVER_TIME: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// For each new connection of our own. A batch's plan does not depend on its values, and planning costs more than
/// running it. Messages in English, as diesel-async drops the SQLSTATE; who may not set that keeps the server's language.
pub(super) const SET_UP: &str = "\
    SET plan_cache_mode = force_generic_plan; \
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
