//! Engines that speak a database's protocol and are not that database.

use session_core::{Error, Finding};

/// An engine on which what a store relies on is missing or was never proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    pub(crate) name: &'static str,
    /// What differs there.
    pub(crate) why: &'static str,
}

impl Engine {
    /// What a store is told that did not ask for such an engine.
    pub fn refusal(self) -> Error {
        Error::invalid_input(format!(
            "the server is {}: {}; use an engine that docs/operations.md names, or build the store with \
             `unproven_engine(true)` and prove it yourself",
            self.name, self.why
        ))
    }

    /// What the doctor says.
    pub(crate) fn finding(self) -> Finding {
        Finding::fault(
            format!("the server is {}, on which nothing was proven: {}", self.name, self.why),
            "use an engine that docs/operations.md names, or run the conformance suite on this one",
        )
    }
}

/// The option of a builder, with a field `unproven_engine`, that lets a store run on an [`Engine`].
#[doc(hidden)]
#[macro_export]
macro_rules! engine_option {
    ($builder:ty) => {
        impl $builder {
            /// Goes on where the server turns out to be an engine that only speaks this database's protocol, and on which
            /// guarantees are broken or were never proven: CockroachDB, YugabyteDB, Citus with a table that is distributed
            /// by key, TiDB, sharded Vitess. Defaults to false: a connection to one of these is refused with
            /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) and the reason.
            ///
            /// On connections of a pool of the application's own only `connect` and the doctor look at it, and on MySQL's
            /// the first create, too.
            pub fn unproven_engine(mut self, go_on: bool) -> Self {
                self.unproven_engine = go_on;
                self
            }
        }
    };
}
