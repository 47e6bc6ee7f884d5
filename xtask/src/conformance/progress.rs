//! What is seen while the suite runs: a bar on a terminal, a line a case elsewhere.

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::report::human;
use crate::terminal::{is_interactive, say};

/// Understands the lines of the test harness and shows how far it is.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Passed, failed, not run, and not needed: those that do not concern the backend, or that another variant proves.
    counts: [usize; 4],
    /// The harness repeats the failures at its end; the report has them too.
    over: bool,
}

impl Progress {
    pub(super) fn new(name: &'static str) -> Self {
        let look = "  {prefix} {bar:24.green/dim} {pos}/{len} {msg}";
        let look = ProgressStyle::with_template(look).expect("it is well-formed").progress_chars("━━");
        let bar = if is_interactive() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self { bar: bar.with_style(look).with_prefix(name), counts: [0; 4], over: false }
    }

    /// Takes the next line that the suite printed.
    pub(super) fn line(&mut self, line: &str) {
        let total = || line.strip_prefix("running ")?.split(' ').next()?.parse().ok();
        if self.over || line.is_empty() {
        } else if let Some((case, outcome)) = case(line) {
            self.case(case, outcome);
        } else if let Some(total) = total() {
            self.bar.set_length(total);
        } else if line == "failures:" || line.starts_with("test result:") {
            self.over = true;
        } else {
            self.print(&style(line).dim().to_string());
        }
    }

    /// Leaves the line about the whole.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        let [passed, failed, not_run, needless] = self.counts;
        say(format_args!(
            "  {passed} passed, {failed} failed, {not_run} not run, {needless} not needed in {}",
            human(self.bar.elapsed())
        ));
    }

    fn case(&mut self, case: &str, outcome: &str) {
        let (word, count) = match outcome {
            "ok" => (style("ok     ").green(), 0),
            "FAILED" => (style("FAILED ").red(), 1),
            "ignored, not run" => (style("not run").yellow(), 2),
            _ => (style("n/a    ").dim(), 3),
        };
        self.counts[count] += 1;
        if (self.bar.is_hidden() && outcome != "ignored, shared") || outcome == "FAILED" {
            let name = case.split_once("::").map_or(case, |(_, rest)| rest);
            self.print(&format!("{word} {name}"));
        }
        let last = case.rsplit("::").next().unwrap_or(case);
        let failed = self.counts[1];
        let failed = if failed > 0 { format!("{failed} failed, ") } else { String::new() };
        self.bar.set_message(format!("{}{}", style(failed).red(), style(last).dim()));
        self.bar.inc(1);
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| say(format_args!("  {line}")));
    }
}

/// Name and outcome of `test NAME ... OUTCOME`, without its reason.
fn case(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim_end(), outcome.split(':').next().unwrap_or(outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted() {
        let mut progress = Progress::new("memory");
        for line in [
            "seed 7",
            "running 5 tests",
            "test memory::native::G4::a   ... ok",
            "test b ... FAILED",
            "test c ... ignored, not run: no server",
            "test d ... ignored, does not apply: no principals",
            "test e ... ignored, shared: proven on `native`",
            "failures:",
            "test x ... ok",
        ] {
            progress.line(line);
        }
        assert_eq!(progress.counts, [1, 1, 1, 2]);
    }
}
