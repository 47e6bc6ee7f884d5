//! The report for people: one page that needs nothing else, light or dark as the reader likes it.

use std::fmt::Write;

use super::{Case, Counts, End, GUARANTEES, Outcome, Proof, Report, Run, Verdict, human};

pub(super) fn render(report: &Report) -> String {
    let totals = report.totals();
    let mut html = String::from(HEAD);
    header(&mut html, report, totals);
    matrix(&mut html, report);
    failures(&mut html, report);
    for proof in &report.backends {
        backend(&mut html, proof);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

const HEAD: &str = "\
<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>session-store: conformance</title>
<style>
";

fn header(html: &mut String, report: &Report, totals: Counts) {
    html.push_str(include_str!("report.css"));
    html.push_str("</style>\n</head>\n<body>\n<main>\n<header>\n<p class=\"eyebrow\">session-store</p>\n");
    let broken = totals.failed > 0;
    let _ = writeln!(
        html,
        "<h1>Conformance <span class=\"badge {}\">{}</span></h1>",
        if broken { "fail" } else { "pass" },
        if broken { "broken" } else { "holds" },
    );
    html.push_str("<ul class=\"numbers\">\n");
    for (number, what, class) in [
        (totals.passed, "passed", "pass"),
        (totals.failed, "failed", if totals.failed > 0 { "fail" } else { "none" }),
        (totals.not_run, "not run", if totals.not_run > 0 { "part" } else { "none" }),
        (totals.inapplicable, "do not apply", "none"),
    ] {
        let _ = writeln!(html, "<li><b class=\"{class}\">{number}</b> {what}</li>");
    }
    html.push_str("</ul>\n<dl>\n");
    let date = report.date();
    let took = human(report.took);
    let facts = [("started", date.as_str()), ("took", &took), ("repeat with", &report.command)];
    let context = report.context.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in facts.into_iter().chain(context) {
        let value = escape(value);
        let value = if name == "repeat with" { format!("<code>{value}</code>") } else { value };
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl>\n</header>\n");
}

fn matrix(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Backends and guarantees</h2>\n<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><th></th>");
    for proof in &report.backends {
        let _ = write!(html, "<th scope=\"col\"><a href=\"#{0}\">{0}</a></th>", proof.backend);
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (guarantee, title) in GUARANTEES {
        let _ = write!(html, "<tr><th scope=\"row\"><b>{guarantee}</b> {title}</th>");
        for proof in &report.backends {
            let counts = proof.of_guarantee(guarantee);
            let (class, sign, word) = look(counts.verdict());
            let _ = write!(
                html,
                "<td class=\"{class}\" title=\"{}: {guarantee} {word}: {}\"><span>{sign}</span></td>",
                proof.backend,
                numbers(counts),
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n<p class=\"legend\">");
    for verdict in [Verdict::Proven, Verdict::Partly, Verdict::Failed, Verdict::NotRun, Verdict::Inapplicable]
    {
        let (class, sign, word) = look(verdict);
        let _ = write!(html, "<span class=\"{class}\"><span>{sign}</span></span> {word} ");
    }
    html.push_str("</p>\n</section>\n");
}

fn look(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Proven => ("pass", "✓", "proven"),
        Verdict::Partly => ("part", "◐", "proven as far as it could run"),
        Verdict::Failed => ("fail", "✕", "failed"),
        Verdict::NotRun => ("none", "·", "not run"),
        Verdict::Inapplicable => ("none", "–", "does not apply"),
    }
}

fn numbers(counts: Counts) -> String {
    let Counts { passed, failed, not_run, inapplicable } = counts;
    let parts =
        [(passed, "passed"), (failed, "failed"), (not_run, "not run"), (inapplicable, "do not apply")];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "no case".to_owned() } else { parts.join(", ") }
}

/// What went wrong, before everything that went right.
fn failures(html: &mut String, report: &Report) {
    if report.totals().failed == 0 {
        return;
    }
    html.push_str("<section>\n<h2>What failed</h2>\n");
    for proof in &report.backends {
        if let End::Broken(why) = &proof.end {
            failure(html, proof.backend, "the suite", why);
        }
        for run in &proof.runs {
            for case in &run.cases {
                if let Outcome::Failed(why) = &case.outcome {
                    let place = format!("{}, {}", proof.backend, run.variant);
                    failure(html, &place, &format!("{} {}", case.guarantee, spaced(&case.name)), why);
                }
            }
        }
    }
    html.push_str("</section>\n");
}

fn failure(html: &mut String, place: &str, what: &str, why: &str) {
    let _ = writeln!(
        html,
        "<article class=\"failure\"><h3>{} <small>{}</small></h3><pre>{}</pre></article>",
        escape(what),
        escape(place),
        escape(why),
    );
}

fn backend(html: &mut String, proof: &Proof) {
    let _ = writeln!(html, "<section id=\"{0}\">\n<h2>{0}</h2>", proof.backend);
    match (&proof.end, &proof.server) {
        (End::NotRun(why) | End::Broken(why), _) => {
            let _ = writeln!(html, "<p>Not proven: {}</p>", escape(why.lines().next().unwrap_or_default()));
        }
        (End::Ran, Some(server)) => {
            let _ = writeln!(html, "<p>{}, in {}</p>", escape(server), human(proof.took));
        }
        (End::Ran, None) => {
            let _ = writeln!(html, "<p>In {}</p>", human(proof.took));
        }
    }
    for run in &proof.runs {
        variant(html, run);
    }
    html.push_str("</section>\n");
}

fn variant(html: &mut String, run: &Run) {
    let counts = Counts::of(run.cases.iter());
    let class = look(counts.verdict()).0;
    let _ = writeln!(
        html,
        "<details><summary><span class=\"{class} dot\"></span> {} <small>{}</small></summary>\n<table class=\"cases\">",
        escape(&run.variant),
        numbers(counts),
    );
    for (guarantee, title) in GUARANTEES {
        let cases: Vec<_> = run.cases.iter().filter(|case| case.guarantee == guarantee).collect();
        if cases.is_empty() {
            continue;
        }
        let _ = writeln!(html, "<tbody><tr><th colspan=\"3\"><b>{guarantee}</b> {title}</th></tr>");
        for case in cases {
            row(html, case);
        }
        html.push_str("</tbody>\n");
    }
    html.push_str("</table></details>\n");
}

fn row(html: &mut String, case: &Case) {
    let (class, sign, why) = match &case.outcome {
        Outcome::Passed => ("pass", "✓", ""),
        Outcome::Failed(why) => ("fail", "✕", why.as_str()),
        Outcome::NotRun(why) => ("part", "not run", why.as_str()),
        Outcome::Inapplicable(why) => ("none", "n/a", why.as_str()),
    };
    let _ = writeln!(
        html,
        "<tr><td class=\"{class}\">{sign}</td><td>{} <small>{}{}</small></td><td class=\"time\">{:.2} s</td></tr>",
        escape(&spaced(&case.name)),
        escape(&case.kind),
        if why.is_empty() {
            String::new()
        } else {
            format!(": {}", escape(why.lines().next().unwrap_or_default()))
        },
        case.seconds,
    );
}

/// A case's name is a sentence.
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_page_needs_nothing_else() {
        let html = render(&sample());
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn texts_from_outside_are_escaped() {
        let html = render(&sample());
        assert!(html.contains("expected &lt;Gone&gt; &amp; got &quot;Saved&quot;"));
        assert!(html.contains("it did not compile"));
    }
}
