//! The sizes of statements on many rows, which are written once for each.

use crate::Value;

/// The most rows of one statement. Batches are filled up to powers of two, so that a connection prepares few statements.
pub(super) const MAX_ROWS: usize = 128;

/// The powers of two up to [`MAX_ROWS`].
pub(super) fn sizes() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |size| (size * 2 <= MAX_ROWS).then_some(size * 2))
}

/// The index in [`sizes`] of the least one that takes so many rows.
pub(super) fn size_index(rows: usize) -> usize {
    let size = rows.clamp(1, MAX_ROWS).next_power_of_two();
    sizes().position(|candidate| candidate == size).unwrap_or(0)
}

/// Fills a list up with one value, or else its last one, which means nothing in a list of keys and beside it.
pub(super) fn fill<'a>(list: &mut Vec<Value<'a>>, size: usize, with: Option<Value<'a>>) {
    if let Some(last) = list.last().copied() {
        list.resize(size.max(list.len()), with.unwrap_or(last));
    }
}
