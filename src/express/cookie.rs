//! The `cookie` object of a session, and the `Set-Cookie` header that is made of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use session_core::{Error, Result, Timestamp};

use super::date;
use super::fields::Fields;
use super::header;
use crate::web::{self, SameSite, check_name};

/// The members in the order in which express-session writes them.
const ORDER: [&str; 9] = [
    "originalMaxAge",
    "partitioned",
    "priority",
    "expires",
    "secure",
    "httpOnly",
    "domain",
    "path",
    "sameSite",
];

/// 200,000 years in milliseconds. JavaScript counts 273,790 years from 1970.
const LONGEST_MAX_AGE: i64 = 200_000 * 31_556_952_000;

/// A session's `cookie` object: how its cookie is sent, and how long the session lives.
///
/// Whatever was read stays as it was written, in the order it was written in; what is set comes at express-session's
/// place for it. A member that is absent stays absent.
///
/// ```
/// use std::time::Duration;
/// use session_store::express::Cookie;
///
/// // Node: cookie: { maxAge: 3600000, secure: true }
/// let cookie = Cookie::default().with_max_age(Some(Duration::from_secs(3600))).with_secure(true);
/// assert_eq!(cookie.max_age(), Some(Duration::from_secs(3600)));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cookie(Fields);

/// Which cookies a browser drops first when it has too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// The browsers' default.
    Medium,
    /// Dropped last.
    High,
}

impl Default for Cookie {
    /// The cookie that express-session makes without options: it ends with the browser, is hidden from scripts and
    /// belongs to the whole site.
    fn default() -> Cookie {
        Cookie(Fields::default()).with_max_age(None).with_http_only(true).with_path("/")
    }
}

impl Cookie {
    /// How long cookie and session live after the last use, to the millisecond; `None` for a cookie that ends with
    /// the browser. Defaults to `None`. [`touch`](Cookie::touch) makes the date of it.
    ///
    /// Over 200,000 years are 200,000 years: JavaScript has no date for the end of a longer one, and a Node application
    /// could not touch the session.
    #[must_use]
    pub fn with_max_age(self, span: Option<Duration>) -> Cookie {
        let millis =
            span.map(|span| i64::try_from(span.as_millis()).unwrap_or(LONGEST_MAX_AGE).min(LONGEST_MAX_AGE));
        self.set("originalMaxAge", &millis).set("expires", &None::<&str>)
    }

    /// Whether browsers send the cookie over https only. Absent by default.
    ///
    /// The cookie is sent to the browser in any case, and the browser refuses it over http; express-session holds it
    /// back, for which it must be told whether a proxy in front of it speaks https.
    #[must_use]
    pub fn with_secure(self, secure: bool) -> Cookie {
        self.set("secure", &secure)
    }

    /// Whether the cookie is hidden from scripts. Defaults to `true`.
    #[must_use]
    pub fn with_http_only(self, http_only: bool) -> Cookie {
        self.set("httpOnly", &http_only)
    }

    /// The domain whose hosts all get the cookie. Absent by default: this host alone gets it.
    #[must_use]
    pub fn with_domain(self, domain: &str) -> Cookie {
        self.set("domain", domain)
    }

    /// The path under which requests carry the cookie. Defaults to `/`.
    #[must_use]
    pub fn with_path(self, path: &str) -> Cookie {
        self.set("path", path)
    }

    /// Whether the cookie comes along with other sites' requests. Absent by default: the browser decides.
    #[must_use]
    pub fn with_same_site(self, same_site: SameSite) -> Cookie {
        let same_site = match same_site {
            SameSite::Strict => "strict",
            SameSite::Lax => "lax",
            SameSite::None => "none",
        };
        self.set("sameSite", same_site)
    }

    /// Whether the cookie is kept apart for each site that embeds this one. Absent by default.
    #[must_use]
    pub fn with_partitioned(self, partitioned: bool) -> Cookie {
        self.set("partitioned", &partitioned)
    }

