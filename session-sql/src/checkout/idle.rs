//! What a connection that was idle has to do before it is lent again.

use deadpool::managed::{Hook, HookError, Manager};
use session_core::mutants::broken;
use tokio::time::timeout;

use super::alive::Alive;
use super::stamp::Stamp;
use crate::Limits;

/// Servers, proxies and firewalls close connections that are idle, or forget them and say nothing; a write over such a
/// one ends in doubt, or never. So it proves itself first, within a bound of its own; and if one cannot, none that was
/// idle at that moment is used again.
pub(super) fn check<M>(limits: Limits) -> Hook<M>
where
    M: Manager,
    M::Type: Alive,
{
    let failed = Stamp::default();
    Hook::async_fn(move |connection: &mut M::Type, metrics| {
        let failed = failed.clone();
        let idle = metrics.last_used();
        let lent = metrics.recycled.unwrap_or(metrics.created);
        Box::pin(async move {
            if broken("pool: lends whatever it has") {
                return Ok(());
            }
            if limits.idle.is_some_and(|limit| idle >= limit) || lent < failed.get() {
                return Err(HookError::message("idle for too long"));
            }
            if idle < limits.check_after {
                return Ok(());
            }
            let patience = if broken("pool: waits for ever for a sign of life") {
                limits.check_within.saturating_mul(1000)
            } else {
                limits.check_within
            };
            if let Ok(true) = timeout(patience, connection.sign_of_life()).await {
                return Ok(());
            }
            if !broken("pool: closes one connection where all are broken") {
                failed.set();
            }
            Err(HookError::message("closed while idle"))
        })
    })
}
