//! The pages.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the page shows.
pub(crate) struct Home<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) tabs: [u64; 2],
    /// The place of this tab among them.
    pub(crate) tab: usize,
    pub(crate) devices: Vec<Device>,
    pub(crate) backend: &'static str,
}

/// One signed-in browser, as the list shows it.
pub(crate) struct Device {
    pub(crate) token: String,
    pub(crate) is_here: bool,
    pub(crate) browser: String,
    pub(crate) created: Option<Duration>,
    pub(crate) expires: Duration,
}

pub(crate) fn home(home: &Home<'_>) -> Markup {
    let title = if home.user.is_some() { "Your sessions" } else { "Sign in" };
    frame(
        title,
        &html! {
            (top(home))
            p #told.card.told role="status" hidden {}
            @if home.user.is_none() { (sign_in()) }
            (tabs(home))
            @if home.user.is_some() { (devices(&home.devices)) }
        },
    )
}

fn top(home: &Home<'_>) -> Markup {
    html! {
        header.top {
            div {
                @if let Some(user) = home.user {
                    h1 { "Hello, " span #user { (user) } }
                    p.quiet { "Signed in. Your session is kept in " strong { (home.backend) } "." }
                } @else {
                    h1 { "Welcome" }
                    p.quiet { "A visitor has no row and no cookie until something is written." }
                }
            }
            @if home.user.is_some() { (action("/sign-out", "sign-out", "Sign out", "plain")) }
        }
    }
}

fn sign_in() -> Markup {
    html! {
        section.card {
            h2 { "Sign in" }
            p.quiet {
                "Any name will do. What you counted stays, and the id changes in the same step: "
                "requests that are under way with the old one sign nobody out."
            }
            form.sign-in method="post" action="/sign-in" {
                label for="name" { "Your name" }
                input #name name="name" required maxlength="40" autocomplete="username";
                div.actions {
                    button #sign-in.primary type="submit" { "Sign in" }
                    button #sign-in-among-others.plain type="button" hidden {
                        "Sign in among 8 other requests"
                    }
                }
            }
        }
    }
}

fn tabs(home: &Home<'_>) -> Markup {
    let (this, other) = (home.tab + 1, 2 - home.tab);
    let address = if other == 2 { "/?tab=2" } else { "/" };
    html! {
        section #tabs.card data-tab=(this) {
            h2 { "One session, two tabs" }
            p.quiet { "Each tab changes its own part of the same session. However many requests cross, none is lost." }
            div.counters {
                @for (index, count) in home.tabs.iter().enumerate() {
                    div.counter.here[index == home.tab] {
                        span { "Tab " (index + 1) @if index == home.tab { span.badge { "this tab" } } }
                        output id={ "count-" (index + 1) } { (count) }
                    }
                }
            }
            div.actions {
                form method="post" action="/count" {
                    input type="hidden" name="tab" value=(this);
                    button #count.primary type="submit" { "+ 1 in this tab" }
                }
                button #count-at-once.plain type="button" hidden { "+ 20 in both tabs at once" }
                a.plain.button href=(address) target="_blank" { "Open tab " (other) }
            }
        }
    }
}

fn devices(devices: &[Device]) -> Markup {
    let others = devices.iter().filter(|device| !device.is_here).count();
    html! {
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
    }
}

fn row(device: &Device) -> Markup {
    html! {
        li.device {
            div {
                span.name {
                    (device.browser)
                    @if device.is_here { span.badge { "this device" } }
                }
                span.quiet {
                    @if let Some(created) = device.created { "began " (ago(created)) " · " }
                    "ends in " (span(device.expires))
                }
            }
            @if !device.is_here {
                form method="post" action="/sign-out-device" {
                    input type="hidden" name="token" value=(device.token);
                    button.plain.sign-out-device type="submit" { "Sign out" }
                }
            }
        }
    }
}

/// The page for an error: the session is over, or the database is away.
pub(crate) fn failure(is_over: bool) -> Markup {
    let (title, text) = if is_over {
        ("Please look again", "Your session has ended or has been renewed meanwhile. Nothing was changed.")
    } else {
        ("Not now", "The sessions cannot be reached at the moment. Nothing of yours is lost.")
    };
    frame(
        title,
        &html! {
            section.card {
                h1 { (title) }
                p { (text) }
                p { a href="/" { "Load the page again" } }
            }
        },
    )
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
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (content) }
                footer.quiet { "session-store: ids hashed at rest, no lost update, logout wins" }
                script { (PreEscaped(SCRIPT)) }
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
        let name = "<img src=x onerror=alert(1)>";
        let shown = Home { user: Some(name), tabs: [0, 0], tab: 0, devices: Vec::new(), backend: "sqlite" };
        let page = home(&shown).into_string();
        assert!(page.contains("&lt;img src=x") && !page.contains("<img"));
    }
}
