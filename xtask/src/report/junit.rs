//! The report for build servers, as JUnit's XML.

use std::fmt::Write;

use super::{Case, End, Outcome, Proof, Report};

pub(super) fn render(report: &Report) -> String {
    let totals = report.totals();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"conformance\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        totals.passed + totals.failed + totals.not_run + totals.inapplicable,
        totals.failed,
        totals.not_run + totals.inapplicable,
        report.took.as_secs_f64(),
    );
    for proof in &report.backends {
        suites(&mut xml, proof);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suites(xml: &mut String, proof: &Proof) {
    for run in &proof.runs {
        let name = format!("{}, {}", proof.backend, run.variant);
        let count = |what: fn(&Outcome) -> bool| run.cases.iter().filter(|case| what(&case.outcome)).count();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escape(&name),
            run.cases.len(),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::NotRun(_) | Outcome::Inapplicable(_))),
            run.cases.iter().map(|case| case.seconds).sum::<f64>(),
        );
        for case in &run.cases {
            test(xml, &name, case);
        }
        xml.push_str("  </testsuite>\n");
    }
    let (why, tag) = match &proof.end {
        End::Ran => return,
        End::NotRun(why) => (why, "skipped"),
        End::Broken(why) => (why, "failure"),
    };
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{0}\" tests=\"1\" {1}=\"1\">\n    <testcase classname=\"{0}\" name=\"the suite runs\">\
         <{2} message=\"{3}\"/></testcase>\n  </testsuite>",
        proof.backend,
        if tag == "failure" { "failures" } else { "skipped" },
        tag,
        escape(why),
    );
}

fn test(xml: &mut String, suite: &str, case: &Case) {
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\"",
        escape(suite),
        escape(&case.guarantee),
        escape(&case.name),
        case.seconds,
    );
    let _ = match &case.outcome {
        Outcome::Passed => writeln!(xml, "/>"),
        Outcome::NotRun(why) | Outcome::Inapplicable(why) => {
            writeln!(xml, "><skipped message=\"{}\"/></testcase>", escape(why))
        }
        Outcome::Failed(why) => {
            let first = why.lines().next().unwrap_or_default();
            writeln!(xml, "><failure message=\"{}\">{}</failure></testcase>", escape(first), escape(why))
        }
    };
}

/// Text for XML, without the characters that XML has no way to write.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c < ' ' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_would_break_the_xml_is_escaped() {
        let xml = render(&sample());
        assert!(xml.contains("expected &lt;Gone&gt; &amp; got &quot;Saved&quot;"));
        assert!(xml.contains("<skipped message=\"no server\"/>"));
        assert_eq!(escape("a\0b\u{1b}"), "a\u{fffd}b\u{fffd}");
    }
}
