//! The pages.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// One signed-in browser, as the list shows it.
pub(crate) struct Device {
    pub(crate) is_here: bool,
    pub(crate) browser: String,
    pub(crate) created: Option<Duration>,
    pub(crate) seen: Duration,
    pub(crate) expires: Duration,
}

pub(crate) fn sign_in() -> Markup {
    frame(
        "Sign in",
        &html! {
            section.card.narrow {
                h1 { "Welcome" }
                p.quiet { "Any name will do. Sign in from two browsers with the same name to see both." }
                form method="post" action="/sign-in" {
                    label for="name" { "Your name" }
                    input #name name="name" required maxlength="40" autocomplete="username" autofocus;
                    button.primary type="submit" { "Sign in" }
                }
            }
        },
    )
}

pub(crate) fn home(user: &str, count: u64, devices: &[Device], backend: &str) -> Markup {
    let others = devices.iter().filter(|device| !device.is_here).count();
    frame(
        "Your sessions",
        &html! {
            header.top {
                div {
                    h1 { "Hello, " span #user { (user) } }
                    p.quiet { "Signed in. Your session is kept in " strong { (backend) } "." }
                }
                (action("/sign-out", "sign-out", "Sign out", "plain"))
            }
            section.card.counter {
                div {
                    h2 { "Counter" }
                    p.quiet { "Kept in this session. Parallel increments never lose one." }
                }
                output #count { (count) }
                div.actions {
                    (action("/count", "increment", "+ 1", "primary"))
                    (action("/count-in-parallel", "increment-in-parallel", "+ 20 in parallel", "plain"))
                }
            }
            section.card {
                h2 { "Where you are signed in" }
                ul #devices {
                    @for device in devices { (row(device)) }
                }
                div.actions {
                    @if others > 0 {
                        (action("/sign-out-elsewhere", "sign-out-elsewhere", "Sign out everywhere else", "plain"))
                    }
                    (action("/sign-out-everywhere", "sign-out-everywhere", "Sign out everywhere", "danger"))
                }
            }
        },
    )
}

pub(crate) fn failure() -> Markup {
    frame(
        "Not now",
        &html! {
            section.card.narrow {
                h1 { "Not now" }
                p { "The sessions cannot be reached at the moment. Nothing of yours is lost." }
                p { a href="/" { "Try again" } }
            }
        },
    )
}

fn row(device: &Device) -> Markup {
    html! {
        li.device.here[device.is_here] {
            span.name {
                (device.browser)
                @if device.is_here { span.badge { "this device" } }
            }
            span.quiet {
                @if let Some(created) = device.created { "signed in " (ago(created)) " · " }
                "last seen " (ago(device.seen)) " · expires in " (span(device.expires))
            }
        }
    }
}

fn action(path: &str, id: &str, label: &str, style: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            button #(id) class=(style) type="submit" { (label) }
        }
    }
}

fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · session-store" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (content) }
                footer.quiet { "session-store: ids hashed at rest, no lost update, logout wins" }
            }
        }
    }
}

fn ago(past: Duration) -> String {
    if past < Duration::from_secs(10) { "just now".to_owned() } else { format!("{} ago", span(past)) }
}

/// The span in the largest unit that it fills, rounded.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, name) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let number = (seconds + size / 2) / size;
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_largest_unit() {
        let told: Vec<String> =
            [0, 1, 59, 60, 7_199, 86_400, 604_799].map(|seconds| span(Duration::from_secs(seconds))).into();
        assert_eq!(told, ["0 seconds", "1 second", "59 seconds", "1 minute", "2 hours", "1 day", "7 days"]);
    }

    #[test]
    fn a_hostile_name_is_escaped() {
        let page = home("<script>alert(1)</script>", 0, &[], "sqlite").into_string();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }
}
