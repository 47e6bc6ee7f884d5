//! Faults that `cargo xtask mutants` switches on, one at a time, to see whether the suite finds them.
//!
//! Only the hidden feature `__mutants` builds them in. Without it nothing is ever broken, and asking costs nothing.

#[cfg(feature = "__mutants")]
mod switch;

#[cfg(feature = "__mutants")]
pub use switch::{broken, drops, is_on, offer};

/// Whether the fault of this name is on. `cargo xtask mutants` finds the names in the sources.
#[cfg(not(feature = "__mutants"))]
#[inline(always)]
pub const fn broken(_name: &str) -> bool {
    false
}

/// Whether the fault is on that leaves out this item, such as one setting of a connection.
#[cfg(not(feature = "__mutants"))]
#[inline(always)]
pub const fn drops(_group: &str, _item: &str) -> bool {
    false
}
