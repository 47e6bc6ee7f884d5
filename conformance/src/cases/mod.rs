//! The cases, a file for each guarantee.

mod create;
mod models;

use crate::CaseInfo;
use crate::case::Case;

pub(crate) const ALL: &[&[Case]] = &[create::CASES, models::CASES];

/// Every case that there is.
pub fn cases() -> Vec<CaseInfo> {
    ALL.iter().flat_map(|cases| cases.iter()).map(|case| case.info).collect()
}
