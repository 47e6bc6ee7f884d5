//! PostgreSQL's dialect, from version 12 on.
//!
//! A layout ([`Native`], [`Typeorm`]) has its statements and knows what their answers mean. [`settings`] are those that
//! connections of one's own should have, [`sqlstate`] says what a server's error means for call and connection.

mod catalogue;
mod connect_typeorm;
mod diagnose;
mod engine;
mod message;
mod native;
pub mod pooler;
mod server_settings;
pub mod settings;
mod shared;
pub mod sqlstate;
#[cfg(test)]
mod tests;
pub mod url;
pub mod wire;

pub use connect_typeorm::Typeorm;
pub use engine::{Engines, greeting};
pub use native::{Native, NativeOptions, TableOptions};
