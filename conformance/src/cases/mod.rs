//! The cases, a file for each guarantee.

mod cancel;
mod concurrent;
mod contained;
mod create;
mod death;
mod durable;
mod expiry;
mod identity;
mod models;
mod payload;
mod principals;
mod purge;
mod rotation;
mod secrets;
mod tables;
mod update;
mod waiting;

use crate::CaseInfo;
use crate::case::Case;

pub(crate) const ALL: &[&[Case]] = &[
    identity::CASES,
    create::CASES,
    death::CASES,
    expiry::CASES,
    update::CASES,
    rotation::CASES,
    payload::CASES,
    models::CASES,
    concurrent::CASES,
    cancel::CASES,
    durable::CASES,
    purge::CASES,
    contained::CASES,
    tables::CASES,
    principals::CASES,
    secrets::CASES,
    waiting::CASES,
];

/// Every case that there is.
pub fn cases() -> Vec<CaseInfo> {
    ALL.iter().flat_map(|cases| cases.iter()).map(|case| case.info).collect()
}
