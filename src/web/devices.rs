//! Where else somebody is signed in.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_core::{SessionInfo, SessionKey, StoredSession};
use sha2::{Digest as _, Sha256};

use super::{Result, Session};

/// So many sessions of one principal are looked at.
const MOST: usize = 1_000;

const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// One of the places where somebody is signed in: a live session of a principal.
///
/// Its `Debug` shows nothing of the data.
#[derive(Clone)]
pub struct Device<T> {
    key: SessionKey,
    is_here: bool,
    session: StoredSession<T>,
}

impl<T> Device<T> {
    /// A name for it, to put into a form: no id follows from it.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(self.key.as_bytes())[..16])
    }

    /// Whether it is the session of this request.
    pub fn is_here(&self) -> bool {
        self.is_here
    }

    /// The session's data.
    pub fn data(&self) -> &T {
        &self.session.data
    }

    /// What the store knows of it beside its data.
    pub fn info(&self) -> &SessionInfo {
        &self.session.info
    }
}

impl<T: Clone + Send + Sync + 'static> Session<T> {
    /// The live sessions of this session's [principal](session_core::SessionsBuilder::principal): this one first, then
    /// those that were used last. At most 1,000; those whose data cannot be read are left out.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn page(session: Session<Visit>) -> Result<String> {
    ///     let mut page = String::new();
    ///     for device in session.devices().await? {
    ///         let here = if device.is_here() { " (this one)" } else { "" };
    ///         page += &format!("{}{here}, until {:?}\n", device.token(), device.info().expires_at);
    ///     }
    ///     Ok(page)
    /// }
    ///
    /// /// The token comes back from a form of that page.
    /// async fn sign_out_there(session: Session<Visit>, token: String) -> Result<bool> {
    ///     session.sign_out_device(&token).await
    /// }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` in a table without principals.
    pub async fn devices(&self) -> Result<Vec<Device<T>>> {
        let Some(here) = self.id().await? else { return Ok(Vec::new()) };
        let Some(principal) = self.principal() else { return Ok(Vec::new()) };
        let here = self.sessions().key(&here)?;
        let mut devices: Vec<Device<T>> = Vec::new();
        let mut after = None;
        while devices.len() < MOST {
            let page = self.sessions().list(Some(&principal), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            devices.extend(page.into_iter().filter_map(|entry| {
                let (session, is_here) = (entry.session.ok()?, entry.key == here);
                Some(Device { key: entry.key, is_here, session })
            }));
        }
        devices.truncate(MOST);
        devices.sort_by_key(|device| (!device.is_here, std::cmp::Reverse(device.session.info.expires_at)));
        Ok(devices)
    }

    /// Signs out on the device of this [token](Device::token). Returns false if the principal has none such: a token from
    /// elsewhere ends nobody's session.
    ///
    /// # Errors
    /// As [`devices`](Session::devices).
    pub async fn sign_out_device(&self, token: &str) -> Result<bool> {
        let devices = self.devices().await?;
        match devices.into_iter().find(|device| device.token() == token) {
            Some(device) if device.is_here => self.sign_out().await,
            Some(device) => Ok(self.sessions().destroy_key(&device.key).await?),
            None => Ok(false),
        }
    }
}

impl<T> fmt::Debug for Device<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("is_here", &self.is_here)
            .field("info", &self.session.info)
            .finish_non_exhaustive()
    }
}
