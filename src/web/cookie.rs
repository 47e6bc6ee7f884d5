//! The cookie that carries a session's id: its name and attributes, and what browsers make of them.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use session_core::{Error, Result, SessionId};

use super::format::{Format, Kept};

/// Browsers drop a cookie whose name and value together have more bytes.
const MOST_BYTES: usize = 4096;

/// Browsers pass over an attribute whose value has more bytes.
const MOST_ATTRIBUTE_BYTES: usize = 1024;

/// Browsers keep no cookie for longer.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

/// A request may carry several cookies of one name, of other paths and domains. So many are tried.
const TRIED: usize = 4;

/// The length of the ids that are drawn here.
const ID_LEN: usize = 43;

/// The cookie that carries a session's id. It is hidden from scripts (`HttpOnly`) in any case.
///
/// ```
/// # use session_store::web::{Cookie, SameSite};
/// let strict = Cookie::default().with_same_site(SameSite::Strict);
/// let for_all_hosts = Cookie::new("__Secure-shop").with_domain("shop.example");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a cookie does nothing until a layer has it"]
pub struct Cookie {
    name: String,
    domain: Option<String>,
    path: String,
    secure: bool,
    same_site: SameSite,
    partitioned: bool,
    ends_with_browser: bool,
}

/// Whether a browser sends the cookie along with requests that other sites make.
///
/// Exhaustive: browsers know no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never.
    Strict,
    /// With a top-level navigation only.
    Lax,
    /// Always; browsers then ask for `Secure`.
    None,
}

impl Default for Cookie {
    /// `__Host-session`, for this host alone and https alone: no other host, and nobody on the wire, can plant one.
    fn default() -> Cookie {
        Cookie::new("__Host-session")
    }
}

impl Cookie {
    /// A cookie of this name with every attribute at its default.
    ///
    /// A browser holds what begins with `__Host-` to `Secure`, to the path `/` and to no domain, and what begins with
    /// `__Secure-` to `Secure`.
    pub fn new(name: impl Into<String>) -> Cookie {
        Cookie {
            name: name.into(),
            domain: None,
            path: "/".to_owned(),
            secure: true,
            same_site: SameSite::Lax,
            partitioned: false,
            ends_with_browser: false,
        }
    }

    /// The domain whose hosts all get the cookie. Defaults to none: this host alone gets it.
    pub fn with_domain(mut self, domain: impl Into<String>) -> Cookie {
        self.domain = Some(domain.into());
        self
    }

    /// The path under which requests carry the cookie. Defaults to `/`.
    pub fn with_path(mut self, path: impl Into<String>) -> Cookie {
        self.path = path.into();
        self
    }

    /// Whether browsers send it over https only. Defaults to true.
    pub fn with_secure(mut self, secure: bool) -> Cookie {
        self.secure = secure;
        self
    }

    /// Whether it comes along with other sites' requests. Defaults to [`SameSite::Lax`].
    pub fn with_same_site(mut self, same_site: SameSite) -> Cookie {
        self.same_site = same_site;
        self
    }

    /// Whether it is kept apart for each site that embeds this one. Defaults to false.
    pub fn with_partitioned(mut self, partitioned: bool) -> Cookie {
        self.partitioned = partitioned;
        self
    }

    /// Whether it goes when the browser is closed, however long the session lives. Defaults to false: its `Max-Age` is
    /// what the session has left to live.
    pub fn with_end_of_browser(mut self, ends_with_browser: bool) -> Cookie {
        self.ends_with_browser = ends_with_browser;
        self
    }

