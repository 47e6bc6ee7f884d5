//! Cookies in a request's header, read as the npm package `cookie` reads them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What JavaScript's `encodeURIComponent` leaves as it is, beside letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The value of the cookie `name` in a `Cookie` header.
///
/// If there are several, the first one counts. Quotes around the value are dropped, and percent-encoding is undone
/// where it is sound and gives UTF-8; otherwise the value is returned as it stands. A part that is not UTF-8 is passed
/// over and harms no other.
///
/// ```
/// use session_store::express::find_cookie;
///
/// let header = b"theme=dark; connect.sid=s%3Aid.signature";
/// assert_eq!(find_cookie(header, "connect.sid").as_deref(), Some("s:id.signature"));
/// ```
pub fn find_cookie<'h>(header: &'h [u8], name: &str) -> Option<Cow<'h, str>> {
    let value = header.split(|&byte| byte == b';').find_map(|pair| {
        let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        (key.trim_matches(BLANKS) == name).then(|| value.trim_matches(BLANKS))
    })?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    Some(decode(value))
}

/// The blanks that a header may have around a value.
const BLANKS: [char; 2] = [' ', '\t'];

/// JavaScript's `encodeURIComponent`.
pub(super) fn encode(value: &str) -> String {
    utf8_percent_encode(value, COMPONENT).to_string()
}

/// JavaScript's `decodeURIComponent`; the value itself where that throws.
fn decode(value: &str) -> Cow<'_, str> {
    let sound = value
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !sound {
        return Cow::Borrowed(value);
    }
    percent_decode_str(value).decode_utf8().unwrap_or(Cow::Borrowed(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str) -> Option<String> {
        find_cookie(header.as_bytes(), "sid").map(Cow::into_owned)
    }

    #[test]
    fn the_first_cookie_of_the_name_counts() {
        assert_eq!(find("a=1; sid=one; sid=two").unwrap(), "one");
        assert_eq!(find("sid=").unwrap(), "");
        assert_eq!(find("\tsid \t= one \t;").unwrap(), "one");
        assert_eq!(find("sid=a=b").unwrap(), "a=b");
        assert_eq!(find("xsid=1; Sid=2; sidx=3; sid"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn quotes_around_a_value_are_dropped() {
        assert_eq!(find("sid=\"one\"").unwrap(), "one");
        assert_eq!(find("sid=\"").unwrap(), "\"");
        assert_eq!(find("sid=\"one").unwrap(), "\"one");
    }

    #[test]
    fn percent_encoding_is_undone_where_it_is_sound() {
        assert_eq!(find("sid=s%3Aa%2fb%2Bc+d").unwrap(), "s:a/b+c+d");
        assert_eq!(find("sid=s:a/b+c").unwrap(), "s:a/b+c");
        for broken in ["%", "%4", "%zz", "a%41%", "%ff", "%c3", "%+1", "%é"] {
            assert_eq!(find(&format!("sid={broken}")).unwrap(), broken);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_harm_no_other_cookie() {
        assert_eq!(find_cookie(b"a=\xff; sid=one", "sid").unwrap(), "one");
        assert_eq!(find_cookie(b"sid=\xff", "sid"), None);
    }

    #[test]
    fn values_are_encoded_as_encode_uri_component_does() {
        assert_eq!(encode("!'()*~-_. \u{e9}/+:;,\""), "!'()*~-_.%20%C3%A9%2F%2B%3A%3B%2C%22");
    }
}
