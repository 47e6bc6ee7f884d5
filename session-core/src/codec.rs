//! From a session's data to text and back.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Turns a session's data into the text that the database holds, and back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// # use session_core::{MemoryStore, Sessions};
/// use session_core::{Codec, Error, Result};
///
/// /// A number as plain text.
/// struct Plain;
///
/// impl Codec<u64> for Plain {
///     fn encode(&self, data: &u64) -> Result<String> { Ok(data.to_string()) }
///     fn decode(&self, text: &str) -> Result<u64> {
///         text.parse().map_err(|_| Error::corrupt("the stored data is no number"))
///     }
/// }
///
/// let sessions = Sessions::<u64>::builder(MemoryStore::new()).codec(Plain).build()?;
/// let id = sessions.create(&7).await?.id;
/// assert_eq!(sessions.load(&id).await?.unwrap().data, 7);
/// # Ok(()) }
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// The data as text.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the data has no such form.
    fn encode(&self, data: &T) -> Result<String>;

    /// Turns a text back into data.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if [`encode`](Codec::encode) did not make the text. The message quotes
    /// nothing of it.
    fn decode(&self, text: &str) -> Result<T>;

    /// Checks that [`decode`](Codec::decode) reads the `text` that [`encode`](Codec::encode) made of `data`. The handle
    /// asks before it writes. Defaults to decoding the text: implement it if your codec has a cheaper way.
    ///
    /// # Errors
    /// As [`decode`](Codec::decode).
    fn verify(&self, data: &T, text: &str) -> Result<()> {
        let _ = data;
        self.decode(text).map(drop)
    }
}

/// JSON text: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Json {
    fn encode(&self, data: &T) -> Result<String> {
        serde_json::to_string(data).map_err(|error| {
            Error::invalid_input(
                "the session's data has no JSON form; keys of maps must be text, and no serializer may fail",
            )
            .with_source(error)
        })
    }

    fn decode(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| {
            // The parser's own message may quote the text, which is secret: the place and the class suffice.
            Error::corrupt(format!(
                "the stored data is not JSON of the expected form ({:?} error at line {}, column {}); destroy the \
                 session, or read it with the type that wrote it",
                error.classify(),
                error.line(),
                error.column()
            ))
        })
    }

    fn verify(&self, data: &T, text: &str) -> Result<()> {
        match is_readable(data) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::corrupt("the data is nested too deeply")),
            None => Codec::<T>::decode(self, text).map(drop),
        }
    }
}

/// How many arrays and objects may stand in each other where serde_json reads them.
const DEEPEST: usize = 127;

/// Whether what is written of these values can be read; `None` if they are no [`Value`]s. Of those only the nesting
/// can be wrong.
fn is_readable(data: &dyn Any) -> Option<bool> {
    if let Some(value) = data.downcast_ref::<Value>() {
        return Some(is_within(value, DEEPEST));
    }
    if let Some(map) = data.downcast_ref::<HashMap<String, Value>>() {
        return Some(are_within(map.values(), DEEPEST - 1));
    }
    if let Some(map) = data.downcast_ref::<BTreeMap<String, Value>>() {
        return Some(are_within(map.values(), DEEPEST - 1));
    }
    data.downcast_ref::<Map<String, Value>>().map(|map| are_within(map.values(), DEEPEST - 1))
}

fn are_within<'a>(mut values: impl Iterator<Item = &'a Value>, depth: usize) -> bool {
    values.all(|value| is_within(value, depth))
}

fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(values) => depth > 0 && are_within(values.iter(), depth - 1),
        Value::Object(map) => depth > 0 && are_within(map.values(), depth - 1),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