    /// The same for `http://localhost`: not `Secure`, without what asks for that, and with a name that does not.
    pub fn insecure_for_development(mut self) -> Cookie {
        if let Some(prefix) = Prefix::of(&self.name) {
            self.name.drain(..prefix.text().len());
        }
        if self.same_site == SameSite::None {
            self.same_site = SameSite::Lax;
        }
        Cookie { secure: false, partitioned: false, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Refuses what browsers drop, or take for something else.
    pub(crate) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let Cookie { name, path, secure, .. } = self;
        let refuse = |message: String| Err(Error::invalid_input(message));
        let prefix = Prefix::of(name);
        if let Some(prefix) = prefix
            && !secure
        {
            return refuse(format!(
                "browsers drop the cookie {name:?} without `Secure`; use `with_secure(true)`, or for http://localhost \
                 `insecure_for_development`, which drops `{}` from the name",
                prefix.text()
            ));
        }
        if let Some(Prefix::Host | Prefix::HostHttp) = prefix
            && (self.domain.is_some() || path != "/")
        {
            return refuse(format!(
                "browsers drop the cookie {name:?} with a domain or with another path than \"/\"; leave both out, or \
                 give it a name that begins with \"__Secure-\""
            ));
        }
        if self.same_site == SameSite::None && !secure {
            return refuse(format!(
                "browsers drop the cookie {name:?} with `SameSite=None` and without `Secure`; use \
                 `with_secure(true)` or `SameSite::Lax`"
            ));
        }
        if self.partitioned && !secure {
            return refuse(format!(
                "browsers drop the cookie {name:?} with `Partitioned` and without `Secure`; use `with_secure(true)`"
            ));
        }
        if name.len() + ID_LEN > MOST_BYTES {
            return refuse(format!(
                "browsers drop cookies of over {MOST_BYTES} bytes; take a name of at most {}",
                MOST_BYTES - ID_LEN
            ));
        }
        if let Some(domain) = &self.domain {
            let host = domain.strip_prefix('.').unwrap_or(domain);
            let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
            if host.is_empty() || !is_host || host.len() > 253 {
                return refuse(format!(
                    "{domain:?} is no domain of a cookie; give a host's name in ASCII, such as \"shop.example\""
                ));
            }
        }
        let fits =
            path.starts_with('/') && path.bytes().all(|byte| matches!(byte, b' '..=b':' | b'<'..=b'~'));
        if !fits || path.len() > MOST_ATTRIBUTE_BYTES {
            return refuse(format!(
                "{path:?} is no path of a cookie; give one that begins with \"/\", in ASCII, without \";\" and with at \
                 most {MOST_ATTRIBUTE_BYTES} bytes"
            ));
        }
        Ok(())
    }

    /// The header that sets it to a value for so long.
    fn header(&self, value: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        let mut header = format!("{}={value}; Path={}; HttpOnly", self.name, self.path);
        if let Some(seconds) = max_age {
            header += &format!("; Max-Age={seconds}");
        }
        if let Some(domain) = &self.domain {
            header += "; Domain=";
            header += domain;
        }
        header += match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        };
        for (is_set, text) in [(self.secure, "; Secure"), (self.partitioned, "; Partitioned")] {
            header += if is_set { text } else { "" };
        }
        // `check` saw to the characters of every part.
        HeaderValue::try_from(header).ok()
    }
}

impl<T: 'static> Format<T> for Cookie {
    /// What cannot be an id of ours costs no look-up.
    fn read(&self, headers: &HeaderMap) -> Vec<SessionId> {
        let is_id = |value: &&str| {
            value.len() == ID_LEN
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let mut ids: Vec<SessionId> = Vec::new();
        for value in values(headers, &self.name).filter(is_id) {
            if let Ok(id) = SessionId::new(value)
                && !ids.contains(&id)
            {
                ids.push(id);
            }
            if ids.len() == TRIED {
                break;
            }
        }
        ids
    }

    fn write(&self, kept: &Kept<'_, T>) -> Result<Option<HeaderValue>> {
        if !kept.is_new && !kept.is_moved {
            return Ok(None);
        }
        let left = kept.session.expires_at().saturating_since(kept.now).min(LONGEST);
        // A browser counts whole seconds. It may keep the cookie for a part of one longer than the session lives.
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Ok(self.header(kept.session.id().expose(), (!self.ends_with_browser).then_some(seconds)))
    }

    fn remove(&self) -> Option<HeaderValue> {
        self.header("", Some(0))
    }
}

/// What a browser holds a cookie to by its name.
#[derive(Clone, Copy)]
enum Prefix {
    HostHttp,
    Host,
    Http,
    Secure,
}

impl Prefix {
    fn of(name: &str) -> Option<Prefix> {
        // Browsers do not look at the case.
        let begins = |prefix: &Prefix| {
            let text = prefix.text();
            name.get(..text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(text))
        };
        [Prefix::HostHttp, Prefix::Host, Prefix::Http, Prefix::Secure].into_iter().find(begins)
    }

    fn text(self) -> &'static str {
        match self {
            Prefix::HostHttp => "__Host-Http-",
            Prefix::Host => "__Host-",
            Prefix::Http => "__Http-",
            Prefix::Secure => "__Secure-",
        }
    }
}

/// The values of all cookies of this name, in the order in which the browser sent them.
fn values<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        let value = value.trim();
        (key.trim() == name)
            .then(|| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}

