//! The cases, a file for each guarantee.

mod by_principal;
mod cached;
mod cancel;
mod characters;
mod concurrent;
mod contained;
mod create;
mod death;
mod durable;
mod expiry;
mod fate;
mod handle;
mod identity;
mod known;
mod leave;
mod models;
mod network;
mod payload;
mod principals;
mod purge;
mod refusals;
mod remains;
mod rotation;
mod secrets;
mod tables;
mod touch;
mod update;
mod waiting;

use crate::CaseInfo;
use crate::case::Case;

pub(crate) const ALL: &[&[Case]] = &[
    identity::CASES,
    create::CASES,
    death::CASES,
    fate::CASES,
    expiry::CASES,
    leave::CASES,
    update::CASES,
    touch::CASES,
    rotation::CASES,
    payload::CASES,
    characters::CASES,
    known::CASES,
    models::CASES,
    handle::CASES,
    concurrent::CASES,
    cached::CASES,
    cancel::CASES,
    durable::CASES,
    purge::CASES,
    contained::CASES,
    tables::CASES,
    principals::CASES,
    by_principal::CASES,
    secrets::CASES,
    refusals::CASES,
    remains::CASES,
    waiting::CASES,
    network::CASES,
];

/// Every case that there is, in the order in which they run.
///
/// ```
/// for case in conformance::cases() {
///     println!("{} {} ({})", case.guarantee, case.name, case.kind.as_str());
/// }
/// # assert!(conformance::cases().len() > 100);
/// ```
pub fn cases() -> Vec<CaseInfo> {
    ALL.iter().flat_map(|cases| cases.iter()).map(|case| case.info).collect()
}
