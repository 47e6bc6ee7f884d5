//! The settings of a connection.

use session_core::mutants::drops;

use crate::Limits;

/// What a new connection of one's own asks for as it logs in. A batch's plan does not depend on its values, and planning
/// costs more than running it. Neither does it depend on the table's size: a plan made while the table is small stays
/// while it grows, so no row is ever found but by an index; and rows are then locked in the order of a batch's sorted
/// keys.
///
/// It is part of the login, and no SET after it: behind a pooler that lends a server's connection for one transaction, a
/// SET stays on it for other applications. Such a pooler refuses a login that asks for settings.
pub const OPTIONS: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
];

/// [`OPTIONS`] and the limits of time in the words of the startup parameter `options`, after those that a URL has: the
/// last one counts. A limit that the URL has stays, unless the builder was told another.
pub fn options(of_url: Option<&str>, limits: &Limits) -> String {
    let kept = |(name, _): &&(&str, &str)| !drops("postgres", name);
    let ours =
        OPTIONS.iter().filter(kept).map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")));
    let limits = left_open(of_url, limits).map(|(name, millis)| format!("-c {name}={millis}"));
    of_url.map(str::to_owned).into_iter().chain(ours).chain(limits).collect::<Vec<_>>().join(" ")
}

/// The names of the settings in such a text: `-c name=value`, `-cname=value`, `--name=value`. A blank in a value stands
/// behind a backslash, and so never before a name.
fn names(options: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut words = options.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let set = match word.strip_prefix("--") {
            Some(set) => Some(set),
            None => match word.strip_prefix("-c") {
                Some("") => words.next(),
                set => set,
            },
        };
        if let Some((name, _)) = set.and_then(|set| set.split_once('=')) {
            names.push(name.to_ascii_lowercase().replace('-', "_"));
        }
    }
    names
}

/// As [`options`] as pairs, for a client library that writes the parameter itself, behind what a URL has.
pub fn pairs(of_url: Option<&str>, limits: &Limits) -> Vec<(&'static str, String)> {
    let kept = |(name, _): &&(&str, &str)| !drops("postgres", name);
    let ours = OPTIONS.iter().filter(kept).map(|(name, value)| (*name, (*value).to_owned()));
    ours.chain(left_open(of_url, limits).map(|(name, millis)| (name, millis.to_string()))).collect()
}

/// The limits of time that count: not those that the URL has and the builder was not told.
fn left_open(of_url: Option<&str>, limits: &Limits) -> impl Iterator<Item = (&'static str, u32)> {
    let set_by_url = names(of_url.unwrap_or_default());
    bounded(limits)
        .into_iter()
        .filter(|(name, ..)| !drops("postgres", name))
        .filter(move |(name, _, told)| *told || !set_by_url.iter().any(|set| set == name))
        .map(|(name, millis, _)| (name, millis))
}

/// Asks the server to give up what another connection runs, for a client library without the protocol's own way.
pub fn cancel(number: i32) -> String {
    format!("SELECT pg_cancel_backend({number})")
}

/// In milliseconds, 0 for none, and whether the builder was told.
fn bounded(limits: &Limits) -> [(&'static str, u32, bool); 2] {
    [
        ("statement_timeout", Limits::millis(limits.statement), limits.told.statement),
        ("lock_timeout", Limits::millis(limits.lock), limits.told.lock),
    ]
}

/// Lifts the limits of time for the statements of the same message, which make a table: others may be at it, and a large
/// one takes its time.
pub const UNLIMITED: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; ";

/// Whether a server only reads: a standby, or one that was told so.
pub const ONLY_READS: &str =
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";

/// On which timeline a primary is, by the name of the file of its write-ahead log.
pub const TIMELINE: &str = "SELECT pg_walfile_name(pg_current_wal_lsn())";

/// Whether anybody is there.
pub const SIGN_OF_LIFE: &str = "SELECT 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_setting_is_seen_by_its_name() {
        let options = r"-c statement_timeout=1s -clock_timeout=2 --Search-Path=a\ b -B 7 -c";
        assert_eq!(names(options), ["statement_timeout", "lock_timeout", "search_path"]);
    }
}
