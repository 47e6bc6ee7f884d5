//! What people see: colour only where it can be seen, one look for all commands.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

/// Whether standard output is a terminal that may be given colours and lines that are overwritten.
pub(crate) fn is_interactive() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stdout().is_terminal() && !dumb && std::env::var_os("CI").is_none()
    })
}

fn has_colour() -> bool {
    is_interactive() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A way to make text stand out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

/// The text in that paint, or as it is where there is no colour.
pub(crate) fn paint(paint: Paint, text: &str) -> String {
    if !has_colour() {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Bold => "1",
        Paint::Dim => "2",
        Paint::Red => "31",
        Paint::Green => "32",
        Paint::Yellow => "33",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A step that begins.
pub(crate) fn step(text: &str) {
    say(&paint(Paint::Bold, text));
}

/// A command line that is executed.
pub(crate) fn command(text: &str) {
    say(&paint(Paint::Dim, &format!("  $ {text}")));
}

/// A detail of the step under way.
pub(crate) fn detail(text: &str) {
    say(&format!("  {text}"));
}

/// Why the whole command failed.
pub(crate) fn failure(text: &str) {
    let _ = io::stdout().flush();
    eprintln!("{} {text}", paint(Paint::Red, "error:"));
}

/// A line on standard output. A reader that has gone away is no reason to stop before everything is cleaned up.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
