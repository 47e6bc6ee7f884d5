//! What caches on the way are told about an answer.

use http::{HeaderMap, HeaderValue, header};

/// Keeps a shared cache from handing one visitor's answer, or cookie, to another.
///
/// An answer that sets a cookie is private, whatever the handler said of it. One whose handler asked for the session is
/// private unless the handler said otherwise, and it varies with the cookie.
pub(super) fn guard(headers: &mut HeaderMap, asked: bool, sets_cookie: bool) {
    if !asked && !sets_cookie {
        return;
    }
    vary_with_cookie(headers);
    if sets_cookie {
        make_private(headers);
    } else if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

fn vary_with_cookie(headers: &mut HeaderMap) {
    let varies = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case("cookie"))
    });
    if !varies {
        headers.append(header::VARY, HeaderValue::from_static("Cookie"));
    }
}

fn make_private(headers: &mut HeaderMap) {
    let said: Vec<&str> = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let is = |directive: &str, name: &str| directive.eq_ignore_ascii_case(name);
    if said.iter().any(|directive| is(directive, "private") || is(directive, "no-store")) {
        return;
    }
    // What lists names in quotes was cut to pieces above.
    let value = if said.iter().any(|directive| directive.contains('"')) {
        "private, no-cache".to_owned()
    } else {
        let for_everybody =
            |directive: &str| is(directive.split('=').next().unwrap_or_default().trim(), "s-maxage");
        let kept = said.into_iter().filter(|directive| !is(directive, "public") && !for_everybody(directive));
        std::iter::once("private")
            .chain(kept.filter(|directive| !directive.is_empty()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(header::CACHE_CONTROL, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(cache_control: &[&str], vary: &[&str], asked: bool, sets_cookie: bool) -> (String, String) {
        let mut headers = HeaderMap::new();
        for value in cache_control {
            headers.append(header::CACHE_CONTROL, value.parse().unwrap());
        }
        for value in vary {
            headers.append(header::VARY, value.parse().unwrap());
        }
        guard(&mut headers, asked, sets_cookie);
        let all = |name| {
            let values: Vec<&str> =
                headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            values.join(" | ")
        };
        (all(header::CACHE_CONTROL), all(header::VARY))
    }

    #[test]
    fn an_answer_without_a_session_stays_as_it_is() {
        assert_eq!(guarded(&["public"], &[], false, false), ("public".into(), String::new()));
    }

    #[test]
    fn an_answer_that_sets_a_cookie_is_private() {
        for (said, private) in [
            (&[][..], "private"),
            (&["public, max-age=60, s-maxage=600"], "private, max-age=60"),
            (&["max-age=60", "S-MaxAge=600, Public"], "private, max-age=60"),
            (&["no-store"], "no-store"),
            (&["Private, max-age=60"], "Private, max-age=60"),
            (&["no-cache=\"set-cookie, x\", public"], "private, no-cache"),
        ] {
            assert_eq!(guarded(said, &[], false, true).0, private);
        }
    }

    #[test]
    fn an_answer_that_looked_at_the_session_varies_with_the_cookie() {
        assert_eq!(guarded(&[], &[], true, false), ("private".into(), "Cookie".into()));
        assert_eq!(
            guarded(&["max-age=60"], &["Accept"], true, false),
            ("max-age=60".into(), "Accept | Cookie".into())
        );
        assert_eq!(guarded(&[], &["accept, cookie"], true, false).1, "accept, cookie");
        assert_eq!(guarded(&[], &["*"], true, true).1, "*");
    }
}
