//! What the benchmark asks of a way to keep sessions.

/// Whatever a subject's own error is.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Failure>;

use crate::Data;

/// One way to keep sessions, used as its own documentation says.
pub trait Subject: Send + Sync + 'static {
    /// False if expired sessions go by themselves, so that a purge is no work of its.
    const PURGES: bool = true;

    /// How the application names a session.
    type Id: Clone + Send + Sync + 'static;

    /// Data in the form in which it is handed over. Made once for each caller, outside the measurement.
    type Draft: Send + 'static;

    /// Wraps data.
    fn draft(&self, data: Data) -> Self::Draft;

    /// A new session. It lives for a day, or is dead from the start if `expired`.
    fn create(&self, draft: &mut Self::Draft, expired: bool)
    -> impl Future<Output = Result<Self::Id>> + Send;

    /// Loads and decodes a session. True if it is there.
    fn load(&self, id: &Self::Id) -> impl Future<Output = Result<bool>> + Send;

    /// Replaces a session's data.
    fn save(&self, id: &Self::Id, draft: &mut Self::Draft) -> impl Future<Output = Result<()>> + Send;

    /// Renews a session whose data did not change. A subject without such an operation saves `draft`: that is what
    /// it does in an application, too.
    fn touch(&self, id: &Self::Id, draft: &mut Self::Draft) -> impl Future<Output = Result<()>> + Send;

    /// Ends a session.
    fn destroy(&self, id: &Self::Id) -> impl Future<Output = Result<()>> + Send;

    /// Removes all expired sessions.
    fn purge(&self) -> impl Future<Output = Result<()>> + Send;

    /// Called once for each session before anything is measured: does what was done in a program that has run for a while.
    /// Defaults to nothing.
    fn settle(&self, id: &Self::Id) -> impl Future<Output = Result<()>> + Send {
        let _ = id;
        async { Ok(()) }
    }

    /// The processor time so far of a server that this program has started itself. Defaults to `None`: the runner looks at
    /// the database's.
    fn server_cpu_seconds(&self) -> Option<f64> {
        None
    }
}
