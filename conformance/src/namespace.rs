//! Names of tables that no other case uses.

use std::fmt;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of a table or file that is one case's own. [`Subject::open`](crate::Subject::open) is given it.
///
/// An identifier that [`TableName`](session_core::TableName) accepts: 1 to 48 ASCII letters, digits and underscores,
/// not beginning with a digit. Nearly all are short and in lower case. Two namespaces never differ in case alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// A name that was not there before, on this machine or another.
    pub(crate) fn unique() -> Namespace {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        Namespace(format!("conf_{:x}_{nanos:x}_{number}", process::id()))
    }

    /// This name, for the process that was told it.
    pub(crate) fn from_text(text: impl Into<String>) -> Namespace {
        Namespace(text.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
