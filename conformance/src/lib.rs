//! The proof: one suite that any backend of `session-store` runs from its own `tests/`.
//!
//! A backend's author writes a [`Backend`], a factory that opens stores on fresh tables, and hands it to [`main`].
//! Every case comes with that, each a named test that says which guarantee of `GUARANTEES.md` it proves; a case that
//! is added here later reaches every backend without an edit. This is a whole `tests/conformance.rs` (with
//! `harness = false` for it in `Cargo.toml`):
//!
//! ```no_run
//! use std::{collections::HashMap, net::SocketAddr, process::ExitCode, sync::{Arc, Mutex}};
//! use conformance::{Availability, Backend, Namespace};
//! use session_core::{MemoryStore, Result, Store};
//!
//! #[derive(Default)]
//! struct Memory(Mutex<HashMap<Namespace, Arc<MemoryStore>>>);
//!
//! #[async_trait::async_trait]
//! impl Backend for Memory {
//!     fn name(&self) -> String { "memory".into() }
//!     fn durable(&self) -> bool { false }
//!     async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
//!         Ok(self.0.lock().unwrap().entry(namespace.clone()).or_default().clone())
//!     }
//!     async fn remove(&self, namespace: &Namespace) -> Result<()> {
//!         self.0.lock().unwrap().remove(namespace);
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     conformance::main([Availability::ready(Memory::default())])
//! }
//! ```
//!
//! `cargo test --test conformance` runs it. A word on the command line runs only the cases whose name has it
//! (`memory::native::G4`), and the options of Rust's own test harness work (`--list`, `--exact`, `--skip`,
//! `--test-threads`, by default 2). Further options:
//!
//! | option | meaning |
//! |---|---|
//! | `--seed N` | repeats a run: the seed of everything that is drawn by lot. By default another one each time; it is printed. How concurrent calls meet is not drawn, and may differ. |
//! | `--cases N` | how many sequences each model-based case draws; the concurrent cases go in proportion. Defaults to 32. |
//! | `--no-faults` | leaves out the cases that cut connections, stop servers and kill processes. |
//!
//! | variable | meaning |
//! |---|---|
//! | `CONFORMANCE_CONTROL` | address of a server's control, see [`control`](crate#server-control); without it the cases that need it are shown as not run. |
//! | `CONFORMANCE_REPORT` | a file to write the outcome of each case to, as JSON. |
//!
//! # What did not run is shown
//! A case that a backend cannot run (its server has no address given, it is not durable, its rows cannot be
//! corrupted) is shown as ignored, with the reason, and stands in the report as not run.
//!
//! # Server control
//! Whoever runs the server may let the suite stop it: at `CONFORMANCE_CONTROL` (`127.0.0.1:PORT`) it accepts one
//! connection for each command, reads one line (`pause`, `resume`, `kill`, `start`), and answers one line, `ok` or
//! `error: why`, when it is done. `pause` sends SIGSTOP to every process of the server and `kill` SIGKILL; `start`
//! starts it again on the same port and data and answers when it accepts connections.

mod backend;
mod capture;
mod case;
mod cases;
mod control;
mod fixture;
mod history;
mod linearize;
mod model;
mod namespace;
mod options;
mod proxy;
mod report;
mod rng;
mod runner;
mod spec;
mod workload;
mod world;
mod wrap;
mod writer;

pub use backend::{Availability, Backend};
pub use case::{CaseInfo, Guarantee, Kind, Outcome};
pub use cases::cases;
pub use namespace::Namespace;
pub use options::Options;
pub use report::CaseReport;
pub use runner::{main, run};
