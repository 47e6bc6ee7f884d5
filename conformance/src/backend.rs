//! What a backend's author writes.

use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use session_core::{Result, SessionKey, Store};

use crate::Namespace;

/// Opens stores of one backend, and one layout or mode of it, for the suite.
///
/// Everything is called from a multi-threaded tokio runtime with time and I/O enabled.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The backend's name in the names of the cases and in reports: `sqlite`, `postgres`.
    fn name(&self) -> String;

    /// The table's layout, or another mode that is proven on its own. Defaults to `native`.
    fn variant(&self) -> String {
        "native".to_owned()
    }

    /// Opens a store on a namespace, and creates its table or file if it is not there.
    ///
    /// It is called several times, also at once and from several processes, for one namespace: each call gives a
    /// handle with connections of its own, and all see the same sessions.
    ///
    /// With `via` the store must reach its server through this address in place of the server's: a proxy that the
    /// suite runs. It is `None` if [`address`](Backend::address) is.
    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>>;

    /// Removes what [`open`](Backend::open) created. A namespace that is not there is no error. Stores on it may
    /// still be open, and are not used any more.
    async fn remove(&self, namespace: &Namespace) -> Result<()>;

    /// Where the server listens, for the cases with a proxy between store and server. Defaults to `None`: there is
    /// no server, and these cases are not run.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// True if an acknowledged write survives `kill -9` of this process, so that another process that calls
    /// [`open`](Backend::open) with the same namespace sees it. The cases that kill a writing process depend on it:
    /// they start the test binary again, which then builds this backend in the same way.
    fn durable(&self) -> bool;

    /// How long the first operation on a new connection may take on this server, where that is so long that a deadline
    /// has to allow for it. The cases about deadlines then work with ones that are so much longer; how much later than
    /// its deadline a call may return stays the same. Defaults to none.
    fn cold_start(&self) -> Duration {
        Duration::ZERO
    }

    /// Makes the stored row with this key unreadable, behind the store's back: a payload or a time that cannot be
    /// decoded. The row is there and live. Returns `false` if the backend has no way to; then the cases concerned
    /// are not run. Defaults to `false`.
    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        let _ = (namespace, key);
        Ok(false)
    }

    /// Passwords and whatever else must never stand in an error, in what is printed, or in what is traced. Defaults
    /// to none.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Everything that the database holds for this namespace, as bytes: the rows with all their columns, or the
    /// file with its journal. The cases that look for secrets search it. Defaults to `None`; then they are not run.
    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let _ = namespace;
        Ok(None)
    }
}

/// A backend to prove, or why it cannot be.
pub enum Availability {
    /// It can be run.
    Ready(Arc<dyn Backend>),
    /// It cannot: each of its cases is shown as not run, with the reason.
    NotRun {
        /// As [`Backend::name`].
        name: String,
        /// As [`Backend::variant`].
        variant: String,
        /// The reason, and what would help: `SESSION_STORE_POSTGRES_URL is not set`.
        why: String,
    },
}

impl Availability {
    /// A backend that can be run.
    pub fn ready(backend: impl Backend) -> Availability {
        Availability::Ready(Arc::new(backend))
    }

    /// A backend that cannot be run, in its `native` variant.
    pub fn not_run(name: impl Into<String>, why: impl Into<String>) -> Availability {
        Availability::NotRun { name: name.into(), variant: "native".to_owned(), why: why.into() }
    }

    /// A backend whose server's address stands in an environment variable, and is not run where that is not set or
    /// empty.
    ///
    /// ```no_run
    /// # use conformance::{Availability, Backend};
    /// # fn example<Postgres: Backend>(open: fn(String) -> Postgres) {
    /// Availability::from_env("postgres", "native", "SESSION_STORE_POSTGRES_URL", |url| open(url));
    /// # }
    /// ```
    pub fn from_env<B: Backend>(
        name: &str,
        variant: &str,
        variable: &str,
        open: impl FnOnce(String) -> B,
    ) -> Availability {
        match env::var(variable) {
            Ok(value) if !value.is_empty() => Availability::ready(open(value)),
            _ => Availability::NotRun {
                name: name.to_owned(),
                variant: variant.to_owned(),
                why: format!("{variable} is not set"),
            },
        }
    }
}

impl fmt::Debug for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Availability::Ready(backend) => write!(f, "Ready({}, {})", backend.name(), backend.variant()),
            Availability::NotRun { name, variant, why } => write!(f, "NotRun({name}, {variant}: {why})"),
        }
    }
}
