//! What is asked of the server and of its catalogue, whatever the layout.

use session_core::{Error, Result, TableName, Timestamp};

use super::shared::{number, statement};
use super::{server_settings, sqlstate};
use crate::{Run, Statement, Value};

/// Held until the end of the transaction that makes a table. The number is any that nobody else uses.
const LOCK_SCHEMA: &str = "SELECT pg_advisory_xact_lock(8316578041)";

#[derive(Debug)]
pub(super) struct Catalogue {
    /// The server's clock in ms. `clock_timestamp` is a point in time, which no time zone touches.
    server_time: Statement,
    /// Three quoted names: how many of them are no table or index.
    missing: Statement,
    /// The server: version, encoding, language of messages, isolation, whether it only reads, durability.
    pub(super) server: Statement,
    /// Settings by their names.
    pub(super) settings: Statement,
    /// The table by its quoted name: durability, options, rows, updates and how many of them were HOT, kind, rights, whether
    /// policies hide rows, how many triggers and rules others have made.
    pub(super) table: Statement,
    /// The table's columns by its quoted name: name, type, NOT NULL, collation, whether that compares bytes, generation.
    pub(super) columns: Statement,
    /// The table's valid indexes by its quoted name: their columns, whether unique over all rows.
    pub(super) indexes: Statement,
}

impl Catalogue {
    pub(super) fn new() -> Catalogue {
        Catalogue {
            server_time: statement("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"),
            missing: statement(
                "SELECT count(*) FROM unnest(ARRAY[:table, :one_index, :other_index]) AS n (name) \
                 WHERE to_regclass(n.name) IS NULL",
            ),
            server: statement(
                "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
                 current_setting('server_encoding'), current_setting('lc_messages'), \
                 current_setting('transaction_isolation'), pg_is_in_recovery(), \
                 current_setting('synchronous_commit')",
            ),
            settings: statement(server_settings::ASK),
            table: statement(
                "SELECT c.relpersistence::text, array_to_string(c.reloptions, ','), \
                 COALESCE(s.n_tup_upd, 0), COALESCE(s.n_tup_hot_upd, 0), c.relkind::text, \
                 has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
                 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'), \
                 row_security_active(c.oid), \
                 (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) \
                 + (SELECT count(*) FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') \
                 FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid \
                 WHERE c.oid = to_regclass(:table)",
            ),
            columns: statement(
                "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                 COALESCE(l.collname::text, ''), COALESCE(l.collisdeterministic, true), \
                 COALESCE(pg_get_expr(d.adbin, d.adrelid), '') \
                 FROM pg_attribute AS a LEFT JOIN pg_collation AS l ON l.oid = a.attcollation \
                 LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
                 WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped",
            ),
            indexes: statement(
                "SELECT (SELECT string_agg(a.attname, ',' ORDER BY k.place) \
                 FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum), \
                 i.indisunique AND i.indpred IS NULL \
                 FROM pg_index AS i WHERE i.indrelid = to_regclass(:table) AND i.indisvalid",
            ),
        }
    }

    pub(super) async fn server_time<R: Run>(&self, run: &R) -> Result<Timestamp> {
        let millis = number(run, self.server_time.bind(&[])).await?;
        millis.map(Timestamp::from_millis).ok_or_else(|| Error::corrupt("the server did not tell its time"))
    }

    /// Makes what is missing of a table and its two indexes, if anything is, in one transaction.
    pub(super) async fn create_table<R: Run>(
        &self,
        run: &R,
        [table, one_index, other_index]: [&str; 3],
        schema: &str,
    ) -> Result<()> {
        let names: [(&str, Value<'_>); 3] =
            [("table", table.into()), ("one_index", one_index.into()), ("other_index", other_index.into())];
        if number(run, self.missing.bind(&names)).await? == Some(0) {
            return Ok(());
        }
        // IF NOT EXISTS alone is no protection against another transaction that makes the same table.
        let made = run.script(&format!("{LOCK_SCHEMA}; {schema}")).await;
        made.map_err(sqlstate::making_the_table)
    }
}

/// The quoted name of a table or index beside the table.
pub(super) fn quoted_beside(table: &TableName, name: &str) -> String {
    match table.schema() {
        Some(schema) => format!("\"{schema}\".\"{name}\""),
        None => format!("\"{name}\""),
    }
}
