//! What is asked of either database. The statements on sessions stand with each dialect.

/// Whether anybody is there.
pub(crate) const SIGN_OF_LIFE: &str = "SELECT 1";
