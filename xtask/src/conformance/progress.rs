//! What is seen while the suite runs: a bar on a terminal, a line a case elsewhere.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::report::human;
use crate::terminal::{Paint, is_interactive, paint, say};

const BAR: usize = 24;

/// Understands the lines of the test harness and shows how far it is.
pub(super) struct Progress {
    name: &'static str,
    start: Instant,
    total: usize,
    passed: usize,
    failed: usize,
    not_run: usize,
    /// The harness repeats the failures at its end; the report has them too.
    over: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(name: &'static str) -> Self {
        let start = Instant::now();
        Self { name, start, total: 0, passed: 0, failed: 0, not_run: 0, over: false, drawn: None }
    }

    /// Takes the next line that the suite printed.
    pub(super) fn line(&mut self, line: &str) {
        if self.over || line.is_empty() {
            return;
        }
        if let Some((case, outcome)) = case(line) {
            self.case(case, outcome);
        } else if let Some(total) =
            line.strip_prefix("running ").and_then(|rest| rest.split(' ').next()?.parse().ok())
        {
            self.total = total;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.over = true;
        } else {
            self.print(&format!("  {}", paint(Paint::Dim, line)));
        }
        self.draw(line);
    }

    /// Leaves the line about the whole.
    pub(super) fn end(&mut self) {
        self.erase();
        let took = human(self.start.elapsed());
        say(&format!("  {} passed, {} failed, {} not run in {took}", self.passed, self.failed, self.not_run));
    }

    fn case(&mut self, case: &str, outcome: &str) {
        let (word, colour, count) = match outcome {
            "ok" => ("ok     ", Paint::Green, &mut self.passed),
            "FAILED" => ("FAILED ", Paint::Red, &mut self.failed),
            _ => ("not run", Paint::Yellow, &mut self.not_run),
        };
        *count += 1;
        if !is_interactive() || outcome == "FAILED" {
            let name = case.split_once("::").map_or(case, |(_, rest)| rest);
            self.print(&format!("  {} {name}", paint(colour, word)));
        }
    }

    fn print(&mut self, line: &str) {
        self.erase();
        say(line);
    }

    fn erase(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stdout(), "\r\x1b[2K");
        }
    }

    fn draw(&mut self, line: &str) {
        let recently = |at: Instant| at.elapsed() < Duration::from_millis(50);
        if !is_interactive() || self.over || self.drawn.is_some_and(recently) {
            return;
        }
        self.erase();
        let done = self.passed + self.failed + self.not_run;
        let filled = (BAR * done).checked_div(self.total).unwrap_or(0).min(BAR);
        let last = case(line).map_or("", |(case, _)| case.rsplit("::").next().unwrap_or(case));
        let last: String = last.chars().take(40).collect();
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let _ = write!(
            io::stdout(),
            "  {} {}{} {done}/{}{} {}",
            self.name,
            paint(Paint::Green, &"━".repeat(filled)),
            paint(Paint::Dim, &"━".repeat(BAR - filled)),
            self.total,
            paint(Paint::Red, &failed),
            paint(Paint::Dim, &last),
        );
        let _ = io::stdout().flush();
        self.drawn = Some(Instant::now());
    }
}

/// Name and outcome of `test NAME ... OUTCOME`.
fn case(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim_end(), outcome.split([',', ' ']).next().unwrap_or(outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_lines_are_understood() {
        assert_eq!(case("test memory::native::G4::a   ... ok"), Some(("memory::native::G4::a", "ok")));
        assert_eq!(case("test a ... ignored, not run: no server"), Some(("a", "ignored")));
        assert_eq!(case("seed 7"), None);
    }

    #[test]
    fn cases_are_counted() {
        let mut progress = Progress::new("memory");
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test b ... FAILED",
            "test c ... ignored",
            "failures:",
            "test x ... ok",
        ] {
            progress.line(line);
        }
        assert_eq!((progress.total, progress.passed, progress.failed, progress.not_run), (3, 1, 1, 1));
    }
}
