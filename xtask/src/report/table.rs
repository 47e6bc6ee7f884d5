//! The report on the terminal: a table of backends and guarantees, and why something is not proven.

use console::style;

use super::{Counts, End, Proof, Report, Verdict, guarantees, human};
use crate::terminal::say;

/// Prints the table with its notes.
pub(crate) fn print(report: &Report) {
    say("");
    render(report).iter().for_each(say);
}

fn render(report: &Report) -> Vec<String> {
    let width = report.backends.iter().map(|proof| proof.backend.len()).max().unwrap_or(0).max(7);
    let heads: String = guarantees().map(|(guarantee, _)| format!(" {guarantee:>4}")).collect();
    let head = format!("{:width$}{heads}   passed failed not run  n/a shared   time", "");
    let legend = "ok: proven   part: proven as far as it could run   FAIL: failed   -: not run   n/a: does not apply\n\
         shared: proven on another variant that runs the same code (--thorough: on each)";
    let mut lines = vec![style(head).bold().to_string()];
    lines.extend(report.backends.iter().map(|proof| row(proof, width)));
    lines.extend([String::new(), style(legend).dim().to_string()]);
    lines.extend(report.backends.iter().flat_map(notes));
    lines
}

fn row(proof: &Proof, width: usize) -> String {
    let cells = guarantees().map(|(guarantee, _)| {
        let Verdict(class, .., word) = proof.of_guarantee(guarantee).verdict();
        let cell = match class {
            "pass" => style(word).green(),
            "part" => style(word).yellow(),
            "fail" => style(word).red(),
            _ => style(word).dim(),
        };
        format!(" {cell:>4}")
    });
    let cells: String = cells.collect();
    let Counts { passed, failed, not_run, inapplicable, shared } = proof.counts();
    let time = match proof.end {
        End::Ran => style(human(proof.took)),
        End::NotRun(_) => style("not run".to_owned()).yellow(),
        End::Broken(_) => style("BROKEN".to_owned()).red(),
    };
    format!(
        "{:width$}{cells}   {passed:>6} {failed:>6} {not_run:>7} {inapplicable:>4} {shared:>6}   {time}",
        proof.backend
    )
}

/// Why a backend, or a part of its cases, was not proven.
fn notes(proof: &Proof) -> Vec<String> {
    let title = style(proof.backend).bold();
    let title = match (&proof.end, &proof.server) {
        (End::NotRun(why), _) => format!("{title}: not run: {why}"),
        (End::Broken(why), _) => format!("{title}: {}: {why}", style("broken").red()),
        (End::Ran, Some(server)) => format!("{title}: {server}"),
        (End::Ran, None) => title.to_string(),
    };
    let mut lines = vec![String::new(), title];
    for (run, case) in proof.failures() {
        let word = style("FAIL").red();
        lines.push(format!("  {word} {} {} ({})", case.guarantee, case.name, run.variant));
        lines.extend(case.why().lines().map(|line| format!("       {line}")));
    }
    for ((word, why), guarantees) in proof.omissions() {
        let cases: usize = guarantees.values().sum();
        let mut names: Vec<_> = guarantees.into_keys().collect();
        names.sort_by_key(|name| name[1..].parse::<u32>().unwrap_or(u32::MAX));
        let noun = if cases == 1 { "case" } else { "cases" };
        lines.push(format!("  {word}: {cases} {noun} of {}: {why}", names.join(", ")));
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
            "n/a: 1 case of G10: this table forgets",
            "not run: 1 case of G14: no control",
        ] {
            assert!(text.contains(reason), "{reason} in:\n{text}");
        }
    }
}
