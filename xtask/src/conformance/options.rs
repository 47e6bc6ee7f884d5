//! What the command line says.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Error};

use crate::backend::Backend;
use crate::server::Sources;
use crate::tally::Tally;

/// Prove the backends against real servers, which it starts and stops
///
/// Runs the conformance suite against the backends. Each server is, in this order: one whose address is given, a container
/// (docker or podman), or local programs started in a temporary folder on a free port of 127.0.0.1 as an unprivileged user.
/// Everything is stopped and removed at the end, also after Ctrl-C. Nothing is installed unless --install says so.
///
/// Exit code: 0 all that ran passed; 1 something failed; 2 a wrong command line; 130 interrupted.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What to prove; all but clusters (postgres-pair, patroni, galera) if none is named, and each that is named has to run
    #[arg(value_name = "BACKEND", value_parser = Backend::parser(&Backend::WITH_CLUSTERS))]
    pub(crate) named: Vec<Backend>,
    /// Only the cases whose name contains TEXT, as in `G4` or `late_update`
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Repeat what was drawn by lot in an earlier run (otherwise a new seed, which is printed)
    #[arg(long, value_name = "N", default_value_t = random_seed(), hide_default_value = true)]
    pub(crate) seed: u64,
    /// Sequences per model-based case
    #[arg(long, value_name = "N")]
    pub(crate) cases: Option<u32>,
    /// How often each case of kills kills, as in --kills 1000 --filter survive_the_kill, which takes hours
    #[arg(long, value_name = "N")]
    pub(crate) kills: Option<u32>,
    /// Every case on every variant, also where two variants run the same code and the case is tried on one of them
    #[arg(long)]
    pub(crate) thorough: bool,
    /// With cut connections, stopped servers and killed processes; the default, but not on a server of yours
    #[arg(long, overrides_with = "no_faults")]
    faults: bool,
    /// Without them
    #[arg(long, overrides_with = "faults")]
    no_faults: bool,
    /// Go on with the next backend after one has failed
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print the cases and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// That one of these was not run is a failure
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = Backend::parser(&Backend::WITH_CLUSTERS))]
    pub(crate) require: Vec<Backend>,
    /// Write report.json, junit.xml and report.html
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tally: Tally,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

impl Options {
    /// What to prove, quickest first.
    pub(crate) fn backends(&self) -> Vec<Backend> {
        if self.named.is_empty() {
            return Backend::ALL.to_vec();
        }
        Backend::WITH_CLUSTERS.into_iter().filter(|backend| self.named.contains(backend)).collect()
    }

    /// `None`: yes, but not against a server of the user's.
    pub(crate) fn faults(&self) -> Option<bool> {
        (self.faults || self.no_faults).then_some(self.faults)
    }

    /// What no option alone can tell.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.require.iter().find(|backend| !self.backends().contains(backend)) {
            Some(missing) => {
                let why = format!("`{}` is required, but other backends are named\n", missing.name());
                Err(Error::raw(ErrorKind::ArgumentConflict, why))
            }
            None => Ok(()),
        }
    }
}

/// Short enough to be typed again.
fn random_seed() -> u64 {
    jiff::Timestamp::now().as_nanosecond().unsigned_abs().try_into().unwrap_or(u64::MAX) % 1_000_000_000
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(line: &str) -> Result<Options, Error> {
        let words = std::iter::once("conformance").chain(line.split_whitespace());
        let options = Line::from_arg_matches(&Line::command().try_get_matches_from(words)?)?.options;
        options.check().map(|()| options)
    }

    #[test]
    fn without_names_all_backends_are_meant() {
        let options = parsed("--require memory,sqlite --seed 7").expect("valid");
        assert_eq!((options.backends().len(), options.require.len(), options.seed), (7, 2, 7));
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, words) in [
            ("postgers", "possible values: memory"),
            ("--url sqlite=file", "`sqlite` has no server"),
            ("--url postgres", "BACKEND=VALUE"),
            ("memory --require sqlite", "other backends are named"),
            ("--seed many", "many"),
            ("--frobnicate", "frobnicate"),
        ] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
