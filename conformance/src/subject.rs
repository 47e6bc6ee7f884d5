//! What a run of the suite is about, as a backend's author writes it.

use std::any::Any;
use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use session_core::contract::Store;
use session_core::{Result, SessionKey};

use crate::{CaseInfo, Namespace};

/// A part of a stored row, which [`Subject::damage`] makes unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The session's data.
    Payload,
    /// When it dies.
    Expiry,
    /// When it was created.
    Creation,
    /// Which state of the session it is.
    Version,
    /// Whom it belongs to.
    Principal,
}

impl Part {
    /// Every part that there is.
    pub const ALL: [Part; 5] = [Part::Payload, Part::Expiry, Part::Creation, Part::Version, Part::Principal];
}

/// How a database itself refuses a row, and quotes it in its message: [`Subject::object`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Objection {
    /// A constraint that is not the store's own.
    Constraint,
    /// The payload is taken for a value of another type.
    Conversion,
    /// A trigger's own error.
    Trigger,
}

impl Objection {
    /// Every way that there is.
    pub const ALL: [Objection; 3] = [Objection::Constraint, Objection::Conversion, Objection::Trigger];

    /// What the payloads that are refused begin with. The database has one of them before it objects.
    pub const WORD: &'static str = "objectionable";
}

/// What a run of the suite is about: opens stores of one backend, in one layout or mode.
///
/// Four methods have no default, and are enough. Each of the others opens the way to more cases: what stays at its default
/// is shown as not run, with the reason.
///
/// | method | the cases that need it |
/// |---|---|
/// | [`address`](Subject::address) | a network that cuts, forgets, swallows or is slow |
/// | [`durable`](Subject::durable) | the death of the application |
/// | [`corrupt`](Subject::corrupt), [`damage`](Subject::damage) | rows that cannot be read |
/// | [`object`](Subject::object) | a database that refuses a row, and quotes it |
/// | [`open_narrow`](Subject::open_narrow) | a table that does not hold every character |
/// | [`raw_dump`](Subject::raw_dump), [`raw_rows`](Subject::raw_rows) | secrets in the table, and what a destroy leaves behind |
/// | [`lock`](Subject::lock), [`statements_under_way`](Subject::statements_under_way), [`pool_size`](Subject::pool_size) | a table that is locked |
/// | [`limit_idle`](Subject::limit_idle) | a server that closes connections at rest |
///
/// [`secrets`](Subject::secrets) and [`instrument`](Subject::instrument) let the cases about secrets look for more.
///
/// A store on a server:
///
/// ```
/// use std::{net::SocketAddr, sync::Arc};
/// use conformance::{Namespace, Part, Subject};
/// use session_core::contract::Store;
/// use session_core::{Result, SessionKey, TableName};
/// # use session_core::MemoryStore;
/// # async fn open_yours(url: &str, table: TableName, via: Option<SocketAddr>) -> Result<MemoryStore> { Ok(MemoryStore::new()) }
/// # async fn sql(url: &str, statement: &str, key: Option<&SessionKey>) -> Result<Vec<u8>> { Ok(Vec::new()) }
///
/// struct Yours { url: String, address: SocketAddr }
///
/// #[async_trait::async_trait]
/// impl Subject for Yours {
///     fn name(&self) -> String { "yours".to_owned() }
///     fn durable(&self) -> bool { true }
///     fn address(&self) -> Option<SocketAddr> { Some(self.address) }
///     fn pool_size(&self) -> Option<usize> { Some(10) }
///     fn secrets(&self) -> Vec<String> { vec!["the password in the URL".to_owned()] }
///
///     async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
///         let store = open_yours(&self.url, TableName::new(namespace.as_str())?, via).await?;
///         // A table that is there already is no error: this is called again for one namespace.
///         Ok(Arc::new(store))
///     }
///
///     async fn remove(&self, namespace: &Namespace) -> Result<()> {
///         sql(&self.url, &format!("DROP TABLE IF EXISTS {namespace}"), None).await.map(drop)
///     }
///
///     async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
///         let column = match part {
///             Part::Payload => "data",
///             Part::Expiry => "expires_at",
///             // The columns of the others take no other value.
///             Part::Creation | Part::Version | Part::Principal => return Ok(false),
///         };
///         let damage = format!("UPDATE {namespace} SET {column} = NULL WHERE key = ?");
///         sql(&self.url, &damage, Some(key)).await.map(|_| true)
///     }
///
///     async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
///         sql(&self.url, &format!("SELECT * FROM {namespace}"), None).await.map(Some)
///     }
/// }
/// ```
///
/// Everything is called from a multi-threaded tokio runtime with time and I/O enabled. Any future may be dropped when its
/// case fails or takes longer than 5 minutes. An error fails the case, and is printed.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// The backend's name in the names of the cases and in reports: `sqlite`, `postgres`.
    fn name(&self) -> String;

    /// The table's layout, or another mode that is proven on its own. Defaults to `native`.
    fn variant(&self) -> String {
        "native".to_owned()
    }

    /// Which other variant of this backend runs the same code in this case, so that the case is tried there alone unless
    /// the run is thorough (`--thorough`); `gathered` says whether it is about calls that are gathered into batches. That
    /// variant must be run, too, and must not share the case itself. Defaults to `None`: every case is tried on this
    /// variant.
    fn shared(&self, case: &CaseInfo, gathered: bool) -> Option<String> {
        let _ = (case, gathered);
        None
    }

    /// Opens a store on a namespace, and creates its table or file if it is not there.
    ///
    /// It is called several times, also at once and from several processes, for one namespace: each call gives a
    /// handle with connections of its own, and all see the same sessions.
    ///
    /// With `via` the store must reach its server through this address in place of the server's: a proxy that the
    /// suite runs. It is `None` if [`address`](Subject::address) is.
    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>>;

    /// Removes what [`open`](Subject::open) created. A namespace that is not there is no error. Stores on it may
    /// still be open, and are not used any more.
    async fn remove(&self, namespace: &Namespace) -> Result<()>;

    /// Where the server listens, for the cases with a proxy between store and server. Defaults to `None`: there is
    /// no server, and these cases are not run.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// True if an acknowledged write survives `kill -9` of this process, so that another process that calls
    /// [`open`](Subject::open) with the same namespace sees it. The cases that kill a writing process depend on it:
    /// they start the test binary again, which then builds this subject in the same way.
    fn durable(&self) -> bool;

    /// How long the first operation on a new connection may take on this server, where that is so long that a deadline
    /// has to allow for it. The cases about deadlines then work with ones that are so much longer; how much later than
    /// its deadline a call may return stays the same. Defaults to none.
    fn cold_start(&self) -> Duration {
        Duration::ZERO
    }

    /// The most connections that a store of this subject opens. Defaults to `None`: that is not limited, or there are none.
    fn pool_size(&self) -> Option<usize> {
        None
    }

    /// How many of the server's processes or threads have a statement about this namespace under way, whether or not
    /// somebody still waits for its answer; without what this subject itself has opened. Defaults to `None`: the server
    /// does not tell.
    async fn statements_under_way(&self, namespace: &Namespace) -> Result<Option<usize>> {
        let _ = namespace;
        Ok(None)
    }

    /// Locks the namespace's table, so that no statement about it gets an answer, until what is returned is dropped.
    /// Defaults to `None`: the backend has no such lock.
    async fn lock(&self, namespace: &Namespace) -> Result<Option<Box<dyn Any + Send>>> {
        let _ = namespace;
        Ok(None)
    }

    /// Sets whether the server itself closes connections that rest for some time, and returns that time, a few seconds at
    /// most. Only where the server is the suite's own: whoever else uses it is concerned too. Defaults to `None`: the
    /// server has no such limit.
    async fn limit_idle(&self, limit: bool) -> Result<Option<Duration>> {
        let _ = limit;
        Ok(None)
    }

    /// Makes the stored row with this key unreadable, behind the store's back: a payload or a time that cannot be
    /// decoded. The row is there and live. Returns `false` if the backend has no way to; then the cases concerned
    /// are not run. Defaults to `false`.
    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        let _ = (namespace, key);
        Ok(false)
    }

    /// Damages one part of the stored row with this key, behind the store's back, so that it cannot be read as what it is:
    /// NULL, or of another type. The row is there, and no other part of it is changed. Returns `false` if the backend has
    /// no way to, or no such part. Defaults to [`corrupt`](Subject::corrupt) for the payload and `false` for the others.
    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        match part {
            Part::Payload => self.corrupt(namespace, key).await,
            Part::Expiry | Part::Creation | Part::Version | Part::Principal => Ok(false),
        }
    }

    /// Lets the database itself refuse, in this way, each row of the namespace whose payload begins with
    /// [`Objection::WORD`], from now on. At least the payload stands in the server's message, or in the details of it.
    /// Returns `false`, the default, if the backend has no such way.
    async fn object(&self, namespace: &Namespace, objection: Objection) -> Result<bool> {
        let _ = (namespace, objection);
        Ok(false)
    }

    /// As [`open`](Subject::open), on a table whose payloads hold the characters of Latin-1 and no other. Only where such a
    /// table leaves nothing behind that [`remove`](Subject::remove) does not find. Defaults to `None`: there is no such
    /// table.
    async fn open_narrow(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Store>>> {
        let _ = namespace;
        Ok(None)
    }

    /// Passwords, and all other texts that no error, log or trace may contain. Defaults to none.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Passes everything that the client library tells an application to `hear`, on every connection that is opened from
    /// now on. The suite looks for secrets in it. Called more than once. Returns `false`, the default, if the client
    /// library tells nothing.
    fn instrument(&self, hear: fn(&dyn fmt::Debug)) -> bool {
        let _ = hear;
        false
    }

    /// Everything that the database holds for this namespace, as bytes: the rows with all their columns, or the
    /// file with its journal. The cases that look for secrets search it. Defaults to `None`; then they are not run.
    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let _ = namespace;
        Ok(None)
    }

    /// The rows of this namespace with all their columns, as bytes, and nothing that the database has yet to clear
    /// away. The cases about what is left of a session search it. Defaults to what [`raw_dump`](Subject::raw_dump)
    /// gives, which is right where that holds rows alone.
    async fn raw_rows(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        self.raw_dump(namespace).await
    }
}

