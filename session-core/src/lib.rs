//! The contract of `session-store`, and everything that does not depend on a database.
//!
//! [`Store`] is what a backend implements; its documentation is the specification. [`MemoryStore`] is a complete
//! backend, and the shortest one to read.

mod codec;
mod connect_typeorm;
mod error;
mod event;
mod gather;
mod handle;
mod id;
mod memory;
mod record;
mod store;
mod table;
mod time_to_live;
mod timestamp;

pub use codec::{Codec, Json};
pub use connect_typeorm::ConnectTypeorm;
pub use error::{Error, ErrorKind, Operation, Result};
pub use event::{Event, Observer};
pub use gather::Gathered;
pub use handle::{
    ListedSession, Meta, Modified, NewSession, Reaction, RotateOutcome, Session, SessionStore,
    SessionStoreBuilder, SetOutcome, StoredSession, Sweeper, SweeperBuilder, Touched,
};
pub use id::{KeyFormat, Principal, SessionId, SessionKey};
pub use memory::MemoryStore;
pub use record::{
    Capabilities, Create, Created, Destroy, DestroyMode, Filter, Finding, Listed, Payload, Record, Rotate,
    Rotated, Severity, Touch, Update, Updated, Version, Write, Written,
};
pub use store::{Gathering, Store};
pub use table::TableName;
pub use time_to_live::TimeToLive;
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};
