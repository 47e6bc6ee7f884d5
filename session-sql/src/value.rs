//! What a database sent, turned into what the contract speaks of. Each column is checked here and nowhere else.

use session_core::contract::{Listed, Loaded, Payload, Record};
use session_core::{Error, Fate, KeyFormat, Principal, Result, SessionKey, Timestamp, Version};

/// One column of a row, as the database sent it.
#[derive(Clone, Copy, Debug)]
pub enum Column<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Signed(i64),
    /// A whole number of a column that has no negative ones.
    Unsigned(u64),
    /// Text; or bytes, where the database does not tell the two apart.
    Text(&'a [u8]),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
    /// SQL Server's `datetime`, as in [`Value::Datetime`](crate::Value::Datetime).
    Datetime {
        /// Days from 1900-01-01.
        days: i32,
        /// Steps of 1/300 s since midnight.
        steps: u32,
    },
    /// A type that no column of ours has.
    Foreign,
}

/// A whole number. Proxies, views and some driver settings send numbers as text, so that is read too.
///
/// ```
/// use session_sql::value::{Column, bigint};
///
/// assert_eq!(bigint("version", Column::Text(b"7"))?, 7);
/// assert!(bigint("version", Column::Null).is_err());
/// # Ok::<_, session_core::Error>(())
/// ```
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if it is none.
pub fn bigint(name: &str, column: Column<'_>) -> Result<i64> {
    let number = match column {
        Column::Signed(number) => Some(number),
        Column::Unsigned(number) => i64::try_from(number).ok(),
        Column::Text(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        Column::Null => return Err(null(name)),
        Column::Bytes(_) | Column::Datetime { .. } | Column::Foreign => None,
    };
    number.ok_or_else(|| {
        Error::corrupt(format!("column `{name}` is not a whole number of 64 bits; mend or delete the row"))
    })
}

/// Whether a number is another one than 0, as databases without a type for truth have it.
///
/// # Errors
/// As [`bigint`].
pub fn flag(name: &str, column: Column<'_>) -> Result<bool> {
    bigint(name, column).map(|flag| flag != 0)
}

/// A point in time.
///
/// # Errors
/// As [`bigint`].
pub fn timestamp(name: &str, column: Column<'_>) -> Result<Timestamp> {
    bigint(name, column).map(Timestamp::from_millis)
}

/// A session's version.
///
/// # Errors
/// As [`bigint`].
pub fn version(column: Column<'_>) -> Result<Version> {
    bigint("version", column).map(Version::new)
}

/// UTF-8 text.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if it is none.
pub fn text<'a>(name: &str, column: Column<'a>) -> Result<&'a str> {
    match column {
        Column::Text(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| Error::corrupt(format!("column `{name}` is no valid text; mend or delete the row"))),
        Column::Null => Err(null(name)),
        _ => Err(Error::corrupt(format!("column `{name}` is not text; run the doctor on the table"))),
    }
}

/// The same, or an empty text for NULL: for what a catalogue tells.
///
/// # Errors
/// As [`text`].
pub fn text_or_empty(name: &str, column: Column<'_>) -> Result<String> {
    match column {
        Column::Null => Ok(String::new()),
        column => text(name, column).map(str::to_owned),
    }
}

/// The key of a row.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt) if it is none of this format.
pub fn key(format: KeyFormat, column: Column<'_>) -> Result<SessionKey> {
    match format {
        KeyFormat::Hashed => match column {
            Column::Text(bytes) | Column::Bytes(bytes) => <[u8; 32]>::try_from(bytes)
                .map(SessionKey::from_digest)
                .map_err(|_| Error::corrupt("column `key` has not 32 bytes; delete the row")),
            Column::Null => Err(null("key")),
            _ => Err(Error::corrupt("column `key` is not binary; run the doctor on the table")),
        },
        KeyFormat::Plain => Ok(SessionKey::from_text(text("key", column)?)),
    }
}

