//! The contract of `session-store`, and the handle over any store. It speaks to no database.
//!
//! # Use sessions
//! [`Sessions`] creates, loads, changes, rotates and ends sessions, with data of your own type:
//!
//! ```
//! # async fn example() -> session_core::Result<()> {
//! use session_core::{MemoryStore, Sessions};
//!
//! let sessions = Sessions::<Vec<String>>::builder(MemoryStore::new()).build()?;
//! let new = sessions.create(&Vec::new()).await?; // new.id goes into the cookie
//! sessions.modify(&new.id, |basket| basket.push("apple".to_owned())).await?;
//! sessions.destroy(&new.id).await?;
//! # Ok(()) }
//! ```
//!
//! # Choose options
//! [`Sessions::builder`] returns a [`SessionsBuilder`]: time to live, limits, deadlines, retries, the codec. Every option
//! has a default.
//!
//! # React to errors
//! [`ErrorKind`] says what a caller can do, [`Error::is_in_doubt`] whether a failed change may have been made, and
//! [`Error::is_transient`] whether the same call may succeed later.
//!
//! # Watch it
//! An [`Observer`] gets each [`Event`]. Every call is also a span of `tracing`. [`Sessions::doctor`] returns
//! [`Finding`]s about table, server and options.
//!
//! # Write a store
//! Implement [`contract::Store`]: its documentation is the specification. [`MemoryStore`] is a complete store, and the
//! shortest one to read. The crate `session-conformance` tests yours.
//!
//! # Control the time in tests
//! [`SessionsBuilder::clock`] takes a [`ManualClock`].

mod cache;
mod capabilities;
mod checked;
mod codec;
pub mod contract;
mod error;
mod event;
mod finding;
mod gather;
mod handle;
mod id;
mod memory;
#[doc(hidden)]
pub mod mutants;
mod operation;
mod random;
mod record;
mod store;
mod table;
mod time_to_live;
mod timestamp;

pub use cache::CacheSize;
pub use capabilities::{Capabilities, Gathering};
pub use codec::{Codec, Json};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Observer};
pub use finding::{Finding, Severity};
pub use handle::{
    ErrorAction, ListedSession, Modified, NewSession, Reloaded, RotateOutcome, Session, SessionInfo,
    Sessions, SessionsBuilder, SetOutcome, StoredSession, Sweeper, SweeperBuilder, TouchOutcome, Unreadable,
};
pub use id::{KeyFormat, Principal, SessionId, SessionKey};
pub use memory::MemoryStore;
pub use operation::{DestroyMode, Fate, Operation, Updated};
pub use record::Version;
pub use table::TableName;
pub use time_to_live::TimeToLive;
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};

/// Tries the example of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
