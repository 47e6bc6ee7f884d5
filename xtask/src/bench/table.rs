//! The table on the terminal.

use bench_report::{Measured, Role, count, numbers};
use console::style;

use crate::terminal::say;

/// Prints what was measured on a backend.
pub(crate) fn print(measured: &Measured) {
    if let Some(why) = &measured.not_run {
        say(format_args!("{}: not run: {why}", style(&measured.backend).yellow()));
        return;
    }
    say(format_args!("\n{}: {}", style(&measured.backend).bold(), measured.place));
    for race in &measured.races {
        say(style(format!("\n{} × {} callers", race.workload, race.callers)).bold());
        let unit = if race.workload == super::options::PURGE { "purged/s" } else { "ops/s" };
        let heads = [unit, "p50 µs", "p99 µs", "client µs", "server µs"].map(str::to_owned);
        say(style(row("", &heads)).dim());
        for score in race.results.iter().filter(|score| score.speed().is_some()) {
            let line = style(row(&score.title, &numbers(score)));
            say(if score.role == Role::Ours { line.green() } else { line });
            if let Some(errors) = &score.errors {
                say(format_args!(
                    "    {} calls failed, the first one: {}",
                    count(errors.count),
                    errors.first
                ));
            }
        }
        for (ratio, whom) in [
            (race.ratio_to_bare, "bare driver"),
            (race.ratio_to_best_peer, "best peer"),
            (race.ratio_to_redis, "peer on Redis"),
        ] {
            let _ = ratio.map(|ratio| say(format_args!("  = {ratio:.2} × the {whom}")));
        }
    }
}

fn row(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>10}")).collect();
    format!("  {name:<28}{cells}")
}
