//! What is wrong, in words.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Sessions;
use super::clock::Skew;
use crate::contract::Store as _;
use crate::{DestroyMode, Finding, Operation, Result};

/// Clocks that are closer than this agree well enough.
const TOLERANCE: Duration = Duration::from_secs(1);

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Looks at the table, the server, the clocks and the options, and says in words what is wrong and how to mend
    /// it. An answer without a [warning or fault](crate::Severity) means that all is well. Changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use session_core::Severity;
    /// let sessions: Sessions<String> = Sessions::new(MemoryStore::new());
    /// for finding in sessions.doctor().await? {
    ///     if finding.severity > Severity::Note {
    ///         eprintln!("{}; {}", finding.what, finding.remedy);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Only those that stand at [`Sessions`]: what it finds is no error.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        let call = self.core.begin(Operation::Diagnose);
        call.run(async {
            let mut findings = call.read(|_| self.core.store.diagnose()).await?;
            let skew = call.read(|_| Skew::measure(&*self.core.clock, &self.core.store)).await?;
            findings.extend(self.clock_finding(skew));
            findings.extend(self.ahead_finding(skew));
            if self.policy.never_ends() && self.core.destroy_mode != DestroyMode::Remove {
                findings.push(Finding::warning(
                    "sessions never expire, so the rows of destroyed ones are never removed",
                    "set a time to live, `SessionsBuilder::max_lifetime`, or `DestroyMode::Remove`",
                ));
            }
            Ok(findings)
        })
        .await
    }

    /// A clock that was ahead and is set right: the handle never goes back, so it waits for the clock.
    fn ahead_finding(&self, skew: Skew) -> Option<Finding> {
        let host = self.core.clock.now().as_millis();
        let now = match self.core.database_clock {
            Some(_) => host.saturating_add(skew.millis),
            None => host,
        };
        let latest = self.core.latest.load(Ordering::Relaxed);
        let ahead = Duration::from_millis(u64::try_from(latest.saturating_sub(now)).unwrap_or(0));
        (ahead.saturating_sub(skew.error) > TOLERANCE).then(|| {
            Finding::warning(
                format!(
                    "the clock was set back by {} s: until it is there again, nothing expires in this program, and what \
                     it renews expires by as much later",
                    ahead.as_secs()
                ),
                "start the program anew, if the clock was wrong before and is right now",
            )
        })
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
                "let both follow a time server; `SessionsBuilder::database_clock` makes all hosts agree meanwhile",
            ),
        })
    }
}