    /// Which cookies go first when a browser has too many. Absent by default.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Cookie {
        self.set("priority", priority.as_str())
    }

    /// How long cookie and session live after the last use: `originalMaxAge`, if it is a number. A negative one is
    /// zero.
    pub fn max_age(&self) -> Option<Duration> {
        let millis = self.max_age_millis()?;
        Some(u64::try_from(millis).map_or(Duration::ZERO, Duration::from_millis))
    }

    /// `originalMaxAge`, if it is a number: without its fraction, and cut to what can be counted.
    fn max_age_millis(&self) -> Option<i64> {
        if let Some(millis) = self.0.read::<i64>("originalMaxAge") {
            return Some(millis);
        }
        let millis = self.0.read::<f64>("originalMaxAge")?;
        let span = Duration::try_from_secs_f64(millis.abs() / 1000.0).unwrap_or(Duration::MAX);
        let distance = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Some(if millis < 0.0 { -distance } else { distance })
    }

    /// The date until which the browser keeps the cookie, if it has one.
    ///
    /// It is as old as the session's last save: a touch moves the expiry of the stored session and leaves this.
    pub fn expires(&self) -> Option<Timestamp> {
        date::from_iso(&self.0.read::<String>("expires")?)
    }

    /// True if `expires` is absent or null, so that express-session takes the cookie for one that needs no renewal.
    pub(super) fn has_no_date(&self) -> bool {
        self.0.raw("expires").is_none_or(|raw| raw.get() == "null")
    }

    /// Sets `expires` to [`max_age`](Cookie::max_age) after `now`, as express-session does with each request. Where
    /// `originalMaxAge` is not a number, `expires` takes its value: null, false or absent.
    pub fn touch(&mut self, now: Timestamp) {
        let expires = match (self.max_age_millis(), self.0.raw("originalMaxAge")) {
            (Some(millis), _) => {
                let expires = Timestamp::from_millis(now.as_millis().saturating_add(millis));
                text(&date::to_iso(expires))
            }
            (None, Some(raw)) if raw.get() == "false" => RawValue::FALSE.to_owned(),
            (None, Some(_)) => RawValue::NULL.to_owned(),
            (None, None) => {
                self.0.remove("expires");
                return;
            }
        };
        self.put("expires", expires);
    }

    /// The `Set-Cookie` header for a [signed](crate::express::Secrets::sign) value, as express-session writes it,
    /// with the date of the last [`touch`](Cookie::touch).
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the name or an attribute cannot stand in a
    /// header, or is none that browsers know.
    pub fn render(&self, name: &str, value: &str) -> Result<String> {
        check_name(name)?;
        let mut header = format!("{name}={}", header::encode(value));
        let mut attribute = |attribute: &str| header.push_str(attribute);
        if let Some(domain) =
            self.text("domain", |byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))?
        {
            attribute("; Domain=");
            attribute(&domain);
        }
        if let Some(path) = self.text("path", |byte| matches!(byte, b' '..=b':' | b'='..=b'~'))? {
            attribute("; Path=");
            attribute(&path);
        }
        if let Some(expires) = self.expires() {
            attribute("; Expires=");
            attribute(&date::to_http(expires));
        }
        for (name, text) in
            [("httpOnly", "; HttpOnly"), ("secure", "; Secure"), ("partitioned", "; Partitioned")]
        {
            if self.is_set(name) {
                attribute(text);
            }
        }
        if let Some(priority) = self.text("priority", |byte| byte.is_ascii_alphabetic())? {
            attribute(match priority.to_ascii_lowercase().as_str() {
                "low" => "; Priority=Low",
                "medium" => "; Priority=Medium",
                "high" => "; Priority=High",
                _ => return Err(unfit("priority")),
            });
        }
        if self.0.read::<bool>("sameSite") == Some(true) {
            attribute("; SameSite=Strict");
        } else if let Some(same_site) = self.text("sameSite", |byte| byte.is_ascii_alphabetic())? {
            attribute(match same_site.to_ascii_lowercase().as_str() {
                "strict" => "; SameSite=Strict",
                "lax" => "; SameSite=Lax",
                "none" => "; SameSite=None",
                _ => return Err(unfit("sameSite")),
            });
        }
        Ok(header)
    }

    /// Refuses what cannot stand in a header, and what browsers drop.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        self.render(name, "")?;
        let mut cookie = web::Cookie::new(name)
            .with_secure(self.is_set("secure"))
            .with_partitioned(self.is_set("partitioned"));
        if let Some(domain) = self.text("domain", |_| true)? {
            cookie = cookie.with_domain(domain);
        }
        if let Some(path) = self.text("path", |_| true)? {
            cookie = cookie.with_path(path);
        }
        if self.0.read::<String>("sameSite").is_some_and(|text| text.eq_ignore_ascii_case("none")) {
            cookie = cookie.with_same_site(SameSite::None);
        }
        cookie.check()
    }

    /// A member's text, if it has one that is not empty.
    fn text(&self, name: &str, allowed: impl Fn(u8) -> bool) -> Result<Option<String>> {
        if !self.is_set(name) {
            return Ok(None);
        }
        let text = self.0.read::<String>(name).filter(|text| text.bytes().all(allowed));
        text.map(Some).ok_or_else(|| unfit(name))
    }

    /// Whether JavaScript takes the member for true.
    fn is_set(&self, name: &str) -> bool {
        self.0.raw(name).is_some_and(|raw| !matches!(raw.get(), "null" | "false" | "\"\"" | "0"))
    }

    fn set<V: Serialize + ?Sized>(mut self, name: &str, value: &V) -> Cookie {
        // Texts, numbers and truth values always have a JSON form.
        self.put(name, to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()));
        self
    }

    fn put(&mut self, name: &str, raw: Box<RawValue>) {
        // What express does not know has no place of its own, and comes last.
        let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
        self.0.put_before(name, raw, |other| place(other) > place(name));
    }
}

