//! The values of a statement for many keys.

use std::collections::BTreeMap;

use session_core::contract::{Create, Load, Touch, Update, Write};
use session_core::{Result, SessionKey, Timestamp, Version};
use session_sql::Named;

use crate::error;

/// The values of a statement for many keys. Numbers go as JSON, which keeps the statement's text the same for any
/// number of rows. What is not a number is cut out of two long values, by place and length.
pub(super) struct Rows {
    now: Timestamp,
    /// Objects of numbers, with places in `texts` counted in UTF-16 code units, as SQL Server counts.
    json: String,
    /// The same with places counted in characters, as Babelfish counts; empty if that is the same.
    json_by_character: String,
    /// Payloads, principals and plain keys, one behind the other; `None` if the rows have none of them.
    texts: Option<String>,
    /// Hashed keys, one behind the other; `None` if the keys are plain.
    keys: Option<Vec<u8>>,
}

/// [`Rows`] in the making.
#[derive(Default)]
struct Places {
    rows: Vec<BTreeMap<&'static str, i64>>,
    rows_by_character: Vec<BTreeMap<&'static str, i64>>,
    texts: Option<String>,
    keys: Option<Vec<u8>>,
    units: usize,
    characters: usize,
}

impl Rows {
    pub(super) fn of_loads(loads: &[Load], now: Timestamp) -> Result<Rows> {
        let mut places = Places::default();
        for load in loads {
            places.key(&load.key);
            places.version(load.known);
        }
        places.finish(now)
    }

    /// Of writes of one kind.
    pub(super) fn of_writes(writes: &[&Write], now: Timestamp) -> Result<Rows> {
        let mut places = Places::default();
        for write in writes {
            places.key(write.key());
            match write {
                Write::Create(Create { payload, expires_at, principal, version, .. }) => {
                    places.text("p", "pl", payload.as_str());
                    places.text("o", "ol", principal.as_ref().map_or("", |principal| principal.as_str()));
                    places.number("e", expires_at.as_millis());
                    places.version(Some(*version));
                }
                Write::Update(Update { payload, expires_at, principal, expected, .. }) => {
                    places.text("p", "pl", payload.as_str());
                    places.text("o", "ol", principal.as_ref().map_or("", |principal| principal.as_str()));
                    if let Some(expires_at) = expires_at {
                        places.number("e", expires_at.as_millis());
                    }
                    places.version(*expected);
                }
                Write::Touch(Touch { expires_at, expected, .. }) => {
                    places.number("e", expires_at.as_millis());
                    places.version(*expected);
                }
                Write::Destroy(_) => {}
            }
        }
        places.finish(now)
    }

    /// As the statements name them.
    pub(super) fn named(&self) -> Vec<Named<'_>> {
        let mut named: Vec<Named<'_>> = vec![
            ("now", self.now.into()),
            ("rows", self.json.as_str().into()),
            ("rows_by_character", self.json_by_character.as_str().into()),
        ];
        named.extend(self.texts.as_deref().map(|texts| ("texts", texts.into())));
        named.extend(self.keys.as_deref().map(|keys| ("keys", keys.into())));
        named
    }
}

impl Places {
    /// Begins a row with its key, as `k` and, for a plain one, its length `kl`.
    fn key(&mut self, key: &SessionKey) {
        self.rows.push(BTreeMap::new());
        self.rows_by_character.push(BTreeMap::new());
        match key.as_text() {
            Some(text) => self.text("k", "kl", text),
            None => {
                let keys = self.keys.get_or_insert_default();
                let place = number(keys.len() + 1);
                keys.extend_from_slice(key.as_bytes());
                self.number("k", place);
            }
        }
    }

    /// Adds a text, as its place, counted from 1, and its length.
    fn text(&mut self, place: &'static str, length: &'static str, text: &str) {
        let (units, characters) = (text.encode_utf16().count(), text.chars().count());
        self.field(place, number(self.units + 1), number(self.characters + 1));
        self.field(length, number(units), number(characters));
        self.units += units;
        self.characters += characters;
        self.texts.get_or_insert_default().push_str(text);
    }

