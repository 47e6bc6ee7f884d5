//! SQL Server's `datetime`: steps of 1/300 s from 1753 to 9999, with no zone.
//!
//! An expiry is written as the first step at or after it, and `now` is compared as the last step at or before it. So a
//! session is dead from the first millisecond on that is not before its step: never earlier than asked, and at most
//! 4 ms later. Both go over the wire as steps, so that no server rounds them.

use std::sync::Arc;

use session_core::{Error, Result, Timestamp};
use session_sql::Value;
use session_sql::value::Column;

/// How many minutes local time is ahead of UTC at a time.
pub(crate) type LocalTime = Arc<dyn Fn(Timestamp) -> i32 + Send + Sync>;

const STEPS_A_DAY: i64 = 24 * 60 * 60 * 300;
/// Days from 1900-01-01, from which `datetime` counts, to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 25_567;
/// 1753-01-01T00:00:00, in steps from 1970.
const FIRST: i64 = (-53_690 - DAYS_TO_EPOCH) * STEPS_A_DAY;
/// 9999-12-31T23:59:59.997, in steps from 1970. It stands for all that is later.
const LAST: i64 = (2_958_464 - DAYS_TO_EPOCH) * STEPS_A_DAY - 1;

/// The first step at or after an expiry.
pub(crate) fn expiry(expires_at: Timestamp, local_time: Option<&LocalTime>) -> Value<'static> {
    let millis = i128::from(expires_at.as_millis()) + ahead(expires_at, local_time);
    at((millis * 3 + 9).div_euclid(10), LAST)
}

/// The last step at or before the present. It is never the last of all: sessions for ever live on.
pub(crate) fn now(now: Timestamp, local_time: Option<&LocalTime>) -> Value<'static> {
    let millis = i128::from(now.as_millis()) + ahead(now, local_time);
    at((millis * 3).div_euclid(10), LAST - 1)
}

fn at(steps: i128, last: i64) -> Value<'static> {
    let steps = i64::try_from(steps.clamp(i128::from(FIRST), i128::from(last))).unwrap_or(last);
    Value::Datetime {
        days: i32::try_from(steps.div_euclid(STEPS_A_DAY) + DAYS_TO_EPOCH).unwrap_or(i32::MAX),
        steps: u32::try_from(steps.rem_euclid(STEPS_A_DAY)).unwrap_or(0),
    }
}

/// The first millisecond that is not before a step: where a session with this expiry is dead.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if it is no `datetime`.
pub(crate) fn read(name: &str, column: Column<'_>, local_time: Option<&LocalTime>) -> Result<Timestamp> {
    let Column::Datetime { days, steps } = column else {
        return Err(Error::corrupt(format!("column `{name}` is no datetime; mend or delete the row")));
    };
    let steps = (i64::from(days) - DAYS_TO_EPOCH) * STEPS_A_DAY + i64::from(steps);
    if steps >= LAST {
        return Ok(Timestamp::NEVER);
    }
    // Four digits of year: far from the ends of an i64.
    let local = Timestamp::from_millis((steps * 10 + 2).div_euclid(3));
    let Some(local_time) = local_time else { return Ok(local) };
    let minutes = |at: Timestamp| i64::from(local_time(at)) * 60_000;
    // What is ahead at the local time, taken for UTC, is right but within hours of a change; so look again.
    let guess = Timestamp::from_millis(local.as_millis() - minutes(local));
    Ok(Timestamp::from_millis(local.as_millis() - minutes(guess)))
}

fn ahead(at: Timestamp, local_time: Option<&LocalTime>) -> i128 {
    local_time.map_or(0, |local_time| i128::from(local_time(at)) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(value: Value<'_>) -> (i32, u32) {
        match value {
            Value::Datetime { days, steps } => (days, steps),
            other => panic!("{other:?}"),
        }
    }

    fn read_back(value: Value<'_>, local_time: Option<&LocalTime>) -> Timestamp {
        let (days, steps) = order(value);
        read("expires", Column::Datetime { days, steps }, local_time).unwrap()
    }

    fn written(millis: i64) -> Timestamp {
        read_back(expiry(Timestamp::from_millis(millis), None), None)
    }

    #[test]
    fn an_expiry_is_never_early_and_at_most_4_ms_late() {
        for millis in (-86_400_010..-86_399_990).chain(-20..1020).chain(1_700_000_000_000..1_700_000_001_000)
        {
            let late = written(millis).as_millis() - millis;
            assert!((0..4).contains(&late), "{millis} becomes {late} ms later");
        }
    }

    #[test]
    fn the_comparison_in_the_database_is_the_one_of_what_is_read() {
        for end in 1_700_000_000_000..1_700_000_000_020 {
            for present in 1_700_000_000_000..1_700_000_000_030 {
                let live = order(expiry(Timestamp::from_millis(end), None))
                    > order(now(Timestamp::from_millis(present), None));
                assert_eq!(live, present < written(end).as_millis(), "expiry {end}, now {present}");
            }
        }
    }

    #[test]
    fn midnight_of_1970_is_day_25567() {
        assert_eq!(order(expiry(Timestamp::from_millis(0), None)), (25_567, 0));
        assert_eq!(order(now(Timestamp::from_millis(-1), None)), (25_566, 25_919_999));
    }

    #[test]
    fn for_ever_stays_for_ever() {
        assert_eq!(written(i64::MAX), Timestamp::NEVER);
        let end = expiry(Timestamp::NEVER, None);
        assert_eq!(order(end), (2_958_463, 25_919_999));
        assert!(order(end) > order(now(Timestamp::NEVER, None)));
        assert_eq!(order(expiry(Timestamp::MIN, None)), (-53_690, 0));
    }

    #[test]
    fn local_time_is_undone_when_it_is_read() {
        // An hour ahead until the summer begins at 1,000,000,000 ms, then two.
        let zone: LocalTime = Arc::new(|at: Timestamp| if at.as_millis() < 1_000_000_000 { 60 } else { 120 });
        for millis in [0, 990_000_000, 999_999_990, 1_000_000_000, 1_000_000_010, 1_010_000_000] {
            let value = expiry(Timestamp::from_millis(millis), Some(&zone));
            let late = read_back(value, Some(&zone)).as_millis() - millis;
            assert!((0..4).contains(&late), "{millis} becomes {late} ms later");
        }
    }

    #[test]
    fn what_is_no_datetime_is_corrupt_and_names_the_column() {
        let error = read("expires", Column::Signed(1), None).unwrap_err();
        assert_eq!(error.kind(), session_core::ErrorKind::Corrupt);
        assert!(error.to_string().contains("`expires`"), "{error}");
    }
}
