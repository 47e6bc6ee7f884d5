//! An error's SQLSTATE from its English message, where nothing better is there.

/// The SQLSTATE that belongs to a message of the server, for a client library that drops it: by the beginning or the end
/// of the message in English.
pub fn of_message(message: &str) -> Option<&'static str> {
    const BEGINNINGS: &[(&str, &str)] = &[
        ("deadlock detected", "40P01"),
        ("division by zero", super::sqlstate::LOOK_AGAIN),
        ("could not serialize access", "40001"),
        ("canceling statement due to lock timeout", "55P03"),
        ("canceling statement due to conflict with recovery", "40001"),
        ("canceling statement", "57014"),
        ("terminating connection due to conflict with recovery", "40001"),
        ("terminating connection due to idle-session timeout", "57P05"),
        ("terminating connection due to idle-in-transaction timeout", "25P03"),
        ("terminating connection because of crash", "57P02"),
        ("terminating", "57P01"),
        ("the database system is", "57P03"),
        ("cached plan must not change result type", "0A000"),
        ("permission denied", "42501"),
        ("must be owner", "42501"),
        ("prepared statement", "26000"),
        ("bind message supplies", "26000"),
        ("invalid byte sequence for encoding", "22021"),
        ("character with byte sequence", "22P05"),
        ("invalid input syntax", "22P02"),
        ("value \"", "22003"),
        ("invalid memory alloc request size", "54000"),
        ("row is too big", "54000"),
        ("string too long", "54000"),
        ("value too long for type", "22001"),
        ("bigint out of range", "22003"),
        ("array size exceeds", "54000"),
        ("out of memory", "53200"),
        ("sorry, too many clients already", "53300"),
        ("remaining connection slots are reserved", "53300"),
        ("cannot execute", "25006"),
        // PgBouncer's own, which it never translates, and which come after a server was lost as well as before.
        ("server conn crashed", "08P01"),
        ("query_wait_timeout", "08P01"),
        ("pgbouncer cannot connect to server", "08P01"),
        ("server closed the connection", "08P01"),
    ];
    const ENDS: &[(&str, &str, &str)] = &[
        ("relation ", " does not exist", "42P01"),
        ("column ", " does not exist", "42703"),
        ("schema ", " does not exist", "42P01"),
        ("could not ", "No space left on device", "53100"),
    ];
    let beginning = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning));
    let end = || ENDS.iter().find(|(start, end, _)| message.starts_with(start) && message.ends_with(end));
    beginning.map(|(_, code)| *code).or_else(|| end().map(|(_, _, code)| *code))
}
