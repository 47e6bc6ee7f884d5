//! The table on the terminal.

use super::results::{Backend, CLIENT, P50, P99, SERVER};
use super::subject::Role;
use crate::terminal::{self, Paint};

/// Prints what was measured on a backend.
pub(crate) fn print(backend: &Backend) {
    if let Some(why) = &backend.not_run {
        terminal::say(&format!("{}: not run: {why}", terminal::paint(Paint::Yellow, backend.name)));
        return;
    }
    terminal::say(&format!("\n{}: {}", terminal::paint(Paint::Bold, backend.name), backend.place));
    for race in &backend.races {
        let title = format!("\n{} × {} callers", race.workload, race.callers);
        terminal::say(&terminal::paint(Paint::Bold, &title));
        let unit = if race.workload == super::options::PURGE { "purged/s" } else { "ops/s" };
        terminal::say(&terminal::paint(
            Paint::Dim,
            &format!(
                "  {:<26}{unit:>10}{:>9}{:>9}{:>10}{:>10}",
                "", "p50 µs", "p99 µs", "client µs", "server µs"
            ),
        ));
        for (index, contender) in backend.contenders.iter().enumerate() {
            let Some(speed) = race.median(index, race.speed()) else { continue };
            let cell = |metric| race.median(index, metric).map_or_else(|| "-".to_owned(), count);
            let line = format!(
                "  {:<26}{:>10}{:>9}{:>9}{:>10}{:>10}",
                contender.title,
                count(speed),
                cell(P50),
                cell(P99),
                cell(CLIENT),
                cell(SERVER),
            );
            let ours = contender.role == Role::Ours;
            terminal::say(&if ours { terminal::paint(Paint::Green, &line) } else { line });
            if let Some((errors, first)) = race.errors(index) {
                terminal::say(&format!("    {} calls failed, the first one: {first}", count(errors)));
            }
        }
        let mut ratios = Vec::new();
        for (role, name) in [(Role::Bare, "the bare driver"), (Role::Peer, "the best peer")] {
            ratios.extend(backend.ratio(race, role).map(|ratio| format!("{ratio:.2} × {name}")));
        }
        if !ratios.is_empty() {
            terminal::say(&format!("  = {}", ratios.join(", ")));
        }
    }
}

/// A number of three digits or more without a fraction, in groups of three.
pub(crate) fn count(number: f64) -> String {
    if number < 99.95 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_grouped() {
        let numbers = [0.25, 99.94, 100.0, 999.6, 1234567.0].map(count);
        assert_eq!(numbers, ["0.2", "99.9", "100", "1,000", "1,234,567"]);
    }
}
