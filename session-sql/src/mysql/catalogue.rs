//! What is asked of the server and of its catalogue, whatever the layout.

use session_core::{Error, Result, TableName, Timestamp};

use super::cluster;
use super::number;
use super::sending::{number_of, statement};
use super::server::Flavor;
use super::server_settings;
use crate::{Named, Run, Statement};

#[derive(Debug)]
pub(super) struct Catalogue {
    /// The server's clock in ms, which no time zone touches.
    server_time: Statement,
    /// The table's engine.
    pub(super) table: Statement,
    /// Each column's name, type, whether it may be NULL, character set, collation, and the most characters and bytes that
    /// it holds.
    pub(super) columns: Statement,
    /// Each index's columns, and whether no two rows have the same values in them.
    pub(super) indexes: Statement,
    /// Version, the largest packet, sql_mode, whether it only reads, isolation, durability, whether the binary log holds
    /// statements.
    mariadb: Statement,
    mysql: Statement,
    /// Settings by their names.
    pub(super) settings: Statement,
    /// Names and values of the connection and of the server, where it is one of several.
    pub(super) cluster: [Statement; 2],
    /// From how many servers MySQL receives changes.
    pub(super) channels: Statement,
}

impl Catalogue {
    pub(super) fn new() -> Catalogue {
        // `tx_isolation` is the name that MariaDB knows before 11.1, `transaction_isolation` the one of MySQL 8.
        let server = |isolation: &str| {
            statement(format!(
                "SELECT VERSION(), @@max_allowed_packet, @@sql_mode, @@global.read_only, {isolation}, \
                 @@innodb_flush_log_at_trx_commit, \
                 CAST(@@log_bin AND @@binlog_format = 'STATEMENT' AS SIGNED)"
            ))
        };
        let of_table = "TABLE_SCHEMA = COALESCE(:schema, DATABASE()) AND TABLE_NAME = :table";
        Catalogue {
            server_time: statement(
                "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000",
            ),
            table: statement(format!("SELECT ENGINE FROM information_schema.TABLES WHERE {of_table}")),
            columns: statement(format!(
                "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COALESCE(CHARACTER_SET_NAME, ''), \
                 COALESCE(COLLATION_NAME, ''), COALESCE(CHARACTER_MAXIMUM_LENGTH, 0), \
                 COALESCE(CHARACTER_OCTET_LENGTH, 0) FROM information_schema.COLUMNS WHERE {of_table}"
            )),
            indexes: statement(format!(
                "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR ','), MAX(NON_UNIQUE) = 0 \
                 FROM information_schema.STATISTICS WHERE {of_table} GROUP BY INDEX_NAME"
            )),
            mariadb: server("@@tx_isolation"),
            mysql: server("@@transaction_isolation"),
            settings: statement(server_settings::ASK),
            cluster: cluster::ASK.map(statement),
            channels: statement(cluster::CHANNELS),
        }
    }

    /// What the server says of itself.
    pub(super) fn server(&self, flavor: Flavor) -> &Statement {
        match flavor {
            Flavor::Mariadb => &self.mariadb,
            Flavor::Mysql => &self.mysql,
        }
    }

    pub(super) async fn server_time<R: Run>(&self, run: &R) -> Result<Timestamp> {
        let millis = number_of(run, self.server_time.bind(&[])).await?;
        millis.map(Timestamp::from_millis).ok_or_else(|| Error::corrupt("the server did not tell its time"))
    }

    /// Makes a table, if there is none of this name.
    pub(super) async fn create_table<R: Run>(&self, run: &R, table: &TableName, schema: &str) -> Result<()> {
        if !run.read(self.table.bind(&names(table)), |_| ()).await?.is_empty() {
            return Ok(());
        }
        // A lock on the name makes one of several at once do it, and the others find the table.
        run.script(schema).await.map_err(number::making_the_table)
    }
}

/// The table, as the catalogue's statements name it: without a schema it is in the connection's own.
pub(super) fn names(table: &TableName) -> [Named<'_>; 2] {
    [("schema", table.schema().into()), ("table", table.table().into())]
}
