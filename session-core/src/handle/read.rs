//! Reading sessions: one, page by page, and how many.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Sessions;
use super::call::Call;
use super::policy::Unreadable;
use super::session::{ListedSession, Reloaded, Session, StoredSession};
use crate::contract::{Filter, Listed, Load, Loaded, Record, Store as _};
use crate::{Error, ErrorKind, Fate, Operation, Principal, Result, SessionId, SessionKey, Timestamp};

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Reads a live session; `None` if it is absent or dead. It writes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, SessionId, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let new = sessions.create(&1).await?;
    /// let session = sessions.load(&new.id).await?.expect("alive");
    /// assert_eq!((session.data, session.expires_at()), (1, new.expires_at));
    /// assert!(sessions.load(&SessionId::new("from a cookie")?).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if what is stored is not a `T`.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        let call = self.core.begin(Operation::Load);
        call.run(self.fetch(&call, id)).await
    }

    /// As [`load`](Self::load), for a caller who only looks: with a [cache](crate::SessionsBuilder::cache) the data of a
    /// session that nobody changed since it was last read are neither decoded nor copied. Without a cache it costs what
    /// `load` costs.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_shared(&self, id: &SessionId) -> Result<Option<Session<Arc<T>>>> {
        let call = self.core.begin(Operation::Load);
        call.run(self.fetch_shared(&call, id)).await
    }

    /// Brings a session that was loaded up to date. If nobody changed it since, the database sends no data, and only the
    /// expiry may be another. Changes to `session.data` that were not saved are lost if somebody else changed the session.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Reloaded, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let mut session = sessions.start(1).await?;
    /// assert_eq!(sessions.reload(&mut session).await?, Reloaded::Unchanged);
    /// sessions.modify(session.id(), |number| *number = 2).await?; // by another request
    /// assert_eq!(sessions.reload(&mut session).await?, Reloaded::Changed);
    /// assert_eq!(session.data, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load); the session is then as it was.
    pub async fn reload<D: From<T>>(&self, session: &mut Session<D>) -> Result<Reloaded> {
        let call = self.core.begin(Operation::Load);
        call.run(async {
            let load = Load { key: self.key(session.id())?, known: self.known(session.version()) };
            match call.read(|now| self.core.store.load(&load, now)).await? {
                Loaded::Unchanged { expires_at } => {
                    session.info.expires_at = expires_at;
                    Ok(Reloaded::Unchanged)
                }
                Loaded::Record(record) => {
                    let data = self.policy.decode(&record.payload);
                    let Some(data) = self.readable(&call, data)? else { return Ok(Reloaded::Gone) };
                    session.data = data.into();
                    session.info = record.into();
                    Ok(Reloaded::Changed)
                }
                Loaded::Gone => Ok(Reloaded::Gone),
            }
        })
        .await
    }

    /// The time that this handle goes by: its [clock](crate::SessionsBuilder::clock)'s, or the
    /// [database's](crate::SessionsBuilder::database_clock).
    ///
    /// # Errors
    /// Only those that stand at [`Sessions`].
    pub async fn now(&self) -> Result<Timestamp> {
        let call = self.core.begin(Operation::ServerTime);
        call.run(call.now()).await
    }

    /// Says what became of a session, as far as its row tells. An id that was never issued is
    /// [`Unknown`](Fate::Unknown), as is one whose row was purged.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{Fate, MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let old = sessions.create(&1).await?;
    /// let new = sessions.rotate(&old.id).await?.expect("alive");
    /// assert_eq!(sessions.fate(&old.id).await?, Fate::RotatedAway); // no reason to take the cookie away
    /// assert_eq!(sessions.fate(&new.id).await?, Fate::Live);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold this one.
    pub async fn fate(&self, id: &SessionId) -> Result<Fate> {
        let call = self.core.begin(Operation::Fate);
        call.run(async {
            let key = self.key(id)?;
            call.read(|now| self.core.store.fate(&key, now)).await
        })
        .await
    }

    /// Lists up to `limit` live sessions, of one principal or of all, from behind `after` on. Start with `None` and
    /// go on with the last key of each page until a page is empty.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::num::NonZeroU32;
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// for user in ["ann", "bob", "ann"] {
    ///     sessions.create(&user.to_owned()).await?;
    /// }
    /// let mut last = None;
    /// let mut devices = 0;
    /// loop {
    ///     let page = sessions.list(Some("ann"), last.as_ref(), NonZeroU32::new(100).unwrap()).await?;
    ///     let Some(end) = page.last() else { break };
    ///     devices += page.len();
    ///     last = Some(end.key.clone());
    /// }
    /// assert_eq!(devices, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the text is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if one is given for a table without principals. A session that
    /// cannot be read is an error in its [own entry](ListedSession::session).
    pub async fn list(
        &self,
        principal: Option<&str>,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
    ) -> Result<Vec<ListedSession<T>>> {
        let call = self.core.begin(Operation::List);
        let page = call.run(async {
            let filter = filter(principal)?;
            call.read(|now| self.core.store.list(&filter, after, limit, now)).await
        });
        Ok(page.await?.into_iter().map(|listed| self.listed(listed)).collect())
    }

    /// Counts the live sessions, of one principal or of all.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// sessions.create(&"ann".to_owned()).await?;
    /// sessions.create(&"bob".to_owned()).await?;
    /// assert_eq!((sessions.count(Some("ann")).await?, sessions.count(None).await?), (1, 2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn count(&self, principal: Option<&str>) -> Result<u64> {
        let call = self.core.begin(Operation::Count);
        call.run(async {
            let filter = filter(principal)?;
            call.read(|now| self.core.store.count(&filter, now)).await
        })
        .await
    }

    /// A live session, with its data.
    pub(super) async fn fetch(&self, call: &Call<'_>, id: &SessionId) -> Result<Option<Session<T>>> {
        if let Some(kept) = &self.kept {
            let shared = self.fetch_kept(call, id, kept).await?;
            return Ok(shared.map(|session| session.map(|data| kept.copy(data))));
        }
        self.fetch_new(call, id).await
    }

    /// The same, with data that others may have, too.
    pub(super) async fn fetch_shared(
        &self,
        call: &Call<'_>,
        id: &SessionId,
    ) -> Result<Option<Session<Arc<T>>>> {
        match &self.kept {
            Some(kept) => self.fetch_kept(call, id, kept).await,
            None => Ok(self.fetch_new(call, id).await?.map(Session::into_shared)),
        }
    }

    /// The same, whatever is kept.
    async fn fetch_new(&self, call: &Call<'_>, id: &SessionId) -> Result<Option<Session<T>>> {
        let Some(record) = self.fetch_record(call, self.key(id)?).await? else { return Ok(None) };
        let data = self.readable(call, self.policy.decode(&record.payload))?;
        Ok(data.map(|data| Session::new(id.clone(), data, record.into())))
    }

    /// What was made of stored data; `None` if it cannot be read and the options call that no session.
    pub(super) fn readable<R>(&self, call: &Call<'_>, made: Result<R>) -> Result<Option<R>> {
        match made {
            Ok(made) => Ok(Some(made)),
            Err(error) if error.kind() == ErrorKind::Corrupt => match self.policy.unreadable {
                Unreadable::Error => Err(error),
                Unreadable::NoSession => {
                    call.report(error);
                    Ok(None)
                }
            },
            Err(error) => Err(error),
        }
    }

    /// A live session as it is stored.
    pub(super) async fn fetch_record(&self, call: &Call<'_>, key: SessionKey) -> Result<Option<Record>> {
        let load = Load::new(key);
        let loaded = call.read(|now| self.core.store.load(&load, now)).await;
        Ok(self.readable(call, loaded)?.and_then(Loaded::record))
    }

    fn listed(&self, listed: Listed) -> ListedSession<T> {
        let session = listed.record.and_then(|record| {
            let data = self.policy.decode(&record.payload)?;
            Ok(StoredSession { data, info: record.into() })
        });
        let session = session.map_err(|error| self.core.named(error, Operation::List));
        ListedSession { key: listed.key, session }
    }
}

/// The principal that a caller names.
pub(super) fn named_principal(text: &str) -> Result<Principal> {
    Principal::of(text).ok_or_else(|| {
        Error::invalid_input("the principal is empty, which is nobody; name one, such as the user's id")
    })
}

fn filter(principal: Option<&str>) -> Result<Filter> {
    Ok(Filter { principal: principal.map(named_principal).transpose()? })
}
