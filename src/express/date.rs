//! The two forms in which express-session writes a point in time.

use jiff::fmt::{rfc2822, temporal};
use session_core::Timestamp;

static ISO: temporal::DateTimePrinter = temporal::DateTimePrinter::new().precision(Some(3));
static HTTP: rfc2822::DateTimePrinter = rfc2822::DateTimePrinter::new();

/// The Gregorian calendar begins anew every 400 years, which are so many milliseconds.
const CYCLE: i64 = 146_097 * 86_400_000;

/// JavaScript's dates end 100 million days before and after 1970.
const END: i64 = 100_000_000 * 86_400_000;

/// As `Date.prototype.toISOString` writes it: `2026-11-22T06:17:21.308Z`, and with a sign and six digits for a year
/// before 0 or after 9999: `+033715-08-19T06:56:40.000Z`. What JavaScript has no date for gets its first or last one.
pub(super) fn to_iso(time: Timestamp) -> String {
    // jiff's calendar ends with 9999: the same day is found in the cycle that begins with 1970.
    let millis = time.as_millis().clamp(-END, END);
    let text = ISO.timestamp_to_string(&calendar(Timestamp::from_millis(millis.rem_euclid(CYCLE))));
    let (year, rest) = text.split_at(4);
    match year.parse::<i64>().map(|year| year + 400 * millis.div_euclid(CYCLE)) {
        Ok(year) if !(0..=9999).contains(&year) => format!("{year:+07}{rest}"),
        Ok(year) => format!("{year:04}{rest}"),
        // Not reached: four digits are a number.
        Err(_) => text,
    }
}

/// As an HTTP header has it: `Sun, 22 Nov 2026 06:17:21 GMT`. Parts of a second are dropped; the years end at 9999.
pub(super) fn to_http(time: Timestamp) -> String {
    // A header of HTTP cannot have a year before 0.
    let time = calendar(time).max(jiff::Timestamp::UNIX_EPOCH);
    HTTP.timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

/// The point in time that an ISO 8601 text with a zone means, to the millisecond; a signed year has six digits.
pub(super) fn from_iso(text: &str) -> Option<Timestamp> {
    let digits = if text.starts_with(['+', '-']) { 7 } else { 4 };
    let (year, rest) = text.split_at_checked(digits)?;
    let year: i64 = year.parse().ok()?;
    // A year of the same calendar that jiff knows.
    let time: jiff::Timestamp = format!("{}{rest}", 2000 + year.rem_euclid(400)).parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond() + CYCLE * (year.div_euclid(400) - 5)))
}

/// The same point in the calendar, or that one of the calendar's ends which is nearer.
fn calendar(time: Timestamp) -> jiff::Timestamp {
    let end = if time.as_millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: Timestamp = Timestamp::from_millis(1_795_328_241_308);

    #[test]
    fn points_in_time_read_as_javascript_writes_them() {
        assert_eq!(to_iso(POINT), "2026-11-22T06:17:21.308Z");
        assert_eq!(to_iso(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(to_iso(Timestamp::from_millis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(to_http(POINT), "Sun, 22 Nov 2026 06:17:21 GMT");
        assert_eq!(to_http(Timestamp::from_millis(1_893_553_445_678)), "Wed, 02 Jan 2030 03:04:05 GMT");
    }

    #[test]
    fn what_was_written_is_read_back_to_the_millisecond() {
        assert_eq!(from_iso(&to_iso(POINT)), Some(POINT));
        assert_eq!(from_iso("2026-11-22T06:17:21.308+00:00"), Some(POINT));
        for far in ["+033715-08-19T06:56:40.000Z", "-001142-01-06T19:23:20.000Z", "0000-02-29T00:00:00.000Z"]
        {
            assert_eq!(to_iso(from_iso(far).unwrap()), far);
        }
        for text in [
            "garbage",
            "",
            "2026-11-22",
            "2026-11-22T06:17:21.308",
            "+10000-01-01T00:00:00.000Z",
            "é026",
            "+",
        ] {
            assert_eq!(from_iso(text), None, "{text}");
        }
    }

    #[test]
    fn the_ends_of_time_are_the_calendar_s() {
        assert_eq!(to_iso(Timestamp::NEVER), "+275760-09-13T00:00:00.000Z");
        assert_eq!(to_iso(Timestamp::MIN), "-271821-04-20T00:00:00.000Z");
        assert!(to_http(Timestamp::NEVER).ends_with(" 9999 22:00:00 GMT"), "{}", to_http(Timestamp::NEVER));
        assert_eq!(to_http(Timestamp::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
