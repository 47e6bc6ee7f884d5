//! Reading sessions: one, page by page, and how many.

use std::num::NonZeroU32;

use super::SessionStore;
use super::call::Call;
use super::session::{ListedSession, Session, StoredSession};
use crate::{Filter, Listed, Operation, Principal, Record, Result, SessionId, SessionKey};

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Reads a live session; `None` if it is absent or dead. It writes nothing.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if what is stored is not a `T`.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        let call = self.core.begin(Operation::Load);
        call.run(self.fetch(&call, id)).await
    }

    /// Lists up to `limit` live sessions, of one principal or of all, from behind `after` on. Start with `None` and
    /// go on with the last key of each page until a page is empty.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) with one in a table without principals. What is wrong with one
    /// session stands in its [own entry](ListedSession::session).
    pub async fn list(
        &self,
        principal: Option<&str>,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
    ) -> Result<Vec<ListedSession<T>>> {
        let call = self.core.begin(Operation::List);
        let page = call.run(async {
            let filter = filter(principal)?;
            let now = call.now().await?;
            call.read(|| self.core.store.list(&filter, after, limit, now)).await
        });
        Ok(page.await?.into_iter().map(|listed| self.listed(listed)).collect())
    }

    /// Counts the live sessions, of one principal or of all.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn count(&self, principal: Option<&str>) -> Result<u64> {
        let call = self.core.begin(Operation::Count);
        call.run(async {
            let filter = filter(principal)?;
            let now = call.now().await?;
            call.read(|| self.core.store.count(&filter, now)).await
        })
        .await
    }

    /// A live session, with its data.
    pub(super) async fn fetch(&self, call: &Call<'_>, id: &SessionId) -> Result<Option<Session<T>>> {
        let Some(record) = self.fetch_record(call, &self.key(id)?).await? else { return Ok(None) };
        let data = self.policy.decode(&record.payload)?;
        Ok(Some(Session::new(id.clone(), data, record.into())))
    }

    /// A live session as it is stored.
    pub(super) async fn fetch_record(&self, call: &Call<'_>, key: &SessionKey) -> Result<Option<Record>> {
        let now = call.now().await?;
        call.read(|| self.core.store.load(key, now)).await
    }

    fn listed(&self, listed: Listed) -> ListedSession<T> {
        let session = listed.record.and_then(|record| {
            let data = self.policy.decode(&record.payload)?;
            Ok(StoredSession { data, meta: record.into() })
        });
        let session = session.map_err(|error| self.core.named(error, Operation::List));
        ListedSession { key: listed.key, session }
    }
}

fn filter(principal: Option<&str>) -> Result<Filter> {
    Ok(Filter { principal: principal.map(Principal::new).transpose()? })
}
