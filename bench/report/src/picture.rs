//! Bars, for the page and for the pictures in the documents.

use maud::{Markup, PreEscaped, html};

use crate::{Measured, Race, Report, Role, Score, count};

/// What is compared, and how each does.
pub(crate) struct Group<'a> {
    pub(crate) title: &'a str,
    pub(crate) bars: Vec<(&'a Score, f64)>,
}

/// Bars, as long as their share of the longest in their group; light or dark as the reader likes it.
pub(crate) fn bars(title: &str, groups: &[Group<'_>]) -> Markup {
    const BAR: usize = 16;
    const LEFT: usize = 230;
    const WIDTH: f64 = 330.0;
    let mut top = 34;
    let mut drawn = Vec::new();
    for Group { title, bars } in groups {
        let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        drawn.push(html! { text.w x="0" y=(top) { (title) } });
        for (score, value) in bars {
            let width = format!("{:.0}", (value / most * WIDTH).max(1.0));
            drawn.push(html! {
                text.l x=(LEFT - 6) y=(top) { (score.title) }
                rect.(score.role.name()) x=(LEFT) y=(top - 10) width=(width) height="12" {}
                text x=(LEFT + 6) dx=(width) y=(top) { (shown(*value)) }
            });
            top += BAR;
        }
        top += BAR / 2;
    }
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 640 " (top - BAR) } width="640" height=(top - BAR) role="img" {
            title { (title) }
            style { (PreEscaped(include_str!("picture.css"))) }
            text.t x="0" y="12" { (title) }
            @for group in drawn { "\n" (group) }
        }
    }
}

/// A figure as the tables of the documents give it: runs differ by more than a hundred.
fn shown(value: f64) -> String {
    count(if value < 1000.0 { value } else { (value / 100.0).round() * 100.0 })
}

/// The pictures of the documents by name: one of all databases, and one of each.
pub fn pictures(report: &Report) -> Vec<(String, String)> {
    let all: Vec<_> = report.backends.iter().flat_map(|measured| groups(measured, Some("mixed"))).collect();
    let mut pictures = vec![(
        "figures.svg".to_owned(),
        bars("Mixed work of 64 callers, operations a second; each database to its own scale", &all),
    )];
    for measured in &report.backends {
        let title = format!(
            "64 callers on {}, operations a second; each workload to its own scale",
            measured.backend
        );
        let groups = groups(measured, None);
        pictures.push((format!("figures-{}.svg", measured.backend), bars(&title, &groups)));
    }
    pictures.into_iter().map(|(name, picture)| (name, picture.into_string() + "\n")).collect()
}

/// Ours, the best peer, Redis and the bare driver: in all workloads, or in one that stands for the database.
fn groups<'a>(measured: &'a Measured, only: Option<&str>) -> Vec<Group<'a>> {
    let races = measured.races.iter().filter(|race| race.callers == 64);
    let races = races.filter(|race| only.is_none_or(|only| race.workload == only));
    let group = |race: &'a Race| {
        let best =
            [Role::Ours, Role::Peer, Role::Redis, Role::Bare].into_iter().filter_map(|role| race.best(role));
        let bars = best.filter_map(|score| Some((score, score.speed()?))).collect();
        Group { title: if only.is_some() { &measured.backend } else { &race.workload }, bars }
    };
    races.map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::{pictures, shown};

    #[test]
    fn the_documents_show_the_committed_report() {
        let report = include_str!("../../report.json");
        for (name, picture) in pictures(&serde_json::from_str(report).expect("a report")) {
            let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
            let shown = std::fs::read_to_string(path).expect("a picture");
            assert_eq!(shown, picture, "docs/{name}: cargo xtask bench --figures bench/report.json");
        }
    }

    #[test]
    fn figures_are_rounded_as_in_the_tables() {
        assert_eq!([999.4, 1049.0, 1050.0, 107_028.0].map(shown), ["999", "1,000", "1,100", "107,000"]);
    }
}