    fn version(&mut self, version: Option<Version>) {
        if let Some(version) = version {
            self.number("x", version.get());
        }
    }

    fn number(&mut self, name: &'static str, number: i64) {
        self.field(name, number, number);
    }

    fn field(&mut self, name: &'static str, by_unit: i64, by_character: i64) {
        if let (Some(row), Some(row_by_character)) = (self.rows.last_mut(), self.rows_by_character.last_mut())
        {
            row.insert(name, by_unit);
            row_by_character.insert(name, by_character);
        }
    }

    fn finish(self, now: Timestamp) -> Result<Rows> {
        let json = |rows| {
            serde_json::to_string(rows)
                .map_err(|_| error::unexpected("the batch could not be written as JSON").with_in_doubt(false))
        };
        let json_by_character = match self.units == self.characters {
            true => String::new(),
            false => json(&self.rows_by_character)?,
        };
        let (texts, keys) = (self.texts, self.keys);
        Ok(Rows { now, json: json(&self.rows)?, json_by_character, texts, keys })
    }
}

/// A place in a value. No value has more than 2^31 bytes.
fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use session_core::{KeyFormat, Principal, SessionId};

    use super::*;

    fn create(id: &str, format: KeyFormat, payload: &str, principal: Option<&str>) -> Write {
        Write::Create(Create {
            key: SessionId::new(id).unwrap().key(format).unwrap(),
            payload: payload.into(),
            expires_at: Timestamp::from_millis(9),
            principal: principal.map(|name| Principal::new(name).unwrap()),
            version: Version::FIRST,
        })
    }

    fn rows(writes: &[Write]) -> Rows {
        Rows::of_writes(&writes.iter().collect::<Vec<_>>(), Timestamp::from_millis(5)).unwrap()
    }

    #[test]
    fn texts_are_found_by_place_and_length_in_units_and_in_characters() {
        let plain = KeyFormat::Plain;
        let rows = rows(&[create("\u{1f980}", plain, "ab", None), create("b", plain, "é", Some("Ann"))]);
        assert_eq!(rows.texts.as_deref(), Some("\u{1f980}abbéAnn"));
        assert_eq!(
            rows.json,
            r#"[{"e":9,"k":1,"kl":2,"o":5,"ol":0,"p":3,"pl":2,"x":1},{"e":9,"k":5,"kl":1,"o":7,"ol":3,"p":6,"pl":1,"x":1}]"#
        );
        assert_eq!(
            rows.json_by_character,
            r#"[{"e":9,"k":1,"kl":1,"o":4,"ol":0,"p":2,"pl":2,"x":1},{"e":9,"k":4,"kl":1,"o":6,"ol":3,"p":5,"pl":1,"x":1}]"#
        );
        assert!(rows.keys.is_none());
    }

    #[test]
    fn places_are_told_once_where_units_are_characters() {
        let rows =
            rows(&[create("a", KeyFormat::Hashed, "é", None), create("b", KeyFormat::Hashed, "", None)]);
        assert_eq!(rows.json_by_character, "");
        assert_eq!(
            rows.json,
            r#"[{"e":9,"k":1,"o":2,"ol":0,"p":1,"pl":1,"x":1},{"e":9,"k":33,"o":2,"ol":0,"p":2,"pl":0,"x":1}]"#
        );
        assert_eq!(rows.keys.map(|keys| keys.len()), Some(64));
    }

    #[test]
    fn an_expiry_that_is_to_stay_and_a_version_that_nobody_expects_are_left_out() {
        let update = |expires_at, expected| {
            Write::Update(Update {
                key: SessionKey::from_digest([1; 32]),
                payload: "".into(),
                expires_at,
                principal: None,
                expected,
            })
        };
        let rows =
            rows(&[update(None, Some(Version::new(7))), update(Some(Timestamp::from_millis(-1)), None)]);
        assert_eq!(
            rows.json,
            r#"[{"k":1,"o":1,"ol":0,"p":1,"pl":0,"x":7},{"e":-1,"k":33,"o":1,"ol":0,"p":1,"pl":0}]"#
        );
    }
}
