//! From a session's data to text and back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Turns a session's data into the text that the database holds, and back.
pub trait Codec<T>: Send + Sync + 'static {
    /// The data as text.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the data has no such form.
    fn encode(&self, data: &T) -> Result<String>;

    /// The data of a text.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the text is not one that [`encode`](Codec::encode) gives. The
    /// message holds nothing of the text.
    fn decode(&self, text: &str) -> Result<T>;
}

/// JSON text: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
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
}