impl Priority {
    fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
        }
    }
}

fn unfit(name: &str) -> Error {
    Error::invalid_input(format!("the cookie's `{name}` cannot stand in a header; set another"))
}

fn text(text: &str) -> Box<RawValue> {
    to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_328_241_308);

    fn read(json: &str) -> Cookie {
        serde_json::from_str(json).unwrap()
    }

    fn written(cookie: &Cookie) -> String {
        serde_json::to_string(cookie).unwrap()
    }

    #[test]
    fn members_come_in_express_s_order_whatever_the_order_of_the_calls() {
        let mut cookie = Cookie::default()
            .with_same_site(SameSite::Strict)
            .with_domain("ex.test")
            .with_path("/app")
            .with_secure(true)
            .with_http_only(false)
            .with_partitioned(true)
            .with_priority(Priority::Low)
            .with_max_age(Some(Duration::from_millis(1000)));
        cookie.touch(Timestamp::from_millis(1_795_324_641_332));
        assert_eq!(
            written(&cookie),
            r#"{"originalMaxAge":1000,"partitioned":true,"priority":"low","expires":"2026-11-22T05:17:22.332Z","secure":true,"httpOnly":false,"domain":"ex.test","path":"/app","sameSite":"strict"}"#
        );
    }

    #[test]
    fn what_nobody_knows_stays_in_its_place() {
        let json =
            r#"{"zebra":[1e400,"\ud800"],"path":"/","expires":null,"originalMaxAge":5,"foo":{"b":1,"a":2}}"#;
        let mut cookie = read(json);
        assert_eq!(written(&cookie), json);
        cookie.touch(NOW);
        assert_eq!(
            written(&cookie),
            json.replace(r#""expires":null"#, r#""expires":"2026-11-22T06:17:21.313Z""#)
        );
    }

    #[test]
    fn the_date_takes_every_form_of_the_original_max_age() {
        for (before, after) in [
            (r#"{"originalMaxAge":0}"#, r#"{"originalMaxAge":0,"expires":"2026-11-22T06:17:21.308Z"}"#),
            (
                r#"{"originalMaxAge":1.5e3}"#,
                r#"{"originalMaxAge":1.5e3,"expires":"2026-11-22T06:17:22.808Z"}"#,
            ),
            (
                r#"{"originalMaxAge":-5,"expires":null}"#,
                r#"{"originalMaxAge":-5,"expires":"2026-11-22T06:17:21.303Z"}"#,
            ),
            (r#"{"originalMaxAge":null,"expires":"x"}"#, r#"{"originalMaxAge":null,"expires":null}"#),
            (r#"{"originalMaxAge":false,"expires":"x"}"#, r#"{"originalMaxAge":false,"expires":false}"#),
            (r#"{"originalMaxAge":"soon"}"#, r#"{"originalMaxAge":"soon","expires":null}"#),
            (r#"{"expires":null,"path":"/"}"#, r#"{"path":"/"}"#),
        ] {
            let mut cookie = read(before);
            cookie.touch(NOW);
            assert_eq!(written(&cookie), after);
        }
    }

    #[test]
    fn a_max_age_that_cannot_be_counted_is_an_end_of_time() {
        for (max_age, millis) in
            [("1e300", i64::MAX), ("9223372036854775807", i64::MAX), ("-1e300", 0), ("-1", 0)]
        {
            let cookie = read(&format!(r#"{{"originalMaxAge":{max_age}}}"#));
            assert_eq!(cookie.max_age().unwrap().as_millis(), u128::try_from(millis).unwrap(), "{max_age}");
        }
        let mut cookie = Cookie::default().with_max_age(Some(Duration::MAX));
        cookie.touch(NOW);
        assert_eq!(cookie.expires().map(date::to_iso).as_deref(), Some("+202026-11-22T06:17:21.308Z"));
        assert!(cookie.render("sid", "x").unwrap().contains("; Expires=Thu, 30 Dec 9999"));
    }

    #[test]
    fn headers_are_express_s() {
        let mut cookie = read(
            r#"{"originalMaxAge":1000,"partitioned":true,"priority":"low","expires":null,"secure":true,"httpOnly":false,"domain":"ex.test","path":"/app","sameSite":"strict"}"#,
        );
        cookie.touch(Timestamp::from_millis(1_795_324_641_332));
        assert_eq!(
            cookie.render("connect.sid", "s:a.b/c+d").unwrap(),
            "connect.sid=s%3Aa.b%2Fc%2Bd; Domain=ex.test; Path=/app; Expires=Sun, 22 Nov 2026 05:17:22 GMT; Secure; \
             Partitioned; Priority=Low; SameSite=Strict"
        );
        assert_eq!(Cookie::default().render("sid", "v").unwrap(), "sid=v; Path=/; HttpOnly");
        assert_eq!(
            read(r#"{"sameSite":true,"path":""}"#).render("sid", "v").unwrap(),
            "sid=v; SameSite=Strict"
        );
        assert_eq!(
            read(r#"{"sameSite":"LAX","expires":false}"#).render("sid", "v").unwrap(),
            "sid=v; SameSite=Lax"
        );
        assert_eq!(read(r#"{"sameSite":false,"expires":"garbage"}"#).render("sid", "v").unwrap(), "sid=v");
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_header() {
        for json in [
            r#"{"path":"/; Domain=evil.test"}"#,
            r#"{"path":"/\r\nX: y"}"#,
            r#"{"path":5}"#,
            r#"{"domain":"ex.test; Secure"}"#,
            r#"{"domain":"\u00e9.test"}"#,
            r#"{"priority":"urgent"}"#,
            r#"{"sameSite":"sometimes"}"#,
            r#"{"sameSite":{}}"#,
        ] {
            assert!(read(json).render("sid", "v").is_err(), "{json}");
        }
        for name in ["", "a b", "a=b", "a;b", "\u{e9}", "a\n"] {
            assert!(Cookie::default().render(name, "v").is_err(), "{name:?}");
        }
        assert_eq!(
            Cookie::default().render("sid", "a; b\r\n").unwrap(),
            "sid=a%3B%20b%0D%0A; Path=/; HttpOnly"
        );
    }
}
