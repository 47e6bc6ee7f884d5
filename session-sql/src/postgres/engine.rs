//! Engines that speak PostgreSQL's protocol.

use session_core::{Error, Result, TableName};

use super::shared::statement;
use crate::engine::Engine;
use crate::value::{flag, text_or_empty};
use crate::{Run, Statement};

const COCKROACH: Engine = Engine {
    name: "CockroachDB",
    why: "it refuses several changes of one table in one statement, and divides whole numbers into fractions",
};

const YUGABYTE: Engine = Engine {
    name: "YugabyteDB",
    why: "advisory locks and READ COMMITTED depend on its version and flags, and its keys have no order",
};

const CITUS_BY_KEY: Engine = Engine {
    name: "Citus, with this table distributed by key",
    why: "it refuses FOR UPDATE over several shards; keep the table whole, on one node",
};

/// Citus' catalogue of distributed tables.
const SHARDED: &str = "to_regclass('pg_dist_partition') IS NOT NULL";

/// What is asked of each connection of one's own as it begins: whether the server took the settings (a pooler may be told
/// to drop them; `off` if it did), the server's number of the connection, for [`cancel`](super::settings::cancel), its
/// version, and whether it may hold [distributed tables](Engines::distribution).
pub fn greeting() -> String {
    format!("SELECT current_setting('enable_seqscan'), pg_backend_pid(), version(), ({SHARDED})::text")
}

/// Tells PostgreSQL from engines that are like it.
#[derive(Debug)]
pub struct Engines {
    table: String,
    unproven: bool,
    version: Statement,
    distribution: Statement,
}

impl Engines {
    /// For this table. With `unproven` none is refused.
    pub fn new(table: &TableName, unproven: bool) -> Engines {
        Engines {
            table: table.quoted('"', '"'),
            unproven,
            version: statement(format!("SELECT version(), {SHARDED}")),
            distribution: statement(
                "SELECT partmethod::text FROM pg_dist_partition WHERE logicalrelid = to_regclass(:table)",
            ),
        }
    }

    /// Refuses a server by its version.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput), with the reason.
    pub fn check_version(&self, version: &str) -> Result<()> {
        self.judge(by_version(version))
    }

    /// The statement, without values, that tells how a server with distributed tables distributes this one.
    pub fn distribution(&self) -> String {
        // The name is an identifier: it contains no quote.
        self.distribution.sql().replace("$1", &format!("'{}'", self.table))
    }

    /// Refuses what [`distribution`](Engines::distribution) answers.
    ///
    /// # Errors
    /// As [`check_version`](Engines::check_version).
    pub fn check_distribution(&self, method: Option<&str>) -> Result<()> {
        self.judge(by_distribution(method))
    }

    /// As both checks, by connections of any pool.
    ///
    /// # Errors
    /// Those of the checks and of the server.
    pub async fn look<R: Run>(&self, run: &R) -> Result<()> {
        self.judge(self.find(run).await?)
    }

    /// The engine, if it is none that was proven.
    pub(super) async fn find<R: Run>(&self, run: &R) -> Result<Option<Engine>> {
        let read = |row: &R::Row| {
            R::columns(row, |[version, sharded]| {
                Ok::<_, Error>((text_or_empty("version", version)?, flag("pg_dist_partition", sharded)?))
            })
        };
        let Some(answer) = run.read(self.version.bind(&[]), read).await?.into_iter().next() else {
            return Ok(None);
        };
        let (version, sharded) = answer?;
        if !sharded || by_version(&version).is_some() {
            return Ok(by_version(&version));
        }
        let table = [("table", self.table.as_str().into())];
        let read = |row: &R::Row| R::columns(row, |[method]| text_or_empty("partmethod", method));
        let method = run.read(self.distribution.bind(&table), read).await?.into_iter().next().transpose()?;
        Ok(by_distribution(method.as_deref()))
    }

    fn judge(&self, engine: Option<Engine>) -> Result<()> {
        match engine {
            Some(engine) if !self.unproven => Err(engine.refusal()),
            _ => Ok(()),
        }
    }
}

fn by_version(version: &str) -> Option<Engine> {
    if version.contains("CockroachDB") {
        Some(COCKROACH)
    } else if version.contains("-YB-") {
        Some(YUGABYTE)
    } else {
        None
    }
}

/// `h` is by the hash of a column, `r` and `a` by ranges of it; `n` is one shard, whole.
fn by_distribution(method: Option<&str>) -> Option<Engine> {
    matches!(method, Some("h" | "r" | "a")).then_some(CITUS_BY_KEY)
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;
    use crate::scripted::{Answer, Script};

    const POSTGRES: &str =
        "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc";

    fn answer(version: &str, sharded: i64) -> Answer {
        Answer::Rows(vec![vec![version.into(), sharded.into()]])
    }

    #[test]
    fn each_engine_is_told_by_its_version_and_refused_unless_told_otherwise() {
        let table = TableName::default();
        let (strict, lax) = (Engines::new(&table, false), Engines::new(&table, true));
        for (version, name) in [
            ("CockroachDB CCL v25.1.2 (x86_64-pc-linux-gnu, built 2025/03/19, go1.22.8)", "CockroachDB"),
            ("PostgreSQL 11.2-YB-2.18.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang", "YugabyteDB"),
            ("PostgreSQL 15.12-YB-2025.1.0.0-b168 on aarch64-unknown-linux-gnu", "YugabyteDB"),
        ] {
            let refused = strict.check_version(version).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.to_string().contains(name), "{refused}");
            lax.check_version(version).unwrap();
        }
        strict.check_version(POSTGRES).unwrap();
        strict.check_version("PostgreSQL 16.4 (EnterpriseDB Advanced Server 16.4.1) on x86_64").unwrap();
    }

    #[tokio::test]
    async fn a_table_that_citus_distributes_by_key_is_refused_and_a_whole_one_is_not() {
        let engines = Engines::new(&TableName::new("web.sessions").unwrap(), false);
        for (method, is_refused) in
            [(Some("h"), true), (Some("r"), true), (Some("a"), true), (Some("n"), false), (None, false)]
        {
            let row = method.map(|method| vec![method.into()]);
            let script = Script::new([answer(POSTGRES, 1), Answer::Rows(row.into_iter().collect())]);
            assert_eq!(engines.look(&script).await.is_err(), is_refused, "{method:?}");
            assert_eq!(engines.check_distribution(method).is_err(), is_refused, "{method:?}");
        }
        assert!(engines.distribution().ends_with(r#"to_regclass('"web"."sessions"')"#));
        // Without its catalogue nothing more is asked.
        let script = Script::new([answer(POSTGRES, 0)]);
        engines.look(&script).await.unwrap();
        assert_eq!(script.count(), 1);
    }
}
