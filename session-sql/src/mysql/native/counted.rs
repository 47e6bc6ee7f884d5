//! What a statement with an expected version counts.

/// There was no live row.
pub(super) const NONE: u64 = 0;
/// The live row was left as it is.
pub(super) const LEFT: u64 = 1;
/// The row was changed. A rotation counts the new row besides, and a touch the row once more.
pub(super) const DONE: u64 = 2;
