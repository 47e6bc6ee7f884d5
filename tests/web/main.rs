//! The layer under a real server, with real clients, on every store that can be had here.
//!
//! | promise | tests |
//! |---|---|
//! | a change outlives an answer of 500, a panic, a stream, a WebSocket | `keeping` |
//! | parallel requests that change other parts lose nothing, and one part is counted exactly | `parallel` |
//! | no answer around a sign-in replaces its cookie, and a real browser is signed in afterwards | `sign_in`, `browser` |
//! | the old id is worth nothing, and a planted one is never taken over | `sign_in` |
//! | a crawler makes no row, and a request that changes nothing costs one read and a throttled touch | `statements` |
//! | two layers with two names do not touch each other; cookies, caches | `cookies` |
//! | idle, absolute and remembered expiry to the millisecond, `Max-Age` included | `expiry` |
//! | the database is away: 503, the cookie stays, and signed in again afterwards; data that cannot be read | `outage` |
//! | large cookies, HEAD, other headers, extractors that refuse, tasks that outlive the request | `edges` |
//! | signing out here, on one device, elsewhere, everywhere | `sign_out` |
//!
//! Each cookie whose attributes contradict each other, and what the refusal says, are in the tests of `src/web/cookie.rs`.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod browser;
mod cookies;
mod edges;
mod expiry;
mod keeping;
mod outage;
mod parallel;
#[path = "../ports/mod.rs"]
mod ports;
mod sign_in;
mod sign_out;
mod statements;
#[path = "../stores/mod.rs"]
mod stores;
mod support;
