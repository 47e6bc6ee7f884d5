//! Orders from the runner, one JSON object a line, and the answers.

use std::io::{BufRead as _, stdin};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::answer;
use crate::workload::{Bench, Kind};
use crate::{Result, Subject};

/// What the runner decided before it started this process.
pub struct Orders {
    /// Which of this program's subjects to be.
    pub subject: String,
    /// `sqlite`, `postgres`, `mysql`, `mssql`.
    pub backend: String,
    /// The server's address, or the folder for files.
    pub url: String,
    /// The size of the connection pool.
    pub pool: u32,
    /// Distinguishes this process's tables from the others'.
    pub table: String,
}

impl Orders {
    /// Reads them from the environment (the address may hold a password, which does not belong on a command line).
    ///
    /// # Errors
    /// If one is missing: this program is for `cargo xtask bench` to start.
    pub fn from_env() -> Result<Orders> {
        let get = |name: &str| {
            std::env::var(name).map_err(|_| format!("{name} is not set; run `cargo xtask bench` instead"))
        };
        Ok(Orders {
            subject: get("BENCH_SUBJECT")?,
            backend: get("BENCH_BACKEND")?,
            url: get("BENCH_URL")?,
            pool: get("BENCH_POOL")?.parse()?,
            table: get("BENCH_TABLE")?,
        })
    }
}

/// Announces the subject, and carries out orders until there are no more. `settings` says how it is set up.
///
/// # Errors
/// If the runner cannot be understood or is gone. What goes wrong in the subject is reported to the runner.
pub async fn serve<S: Subject>(subject: S, settings: &str) -> Result<()> {
    answer(&json!({"ready": true, "settings": settings}))?;
    let mut bench = Bench::new(Arc::new(subject));
    let mut line = String::new();
    while stdin().lock().read_line(&mut line)? > 0 {
        let order: Value = serde_json::from_str(&line)?;
        match carry_out(&mut bench, &order).await {
            Ok(result) => answer(&result)?,
            Err(error) => answer(&json!({"failed": error.to_string()}))?,
        }
        line.clear();
    }
    Ok(())
}

async fn carry_out<S: Subject>(bench: &mut Bench<S>, order: &Value) -> Result<Value> {
    let number = |name: &str| order[name].as_u64().ok_or_else(|| format!("the order has no number `{name}`"));
    let size = |name: &str| number(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    match order["order"].as_str() {
        Some("prepare") => bench.prepare(size("sessions")?, size("bytes")?).await,
        Some("run") => {
            let kind = order["workload"].as_str().unwrap_or_default();
            let kind = Kind::parse(kind).ok_or_else(|| format!("there is no workload `{kind}`"))?;
            bench.run(kind, size("callers")?, Duration::from_millis(number("millis")?)).await
        }
        Some("purge") if !S::PURGES => Ok(json!({"ops": 0})),
        Some("purge") => bench.purge(size("expired")?, size("callers")?).await,
        _ => Err("the order is none of prepare, run, purge".into()),
    }
}
