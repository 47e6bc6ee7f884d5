//! Commands as a person would type them.

use std::ffi::OsStr;
use std::process::Command;

/// The command line as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    // The crate shlex also quotes `--name=value`, which nobody would type so.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%^".contains(c);
    let is_plain = !word.is_empty() && word.chars().all(plain);
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The command that runs the same again: the words of this one. URLs hold passwords and are left out.
pub(crate) fn own_line(words: impl Iterator<Item = String>) -> String {
    let mut line = "cargo xtask".to_owned();
    let mut is_secret = false;
    for word in words {
        if !is_secret && !word.starts_with("--url") {
            line.extend([" ", &quoted(&word)]);
        }
        is_secret = word == "--url";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_line_can_be_pasted_into_a_shell_and_holds_no_url() {
        let words =
            ["bench", "--url", "postgres=postgres://me:secret@host/db", "--url=mysql=b", "--filter", "it's"];
        let line = own_line(words.into_iter().map(str::to_owned));
        assert_eq!(line, r"cargo xtask bench --filter 'it'\''s'");
    }
}
