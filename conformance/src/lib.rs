//! The test suite of `session-store`, for any store. The package is `session-conformance`
//! (`cargo add --dev session-conformance`), the library `conformance`.
//!
//! | you want to | read |
//! |---|---|
//! | test a store that you wrote | [Prove your backend](#prove-your-backend), [Run it](#run-it) |
//! | say that your database lacks something | [Name what it cannot do](#name-what-it-cannot-do) |
//! | understand a failure | [Find out what failed](#find-out-what-failed) |
//! | have the server stopped and killed | [Let it stop the server](#let-it-stop-the-server) |
//! | kill one of several servers under load | [Drill with the ledger](#drill-with-the-ledger) |
//! | run cases from a program of your own | [`run`] |
//!
//! # Prove your backend
//! Write a [`Subject`], which opens stores on fresh tables, and give it to [`main`]. You get every case as a named test
//! that says which guarantee of `GUARANTEES.md` it proves. Cases that are added here later reach you without an edit.
//!
//! This is a whole `tests/conformance.rs`. It needs `harness = false` in `Cargo.toml`.
//!
//! ```no_run
//! use std::{collections::HashMap, net::SocketAddr, process::ExitCode, sync::{Arc, Mutex}};
//! use conformance::{Availability, Namespace, Subject};
//! use session_core::contract::Store;
//! use session_core::{MemoryStore, Result};
//!
//! #[derive(Default)]
//! struct Memory(Mutex<HashMap<Namespace, Arc<MemoryStore>>>);
//!
//! #[async_trait::async_trait]
//! impl Subject for Memory {
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
//! A store on a server overrides more of [`Subject`], and more cases run: there is an example.
//!
//! # Run it
//! `cargo test --test conformance` runs all cases. A word after `--` selects the cases whose name contains it
//! (`memory::native::G4`). The options of Rust's own test harness work (`--list`, `--exact`, `--skip`,
//! `--test-threads`, by default 2), and these:
//!
//! | option | meaning |
//! |---|---|
//! | `--seed N` | Repeats what an earlier run drew by lot. Defaults to a new seed, which is printed. How concurrent calls meet is not drawn, and may differ. |
//! | `--cases N` | How many sequences each model-based case draws; concurrent cases draw in proportion. Defaults to 32. |
//! | `--kills N` | How often each case of kills kills its process or server. Defaults to 2 or 3. |
//! | `--no-faults` | Leaves out the cases that cut connections, stop servers and kill processes. |
//! | `--fail-fast` | Ends the program at the first case that fails. What that case and others made in the database stays. |
//! | `--thorough` | Runs every case on every variant, even where two variants run the same code. |
//!
//! | variable | meaning |
//! |---|---|
//! | `CONFORMANCE_CONTROL` | The address of a server's [control](crate#let-it-stop-the-server). Without it, the cases that need it are shown as not run. |
//! | `CONFORMANCE_REPORT` | A file for the outcome of each case, as JSON. |
//!
//! Each case runs in up to three ways:
//! - `memory::native::G4::…`: each call by itself.
//! - `memory::native+gathered::G4::…`: concurrent calls gathered into batches.
//! - `memory::native+cached::G4::…`: loads through a [`Cached`](session_core::contract::Cached) store. Only cases of G3 to G8
//!   and G14, and on the first variant of each backend (on all with `--thorough`), as a cache lies above the layouts.
//!
//! # Name what it cannot do
//! - **The table lacks something**, such as versions or principals. Say so in
//!   [`Store::capabilities`](session_core::contract::Store::capabilities). The suite then checks that the call is refused
//!   with `Unsupported` and changes nothing. The cases about the ability itself are shown as *not applicable*.
//! - **The test cannot reach something**, such as a server's address or a way to damage a row. Leave that method of
//!   [`Subject`] at its default. The cases that need it are shown as *not run*, with the reason.
//! - **There is no server on this machine.** Give [`Availability::not_run`] or [`Availability::from_env`] in place of the
//!   subject: each of its cases is shown as *not run*.
//! - **Two tables run the same code.** [`Subject::shared`] names the variant that proves a case for both.
//!
//! # Find out what failed
//! A case is shown as ignored, with the reason, if it
//! - could not be tried here. The report says *not run*.
//! - does not concern the store: a proxy where there is no server, principals in a table without them. The report says
//!   *not applicable*.
//! - is proven by another variant, which runs the same code. The report says *shared*.
//!
//! A case that fails says which guarantee is broken and what it saw, and ends with the command that repeats it:
//!
//! ```text
//! ---- memory::native::G3::a_destroyed_session_is_not_revived ----
//! G3 is broken: …
//! repeat with: cargo test -p yours --test conformance -- --exact 'memory::native::G3::…' --seed 412 --cases 32
//! ```
//!
//! The exit code is 0 if no case failed, 101 if one did, and 2 for a wrong option. The seed repeats what was drawn by lot.
//! A failure of a concurrent case may need several runs.
//!
//! # Let it stop the server
//! Listen at `CONFORMANCE_CONTROL` (`127.0.0.1:PORT`). Each connection carries one command: read one line (`pause`,
//! `resume`, `kill` or `start`), and answer one line when it is done, `ok` or `error: why`. `pause` sends SIGSTOP to every
//! process of the server, and `kill` SIGKILL. `start` starts it on the same port and data, and answers when it accepts
//! connections. The suite waits 2 minutes for an answer.
//!
//! # Drill with the ledger
//! A [`Drill`] hurts servers that your test program starts by itself: it kills a primary, cuts a node off, and so on.
//! [`ledger::under_load`] lets writers loose meanwhile, and [`Ledger::check`](ledger::Ledger::check) says whether the store
//! kept its word. [`drills`] is the `main` of such a program.
//!
//! ```no_run
//! use std::{process::ExitCode, sync::Arc, time::Duration};
//! use conformance::{Drill, Finding, Options, block_on, drills, ledger::under_load};
//! use session_core::contract::Store;
//! # fn connect() -> Arc<dyn Store> { Arc::new(session_core::MemoryStore::new()) }
//! # async fn kill_the_primary() {}
//! # async fn promote_the_standby() {}
//!
//! fn a_killed_primary_costs_no_session(_: &Options) -> Finding {
//!     block_on(async {
//!         let hosts = [connect(), connect()]; // two hosts of one application
//!         let faults = async {
//!             tokio::time::sleep(Duration::from_secs(2)).await;
//!             kill_the_primary().await;
//!             promote_the_standby().await;
//!             tokio::time::sleep(Duration::from_secs(8)).await;
//!         };
//!         let (ledger, ()) = under_load(&hosts, 32, faults).await.map_err(|error| error.to_string())?;
//!         let silence = ledger.silence();
//!         let summary = ledger.check(&[("the new primary", connect())]).await?;
//!         Ok(format!("{summary}; without a success for {silence:?}"))
//!     })
//! }
//!
//! fn main() -> ExitCode {
//!     let missing = None; // or what this machine lacks: the drill is then shown as not run
//!     let run = a_killed_primary_costs_no_session;
//!     drills("pair", [Drill { name: "a_killed_primary_costs_no_session", missing, run }])
//! }
//! ```

mod around;
mod beside;
mod capture;
mod case;
mod cases;
mod company;
mod control;
mod drill;
mod fixture;
mod forms;
mod history;
mod kept;
pub mod ledger;
mod linearize;
mod meddle;
mod model;
mod namespace;
mod network;
mod options;
mod oracle;
mod panics;
mod plain;
mod proxy;
mod pump;
mod report;
mod rng;
mod runner;
mod spec;
mod subject;
mod workload;
mod world;
mod wrap;
mod writer;

pub use case::{CaseInfo, Guarantee, Kind, Outcome};
pub use cases::cases;
pub use drill::{Drill, Finding, block_on, drills};
pub use namespace::Namespace;
pub use options::Options;
pub use report::CaseReport;
pub use runner::{main, run};
pub use subject::{Availability, Objection, Part, Subject};
