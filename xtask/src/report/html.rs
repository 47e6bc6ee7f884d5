//! The report for people.

use super::Report;

pub(super) fn render(report: &Report) -> String {
    report.date()
}
