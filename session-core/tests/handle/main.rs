//! The handle's policies, sentence by sentence, over a store whose answers are scripted and whose clock stands still.
//! Time-outs and pauses run on tokio's paused time: nothing here sleeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cached;
mod calls;
mod cleanup;
mod clock;
mod connecting;
mod destroy;
mod doctor;
mod events;
mod gathering;
mod health;
mod in_hand;
mod input;
mod known;
mod lifetimes;
mod listing;
mod options;
mod rotate;
mod support;
mod sweeper;
mod throttle;
mod tracing_spans;
mod writes;
