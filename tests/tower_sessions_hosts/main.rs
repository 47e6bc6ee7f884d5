//! The stores as hosts of tower-sessions have them: under its own layer, wrapped without `create`, and behind a cache.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "../caching/mod.rs"]
mod caches;
mod forwarding;
#[path = "../rounds/mod.rs"]
mod rounds;
mod routes;
#[path = "../stores/mod.rs"]
mod stores;

caches::caching!(tower_sessions, tower_sessions::MemoryStore, tower_sessions::MemoryStore::default());
