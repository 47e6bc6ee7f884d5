//! The small application of `cargo xtask bench web`: what every one of them says and does, whatever keeps its sessions.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /` | reads the session: greets the user by name |
//! | `POST /change` | counts a visit in the session, and says how many there were |
//! | `POST /sign-in/BYTES` | gives the session a new id, and fills it with so much data |

use serde_json::{Value, json};

use crate::answer::answer;
use crate::{Data, Result, sample};

/// What a user sees who is signed in.
pub const GREETING: &str = "hello, Ada Lovelace\n";

/// The page for the user that a session has.
pub fn page(user: Option<&Value>) -> String {
    let name = user.and_then(|user| user["name"].as_str());
    format!("hello, {}\n", name.unwrap_or("stranger"))
}

/// What a session has after one visit more.
pub fn visits(before: Option<&Value>) -> u64 {
    before.and_then(Value::as_u64).unwrap_or(0) + 1
}

/// What a session holds after a sign-in.
pub fn signed_in(bytes: usize) -> Data {
    sample(bytes, 7)
}

/// Says where the application listens, and which other processes work for it.
///
/// # Errors
/// If nobody listens.
pub fn listening(port: u16, settings: &str, processes: &[u32]) -> Result<()> {
    answer(&json!({"port": port, "settings": settings, "processes": processes}))
}

/// Returns when the standard input ends: whoever started the application is gone.
pub async fn until_left() {
    let left = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    _ = left.await;
}