/// A subject to prove, or why it cannot be: what [`main`](crate::main) takes.
///
/// ```
/// use conformance::{Availability, Subject};
///
/// fn availability<S: Subject>(server: Result<S, String>) -> Availability {
///     match server {
///         Ok(subject) => Availability::ready(subject),
///         Err(why) => Availability::not_run("yours", format!("no server: {why}; start one, or set YOURS_URL")),
///     }
/// }
/// ```
pub enum Availability {
    /// It can be run.
    Ready(Arc<dyn Subject>),
    /// It cannot: each of its cases is shown as not run, with the reason.
    NotRun {
        /// As [`Subject::name`].
        name: String,
        /// As [`Subject::variant`].
        variant: String,
        /// The reason, and what would help: `SESSION_STORE_POSTGRES_URL is not set`.
        why: String,
    },
}

impl Availability {
    /// A subject that can be run.
    pub fn ready(subject: impl Subject) -> Availability {
        Availability::Ready(Arc::new(subject))
    }

    /// A subject that cannot be run, in its `native` variant.
    pub fn not_run(name: impl Into<String>, why: impl Into<String>) -> Availability {
        Availability::NotRun { name: name.into(), variant: "native".to_owned(), why: why.into() }
    }

    /// A subject whose server's address is in an environment variable. It is shown as not run if the variable is unset or
    /// empty.
    ///
    /// ```no_run
    /// # use conformance::{Availability, Subject};
    /// # fn example<Postgres: Subject>(open: fn(String) -> Postgres) {
    /// Availability::from_env("postgres", "native", "SESSION_STORE_POSTGRES_URL", |url| open(url));
    /// # }
    /// ```
    pub fn from_env<S: Subject>(
        name: &str,
        variant: &str,
        variable: &str,
        open: impl FnOnce(String) -> S,
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
            Availability::Ready(subject) => write!(f, "Ready({}, {})", subject.name(), subject.variant()),
            Availability::NotRun { name, variant, why } => write!(f, "NotRun({name}, {variant}: {why})"),
        }
    }
}
