//! A JSON object of which every member stays as it was written.

use std::fmt;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use session_core::{Error, Result};

/// The members of a JSON object, in their order, each as the text that stands there: what nobody asks for is not
/// parsed, so that numbers, escapes and lone surrogates which Rust would write differently, or could not hold at all,
/// survive. Of a name that stands there twice, the last value counts, at the place of the first, as in JavaScript.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(IndexMap<String, Box<RawValue>>);

impl Fields {
    /// The text of a member.
    pub(super) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// The value of a member, if it is of this type.
    pub(super) fn read<V: DeserializeOwned>(&self, name: &str) -> Option<V> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The value of a member; an error if it is of another type.
    pub(super) fn get<V: DeserializeOwned>(&self, name: &str) -> Result<Option<V>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        // The parser's message may quote the session's data.
        serde_json::from_str(raw.get()).map(Some).map_err(|_| {
            Error::corrupt(format!("the session's `{name}` is of another type; read it as what wrote it"))
        })
    }

    /// Puts a value in place of the member of this name, else behind all others.
    pub(super) fn insert<V: Serialize + ?Sized>(&mut self, name: &str, value: &V) -> Result<()> {
        let raw = serde_json::value::to_raw_value(value).map_err(|error| {
            Error::invalid_input("the value has no JSON form; keys of maps must be text").with_source(error)
        })?;
        self.put(name, raw);
        Ok(())
    }

    /// As [`insert`](Fields::insert), of a value in JSON's own form.
    pub(super) fn put(&mut self, name: &str, raw: Box<RawValue>) {
        self.0.insert(name.to_owned(), raw);
    }

    /// As [`put`](Fields::put), but a new member comes before the first one for which `later` is true.
    pub(super) fn put_before(&mut self, name: &str, raw: Box<RawValue>, later: impl Fn(&str) -> bool) {
        if let Some(member) = self.0.get_mut(name) {
            *member = raw;
            return;
        }
        let place = self.0.keys().position(|name| later(name)).unwrap_or(self.0.len());
        self.0.shift_insert(place, name.to_owned(), raw);
    }

    /// Removes a member; the others keep their order. Returns whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.shift_remove(name).is_some()
    }

    /// The names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((a, x), (b, y))| a == b && x.get() == y.get())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fields", self.0.len())
    }
}
