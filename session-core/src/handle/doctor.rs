//! What is wrong, in words.

use std::time::Duration;

use super::SessionStore;
use super::clock::Skew;
use crate::{DestroyMode, Finding, Operation, Result};

/// Clocks that are closer than this agree well enough.
const TOLERANCE: Duration = Duration::from_secs(1);

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Looks at the table, the server, the clocks and the options, and says in words what is wrong and how to mend
    /// it. An answer without a [warning or fault](crate::Severity) means that all is well. Changes nothing.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        let call = self.core.begin(Operation::Diagnose);
        call.run(async {
            call.admit().await?;
            let mut findings = call.read(|| self.core.store.diagnose()).await?;
            let skew = call.read(|| Skew::measure(&*self.core.clock, &*self.core.store)).await?;
            findings.extend(self.clock_finding(skew));
            if self.policy.never_ends() && self.core.destroy_mode == DestroyMode::Soft {
                findings.push(Finding::warning(
                    "sessions never expire, so the rows of destroyed ones are never removed",
                    "set a time to live, `SessionStoreBuilder::max_lifetime`, or `DestroyMode::Hard`",
                ));
            }
            Ok(findings)
        })
        .await
    }

    fn clock_finding(&self, skew: Skew) -> Option<Finding> {
        let distance = Duration::from_millis(skew.millis.unsigned_abs());
        if distance.saturating_sub(skew.error) <= TOLERANCE {
            return None;
        }
        let side = if skew.millis > 0 { "ahead of" } else { "behind" };
        let what = format!("the database's clock is {} ms {side} this host's", skew.millis.unsigned_abs());
        Some(match self.core.database_clock {
            Some(_) => Finding::note(format!("{what}; the handle corrects that")),
            None => Finding::warning(
                what,
                "let both follow a time server; `SessionStoreBuilder::database_clock` makes all hosts agree meanwhile",
            ),
        })
    }
}
