//! What the command line says.

use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a run of the suite goes: for [`run`](crate::run). [`main`](crate::main) reads them from the command line.
///
/// ```
/// use conformance::Options;
///
/// let quick = Options { cases: 4, faults: false, filter: Some("native::G5::".to_owned()), ..Options::default() };
/// assert!(!quick.thorough);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of everything that is drawn by lot. Defaults to another one each time.
    pub seed: u64,
    /// How many sequences each model-based case draws; the concurrent cases go in proportion. Defaults to 32.
    pub cases: u32,
    /// How often each case of kills kills its process or server. Defaults to 2 or 3.
    pub kills: Option<u32>,
    /// Whether connections are cut, servers stopped and processes killed. Defaults to true.
    pub faults: bool,
    /// Whether the cases run too that a variant shares with another, which runs the same code (see
    /// [`Subject::shared`](crate::Subject::shared)). Defaults to false.
    pub thorough: bool,
    /// Whether to stop at the first case that fails. Cases of one situation then come first. Defaults to false.
    pub fail_fast: bool,
    /// Run only the cases whose name contains this. Defaults to all.
    pub filter: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        Options {
            seed: u64::from(nanos),
            cases: 32,
            kills: None,
            faults: true,
            thorough: false,
            fail_fast: false,
            filter: None,
        }
    }
}

impl Options {
    /// Takes the suite's own options out of a command line and leaves the rest to the test harness.
    ///
    /// # Errors
    /// What is wrong with an option, to be printed.
    pub(crate) fn from_args(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<(Options, Vec<OsString>), String> {
        let mut options = Options::default();
        let mut rest = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*text, None),
            };
            let mut number = || {
                let value =
                    value.clone().or_else(|| args.next().map(|next| next.to_string_lossy().into_owned()));
                value
                    .and_then(|value| value.parse::<u64>().ok())
                    .ok_or_else(|| format!("{name} takes a number, as in `{name} 7`"))
            };
            match name {
                "--seed" => options.seed = number()?,
                "--cases" => options.cases = u32::try_from(number()?).unwrap_or(u32::MAX),
                "--kills" => options.kills = Some(u32::try_from(number()?).unwrap_or(u32::MAX)),
                "--no-faults" => options.faults = false,
                "--thorough" => options.thorough = true,
                "--fail-fast" => options.fail_fast = true,
                // A failed case never stops the others.
                "--keep-going" => {}
                _ => rest.push(arg),
            }
        }
        Ok((options, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<(Options, Vec<OsString>), String> {
        Options::from_args(args.iter().map(OsString::from))
    }

    #[test]
    fn own_options_are_taken_and_the_rest_is_left() {
        let (options, rest) =
            parse(&["bin", "--seed", "7", "--exact", "--cases=9", "--no-faults", "--thorough", "name"])
                .unwrap();
        assert_eq!((options.seed, options.cases), (7, 9));
        assert!(!options.faults && options.thorough);
        assert_eq!(rest, ["bin", "--exact", "name"]);
    }

    #[test]
    fn an_option_without_its_number_is_explained() {
        assert!(parse(&["bin", "--seed"]).unwrap_err().contains("--seed takes a number"));
        assert!(parse(&["bin", "--cases", "many"]).is_err());
    }
}
