//! The report on the terminal: a table of backends and guarantees, and why something is not proven.

use super::{Counts, End, GUARANTEES, Outcome, Proof, Report, Verdict, human};
use crate::terminal::{Paint, paint, say};

/// Prints the table with its notes.
pub(crate) fn print(report: &Report) {
    say("");
    for line in render(report) {
        say(&line);
    }
}

fn render(report: &Report) -> Vec<String> {
    let name_width = report.backends.iter().map(|proof| proof.backend.len()).max().unwrap_or(0).max(7);
    let mut head = format!("{:name_width$}", "");
    for (guarantee, _) in GUARANTEES {
        head.push_str(&format!(" {guarantee:>4}"));
    }
    head.push_str("   passed failed not run  n/a   time");
    let mut lines = vec![paint(Paint::Bold, &head)];
    lines.extend(report.backends.iter().map(|proof| row(proof, name_width)));
    lines.push(String::new());
    lines.push(paint(
        Paint::Dim,
        "ok: proven   part: proven as far as it could run   FAIL: failed   -: not run   n/a: does not apply",
    ));
    lines.extend(report.backends.iter().flat_map(notes));
    lines
}

fn row(proof: &Proof, name_width: usize) -> String {
    let mut line = format!("{:name_width$}", proof.backend);
    for (guarantee, _) in GUARANTEES {
        let (word, colour) = match proof.of_guarantee(guarantee).verdict() {
            Verdict::Proven => ("ok", Paint::Green),
            Verdict::Partly => ("part", Paint::Yellow),
            Verdict::Failed => ("FAIL", Paint::Red),
            Verdict::NotRun => ("-", Paint::Dim),
            Verdict::Inapplicable => ("n/a", Paint::Dim),
        };
        // Padded before it is painted: colours have no width.
        line.push_str(&paint(colour, &format!(" {word:>4}")));
    }
    let counts = proof.counts();
    let Counts { passed, failed, not_run, inapplicable } = counts;
    line.push_str(&format!("   {passed:>6} {failed:>6} {not_run:>7} {inapplicable:>4}   "));
    line.push_str(&match proof.end {
        End::Ran => human(proof.took),
        End::NotRun(_) => paint(Paint::Yellow, "not run"),
        End::Broken(_) => paint(Paint::Red, "BROKEN"),
    });
    line
}

/// Why a backend, or a part of its cases, was not proven.
fn notes(proof: &Proof) -> Vec<String> {
    let mut lines = vec![String::new()];
    let title = paint(Paint::Bold, proof.backend);
    match (&proof.end, &proof.server) {
        (End::NotRun(why), _) => lines.push(format!("{title}: not run: {why}")),
        (End::Broken(why), _) => lines.push(format!("{title}: {}: {why}", paint(Paint::Red, "broken"))),
        (End::Ran, Some(server)) => lines.push(format!("{title}: {server}")),
        (End::Ran, None) => lines.push(title),
    }
    for run in &proof.runs {
        for case in &run.cases {
            if let Outcome::Failed(why) = &case.outcome {
                lines.push(format!(
                    "  {} {} {} ({})",
                    paint(Paint::Red, "FAIL"),
                    case.guarantee,
                    case.name,
                    run.variant
                ));
                lines.extend(why.lines().map(|line| format!("       {line}")));
            }
        }
    }
    for ((inapplicable, why), guarantees) in proof.omissions() {
        let cases: usize = guarantees.values().sum();
        let mut names: Vec<_> = guarantees.into_keys().collect();
        names.sort_by_key(|name| name[1..].parse::<u32>().unwrap_or(u32::MAX));
        let noun = if cases == 1 { "case" } else { "cases" };
        let what = if inapplicable { "n/a" } else { "not run" };
        lines.push(format!("  {what}: {cases} {noun} of {}: {why}", names.join(", ")));
    }
    // A backend about which there is nothing to say beyond its row.
    if lines.len() == 2 && proof.server.is_none() && proof.end == End::Ran { Vec::new() } else { lines }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let lines = render(&sample());
        let column = lines[0].find("G14").map(|start| start + 3).expect("a head");
        assert_eq!(&lines[1][column - 4..column], "part");
        assert!(lines[2].ends_with("not run"));
    }

    #[test]
    fn every_reason_is_given() {
        let text = render(&sample()).join("\n");
        for reason in [
            "FAIL G3 late_update (native)",
            "expected <Gone>",
            "n/a: 1 case of G10: memory forgets",
            "not run: 1 case of G14: no server control",
        ] {
            assert!(text.contains(reason), "{reason} in:\n{text}");
        }
    }
}