/// Refuses a name that is not a token of RFC 9110.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Error::invalid_input(format!(
            "{name:?} cannot name a cookie; use letters, digits, dots, dashes and underscores"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn what_browsers_drop_is_refused_with_what_to_write() {
        for (cookie, hint) in [
            (Cookie::default().with_secure(false), "insecure_for_development"),
            (Cookie::new("__HOST-x").with_secure(false), "insecure_for_development"),
            (Cookie::default().with_domain("shop.example"), "__Secure-"),
            (Cookie::default().with_path("/shop"), "__Secure-"),
            (Cookie::new("__Host-Http-x").with_path("/shop"), "__Secure-"),
            (Cookie::new("__Secure-x").with_secure(false), "with_secure(true)"),
            (Cookie::new("__http-x").with_secure(false), "with_secure(true)"),
            (Cookie::new("x").with_secure(false).with_same_site(SameSite::None), "SameSite::Lax"),
            (Cookie::new("x").with_secure(false).with_partitioned(true), "with_secure(true)"),
            (Cookie::new(""), "use letters"),
            (Cookie::new("a b"), "use letters"),
            (Cookie::new("a=b"), "use letters"),
            (Cookie::new("a;b"), "use letters"),
            (Cookie::new("é"), "use letters"),
            (Cookie::new("x".repeat(4054)), "at most 4053"),
            (Cookie::new("x").with_domain(""), "a host's name"),
            (Cookie::new("x").with_domain("shop.example; Secure"), "a host's name"),
            (Cookie::new("x").with_domain("x".repeat(254)), "a host's name"),
            (Cookie::new("x").with_path("shop"), "begins with"),
            (Cookie::new("x").with_path("/;"), "begins with"),
            (Cookie::new("x").with_path("/\r\n"), "begins with"),
            (Cookie::new("x").with_path(format!("/{}", "x".repeat(1024))), "at most 1024"),
        ] {
            let error = cookie.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    #[test]
    fn what_browsers_take_is_allowed() {
        for cookie in [
            Cookie::default(),
            Cookie::default().with_same_site(SameSite::None).with_partitioned(true),
            Cookie::new("__Secure-x").with_domain(".shop.example").with_path("/shop"),
            Cookie::new("x").with_secure(false),
            Cookie::new("x".repeat(4053)),
            Cookie::default().insecure_for_development(),
            Cookie::default()
                .with_same_site(SameSite::None)
                .with_partitioned(true)
                .insecure_for_development(),
        ] {
            cookie.check().unwrap();
        }
    }

    #[test]
    fn for_development_the_name_loses_what_asks_for_https() {
        for (name, plain) in
            [("__Host-session", "session"), ("__secure-x", "x"), ("__Host-Http-x", "x"), ("plain", "plain")]
        {
            assert_eq!(Cookie::new(name).insecure_for_development().name(), plain);
        }
    }

    #[test]
    fn a_header_says_every_attribute() {
        let header = |cookie: &Cookie| cookie.header("v", Some(9)).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            header(&Cookie::default()),
            "__Host-session=v; Path=/; HttpOnly; Max-Age=9; SameSite=Lax; Secure"
        );
        let cookie = Cookie::new("__Secure-x")
            .with_domain("ex.test")
            .with_path("/a b")
            .with_same_site(SameSite::None)
            .with_partitioned(true);
        assert_eq!(
            header(&cookie),
            "__Secure-x=v; Path=/a b; HttpOnly; Max-Age=9; Domain=ex.test; SameSite=None; Secure; Partitioned"
        );
    }

    #[test]
    fn only_what_can_be_an_id_is_tried_and_a_few_of_them() {
        let id = |letter: char| letter.to_string().repeat(ID_LEN);
        let read = |lines: &[String]| -> Vec<String> {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            let ids = Format::<()>::read(&Cookie::new("s"), &headers);
            ids.iter().map(|id| id.expose().to_owned()).collect()
        };
        let (a, b) = (id('a'), id('b'));
        assert_eq!(read(&[format!("s={a}; x=1;s=\"{b}\" ; s={a}")]), [a.clone(), b.clone()]);
        assert_eq!(read(&[format!("x=1; S={a}; s={}; s; s=; s={}!; xs={a}", &a[1..], &a[1..])]), [""; 0]);
        assert_eq!(read(&[format!("s={a}"), format!("y=1; s={b}")]), [a.clone(), b.clone()]);
        let many: Vec<String> = "abcdefgh".chars().map(|letter| format!("s={}", id(letter))).collect();
        assert_eq!(read(&many).len(), TRIED);
    }
}
