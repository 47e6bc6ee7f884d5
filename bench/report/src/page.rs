//! The report for people: one file, with plots, that needs nothing else.

use maud::{Markup, html};

use crate::picture::{self, Group};
use crate::{Measured, Race, Report, Role, Score, count, numbers};

/// How the page looks.
pub const STYLE: &str = include_str!("page.css");

/// What stands on the page.
pub fn body(report: &Report) -> Markup {
    html! {
        h1 { "session-store, its peers, and the bare drivers" }
        dl {
            @for (name, value) in &report.machine { dt { (name) } dd { (value) } }
            dt { "command" } dd { (report.command) }
        }
        p {
            "Subjects took turns, run by run; each number is the median of its runs. CPU is the processor time for one \
             operation, of the client's process and of the server's. Compare within one plot; do not compare machines."
        }
        @for backend in &report.backends { (section(backend)) }
    }
}

fn section(backend: &Measured) -> Markup {
    let mut callers: Vec<u64> = backend.races.iter().map(|race| race.callers).collect();
    callers.sort_unstable();
    callers.dedup();
    html! {
        h2 { (backend.backend) }
        @if let Some(why) = &backend.not_run {
            p { "Not run: " (why) }
        } @else {
            p { (backend.place) }
            dl { @for contender in &backend.contenders {
                dt { (contender.title) }
                dd { (contender.settings.as_deref().unwrap_or("not run: ")) @if let Some(why) = &contender.not_run { (why) } }
            } }
            (ratios(backend))
            @for callers in callers {
                @let races: Vec<_> = backend.races.iter().filter(|race| race.callers == callers).collect();
                h3 { (callers) @if callers == 1 { " caller" } @else { " callers" } }
                div.plots {
                    (plot(&races, "operations a second (more is better)", Score::speed))
                    (plot(&races, "p99 latency, µs (less is better)", |score| score.p99_us))
                    (plot(&races, "server CPU for one operation, µs (less is better)", |score| score.server_cpu_us_per_op))
                    (plot(&races, "client CPU for one operation, µs (less is better)", |score| score.client_cpu_us_per_op))
                }
                (details(&races))
            }
        }
    }
}

/// How we compare, at a glance.
fn ratios(backend: &Measured) -> Markup {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    html! {
        table {
            tr { @for head in ["workload", "callers", "× bare driver", "× best peer", "best peer", "× Redis"] { th { (head) } } }
            @for race in &backend.races { tr {
                td { (race.workload) }
                td.n { (race.callers) }
                td.n { (ratio(race.ratio_to_bare)) }
                td.n { (ratio(race.ratio_to_best_peer)) }
                td { (race.best(Role::Peer).map_or("–", |peer| &peer.title)) }
                td.n { (ratio(race.ratio_to_redis)) }
            } }
        }
    }
}

fn plot(races: &[&Race], title: &str, number: fn(&Score) -> Option<f64>) -> Markup {
    let groups = races.iter().map(|race| {
        let bars = race.results.iter().filter_map(|score| Some((score, number(score)?)));
        Group { title: &race.workload, bars: bars.collect() }
    });
    let groups: Vec<_> = groups.filter(|group| !group.bars.is_empty()).collect();
    html! { @if !groups.is_empty() { (picture::bars(title, &groups)) } }
}

fn details(races: &[&Race]) -> Markup {
    let heads = ["workload", "", "ops/s", "p50 µs", "p99 µs", "client µs", "server µs", "failed"];
    html! {
        details {
            summary { "numbers" }
            table {
                tr { @for head in heads { th { (head) } } }
                @for race in races { @for score in &race.results { @if score.speed().is_some() { tr {
                    td { (race.workload) }
                    td { (score.title) }
                    @for number in numbers(score) { td.n { (number) } }
                    td { @if let Some(errors) = &score.errors { (count(errors.count)) ": " (errors.first) } }
                } } } }
            }
        }
    }
}
