//! What a database sent, turned into what the contract speaks of. Each column is checked here and nowhere else.

use session_core::{Error, KeyFormat, Payload, Principal, Record, Result, SessionKey, Timestamp, Version};

/// One column of a row, as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Signed(i64),
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "Postgres has no such type"))]
    Unsigned(u64),
    /// Text and bytes alike: MySQL tells them apart by collation only.
    Bytes(&'a [u8]),
    /// A type that no column of ours has.
    Foreign,
}

/// A whole number. Proxies, views and some driver settings send numbers as text, so that is read too.
pub(crate) fn bigint(column: &'static str, value: Value<'_>) -> Result<i64> {
    let number = match value {
        Value::Signed(number) => Some(number),
        Value::Unsigned(number) => i64::try_from(number).ok(),
        Value::Bytes(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        Value::Null => return Err(null(column)),
        Value::Foreign => None,
    };
    number.ok_or_else(|| {
        Error::corrupt(format!("column `{column}` is not a whole number of 64 bits; mend or delete the row"))
    })
}

/// UTF-8 text.
pub(crate) fn text<'a>(column: &'static str, value: Value<'a>) -> Result<&'a str> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| Error::corrupt(format!("column `{column}` is not UTF-8; mend or delete the row"))),
        Value::Null => Err(null(column)),
        _ => Err(Error::corrupt(format!("column `{column}` is not text; run the doctor on the table"))),
    }
}

/// The key of a row.
pub(crate) fn key(format: KeyFormat, value: Value<'_>) -> Result<SessionKey> {
    match format {
        KeyFormat::Hashed => match value {
            Value::Bytes(bytes) => <[u8; 32]>::try_from(bytes)
                .map(SessionKey::from_digest)
                .map_err(|_| Error::corrupt("column `key` has not 32 bytes; delete the row")),
            Value::Null => Err(null("key")),
            _ => Err(Error::corrupt("column `key` is not binary; run the doctor on the table")),
        },
        KeyFormat::Plain => Ok(SessionKey::from_text(text("key", value)?)),
    }
}

/// A session, from the columns `payload`, `expires_at`, `created_at`, `version`, `principal`.
pub(crate) fn record(columns: [Value<'_>; 5]) -> Result<Record> {
    let [payload, expires_at, created_at, version, principal] = columns;
    let principal = match principal {
        Value::Null => None,
        principal => Some(Principal::new(text("principal", principal)?).map_err(|_| {
            Error::corrupt("column `principal` has not 1 to 255 bytes; mend or delete the row")
        })?),
    };
    Ok(Record {
        payload: Payload::from(text("payload", payload)?),
        expires_at: Timestamp::from_millis(bigint("expires_at", expires_at)?),
        created_at: Some(Timestamp::from_millis(bigint("created_at", created_at)?)),
        version: Version::new(bigint("version", version)?),
        principal,
    })
}

/// A count of rows, as the database or the driver gives it.
pub(crate) fn count(rows: i64) -> u64 {
    // No database counts below zero.
    u64::try_from(rows).unwrap_or(0)
}

fn null(column: &'static str) -> Error {
    Error::corrupt(format!("column `{column}` is NULL; mend or delete the row"))
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
            assert_eq!(bigint("n", Value::Signed(number)).unwrap(), number);
            assert_eq!(bigint("n", Value::Bytes(number.to_string().as_bytes())).unwrap(), number);
            if let Ok(unsigned) = u64::try_from(number) {
                assert_eq!(bigint("n", Value::Unsigned(unsigned)).unwrap(), number);
            }
        }
    }

    #[test]
    fn what_is_no_i64_is_corrupt_and_names_the_column() {
        let hostile = [
            Value::Null,
            Value::Foreign,
            Value::Unsigned(1 << 63),
            Value::Unsigned(u64::MAX),
            Value::Bytes(b""),
            Value::Bytes(b"9223372036854775808"),
            Value::Bytes(b"-9223372036854775809"),
            Value::Bytes(b"1.0"),
            Value::Bytes(b"1e3"),
            Value::Bytes(b" 1"),
            Value::Bytes(b"\xff"),
        ];
        for value in hostile {
            let error = bigint("expires_at", value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{value:?}");
            assert!(error.to_string().contains("`expires_at`"), "{error}");
        }
    }

    #[test]
    fn an_unreadable_column_of_a_record_is_named() {
        let good =
            [Value::Bytes(b"{}"), Value::Signed(1), Value::Signed(2), Value::Signed(3), Value::Bytes(b"ann")];
        assert_eq!(record(good).unwrap().version, Version::new(3));
        for (index, column) in ["payload", "expires_at", "created_at", "version"].into_iter().enumerate() {
            let mut bad = good;
            bad[index] = Value::Null;
            assert!(record(bad).unwrap_err().to_string().contains(&format!("`{column}`")));
        }
        let mut nobody = good;
        nobody[4] = Value::Null;
        assert_eq!(record(nobody).unwrap().principal, None);
        nobody[4] = Value::Bytes(b"");
        assert!(record(nobody).unwrap_err().to_string().contains("`principal`"));
    }

    #[test]
    fn a_key_of_another_length_is_corrupt() {
        assert!(key(KeyFormat::Hashed, Value::Bytes(&[7; 32])).is_ok());
        assert_eq!(key(KeyFormat::Hashed, Value::Bytes(&[7; 31])).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(key(KeyFormat::Plain, Value::Bytes("é".as_bytes())).is_ok());
        assert_eq!(key(KeyFormat::Plain, Value::Bytes(b"\xff")).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
