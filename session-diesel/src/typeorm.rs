//! What both databases have in common in the layout of connect-typeorm: what it can do, and what it refuses before
//! anything is sent.

use session_core::{
    Capabilities, Create, DestroyMode, Error, KeyFormat, Payload, Principal, Record, Result, Rotate,
    SessionKey, Timestamp, Update, Version,
};

use crate::convert::{self, Value};

/// Whether the table has a column that marks destroyed sessions is all that differs.
pub(crate) fn capabilities(tombstones: bool) -> Capabilities {
    let mut capabilities = Capabilities::ALL;
    capabilities.versions = false;
    capabilities.principals = false;
    capabilities.created_at = false;
    capabilities.tombstones = tombstones;
    capabilities
}

pub(crate) fn check_key(key: &SessionKey) -> Result<()> {
    match key.format() {
        KeyFormat::Plain => Ok(()),
        KeyFormat::Hashed => Err(Error::invalid_input(
            "connect-typeorm holds ids as they are; make keys with the store's `key_format`",
        )),
    }
}

pub(crate) fn check_create(create: &Create) -> Result<()> {
    check_key(&create.key)?;
    check_principal(create.principal.as_ref())
}

pub(crate) fn check_update(update: &Update) -> Result<()> {
    check_key(&update.key)?;
    check_principal(update.principal.as_ref())?;
    check_version(update.expected)
}

pub(crate) fn check_mode(mode: DestroyMode, tombstones: bool) -> Result<()> {
    if mode == DestroyMode::Hard || tombstones {
        return Ok(());
    }
    Err(Error::unsupported("this table keeps no destroyed sessions; use `DestroyMode::Hard`"))
}

pub(crate) fn check_rotate(rotate: &Rotate, tombstones: bool) -> Result<()> {
    check_key(&rotate.from)?;
    check_key(&rotate.to)?;
    check_principal(rotate.principal.as_ref())?;
    check_version(rotate.expected)?;
    check_mode(rotate.mode, tombstones)?;
    if rotate.from == rotate.to {
        return Err(Error::invalid_input(
            "a session cannot be rotated to the key that it has; draw a new id",
        ));
    }
    Ok(())
}

pub(crate) fn check_principal(principal: Option<&Principal>) -> Result<()> {
    match principal {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(
            "this table does not hold whom a session belongs to; use the native layout",
        )),
    }
}

fn check_version(expected: Option<Version>) -> Result<()> {
    match expected {
        None => Ok(()),
        Some(_) => Err(Error::unsupported("this table holds no versions; update without an expected one")),
    }
}

/// When a session was destroyed, within the years that every database's calendar has. Nobody reads more of it than
/// that it is there.
pub(crate) fn moment(now: Timestamp) -> i64 {
    const LAST_OF_9999: i64 = 253_402_300_799_999;
    now.as_millis().clamp(0, LAST_OF_9999)
}

/// A session, from its data and its expiry.
pub(crate) fn record([json, expired_at]: [Value<'_>; 2]) -> Result<Record> {
    Ok(Record {
        payload: Payload::from(convert::text("json", json)?),
        expires_at: Timestamp::from_millis(convert::bigint("expiredAt", expired_at)?),
        created_at: None,
        version: Version::NONE,
        principal: None,
    })
}

/// A session's id. Only one that cannot be read is an error of a whole listing: there is nothing to call the row by.
pub(crate) fn id(id: Value<'_>) -> Result<SessionKey> {
    convert::key(KeyFormat::Plain, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_every_calendar() {
        for (now, expected) in [(i64::MIN, 0), (-1, 0), (1_700_000_000_123, 1_700_000_000_123)] {
            assert_eq!(moment(Timestamp::from_millis(now)), expected);
        }
        assert_eq!(moment(Timestamp::NEVER), 253_402_300_799_999);
    }
}
