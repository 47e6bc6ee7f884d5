//! Calls in their plainest form, for the cases that ask for nothing else.

use async_trait::async_trait;
use session_core::contract::{DestroyPrincipal, Load, Loaded, Record, Store, Touch, Touched};
use session_core::{DestroyMode, Principal, Result, SessionKey, Timestamp};

#[async_trait]
pub(crate) trait Plain: Store {
    /// A load that knows no version.
    async fn find(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.load(&Load::new(key.clone()), now).await.map(Loaded::record)
    }

    /// Loads that know no version.
    async fn find_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let loads: Vec<Load> = keys.iter().cloned().map(Load::new).collect();
        let loaded = self.load_many(&loads, now).await?;
        Ok(loaded.into_iter().map(|loaded| loaded.map(Loaded::record)).collect())
    }

    /// A touch that expects no version.
    async fn move_expiry(&self, key: &SessionKey, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let touch = Touch { key: key.clone(), expires_at, expected: None };
        Ok(self.touch(&touch, now).await? == Touched::Moved)
    }

    /// A destroy of all sessions of a principal, however old.
    async fn destroy_all_of(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        let principal = principal.clone();
        let destroy = DestroyPrincipal { principal, except: except.cloned(), created_before: None, mode };
        self.destroy_principal(&destroy, now).await
    }
}

impl<S: Store + ?Sized> Plain for S {}
