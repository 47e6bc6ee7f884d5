//! What the server's rows say of the writes of a part.

use std::collections::HashMap;

use session_core::contract::{Touched, Write, Written};
use session_core::{KeyFormat, Result, SessionKey, Updated, Version};

use crate::{Run, value};

/// A row's key, and its version, which concerns no other row if it cannot be read.
pub(super) type Answer = Result<(SessionKey, Result<Version>)>;

/// The rows of an answer by their keys.
pub(super) type Rows = HashMap<SessionKey, Result<Version>>;

/// Reads a row of `key` and `version`.
pub(super) fn answer<R: Run>(format: KeyFormat, row: &R::Row) -> Answer {
    R::columns(row, |[key, version]| Ok((value::key(format, key)?, value::version(version))))
}

/// The outcome of a write whose live row had this version, and whether the row is to be changed for it, or was.
pub(super) fn of_live(write: &Write, row: Option<Result<Version>>) -> (Result<Written>, bool) {
    let is_live = row.is_some();
    match write {
        Write::Update(update) => match row {
            None => (Ok(Written::Updated(Updated::Gone)), false),
            Some(Err(error)) => (Err(error), false),
            Some(Ok(version)) if update.expected.is_none_or(|expected| expected == version) => {
                (Ok(Written::Updated(Updated::Saved(version.next()))), true)
            }
            Some(Ok(_)) => (Ok(Written::Updated(Updated::Stale)), false),
        },
        Write::Touch(touch) => match (row, touch.expected) {
            (None, _) => (Ok(Written::Touched(Touched::Gone)), false),
            (Some(Err(error)), Some(_)) => (Err(error), false),
            (Some(Ok(version)), Some(expected)) if expected != version => {
                (Ok(Written::Touched(Touched::Stale)), false)
            }
            (Some(_), _) => (Ok(Written::Touched(Touched::Moved)), true),
        },
        Write::Destroy(_) | Write::Create(_) => (Ok(Written::Destroyed(is_live)), is_live),
    }
}

/// The outcome of a write whose row has this version now, if it was changed; `None` if that does not tell.
pub(super) fn of_changed(write: &Write, row: Option<Result<Version>>) -> Option<Result<Written>> {
    match (write, row) {
        // Rare: nothing was changed, and the single form tells stale from gone.
        (Write::Update(_), None) => None,
        (Write::Update(_), Some(version)) => Some(
            version
                .map(|version| Written::Updated(Updated::Saved(version)))
                .map_err(|error| error.with_in_doubt(true)),
        ),
        (write, row) => Some(of_live(write, row).0),
    }
}

/// The outcome of a write that was made together with all others, and told no version.
pub(super) fn of_all(write: &Write) -> Written {
    match write {
        Write::Update(update) => {
            Written::Updated(Updated::Saved(update.expected.map_or(Version::NONE, Version::next)))
        }
        Write::Touch(_) => Written::Touched(Touched::Moved),
        Write::Destroy(_) | Write::Create(_) => Written::Destroyed(true),
    }
}

#[cfg(test)]
mod tests {
    use session_core::contract::{Destroy, Touch, Update};
    use session_core::{DestroyMode, Error, Timestamp};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn update(expected: Option<i64>) -> Write {
        Write::Update(Update {
            key: SessionKey::from_digest(KEY),
            payload: "{}".into(),
            expires_at: None,
            principal: None,
            expected: expected.map(Version::new),
        })
    }

    fn touch(expected: Option<i64>) -> Write {
        Write::Touch(Touch {
            key: SessionKey::from_digest(KEY),
            expires_at: Timestamp::NEVER,
            expected: expected.map(Version::new),
        })
    }

    fn destroy() -> Write {
        Write::Destroy(Destroy { key: SessionKey::from_digest(KEY), mode: DestroyMode::Forget })
    }

    fn saved(version: i64) -> Written {
        Written::Updated(Updated::Saved(Version::new(version)))
    }

    #[test]
    fn a_live_row_s_version_decides_on_each_write() {
        let row = |version: i64| Some(Ok(Version::new(version)));
        let corrupt = || Some(Err(Error::corrupt("no number")));
        let (stale, gone) = (Written::Updated(Updated::Stale), Written::Updated(Updated::Gone));
        let touched = Written::Touched;
        for (write, row, outcome, fits) in [
            (update(None), row(4), Some(saved(5)), true),
            (update(Some(4)), row(4), Some(saved(5)), true),
            (update(Some(3)), row(4), Some(stale), false),
            (update(Some(5)), row(4), Some(stale), false),
            (update(None), None, Some(gone), false),
            (update(None), corrupt(), None, false),
            (touch(None), row(4), Some(touched(Touched::Moved)), true),
            (touch(Some(4)), row(4), Some(touched(Touched::Moved)), true),
            (touch(Some(3)), row(4), Some(touched(Touched::Stale)), false),
            (touch(Some(3)), None, Some(touched(Touched::Gone)), false),
            (touch(None), corrupt(), Some(touched(Touched::Moved)), true),
            (touch(Some(3)), corrupt(), None, false),
            (destroy(), row(4), Some(Written::Destroyed(true)), true),
            (destroy(), corrupt(), Some(Written::Destroyed(true)), true),
            (destroy(), None, Some(Written::Destroyed(false)), false),
        ] {
            let (told, does) = of_live(&write, row);
            assert_eq!((told.ok(), does), (outcome, fits), "{write:?}");
        }
    }

    #[test]
    fn a_changed_row_s_version_is_the_new_one_and_in_doubt_if_it_cannot_be_read() {
        let row = |version: i64| Some(Ok(Version::new(version)));
        assert_eq!(of_changed(&update(None), row(5)).unwrap().unwrap(), saved(5));
        assert!(of_changed(&update(Some(4)), None).is_none(), "stale or gone");
        let unread = of_changed(&update(None), Some(Err(Error::corrupt("no number"))));
        assert!(unread.unwrap().unwrap_err().is_in_doubt());
        assert_eq!(of_changed(&touch(Some(3)), row(4)).unwrap().unwrap(), Written::Touched(Touched::Stale));
        assert_eq!(of_changed(&destroy(), None).unwrap().unwrap(), Written::Destroyed(false));
    }

    #[test]
    fn writes_that_were_made_together_tell_the_versions_that_follow() {
        assert_eq!(of_all(&update(Some(4))), saved(5));
        assert_eq!(of_all(&update(None)), Written::Updated(Updated::Saved(Version::NONE)));
        assert_eq!(of_all(&touch(None)), Written::Touched(Touched::Moved));
        assert_eq!(of_all(&destroy()), Written::Destroyed(true));
    }
}
