//! The report for people: one file, with plots, that needs nothing else.

use std::fmt::Write as _;

use super::results::{Backend, CLIENT, Contender, Metric, P50, P99, Race, Report, SERVER};
use super::subject::Role;
use super::table::count;

pub(crate) fn render(report: &Report) -> String {
    let mut page = String::from(HEAD);
    page.push_str("<h1>session-store, its peers, and the bare drivers</h1>\n<dl>");
    for (name, value) in &report.machine {
        fact(&mut page, name, value);
    }
    fact(&mut page, "command", &report.command);
    page.push_str("</dl>\n");
    page.push_str(
        "<p>Subjects took turns, run by run; each number is the median of its runs. CPU is the processor time for one \
         operation, of the client's process and of the server's. Compare within one plot; do not compare machines.</p>\n",
    );
    for backend in &report.backends {
        section(&mut page, backend);
    }
    page.push_str("</main></html>\n");
    page
}

fn fact(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
}

fn section(page: &mut String, backend: &Backend) {
    let _ = writeln!(page, "<h2>{}</h2>", backend.name);
    if let Some(why) = &backend.not_run {
        let _ = writeln!(page, "<p>Not run: {}</p>", escape(why));
        return;
    }
    let _ = write!(page, "<p>{}</p>\n<dl>", escape(&backend.place));
    for contender in &backend.contenders {
        let settings = match &contender.settings {
            Ok(settings) => settings.clone(),
            Err(why) => format!("not run: {why}"),
        };
        fact(page, contender.title, &settings);
    }
    page.push_str("</dl>\n");
    ratios(page, backend);
    let mut callers: Vec<u64> = backend.races.iter().map(|race| race.callers).collect();
    callers.sort_unstable();
    callers.dedup();
    for callers in callers {
        let races: Vec<_> = backend.races.iter().filter(|race| race.callers == callers).collect();
        let _ = writeln!(page, "<h3>{callers} caller{}</h3>", if callers == 1 { "" } else { "s" });
        page.push_str("<div class=plots>");
        plot(page, backend, &races, "operations a second (more is better)", None);
        plot(page, backend, &races, "p99 latency, µs (less is better)", Some(P99));
        plot(page, backend, &races, "server CPU for one operation, µs (less is better)", Some(SERVER));
        plot(page, backend, &races, "client CPU for one operation, µs (less is better)", Some(CLIENT));
        page.push_str("</div>\n");
        details(page, backend, &races);
    }
}

/// How we compare, at a glance.
fn ratios(page: &mut String, backend: &Backend) {
    page.push_str("<table><tr><th>workload<th>callers<th>× bare driver<th>× best peer<th>best peer</tr>");
    for race in &backend.races {
        let cell =
            |role| backend.ratio(race, role).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let best = backend.best(race, Role::Peer).map_or("–", |peer| backend.contenders[peer].title);
        let _ = write!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{best}</tr>",
            race.workload,
            race.callers,
            cell(Role::Bare),
            cell(Role::Peer)
        );
    }
    page.push_str("</table>\n");
}

/// Bars, a group for each workload. Without a metric, what counts for the workload.
fn plot(page: &mut String, backend: &Backend, races: &[&Race], title: &str, metric: Option<Metric>) {
    const BAR: u32 = 14;
    const LEFT: u32 = 190;
    const WIDTH: f64 = 300.0;
    let mut bars = String::new();
    let mut y = 26;
    let mut any = false;
    for race in races {
        let value = |contender| race.median(contender, metric.unwrap_or(race.speed()));
        let values: Vec<_> = (0..backend.contenders.len()).map(value).collect();
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        if most <= 0.0 {
            continue;
        }
        any = true;
        let _ = write!(bars, "<text x=0 y={} class=w>{}</text>", y + 11, race.workload);
        for (contender, value) in backend.contenders.iter().zip(values) {
            let Some(value) = value else { continue };
            y += BAR;
            let _ = write!(
                bars,
                "<text x={} y={} class=l>{}</text><rect x={LEFT} y={} width={:.1} height=11 class={}></rect>\
                 <text x={:.1} y={}>{}</text>",
                LEFT - 6,
                y + 10,
                contender.title,
                y + 1,
                (value / most * WIDTH).max(1.0),
                class(contender),
                f64::from(LEFT) + (value / most * WIDTH).max(1.0) + 5.0,
                y + 10,
                count(value),
            );
        }
        y += BAR + 12;
    }
    if any {
        let _ = write!(
            page,
            "<svg viewBox='0 0 560 {y}' width=560 height={y} role=img aria-label='{title}'>\
             <text x=0 y=12 class=t>{title}</text>{bars}</svg>"
        );
    }
}

fn class(contender: &Contender) -> &'static str {
    contender.role.name()
}

fn details(page: &mut String, backend: &Backend, races: &[&Race]) {
    page.push_str(
        "<details><summary>numbers</summary><table><tr><th>workload<th><th>ops/s<th>p50 µs<th>p99 µs\
         <th>client µs<th>server µs<th>failed</tr>",
    );
    for race in races {
        for (index, contender) in backend.contenders.iter().enumerate() {
            let Some(speed) = race.median(index, race.speed()) else { continue };
            let cell = |metric| race.median(index, metric).map_or_else(|| "–".to_owned(), count);
            let failed = race
                .errors(index)
                .map(|(errors, first)| format!("{}: {}", count(errors), escape(first)))
                .unwrap_or_default();
            let _ = write!(
                page,
                "<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{failed}</tr>",
                race.workload,
                contender.title,
                count(speed),
                cell(P50),
                cell(P99),
                cell(CLIENT),
                cell(SERVER),
            );
        }
    }
    page.push_str("</table></details>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content='width=device-width'><title>session-store: benchmark</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1b2330;background:#fbfbfa}\
main{max-width:1180px;margin:auto;padding:1.5rem}h1{font-size:1.5rem}h2{margin-top:2.5rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9em}dt{color:#667}dd{margin:0}\
table{border-collapse:collapse;font-size:.9em;margin:1rem 0}td,th{padding:.15rem .7rem;text-align:left;\
border-bottom:1px solid #e3e5e8}.n{text-align:right;font-variant-numeric:tabular-nums}\
.plots{display:flex;flex-wrap:wrap;gap:1.5rem}svg{max-width:100%;height:auto;font:11px system-ui,sans-serif;fill:#1b2330}\
.t{font-weight:600;font-size:13px}.w{font-weight:600}.l{text-anchor:end;fill:#667}\
.ours{fill:#0b7a4b}.variant{fill:#8cc9ae}.bare{fill:#8b94a3}.peer{fill:#d08a3c}\
summary{cursor:pointer;color:#667}\
@media(prefers-color-scheme:dark){body{color:#dfe4ea;background:#14181e}svg{fill:#dfe4ea}td,th{border-color:#2c333c}}\
</style><main>\n";
