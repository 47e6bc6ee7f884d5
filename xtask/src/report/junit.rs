//! The report for build servers, as JUnit's XML.

use maud::{Markup, PreEscaped, html};

use super::{Case, Counts, End, Outcome, Proof, Report};

pub(super) fn render(report: &Report) -> String {
    let xml = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        testsuites name="conformance" tests=(all(report.totals())) failures=(report.totals().failed)
            skipped=(skipped(report.totals())) time=(report.took.as_secs_f64()) {
            @for proof in &report.backends { (suites(proof)) }
        }
        "\n"
    };
    // XML has no way to write these.
    xml.into_string()
        .replace(|c: char| c < ' ' && !"\n\t".contains(c) || "\u{fffe}\u{ffff}".contains(c), "\u{fffd}")
}

fn all(counts: Counts) -> usize {
    counts.passed + counts.failed + skipped(counts)
}

fn skipped(counts: Counts) -> usize {
    counts.not_run + counts.inapplicable
}

fn suites(proof: &Proof) -> Markup {
    html! {
        @for run in &proof.runs {
            @let name = format!("{}, {}", proof.backend, run.variant);
            @let counts = Counts::of(run.cases.iter());
            "\n"
            testsuite name=(name) tests=(all(counts)) failures=(counts.failed) skipped=(skipped(counts))
                time=(run.cases.iter().map(|case| case.seconds).sum::<f64>()) {
                @for case in &run.cases { "\n" (test(&name, case)) }
            }
        }
        @if let End::NotRun(why) | End::Broken(why) = &proof.end {
            @let is_broken = matches!(proof.end, End::Broken(_));
            "\n"
            testsuite name=(proof.backend) tests="1" failures=(u8::from(is_broken)) skipped=(u8::from(!is_broken)) {
                testcase classname=(proof.backend) name="the suite runs" {
                    @if is_broken { failure message=(why) {} } @else { skipped message=(why) {} }
                }
            }
        }
    }
}

fn test(suite: &str, case: &Case) -> Markup {
    html! {
        testcase classname=(suite) name={ (case.guarantee) " " (case.name) } time=(case.seconds) {
            @match case.outcome {
                Outcome::Passed => {},
                Outcome::NotRun | Outcome::NotApplicable | Outcome::Shared => skipped message=(case.why()) {},
                Outcome::Failed => {
                    failure message=(case.why().lines().next().unwrap_or_default()) { (case.why()) }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_break_the_xml_is_escaped() {
        let xml = super::render(&super::super::tests::sample());
        assert!(xml.contains("expected &lt;Gone&gt; &amp; got &quot;Saved&quot;\u{fffd}"), "{xml}");
        assert!(xml.contains("<skipped message=\"no server\"></skipped>"), "{xml}");
    }
}
