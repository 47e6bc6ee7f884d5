//! Whether reads are fast enough to run on their callers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Sends reads on a detour, to threads, after slow ones.
///
/// One slow read proves little: the system may just have given the processor to somebody else, which on a busy machine
/// befalls one read of some hundred. So it costs a short detour, and only slow ones that follow each other soon, as
/// those of a cold file do, cost long ones. All of it is an estimate, so the numbers need not be changed together.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many reads still go to threads, alone or together.
    detour: AtomicU32,
    /// How long the last detour was; 0 once many reads were fast.
    last: AtomicU32,
    /// How many reads were fast since the last detour.
    fast: AtomicU32,
}

impl Pace {
    /// True if the next reads, so many at once, should go to a thread.
    pub(crate) fn takes_detour(&self, reads: usize) -> bool {
        self.detour.load(Ordering::Relaxed) > 0
            && self
                .detour
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    (left > 0).then(|| left.saturating_sub(number(reads)))
                })
                .is_ok()
    }

    /// So many reads on the caller took this long together, and should take no longer than their [`allowance`].
    pub(crate) fn took(&self, time: Duration, reads: usize) {
        if time > allowance(reads) {
            let detour = (self.last.load(Ordering::Relaxed) * 4).clamp(SHORTEST, LONGEST);
            self.last.store(detour, Ordering::Relaxed);
            self.fast.store(0, Ordering::Relaxed);
            self.detour.store(detour, Ordering::Relaxed);
        } else if self.last.load(Ordering::Relaxed) > 0
            && self.fast.fetch_add(number(reads), Ordering::Relaxed) >= FORGIVEN_AFTER
        {
            self.last.store(0, Ordering::Relaxed);
        }
    }
}

/// How long so many reads in a row take at most, if none of them is slow.
pub(crate) fn allowance(reads: usize) -> Duration {
    SLOW + USUAL * number(reads.saturating_sub(1))
}

fn number(reads: usize) -> u32 {
    u32::try_from(reads).unwrap_or(u32::MAX)
}

/// A read slower than this waited for the disk, or for the processor: cached ones take some 10 µs.
const SLOW: Duration = Duration::from_micros(500);
/// Twice what a cached one takes.
const USUAL: Duration = Duration::from_micros(20);
const SHORTEST: u32 = 8;
const LONGEST: u32 = 512;
const FORGIVEN_AFTER: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(10);
    const COLD: Duration = Duration::from_millis(20);

    fn detour(pace: &Pace) -> usize {
        std::iter::from_fn(|| pace.takes_detour(1).then_some(())).count()
    }

    #[test]
    fn fast_reads_stay_on_the_caller() {
        let pace = Pace::default();
        (0..10_000).for_each(|_| pace.took(FAST, 1));
        assert_eq!(detour(&pace), 0);
    }

    #[test]
    fn one_slow_read_among_many_is_seen() {
        let pace = Pace::default();
        pace.took(32 * FAST, 32);
        assert_eq!(detour(&pace), 0);
        pace.took(31 * FAST + COLD, 32);
        assert_eq!(detour(&pace), 8);
    }

    #[test]
    fn slow_reads_that_follow_each_other_take_ever_longer_detours() {
        let pace = Pace::default();
        let detours: Vec<usize> = (0..5)
            .map(|_| {
                pace.took(COLD, 1);
                detour(&pace)
            })
            .collect();
        assert_eq!(detours, [8, 32, 128, 512, 512]);
    }

    #[test]
    fn a_slow_read_is_forgiven_after_many_fast_ones() {
        let pace = Pace::default();
        pace.took(COLD, 1);
        assert_eq!(detour(&pace), 8);
        (0..100).for_each(|_| pace.took(FAST, 1));
        pace.took(COLD, 1);
        assert_eq!(detour(&pace), 8);
    }

    /// Lest one interruption by the system send hundreds of reads to threads, whose work then interrupts the next.
    #[test]
    fn reads_are_counted_whether_they_come_alone_or_together() {
        let pace = Pace::default();
        for _ in 0..10 {
            pace.took(COLD, 32);
            assert!(pace.takes_detour(32));
            assert!(!pace.takes_detour(32));
            (0..3).for_each(|_| pace.took(32 * FAST, 32));
        }
    }
}
