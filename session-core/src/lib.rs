//! The contract of `session-store`, and everything that does not depend on a database.
//!
//! [`Store`] is what a backend implements; its documentation is the specification. [`MemoryStore`] is a complete
//! backend, and the shortest one to read.

mod error;
mod id;
mod memory;
mod record;
mod store;
mod table;
mod timestamp;

pub use error::{Error, ErrorKind, Operation, Result};
pub use id::{KeyFormat, Principal, SessionId, SessionKey};
pub use memory::MemoryStore;
pub use record::{
    Capabilities, Create, Created, Destroy, DestroyMode, Filter, Finding, Listed, Payload, Record, Rotate,
    Rotated, Severity, Touch, Update, Updated, Version, Write, Written,
};
pub use store::{Gathering, Store};
pub use table::TableName;
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};
