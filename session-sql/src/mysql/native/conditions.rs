//! What makes a row live, and what a row is changed to that is destroyed.

/// A row of which the expiry is NULL is found, and reported as corrupt.
pub(super) const READABLE: &str = "destroyed_at IS NULL AND (expires_at > :now) IS NOT FALSE";

/// Of a row that is found by its key.
pub(super) const LIVE_BY_KEY: &str = "destroyed_at IS NULL AND expires_at + 0 > :now";

/// The change of a row that is destroyed and forgotten.
pub(super) const FORGET: &str = "destroyed_at = :now, payload = '', principal = NULL";

/// The change of a row that is destroyed and kept.
pub(super) const KEEP: &str = "destroyed_at = :now";
