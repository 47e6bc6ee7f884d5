//! The forms in which a secret may stand in a text or a file: itself, and what loggers, client libraries and databases
//! make of bytes.

/// How many bytes around what was found are shown.
const AROUND: usize = 60;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A secret as it would stand somewhere, and the name of that form.
type Needle = (&'static str, Vec<u8>);

/// The first of these texts that stands in the bytes, in one of the encodings that databases use for text. A dump may
/// have hundreds of megabytes: they are read once.
pub(crate) fn find_stored<'a>(haystack: &[u8], texts: &'a [String]) -> Option<&'a String> {
    let mut needles = Vec::new();
    for text in texts {
        needles.extend(stored(text).into_iter().map(|(_, needle)| (needle, text)));
    }
    let mut begins = [false; 256];
    for (needle, _) in &needles {
        if let Some(first) = needle.first() {
            begins[usize::from(*first)] = true;
        }
    }
    for (at, byte) in haystack.iter().enumerate() {
        if begins[usize::from(*byte)] {
            let found = needles.iter().find(|(needle, _)| haystack[at..].starts_with(needle));
            if let Some((_, text)) = found {
                return Some(text);
            }
        }
    }
    None
}

/// Where one of these secrets is told, in whatever form: the form, and the text around.
pub(crate) fn find_told(text: &str, secrets: &[String]) -> Option<String> {
    // Lists of bytes are printed with and without blanks, on one line and on many.
    let joined: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    for secret in secrets {
        for (form, needle) in told(secret) {
            // A form that is no text stands in no text.
            let Ok(needle) = String::from_utf8(needle) else { continue };
            for place in [text, &joined] {
                if let Some(at) = place.find(&needle) {
                    let from = at.saturating_sub(AROUND);
                    let to = place.len().min(at + needle.len() + AROUND);
                    let around = String::from_utf8_lossy(&place.as_bytes()[from..to]);
                    return Some(format!("{form}, in …{around}…"));
                }
            }
        }
    }
    None
}

fn stored(text: &str) -> Vec<Needle> {
    vec![
        ("as text", text.as_bytes().to_vec()),
        ("as UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("in hexadecimal", each(text, "", |byte| format!("{byte:02x}"))),
        ("in hexadecimal", each(text, "", |byte| format!("{byte:02X}"))),
    ]
}

fn told(secret: &str) -> Vec<Needle> {
    let mut needles = stored(secret);
    needles.extend([
        ("as decimal bytes", each(secret, ",", |byte| byte.to_string())),
        ("as decimal bytes", each(secret, " ", |byte| byte.to_string())),
        ("as hexadecimal bytes", each(secret, ",", |byte| format!("0x{byte:02x}"))),
        ("as hexadecimal bytes", each(secret, ",", |byte| format!("0x{byte:02X}"))),
        ("as hexadecimal bytes", each(secret, ",", |byte| format!("{byte:02x}"))),
        ("as hexadecimal bytes", each(secret, ",", |byte| format!("{byte:02X}"))),
        ("as hexadecimal bytes", each(secret, ":", |byte| format!("{byte:02x}"))),
        ("in escapes", each(secret, "", |byte| format!("\\x{byte:02x}"))),
        ("in escapes", each(secret, "", |byte| format!("\\x{byte:02X}"))),
        ("in escapes", each(secret, "", |byte| format!("\\{byte:03o}"))),
        ("in escapes", each(secret, "", |byte| format!("%{byte:02X}"))),
        ("in escapes", each(secret, "", |byte| format!("%{byte:02x}"))),
        ("in escapes", each(secret, "", |byte| format!("&#{byte};"))),
        ("in escapes", secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>().into()),
        ("in escapes", secret.escape_unicode().to_string().into()),
        ("in escapes", secret.as_bytes().escape_ascii().to_string().into()),
        ("in escapes", secret.escape_debug().to_string().into()),
        ("in escapes", secret.escape_default().to_string().into()),
        // As it is in a JSON text in a JSON text.
        ("in escapes", secret.escape_debug().to_string().escape_debug().to_string().into()),
    ]);
    for alphabet in [STANDARD, URL_SAFE] {
        needles
            .extend((0..3).map(|before| ("in base64", base64_inside(secret.as_bytes(), before, alphabet))));
    }
    // What is so short that it stands anywhere tells nothing.
    needles.retain(|(_, needle)| needle.len() > 3);
    needles
}

fn each(text: &str, between: &str, form: impl Fn(u8) -> String) -> Vec<u8> {
    text.bytes().map(form).collect::<Vec<_>>().join(between).into_bytes()
}

/// The letters that are the same whatever stands around, if so many bytes stand before.
fn base64_inside(bytes: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |position: usize| {
        let byte = bytes[position / 8];
        usize::from(byte >> (7 - position % 8)) & 1
    };
    // A letter holds six bits.
    let first = (8 * before).div_ceil(6);
    let last = 8 * (before + bytes.len()) / 6;
    let letter = |number: usize| {
        let start = 6 * number - 8 * before;
        alphabet[(start..start + 6).fold(0, |value, position| 2 * value + bit(position))]
    };
    (first..last).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "pässword \"7f\"";

    fn is_found(text: &str) -> bool {
        find_told(text, &[SECRET.to_owned()]).is_some()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let bytes = SECRET.as_bytes();
        for text in [
            SECRET.to_owned(),
            format!("{SECRET:?}"),
            format!("{:?}", Some(format!("{{\"a\":{SECRET:?}}}"))),
            format!("{bytes:?}"),
            format!("{bytes:#?}"),
            format!("{bytes:x?} {bytes:02X?}"),
            bytes.escape_ascii().to_string(),
            bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
            bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
            SECRET.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        ] {
            assert!(is_found(&format!("before {text} after")), "{text}");
        }
        // From another program: what stands before the secret moves its letters.
        for text in ["cMOkc3N3b3JkICI3ZiI=", "YXDDpHNzd29yZCAiN2YiYg==", "YWFww6Rzc3dvcmQgIjdmImI="] {
            assert!(is_found(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        assert!(!is_found("password 7f, [112, 195, 164, 115, 115], cGFzc3dvcmQgIjdmIg=="));
        assert_eq!(find_stored(b"\x00pass", &["word".to_owned()]), None);
    }
}