/// A session, from the columns `payload`, `expires_at`, `created_at`, `version`, `principal`.
///
/// # Errors
/// [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column, if one cannot be read.
pub fn record(columns: [Column<'_>; 5]) -> Result<Record> {
    let [payload, expires_at, created_at, version, principal] = columns;
    let principal = match principal {
        Column::Null => None,
        principal => Some(Principal::new(text("principal", principal)?).map_err(|_| {
            Error::corrupt("column `principal` has not 1 to 255 bytes; mend or delete the row")
        })?),
    };
    Ok(Record {
        payload: Payload::from(text("payload", payload)?),
        expires_at: timestamp("expires_at", expires_at)?,
        created_at: Some(timestamp("created_at", created_at)?),
        version: self::version(version)?,
        principal,
    })
}

/// What a load found, from the columns of a [`record`], of which the payload is not sent if the session has the version
/// that is known.
///
/// # Errors
/// As [`record`].
pub fn loaded(columns: [Column<'_>; 5], known: Option<Version>) -> Result<Loaded> {
    let [_, expires_at, _, version, _] = columns;
    if known.is_some() && known == Some(self::version(version)?) {
        return Ok(Loaded::Unchanged { expires_at: timestamp("expires_at", expires_at)? });
    }
    record(columns).map(Loaded::Record)
}

/// An entry of a listing, from the columns of a [`record`] and the key.
///
/// # Errors
/// As [`key`]: there is nothing to call the row by. A session that cannot be read is an error of its own.
pub fn listed(format: KeyFormat, columns: [Column<'_>; 6]) -> Result<Listed> {
    let [payload, expires_at, created_at, version, principal, key] = columns;
    let record = record([payload, expires_at, created_at, version, principal]);
    Ok(Listed { key: self::key(format, key)?, record })
}

/// What became of a session whose row is there, at `now`.
pub fn fate(is_destroyed: bool, is_rotated: bool, expires_at: Timestamp, now: Timestamp) -> Fate {
    match (is_destroyed, is_rotated) {
        (true, true) => Fate::RotatedAway,
        (true, false) => Fate::Destroyed,
        (false, _) if now < expires_at => Fate::Live,
        (false, _) => Fate::Expired,
    }
}

/// A count of rows, as the database or the driver gives it.
pub fn count(rows: i64) -> u64 {
    // No database counts below zero.
    u64::try_from(rows).unwrap_or(0)
}

fn null(name: &str) -> Error {
    Error::corrupt(format!("column `{name}` is NULL; mend or delete the row"))
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn every_i64_is_read_from_each_form() {
        let powers = (0..63).flat_map(|bit| {
            let power = 1_i64 << bit;
            [power - 1, power, power.saturating_add(1), -power - 1, -power, -power + 1]
        });
        for number in powers.chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX, 0]) {
            assert_eq!(bigint("n", Column::Signed(number)).unwrap(), number);
            assert_eq!(bigint("n", Column::Text(number.to_string().as_bytes())).unwrap(), number);
            if let Ok(unsigned) = u64::try_from(number) {
                assert_eq!(bigint("n", Column::Unsigned(unsigned)).unwrap(), number);
            }
        }
    }

    #[test]
    fn what_is_no_i64_is_corrupt_and_names_the_column() {
        let hostile = [
            Column::Null,
            Column::Foreign,
            Column::Bytes(b"1"),
            Column::Unsigned(1 << 63),
            Column::Unsigned(u64::MAX),
            Column::Text(b""),
            Column::Text(b"9223372036854775808"),
            Column::Text(b"-9223372036854775809"),
            Column::Text(b"1.0"),
            Column::Text(b"1e3"),
            Column::Text(b" 1"),
            Column::Text(b"\xff"),
        ];
        for column in hostile {
            let error = bigint("expires_at", column).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{column:?}");
            assert!(error.to_string().contains("`expires_at`"), "{error}");
        }
    }

    const GOOD: [Column<'_>; 5] =
        [Column::Text(b"{}"), Column::Signed(1), Column::Signed(2), Column::Signed(3), Column::Text(b"ann")];

    #[test]
    fn an_unreadable_column_of_a_record_is_named() {
        assert_eq!(record(GOOD).unwrap().version, Version::new(3));
        for (index, column) in ["payload", "expires_at", "created_at", "version"].into_iter().enumerate() {
            let mut bad = GOOD;
            bad[index] = Column::Null;
            assert!(record(bad).unwrap_err().to_string().contains(&format!("`{column}`")));
        }
        let mut nobody = GOOD;
        nobody[4] = Column::Null;
        assert_eq!(record(nobody).unwrap().principal, None);
        nobody[4] = Column::Text(b"");
        assert!(record(nobody).unwrap_err().to_string().contains("`principal`"));
    }

    #[test]
    fn a_session_of_a_known_version_needs_no_payload_and_any_other_does() {
        let mut without = GOOD;
        without[0] = Column::Null;
        let expires_at = Timestamp::from_millis(1);
        assert_eq!(loaded(without, Some(Version::new(3))).unwrap(), Loaded::Unchanged { expires_at });
        assert_eq!(loaded(GOOD, Some(Version::new(2))).unwrap(), Loaded::Record(record(GOOD).unwrap()));
        assert_eq!(loaded(GOOD, None).unwrap(), Loaded::Record(record(GOOD).unwrap()));
        for known in [None, Some(Version::new(2))] {
            assert!(loaded(without, known).unwrap_err().to_string().contains("`payload`"));
        }
    }

    #[test]
    fn a_key_of_another_length_is_corrupt() {
        assert!(key(KeyFormat::Hashed, Column::Bytes(&[7; 32])).is_ok());
        assert!(key(KeyFormat::Hashed, Column::Text(&[7; 32])).is_ok());
        assert_eq!(key(KeyFormat::Hashed, Column::Bytes(&[7; 31])).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(key(KeyFormat::Plain, Column::Text("é".as_bytes())).is_ok());
        assert_eq!(key(KeyFormat::Plain, Column::Text(b"\xff")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(key(KeyFormat::Plain, Column::Bytes(b"x")).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_end_outlasts_the_expiry() {
        let at = Timestamp::from_millis;
        for now in [at(9), at(10), at(11)] {
            assert_eq!(fate(true, false, at(10), now), Fate::Destroyed);
            assert_eq!(fate(true, true, at(10), now), Fate::RotatedAway);
        }
        assert_eq!(fate(false, false, at(10), at(9)), Fate::Live);
        assert_eq!(fate(false, false, at(10), at(10)), Fate::Expired);
    }
}
