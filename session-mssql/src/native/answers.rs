//! What the server's rows say of the writes of a part.

use std::collections::{HashMap, HashSet};

use session_core::contract::{Created, Touch, Touched, Update, Write, Written};
use session_core::{KeyFormat, Result, SessionKey, Updated, Version};
use session_sql::value::{self, Column};

use super::plan::Kind;
use crate::error;
use crate::value::{Row, Sets};

/// The keys of which a part says something.
pub(super) struct Answers {
    /// Those with which it was done.
    done: HashSet<SessionKey>,
    /// The versions of those that were updated without an expected one.
    versions: HashMap<SessionKey, Version>,
}

impl Answers {
    /// Reads what a part's statement gave. `None` says that another call made one of the new keys at this moment, and
    /// that none was made.
    ///
    /// # Errors
    /// What was done is in doubt if that cannot be read.
    pub(super) fn read(kind: Kind, format: KeyFormat, sets: Sets) -> Result<Option<Answers>> {
        let mut answers = Answers { done: HashSet::new(), versions: HashMap::new() };
        for (set, rows) in sets.into_iter().enumerate() {
            for row in rows {
                if kind == Kind::Create && is_raced(&row) {
                    return Ok(None);
                }
                answers.add(set, format, &row).map_err(|error| error.with_in_doubt(true))?;
            }
        }
        Ok(Some(answers))
    }

    /// Only updates have a second set.
    fn add(&mut self, set: usize, format: KeyFormat, row: &Row) -> Result<()> {
        let [key, version] = row.columns();
        let key = value::key(format, key)?;
        match set {
            0 => _ = self.done.insert(key),
            _ => _ = self.versions.insert(key, value::version(version)?),
        }
        Ok(())
    }

    /// The outcome of a write; `None` if nothing of it was done, and the statement for one tells why.
    pub(super) fn outcome(&self, write: &Write) -> Option<Result<Written>> {
        let key = write.key();
        Some(Ok(match (write, self.done.contains(key)) {
            (Write::Create(_), true) => Written::Created(Created::Created),
            (Write::Create(_), false) => Written::Created(Created::KeyTaken),
            (Write::Update(Update { expected: Some(expected), .. }), true) => {
                Written::Updated(Updated::Saved(expected.next()))
            }
            (Write::Update(_), true) => match self.versions.get(key) {
                Some(version) => Written::Updated(Updated::Saved(*version)),
                None => {
                    let error = error::unexpected("the server gave no version of an updated session");
                    return Some(Err(error.with_in_doubt(true)));
                }
            },
            // Gone or stale.
            (Write::Update(Update { expected: Some(_), .. }), false) => return None,
            (Write::Update(_), false) => Written::Updated(Updated::Gone),
            (Write::Touch(_), true) => Written::Touched(Touched::Moved),
            (Write::Touch(Touch { expected: Some(_), .. }), false) => return None,
            (Write::Touch(_), false) => Written::Touched(Touched::Gone),
            (Write::Destroy(_), done) => Written::Destroyed(done),
        }))
    }
}

/// True for the row with which a batch of creates says that another call was faster: a number where a key would be.
fn is_raced(row: &Row) -> bool {
    matches!(row.columns(), [Column::Signed(_)])
}

#[cfg(test)]
mod tests {
    use session_core::contract::{Create, Destroy};
    use session_core::{DestroyMode, Timestamp};
    use tiberius::ColumnData;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn key() -> SessionKey {
        SessionKey::from_digest(KEY)
    }

    fn create() -> Write {
        let expires_at = Timestamp::NEVER;
        Write::Create(Create {
            key: key(),
            payload: "".into(),
            expires_at,
            principal: None,
            version: Version::FIRST,
        })
    }

    fn update(expected: Option<i64>) -> Write {
        Write::Update(Update {
            key: key(),
            payload: "".into(),
            expires_at: None,
            principal: None,
            expected: expected.map(Version::new),
        })
    }

    fn touch(expected: Option<i64>) -> Write {
        let expected = expected.map(Version::new);
        Write::Touch(Touch { key: key(), expires_at: Timestamp::NEVER, expected })
    }

    fn destroy() -> Write {
        Write::Destroy(Destroy { key: key(), mode: DestroyMode::Keep })
    }

    fn row(cells: impl IntoIterator<Item = ColumnData<'static>>) -> Row {
        Row::of_cells(cells)
    }

    fn bytes() -> ColumnData<'static> {
        ColumnData::Binary(Some(KEY.to_vec().into()))
    }

    fn read(kind: Kind, sets: Sets) -> Answers {
        Answers::read(kind, KeyFormat::Hashed, sets).unwrap().unwrap()
    }

    #[test]
    fn a_key_in_the_answer_was_done_and_another_was_not() {
        let versions = vec![row([bytes(), ColumnData::I64(Some(5))])];
        let done = read(Kind::Update, vec![vec![row([bytes()])], versions]);
        let none = read(Kind::Update, vec![vec![], vec![]]);
        for (write, if_done, if_not) in [
            (create(), Written::Created(Created::Created), Some(Written::Created(Created::KeyTaken))),
            (
                update(None),
                Written::Updated(Updated::Saved(Version::new(5))),
                Some(Written::Updated(Updated::Gone)),
            ),
            (update(Some(3)), Written::Updated(Updated::Saved(Version::new(4))), None),
            (touch(None), Written::Touched(Touched::Moved), Some(Written::Touched(Touched::Gone))),
            (touch(Some(3)), Written::Touched(Touched::Moved), None),
            (destroy(), Written::Destroyed(true), Some(Written::Destroyed(false))),
        ] {
            assert_eq!(done.outcome(&write).unwrap().unwrap(), if_done, "{write:?}");
            assert_eq!(none.outcome(&write).map(Result::unwrap), if_not, "{write:?}");
        }
    }

    #[test]
    fn creates_that_another_call_raced_are_open() {
        let raced = vec![vec![row([ColumnData::I32(Some(0))])]];
        assert!(Answers::read(Kind::Create, KeyFormat::Hashed, raced).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_may_have_been_done() {
        let strange = vec![vec![row([ColumnData::String(Some("x".into()))])]];
        let error = Answers::read(Kind::Touch, KeyFormat::Hashed, strange).err().unwrap();
        assert!(error.is_in_doubt(), "{error}");
        let no_version = read(Kind::Update, vec![vec![row([bytes()])]]).outcome(&update(None));
        assert!(no_version.unwrap().unwrap_err().is_in_doubt());
    }
}
