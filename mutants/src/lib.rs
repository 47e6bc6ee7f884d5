//! What `cargo xtask mutants` asks of this package's program: options that both have.

use clap::Args;

/// Which faults are tried, and for how long.
#[derive(Args, Clone, Debug)]
pub struct Choice {
    /// Only the faults whose name or description contains TEXT
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// End with each backend after so many minutes; the next run goes on
    #[arg(long, value_name = "N")]
    pub minutes: Option<u64>,
    /// Show the faults, and try none
    #[arg(long)]
    pub list: bool,
    /// Try those again that an earlier run did not find
    #[arg(long)]
    pub again: bool,
}

impl Choice {
    /// The same as words of a command line.
    pub fn words(&self) -> Vec<String> {
        let only = self.only.iter().map(|text| format!("--only={text}"));
        let minutes = self.minutes.iter().map(|minutes| format!("--minutes={minutes}"));
        let flags = [(self.list, "--list"), (self.again, "--again")];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned());
        only.chain(minutes).chain(flags).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        choice: Choice,
    }

    #[test]
    fn a_choice_is_read_as_it_was_written() {
        let words = ["--only=sqlite: an update", "--minutes=5", "--list", "--again"];
        let line = std::iter::once("mutants").chain(words);
        let matches = Line::command().try_get_matches_from(line).expect("valid");
        let choice = Line::from_arg_matches(&matches).expect("valid").choice;
        assert_eq!(choice.words(), words);
    }
}
