//! The work that every subject of the benchmark does, and how it is measured.
//!
//! A subject is one way to keep sessions: this project's store, a peer, or the bare driver. Each runs in a process
//! of its own, because their dependencies exclude one another, and takes its orders from the runner
//! (`cargo xtask bench`) line by line: one JSON object in, one out. The runner lets the subjects take turns, so that
//! whatever the machine does besides harms all of them alike.

mod answer;
pub mod app;
mod cpu;
mod data;
mod dice;
mod histogram;
mod protocol;
mod subject;
mod workload;

pub use cpu::seconds_of as cpu_seconds_of;
pub use data::{Data, sample};
pub use protocol::{Orders, serve};
pub use subject::{Failure, Result, Subject};
