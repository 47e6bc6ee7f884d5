//! A session's data in express-session's JSON.

use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use session_core::contract::Store;
use session_core::{Error, Result, Sessions, SessionsBuilder, TimeToLive, Timestamp};

use super::Cookie;
use super::fields::Fields;

/// The data of a session that Node applications share: a JSON object with a [`Cookie`] as its member `cookie`.
///
/// It is the `T` of a [`Sessions<T>`](session_core::Sessions). Members that are not touched are written back
/// byte for byte and in their order, whatever is in them.
///
/// It always has a `cookie`, without which express-session answers 500. One that was stored without (or with something
/// else in its place) is read all the same, gets the default cookie, and
/// [says so](ExpressSession::was_without_cookie).
///
/// Its `Debug` shows how many members it has, and nothing of them.
///
/// ```
/// use session_store::express::{Cookie, ExpressSession};
///
/// let mut session = ExpressSession::new(Cookie::default());
/// session.insert("user", "ann")?; // Node's req.session.user
/// assert_eq!(session.get::<String>("user")?.as_deref(), Some("ann"));
/// # Ok::<_, session_store::Error>(())
/// ```
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct ExpressSession {
    fields: Fields,
    #[serde(skip)]
    was_without_cookie: bool,
}

/// What express-session passes over when it reads a session, because its own object has something of that name.
const RESERVED: [&str; 20] = [
    "id",
    "req",
    "touch",
    "resetMaxAge",
    "save",
    "reload",
    "destroy",
    "regenerate",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toString",
    "toLocaleString",
    "valueOf",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

const COOKIE: &str = "cookie";

impl ExpressSession {
    /// A session without data, with this cookie.
    pub fn new(cookie: Cookie) -> ExpressSession {
        let mut session = ExpressSession { fields: Fields::default(), was_without_cookie: false };
        session.set_cookie(&cookie);
        session
    }

    /// Options for a handle over these sessions, with [their own lifetime](ExpressSession::time_to_live).
    pub fn store(store: impl Store) -> SessionsBuilder<ExpressSession> {
        Sessions::builder(store).time_to_live(ExpressSession::time_to_live())
    }

    /// The lifetime that the Node stores give a session: its cookie's
    /// [`max_age`](Cookie::max_age), else its [`expires`](Cookie::expires), else one day.
    ///
    /// connect-typeorm cuts a maximum age to whole seconds, so that sessions die up to a second before their cookie;
    /// this keeps to the millisecond.
    pub fn time_to_live() -> TimeToLive<ExpressSession> {
        ExpressSession::time_to_live_or(TimeToLive::<ExpressSession>::DEFAULT)
    }

    /// As [`time_to_live`](ExpressSession::time_to_live), with another span than one day for a session whose cookie
    /// ends with the browser: connect-mssql-v2's option `ttl`.
    pub fn time_to_live_or(span: Duration) -> TimeToLive<ExpressSession> {
        TimeToLive::until(move |_, session: &ExpressSession, now| {
            let cookie = session.cookie();
            let from_cookie = cookie.max_age().map(|span| now.saturating_add(span));
            Some(from_cookie.or_else(|| cookie.expires()).unwrap_or_else(|| now.saturating_add(span)))
        })
    }

    /// The value of a member, or `None` if there is none of this name.
    ///
    /// # Errors
    /// [`Corrupt`](session_core::ErrorKind::Corrupt) if it is of another type.
    pub fn get<V: DeserializeOwned>(&self, name: &str) -> Result<Option<V>> {
        self.fields.get(name)
    }

    /// Puts a value in place of the member of this name, else behind all others.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the value has no JSON form, or if a Node application
    /// would not read it: `cookie`, for which there is [`set_cookie`](ExpressSession::set_cookie), and the names that
    /// express-session's own object has, such as `id` and `save`.
    pub fn insert<V: Serialize + ?Sized>(&mut self, name: &str, value: &V) -> Result<()> {
        if name == COOKIE {
            return Err(Error::invalid_input("`cookie` is express-session's own; use `set_cookie`"));
        }
        if RESERVED.contains(&name) {
            return Err(Error::invalid_input(format!(
                "a Node application drops `{name}` when it reads the session; choose another name"
            )));
        }
        self.fields.insert(name, value)
    }

    /// Removes a member; the others keep their order. Returns whether it was there. The `cookie` stays.
    pub fn remove(&mut self, name: &str) -> bool {
        name != COOKIE && self.fields.remove(name)
    }

    /// The names of all members but `cookie`, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.names().filter(|name| *name != COOKIE)
    }

    /// The `cookie` object.
    pub fn cookie(&self) -> Cookie {
        self.fields.read(COOKIE).unwrap_or_default()
    }

    /// Sets the `cookie` object, at its present place; in front of all else if there is none.
    pub fn set_cookie(&mut self, cookie: &Cookie) {
        // An object of JSON texts always has a JSON form.
        let raw = serde_json::value::to_raw_value(cookie).unwrap_or_else(|_| RawValue::NULL.to_owned());
        self.fields.put_before(COOKIE, raw, |_| true);
    }

    /// [Touches](Cookie::touch) the cookie.
    pub fn touch(&mut self, now: Timestamp) {
        let mut cookie = self.cookie();
        cookie.touch(now);
        self.set_cookie(&cookie);
    }

    /// True if the stored session had no `cookie` object, which a Node application cannot read. This one has the
    /// default cookie, and saving it mends what is stored.
    pub fn was_without_cookie(&self) -> bool {
        self.was_without_cookie
    }

    /// Sets the cookie's date for a save, by which a session without a cookie has one.
    pub(super) fn touch_for_save(&mut self, now: Timestamp) {
        self.touch(now);
        self.was_without_cookie = false;
    }

    /// True if both have the same members, in any order: whether there is anything to save.
    pub(super) fn same_data(&self, other: &ExpressSession) -> bool {
        self.changes_from(other).next().is_none()
    }

    /// Does to `other` what was done to `before` to make this: members that were changed, added and removed since.
    pub(super) fn replay(&self, before: &ExpressSession, other: &mut ExpressSession) {
        for name in self.changes_from(before) {
            match self.fields.raw(name) {
                Some(raw) => other.fields.put(name, raw.to_owned()),
                None => {
                    other.fields.remove(name);
                }
            }
        }
    }

    /// The names of members that `before` has not, has otherwise, or has alone.
    fn changes_from<'s>(&'s self, before: &'s ExpressSession) -> impl Iterator<Item = &'s str> {
        let text = |session: &'s ExpressSession, name: &str| session.fields.raw(name).map(RawValue::get);
        let changed = self.fields.names().filter(move |name| text(self, name) != text(before, name));
        changed.chain(before.fields.names().filter(|name| self.fields.raw(name).is_none()))
    }
}

