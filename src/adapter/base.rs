//! What a record was when it was loaded: its base, against which a save finds out what the request changed.
//!
//! A host hands the whole record to `save`, and does not say what of it is new. So a loaded record carries its
//! base in a member of its own, which is taken out again before anything is written.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_core::{SessionId, Timestamp, Version};
use sha2::{Digest as _, Sha256};

/// The member of a record that holds its base. It is never stored.
const MEMBER: &str = "session-store.base";

/// Room for so many bytes that nobody needs stands behind the id of a base. It tells a record that was handed out from
/// a copy of it: what is moved keeps its room, and a clone has just as much as it fills.
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
const SPARE: usize = 32;

/// A record as it was loaded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Base {
    /// The digest of the id that it was loaded by: a host that changes the id of a record keeps its members.
    id: String,
    version: i64,
    expires_at: i64,
    /// The digest of each member.
    members: BTreeMap<String, String>,
}

/// What a request did to the members of a record.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    written: HashMap<String, Value>,
    removed: Vec<String>,
}

impl Base {
    pub(super) fn new(
        id: &SessionId,
        values: &HashMap<String, Value>,
        version: Version,
        expires_at: Timestamp,
    ) -> Base {
        let members = values.iter().map(|(name, value)| (name.clone(), digest(value))).collect();
        let id = digest_of(id.expose());
        Base { id, version: version.get(), expires_at: expires_at.as_millis(), members }
    }

    /// Takes the base out of a record. `None` if it has none of this session: the request made the record, cleared it, or
    /// gave it another id.
    pub(super) fn take(id: &SessionId, values: &mut HashMap<String, Value>) -> Option<Base> {
        let base: Base = serde_json::from_value(values.remove(MEMBER)?).ok()?;
        Some(base).filter(|base| base.id == digest_of(id.expose()))
    }

    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    pub(super) fn is_in(id: &SessionId, values: &HashMap<String, Value>) -> bool {
        let of = values.get(MEMBER).and_then(|base| base.get("id")).and_then(Value::as_str);
        of.is_some_and(|of| of == digest_of(id.expose()))
    }

    /// Whether a record is a clone of one that was handed out, as a cache has them.
    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    pub(super) fn is_copy(values: &HashMap<String, Value>) -> bool {
        match values.get(MEMBER).and_then(|base| base.get("id")) {
            Some(Value::String(id)) => id.capacity() < id.len() + SPARE,
            _ => false,
        }
    }

    /// Puts the base into a record that is handed out.
    pub(super) fn put(self, values: &mut HashMap<String, Value>) {
        let Ok(base) = serde_json::to_value(self) else { return };
        #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
        let base = with_room(base);
        values.insert(MEMBER.to_owned(), base);
    }

    pub(super) fn version(&self) -> Version {
        Version::new(self.version)
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_at)
    }

    /// What is different in `values`.
    pub(super) fn changes(&self, values: &HashMap<String, Value>) -> Changes {
        let written = values
            .iter()
            .filter(|(name, value)| self.members.get(*name) != Some(&digest(value)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let removed = self.members.keys().filter(|name| !values.contains_key(*name)).cloned().collect();
        Changes { written, removed }
    }
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }

    /// Makes the same changes to what others have made of the record meanwhile.
    pub(super) fn apply(&self, values: &mut HashMap<String, Value>) {
        for name in &self.removed {
            values.remove(name);
        }
        for (name, value) in &self.written {
            values.insert(name.clone(), value.clone());
        }
    }
}

/// A member that changed and has the same digest would be lost: 128 bits of SHA-256 rule that out.
fn digest(value: &Value) -> String {
    // Displayed JSON is the same text for the same value: maps are sorted or keep their order.
    digest_of(&value.to_string())
}

fn digest_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text.as_bytes())[..16])
}

/// A base whose id has [`SPARE`] room behind it.
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
fn with_room(mut base: Value) -> Value {
    if let Some(Value::String(id)) = base.get_mut("id") {
        id.reserve_exact(SPARE);
    }
    base
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> SessionId {
        SessionId::new("of-the-session-that-is-tested".to_owned()).unwrap()
    }

    fn members(pairs: &[(&str, Value)]) -> HashMap<String, Value> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn a_base_travels_in_the_record_and_leaves_no_trace() {
        let loaded = members(&[("user", json!("ann"))]);
        let mut record = loaded.clone();
        Base::new(&id(), &loaded, Version::new(3), Timestamp::from_millis(7)).put(&mut record);
        let base = Base::take(&id(), &mut record).unwrap();
        assert_eq!((base.version(), base.expires_at().as_millis()), (Version::new(3), 7));
        assert_eq!(record, loaded);
        assert!(base.changes(&record).is_empty());
        assert!(Base::take(&id(), &mut record).is_none());
    }

    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    #[test]
    fn a_copy_is_told_from_the_record_that_was_handed_out() {
        let mut record = members(&[("user", json!("ann"))]);
        assert!(!Base::is_copy(&record), "it was not handed out");
        Base::new(&id(), &record, Version::FIRST, Timestamp::NEVER).put(&mut record);
        let copy = record.clone();
        let written: HashMap<String, Value> =
            serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert!(Base::is_copy(&copy) && Base::is_copy(&copy.clone()) && Base::is_copy(&written));
        // What a request does with its own.
        let mut moved = Box::new(Some(record));
        for n in 0..1_000 {
            moved.as_mut().as_mut().unwrap().insert(n.to_string(), json!(n));
        }
        assert!(!Base::is_copy(moved.as_ref().as_ref().unwrap()));
        assert_eq!(copy[MEMBER], moved.unwrap()[MEMBER], "they are equal in all else");
    }

    #[test]
    fn a_base_of_another_session_is_taken_out_and_worth_nothing() {
        let mut record = members(&[("user", json!("ann"))]);
        Base::new(&id(), &record, Version::FIRST, Timestamp::NEVER).put(&mut record);
        let other = SessionId::new("of-another-session-that-is-new".to_owned()).unwrap();
        assert!(Base::take(&other, &mut record).is_none());
        assert_eq!(record.len(), 1);
    }

    #[test]
    fn changes_are_made_to_what_others_left() {
        let loaded = members(&[("kept", json!(1)), ("changed", json!({"a": 1})), ("removed", json!(null))]);
        let base = Base::new(&id(), &loaded, Version::FIRST, Timestamp::NEVER);
        let mine = members(&[("kept", json!(1)), ("changed", json!({"a": 2})), ("added", json!("x"))]);
        let mut theirs = members(&[
            ("kept", json!(2)),
            ("changed", json!(0)),
            ("removed", json!(0)),
            ("other", json!([])),
        ]);
        base.changes(&mine).apply(&mut theirs);
        let merged = members(&[
            ("kept", json!(2)),
            ("changed", json!({"a": 2})),
            ("added", json!("x")),
            ("other", json!([])),
        ]);
        assert_eq!(theirs, merged);
    }

    #[test]
    fn what_looks_alike_is_not_the_same() {
        let loaded = members(&[("a", json!("1"))]);
        let base = Base::new(&id(), &loaded, Version::FIRST, Timestamp::NEVER);
        for value in [json!(1), json!("1 "), json!(["1"]), json!(null)] {
            assert!(!base.changes(&members(&[("a", value)])).is_empty());
        }
    }
}
