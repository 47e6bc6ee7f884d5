//! The report for people: one page that needs nothing else, light or dark as the reader likes it.

use maud::{Markup, html};

use super::{
    Case, Counts, End, FAILED, INAPPLICABLE, NOT_RUN, Outcome, PARTLY, PROVEN, Proof, Report, Run, Verdict,
    guarantees, human, page,
};
use crate::machine;

pub(super) fn render(report: &Report) -> String {
    let body = html! {
        (header(report))
        (matrix(report))
        @if report.totals().failed > 0 { (failures(report)) }
        @for proof in &report.backends { (backend(proof)) }
    };
    page("conformance", include_str!("report.css"), &body)
}

fn header(report: &Report) -> Markup {
    let Counts { passed, failed, not_run, inapplicable, .. } = report.totals();
    let (class, word) = if failed > 0 { ("fail", "broken") } else { ("pass", "holds") };
    let unless_none = |number, class| if number > 0 { class } else { "none" };
    let numbers = [
        (passed, "passed", "pass"),
        (failed, "failed", unless_none(failed, "fail")),
        (not_run, "not run", unless_none(not_run, "part")),
        (inapplicable, "do not apply", "none"),
    ];
    let facts =
        [("started".to_owned(), machine::date(report.started)), ("took".to_owned(), human(report.took))];
    html! {
        header {
            p.eyebrow { "session-store" }
            h1 { "Conformance " span.badge.(class) { (word) } }
            ul.numbers { @for (number, what, class) in numbers { li { b class=(class) { (number) } " " (what) } } }
            dl {
                @for (name, value) in facts.iter().map(|(name, fact)| (name, fact)).chain(&report.context) {
                    div { dt { (name) } dd { (value) } }
                }
                div { dt { "repeat with" } dd { code { (report.command) } } }
            }
        }
    }
}

fn matrix(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Backends and guarantees" }
            div.scroll { table.matrix {
                thead { tr {
                    th {}
                    @for Proof { backend, .. } in &report.backends {
                        th scope="col" { a href={ "#" (backend) } { (backend) } }
                    }
                } }
                tbody { @for (guarantee, title) in guarantees() { tr {
                    th scope="row" { b { (guarantee) } " " (title) }
                    @for proof in &report.backends {
                        @let counts = proof.of_guarantee(guarantee);
                        @let Verdict(class, sign, word, _) = counts.verdict();
                        td class=(class) title={ (proof.backend) ": " (guarantee) " " (word) ": " (numbers(counts)) } {
                            span { (sign) }
                        }
                    }
                } } }
            } }
            p.legend { @for Verdict(class, sign, word, _) in [PROVEN, PARTLY, FAILED, NOT_RUN, INAPPLICABLE] {
                span class=(class) { span { (sign) } } " " (word) " "
            } }
        }
    }
}

fn numbers(counts: Counts) -> String {
    let Counts { passed, failed, not_run, inapplicable, shared } = counts;
    let parts = [
        (passed, "passed"),
        (failed, "failed"),
        (not_run, "not run"),
        (inapplicable, "do not apply"),
        (shared, "proven on another variant"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "no case".to_owned() } else { parts.join(", ") }
}

/// What went wrong, before everything that went right.
fn failures(report: &Report) -> Markup {
    let article = |what: &str, place: &str, why: &str| {
        html! {
            article.failure { h3 { (what) " " small { (place) } } pre { (why) } }
        }
    };
    html! {
        section {
            h2 { "What failed" }
            @for proof in &report.backends {
                @if let End::Broken(why) = &proof.end { (article("the suite", proof.backend, why)) }
                @for (run, case) in proof.failures() {
                    @let what = format!("{} {}", case.guarantee, spaced(&case.name));
                    (article(&what, &format!("{}, {}", proof.backend, run.variant), case.why()))
                }
            }
        }
    }
}

fn backend(proof: &Proof) -> Markup {
    html! {
        section #(proof.backend) {
            h2 { (proof.backend) }
            @match (&proof.end, &proof.server) {
                (End::NotRun(why) | End::Broken(why), _) => p { "Not proven: " (first_line(why)) },
                (End::Ran, Some(server)) => p { (server) ", in " (human(proof.took)) },
                (End::Ran, None) => p { "In " (human(proof.took)) },
            }
            @for run in &proof.runs { (variant(run)) }
        }
    }
}

fn variant(run: &Run) -> Markup {
    let counts = Counts::of(run.cases.iter());
    html! {
        details {
            summary { span.dot.(counts.verdict().0) {} " " (run.variant) " " small { (numbers(counts)) } }
            table.cases { @for (guarantee, title) in guarantees() {
                @let mut cases = run.cases.iter().filter(|case| case.guarantee == guarantee).peekable();
                @if cases.peek().is_some() { tbody {
                    tr { th colspan="3" { b { (guarantee) } " " (title) } }
                    @for case in cases { (row(case)) }
                } }
            } }
        }
    }
}

fn row(case: &Case) -> Markup {
    let (class, sign) = match case.outcome {
        Outcome::Passed => ("pass", "✓"),
        Outcome::Failed => ("fail", "✕"),
        Outcome::NotRun => ("part", "not run"),
        Outcome::NotApplicable => ("none", "n/a"),
        Outcome::Shared => ("none", "shared"),
    };
    html! {
        tr {
            td class=(class) { (sign) }
            td { (spaced(&case.name)) " " small { (case.kind) @if let Some(why) = &case.why { ": " (first_line(why)) } } }
            td.time { (format!("{:.2} s", case.seconds)) }
        }
    }
}

/// A case's name is a sentence.
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

fn first_line(why: &str) -> &str {
    why.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_needs_nothing_else_and_escapes_what_comes_from_outside() {
        let html = super::render(&super::super::tests::sample());
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("expected &lt;Gone&gt; &amp; got"));
        assert!(html.contains("it did not compile"));
    }
}
