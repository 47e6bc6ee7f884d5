//! Runs the conformance suite on PostgreSQL and on MySQL or MariaDB, where the environment names a server.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod variant;

use std::fmt;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use conformance::Availability;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

pub(crate) use variant::{POOL, Variant, host_of, is_our_own_server, password_of, with_host};

fn main() -> ExitCode {
    let mut backends: Vec<Availability> = Vec::new();
    #[cfg(feature = "postgres")]
    backends.extend(postgres::backends());
    #[cfg(not(feature = "postgres"))]
    backends.push(Availability::not_run("postgres", "the feature `postgres` is off"));
    #[cfg(feature = "mysql")]
    backends.extend(mysql::backends());
    #[cfg(not(feature = "mysql"))]
    backends.push(Availability::not_run("mysql", "the feature `mysql` is off"));
    conformance::main(backends)
}

/// Whom diesel tells what it does.
type Hear = fn(&dyn fmt::Debug);

static HEAR: Mutex<Option<Hear>> = Mutex::new(None);

struct Listener;

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let Some(hear) = *HEAR.lock().unwrap_or_else(PoisonError::into_inner) {
            hear(&event);
        }
    }
}

/// Lets diesel tell what it does on every connection that is made from now on, as an application may.
pub(crate) fn instrument(hear: Hear) -> bool {
    *HEAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(hear);
    set_default_instrumentation(|| Some(Box::new(Listener))).is_ok()
}
