//! The parameters of a URL, and the codes in it.

use std::fmt::Write as _;

/// Takes a parameter out of a URL's query, and decodes it.
pub fn take_parameter(url: &mut String, name: &str) -> Option<String> {
    let (base, query) = url.split_once('?')?;
    let is_it = |parameter: &&str| parameter.split_once('=').is_some_and(|(key, _)| key == name);
    let value = query.split('&').find(is_it)?.split_once('=')?.1;
    // What is no code stands for itself.
    let value = percent_decoded(value).unwrap_or_else(|| value.to_owned());
    let rest: Vec<&str> = query.split('&').filter(|parameter| !is_it(parameter)).collect();
    *url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Some(value)
}

/// True if a URL's query has a parameter of this name.
pub fn has_parameter(url: &str, name: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|parameter| parameter.split('=').next() == Some(name))
}

/// A part of a URL, with a character in the place of each code such as `%40`. `None` if a `%` begins no code of two
/// hexadecimal digits, or that of U+0000, or if the codes are not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?;
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The same the other way: all but letters and digits of ASCII as codes.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

/// The known name that an unknown one is a slip of: two letters apart at most.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let unknown: Vec<char> = unknown.chars().flat_map(char::to_lowercase).take(40).collect();
    let distance = |name: &str| {
        // Levenshtein's, one row at a time.
        let mut row: Vec<usize> = (0..=unknown.len()).collect();
        for (line, letter) in name.chars().flat_map(char::to_lowercase).enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], line + 1);
            for place in 0..unknown.len() {
                let changed = diagonal + usize::from(unknown[place] != letter);
                diagonal = row[place + 1];
                row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
            }
        }
        row[unknown.len()]
    };
    let (apart, name) = known.map(|name| (distance(name), name)).min()?;
    (apart <= 2 && apart * 2 < name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_taken_out_and_the_rest_stays() {
        let mut url =
            "postgresql://u:p@a,b/d?ca=%2Fetc%2Fca%20x.pem&target_session_attrs=read-write".to_owned();
        assert_eq!(take_parameter(&mut url, "ca").as_deref(), Some("/etc/ca x.pem"));
        assert_eq!(url, "postgresql://u:p@a,b/d?target_session_attrs=read-write");
        assert_eq!(take_parameter(&mut url, "session"), None);
        assert_eq!(take_parameter(&mut url, "target_session_attrs").as_deref(), Some("read-write"));
        assert_eq!(url, "postgresql://u:p@a,b/d");
    }

    #[test]
    fn a_parameter_is_seen_in_the_query_alone() {
        let url = "mysql://u:tcp_keepalive=1@h/d?prefer_socket=true&x";
        assert!(has_parameter(url, "prefer_socket") && has_parameter(url, "x"));
        assert!(!has_parameter(url, "tcp_keepalive") && !has_parameter("mysql://h/x", "x"));
    }

    #[test]
    fn a_slip_is_told_from_another_word() {
        let nearest = |unknown| nearest(unknown, ["sslmode", "host", "user"].into_iter());
        for (unknown, meant) in [
            ("ssl_mode", Some("sslmode")),
            ("SSLMODE", Some("sslmode")),
            ("hots", None),
            ("hosts", Some("host")),
            ("hunter2", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown), meant, "{unknown}");
        }
    }

    #[test]
    fn what_is_no_code_is_not_decoded() {
        assert_eq!(percent_decoded("a%20%c3%A9%25").as_deref(), Some("a é%"));
        assert_eq!(percent_encoded("a é%+&"), "a%20%C3%A9%25%2B%26");
        assert_eq!(percent_decoded(&percent_encoded("a é%+&")).as_deref(), Some("a é%+&"));
        for wrong in ["%", "%4", "%zz", "%+4", "%00", "%ff", "%é"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }
}
