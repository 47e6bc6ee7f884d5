//! What a middleware keeps in a session.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_core::Timestamp;

/// What a session middleware keeps in a session: values by name, stored as one JSON object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values {
    values: HashMap<String, Value>,
    /// When the session expires, if the middleware is about to decide that; the table's own column holds it.
    #[serde(skip)]
    expiry: Expiry,
}

#[derive(Clone, Copy, Debug, Default)]
#[allow(
    dead_code,
    reason = "tower-sessions names a moment, actix-session a time, and one may be compiled without the other"
)]
enum Expiry {
    /// As it is.
    #[default]
    Kept,
    At(Timestamp),
    After(Duration),
}

impl Values {
    /// Values of a session that expires at a moment.
    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    pub(crate) fn until(values: HashMap<String, Value>, expires_at: Timestamp) -> Values {
        Values { values, expiry: Expiry::At(expires_at) }
    }

    /// Values of a session that lives for a time from the write on.
    #[cfg(feature = "actix-session")]
    pub(crate) fn living(values: HashMap<String, Value>, span: Duration) -> Values {
        Values { values, expiry: Expiry::After(span) }
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(super) fn all(&self) -> &HashMap<String, Value> {
        &self.values
    }

    /// All values by name.
    pub fn values_mut(&mut self) -> &mut HashMap<String, Value> {
        &mut self.values
    }

    pub(crate) fn into_values(self) -> HashMap<String, Value> {
        self.values
    }

    /// When a write that happens now lets the session expire; `None` leaves that as it is.
    pub(super) fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.expiry {
            Expiry::Kept => None,
            Expiry::At(expires_at) => Some(expires_at),
            Expiry::After(span) => Some(now.saturating_add(span)),
        }
    }

    /// Expires as those do.
    pub(super) fn expire_like(&mut self, other: &Values) {
        self.expiry = other.expiry;
    }
}

/// Names the value that says whom a session belongs to, for
/// [`SessionsBuilder::principal`](session_core::SessionsBuilder::principal): a text, or a number in decimal digits. Any
/// other value means nobody.
///
/// A path leads into objects: `field("profile.id")` is the member `id` of the value `profile`. A value whose whole name
/// is `profile.id` comes first.
pub fn field(name: impl Into<String>) -> impl Fn(&Values) -> Option<String> + Send + Sync + 'static {
    let name = name.into();
    move |values| text_of(find(values, &name)?)
}

#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
/// Whom [axum-login](https://docs.rs/axum-login) has signed in: the `user_id` that it keeps in the value
/// `axum-login.data`. For [`SessionsBuilder::principal`](session_core::SessionsBuilder::principal).
///
/// An application that gives axum-login another data key names it with [`axum_login_user_in`].
pub fn axum_login_user(values: &Values) -> Option<String> {
    user_in(values, "axum-login.data")
}

#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
/// As [`axum_login_user`], for an application with a data key of its own (`AuthManagerLayerBuilder::with_data_key`).
pub fn axum_login_user_in(
    data_key: impl Into<String>,
) -> impl Fn(&Values) -> Option<String> + Send + Sync + 'static {
    let data_key = data_key.into();
    move |values| user_in(values, &data_key)
}

#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
fn user_in(values: &Values, data_key: &str) -> Option<String> {
    match values.get(data_key)?.get("user_id")? {
        Value::Null => None,
        // Ids may be any type that serializes: a UUID is a text, a compound key an array.
        user => text_of(user).or_else(|| serde_json::to_string(user).ok()),
    }
}

fn find<'a>(values: &'a Values, name: &str) -> Option<&'a Value> {
    if let Some(value) = values.get(name) {
        return Some(value);
    }
    // The longest name that there is, and then member by member.
    name.char_indices().rev().filter(|(_, letter)| *letter == '.').find_map(|(dot, _)| {
        let outer = values.get(&name[..dot])?;
        name[dot + 1..].split('.').try_fold(outer, |value, member| value.get(member))
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(value: Value) -> Values {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_payload_is_the_object_of_the_values_alone() {
        let values = Values {
            values: HashMap::from([("user".to_owned(), Value::from(7))]),
            expiry: Expiry::At(Timestamp::NEVER),
        };
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"{"user":7}"#);
        assert_eq!(field("user")(&values).as_deref(), Some("7"));
        assert_eq!(field("name")(&values), None);
    }

    #[test]
    fn a_path_leads_into_objects() {
        let values = values(json!({ "a": { "b": { "c": "deep" } }, "a.b": { "d": 1 }, "x.y": "whole" }));
        assert_eq!(field("a.b.c")(&values).as_deref(), Some("deep"));
        assert_eq!(field("a.b.d")(&values).as_deref(), Some("1"));
        assert_eq!(field("x.y")(&values).as_deref(), Some("whole"));
        assert_eq!(field("a.b")(&values), None);
        assert_eq!(field("a.x.c")(&values), None);
    }

    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    #[test]
    fn the_user_of_axum_login_is_found() {
        let signed_in = values(json!({ "axum-login.data": { "user_id": 42, "auth_hash": [1] } }));
        assert_eq!(axum_login_user(&signed_in).as_deref(), Some("42"));
        assert_eq!(axum_login_user_in("mine")(&signed_in), None);
        let compound = values(json!({ "mine": { "user_id": ["a", 1], "auth_hash": [1] } }));
        assert_eq!(axum_login_user_in("mine")(&compound).as_deref(), Some(r#"["a",1]"#));
        let nobody = values(json!({ "axum-login.data": { "user_id": null, "auth_hash": null } }));
        assert_eq!(axum_login_user(&nobody), None);
    }
}
