//! How much of the time SQLite's lock is left to others.

use std::time::{Duration, Instant};

/// Keeps a store that writes without pause from starving whoever else writes to the file.
///
/// SQLite's lock goes to whoever finds it free, and who does not find it sleeps, up to 0.1 s. So a store that takes it again
/// at once would keep others from it, the longer the slower the disk. The lock is left free for one part in 41 of the time:
/// whoever looks for 30 s, some 310 times, finds it in all but one of 2,000 cases. Gaps that come about by themselves count:
/// on a fast disk they are 5 to 10 % of the time, and nobody waits.
#[derive(Debug, Default)]
pub struct LockShare {
    /// How long the lock is still to be left free.
    owed: Duration,
    /// Since when it is free.
    free_since: Option<Instant>,
}

/// The lock is left free for this part of the time that it is held.
const PART: u32 = 40;
/// A shorter pause is not worth a thread's sleep.
const SHORTEST: Duration = Duration::from_millis(2);
/// Even a purge of many rows, in one statement, does not keep the next writer longer.
const LONGEST: Duration = Duration::from_millis(10);

impl LockShare {
    /// How long to wait before taking the lock.
    pub fn pause(&self, now: Instant) -> Duration {
        let free = self.free_since.map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        let owed = self.owed.saturating_sub(free);
        if owed < SHORTEST { Duration::ZERO } else { owed }
    }

    /// The lock was held from `from` to `to`.
    pub fn held(&mut self, from: Instant, to: Instant) {
        let free = self.free_since.map_or(Duration::MAX, |since| from.saturating_duration_since(since));
        let held = to.saturating_duration_since(from);
        self.owed = (self.owed.saturating_sub(free) + held / PART).min(LONGEST);
        self.free_since = Some(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Turns of 1 ms with this gap between them, or the pause if it is longer: how long the lock was held, and free.
    fn turns(gap: Duration) -> (Duration, Duration) {
        let mut share = LockShare::default();
        let (mut now, mut held, mut free) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        for _ in 0..1000 {
            let pause = share.pause(now + gap);
            share.held(now + gap + pause, now + gap + pause + MS);
            now += gap + pause + MS;
            (held, free) = (held + MS, free + gap + pause);
        }
        (held, free)
    }

    #[test]
    fn the_lock_is_left_free_where_there_is_no_gap() {
        let (held, free) = turns(Duration::ZERO);
        assert!(free >= held / PART - SHORTEST && free <= held / PART + SHORTEST, "{held:?} {free:?}");
    }

    #[test]
    fn small_gaps_are_added_to() {
        let (held, free) = turns(MS / 100);
        assert!(free >= held / PART - SHORTEST && free <= held / PART + SHORTEST, "{held:?} {free:?}");
    }

    #[test]
    fn whoever_leaves_gaps_by_himself_does_not_wait() {
        let (_, free) = turns(MS / PART);
        assert_eq!(free, 1000 * (MS / PART));
    }

    #[test]
    fn long_turns_do_not_keep_the_next_one_long() {
        let mut share = LockShare::default();
        let now = Instant::now();
        assert_eq!(share.pause(now), Duration::ZERO);
        share.held(now, now + 10_000 * MS);
        assert_eq!(share.pause(now + 10_000 * MS), LONGEST);
        assert_eq!(share.pause(now + 10_020 * MS), Duration::ZERO);
    }
}