impl Default for ExpressSession {
    /// A session without data, with the [default cookie](Cookie::default).
    fn default() -> ExpressSession {
        ExpressSession::new(Cookie::default())
    }
}

impl<'de> Deserialize<'de> for ExpressSession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<ExpressSession, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let was_without_cookie = fields.read::<Cookie>(COOKIE).is_none();
        let mut session = ExpressSession { fields, was_without_cookie };
        if was_without_cookie {
            session.set_cookie(&Cookie::default());
        }
        Ok(session)
    }
}

impl PartialEq for ExpressSession {
    /// Equal if they are written the same, members' order included.
    fn eq(&self, other: &ExpressSession) -> bool {
        self.fields == other.fields
    }
}

impl fmt::Debug for ExpressSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpressSession({:?})", self.fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use session_core::ErrorKind;

    use super::*;

    fn read(json: &str) -> ExpressSession {
        serde_json::from_str(json).unwrap()
    }

    fn written(session: &ExpressSession) -> String {
        serde_json::to_string(session).unwrap()
    }

    #[test]
    fn what_express_wrote_is_written_back_byte_for_byte() {
        for json in [
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#,
            r#"{"cookie":{"originalMaxAge":98228804293,"expires":"2030-01-02T03:04:05.678Z","httpOnly":true,"path":"/"},"z":1,"a":2}"#,
            r#"{"cookie":{},"text":"O'Brien \"q\" \\ é 😀 \u2028 \u0000end \ud800","n":[1e+21,1e-7,-0,1.0,12345678901234567890123]}"#,
            r#"{"user":{"b":1,"a":2},"cookie":{"path":"/","foo":1}}"#,
            r#"{"cookie":{},"":0,"constructor":1}"#,
        ] {
            assert_eq!(written(&read(json)), json);
            assert!(!read(json).was_without_cookie());
        }
    }

    #[test]
    fn of_a_name_that_stands_twice_the_last_value_counts() {
        assert_eq!(written(&read(r#"{"a":1,"cookie":{},"a":2}"#)), r#"{"a":2,"cookie":{}}"#);
    }

    #[test]
    fn a_session_without_a_cookie_is_read_and_gets_one() {
        let cookie = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
        for (json, mended) in [
            ("{}", format!("{{{cookie}}}")),
            (r#"{"user":1}"#, format!(r#"{{{cookie},"user":1}}"#)),
            (r#"{"user":1,"cookie":null}"#, format!(r#"{{"user":1,{cookie}}}"#)),
            (r#"{"cookie":[],"user":1}"#, format!(r#"{{{cookie},"user":1}}"#)),
        ] {
            let session = read(json);
            assert!(session.was_without_cookie(), "{json}");
            assert_eq!(written(&session), mended);
            assert!(!read(&mended).was_without_cookie());
        }
    }

    #[test]
    fn what_is_no_object_is_no_session() {
        for json in ["null", "[]", "1", "\"{}\"", "{", ""] {
            assert!(serde_json::from_str::<ExpressSession>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn members_keep_their_places() {
        let mut session = read(r#"{"a":1,"cookie":{},"b":2,"c":3}"#);
        session.insert("a", &[1, 2]).unwrap();
        session.insert("d", &json!({"x": null})).unwrap();
        assert!(session.remove("b"));
        assert!(!session.remove("b"));
        assert!(!session.remove("cookie"));
        assert_eq!(written(&session), r#"{"a":[1,2],"cookie":{},"c":3,"d":{"x":null}}"#);
        assert_eq!(session.names().collect::<Vec<_>>(), ["a", "c", "d"]);
    }

    #[test]
    fn values_are_read_as_the_type_asked_for() {
        let session = read(r#"{"cookie":{},"user":{"id":7},"none":null}"#);
        assert_eq!(session.get::<serde_json::Value>("user").unwrap(), Some(json!({"id": 7})));
        assert_eq!(session.get::<Option<u8>>("none").unwrap(), Some(None));
        assert_eq!(session.get::<u8>("absent").unwrap(), None);
        let error = session.get::<u8>("user").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error} {error:?}").contains('7'));
    }

    #[test]
    fn names_that_node_drops_are_refused() {
        let mut session = ExpressSession::default();
        for name in ["cookie", "id", "save", "toString", "__proto__"] {
            assert_eq!(session.insert(name, &1).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(session, ExpressSession::default());
    }

    #[test]
    fn only_what_was_changed_is_replayed() {
        let before = read(r#"{"cookie":{},"a":1,"b":2,"c":3}"#);
        let mut mine = before.clone();
        mine.insert("a", &10).unwrap();
        mine.remove("b");
        mine.insert("new", &true).unwrap();
        let mut theirs = read(r#"{"cookie":{},"a":1,"b":2,"c":30,"d":4}"#);
        mine.replay(&before, &mut theirs);
        assert_eq!(written(&theirs), r#"{"cookie":{},"a":10,"c":30,"d":4,"new":true}"#);
        assert!(before.same_data(&before.clone()) && !mine.same_data(&before) && !before.same_data(&mine));
    }

    #[test]
    fn it_passes_through_a_json_value() {
        let value = json!({"cookie": {"path": "/"}, "n": [1, "x"]});
        let session: ExpressSession = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&session).unwrap(), value);
    }

    #[test]
    fn nothing_of_the_data_is_printed() {
        let session = read(r#"{"cookie":{},"secret-name":"secret-value"}"#);
        assert_eq!(format!("{session:?}"), "ExpressSession(2 fields)");
    }

    #[test]
    fn a_touch_renews_the_cookie_s_date() {
        let mut session = ExpressSession::new(Cookie::default().with_max_age(Some(Duration::from_millis(5))));
        session.touch(Timestamp::from_millis(0));
        assert_eq!(session.cookie().expires(), Some(Timestamp::from_millis(5)));
    }
}
