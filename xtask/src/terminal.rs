//! What people see: one look for all commands, colour only where it can be seen.

use std::fmt::Display;
use std::io::{self, Write};

use console::style;

/// Whether standard output is a terminal on which lines may be overwritten.
pub(crate) fn is_interactive() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    console::user_attended() && !dumb && std::env::var_os("CI").is_none()
}

/// A step that begins.
pub(crate) fn step(text: impl Display) {
    say(style(text).bold());
}

/// A command line that is executed.
pub(crate) fn command(text: &str) {
    say(style(format!("  $ {text}")).dim());
}

/// A detail of the step under way.
pub(crate) fn detail(text: impl Display) {
    say(format_args!("  {text}"));
}

/// Why the whole command failed.
pub(crate) fn failure(text: &str) {
    let _ = io::stdout().flush();
    eprintln!("{} {text}", style("error:").red().for_stderr());
}

/// A line on standard output. A reader that has gone away is no reason to stop before everything is cleaned up.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
