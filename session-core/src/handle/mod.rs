//! The handle that applications use: every policy, over any backend.

mod builder;
mod call;
mod clock;
mod connection;
mod session;
mod sweeper;

pub use builder::SessionStoreBuilder;
pub use call::Reaction;
pub use session::{
    ListedSession, Meta, Modified, NewSession, RotateOutcome, Session, SetOutcome, StoredSession, Touched,
};
pub use sweeper::{Sweeper, SweeperBuilder};

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use call::{Core, Repeatable, back_off};

use crate::{
    Capabilities, Codec, Create, Created, Destroy, Error, ErrorKind, Event, Filter, Finding, Operation,
    Payload, Principal, Result, Rotate, Rotated, SessionId, SessionKey, Store, TimeToLive, Timestamp, Touch,
    Update, Updated, Version, Write, Written,
};

/// Creates that meet a taken key draw another id so often. With 256 random bits the first one always succeeds.
const ID_DRAWS: u32 = 3;

/// The sessions of an application: a handle over any [`Store`], cheap to clone.
///
/// `T` is what the application keeps in a session: anything that serde reads and writes. It decides ids, expiry,
/// limits, deadlines and retries; the backend only does as it is told.
///
/// # Logout wins
/// A session that was destroyed, rotated away or has expired is dead for ever. Whatever arrives late for it
/// ([`update`](Self::update), [`save`](Self::save), [`modify`](Self::modify), [`set`](Self::set),
/// [`touch`](Self::touch)) is told that it is gone, and changes nothing.
///
/// # Errors
/// Every method may fail with [`Unavailable`](crate::ErrorKind::Unavailable) (not reachable, or no answer within the
/// [deadline](SessionStoreBuilder::deadline)) and [`Backend`](crate::ErrorKind::Backend). Further kinds stand at the
/// method.
///
/// # Cancel safety
/// Any future may be dropped at any time: the operation then happened wholly or not at all.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// use session_core::{MemoryStore, SessionStore};
///
/// let sessions: SessionStore<Vec<String>> = SessionStore::new(MemoryStore::new());
/// let new = sessions.create(&vec!["apples".to_owned()]).await?;
/// sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
/// assert_eq!(sessions.load(&new.id).await?.unwrap().data, ["apples", "pears"]);
///
/// sessions.destroy(&new.id).await?;
/// assert!(sessions.modify(&new.id, |basket| basket.clear()).await?.is_none());
/// # Ok(()) }
/// ```
pub struct SessionStore<T = serde_json::Value> {
    core: Arc<Core>,
    data: Arc<DataPolicy<T>>,
}

/// The part of the policy that looks into the data.
struct DataPolicy<T> {
    time_to_live: TimeToLive<T>,
    codec: Box<dyn Codec<T>>,
    principal: Option<Box<PrincipalOf<T>>>,
}

type PrincipalOf<T> = dyn Fn(&T) -> Option<String> + Send + Sync;

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SessionStore<T> {
    /// A handle with every option at its default.
    pub fn new(store: impl Store) -> SessionStore<T> {
        SessionStore::builder(store).build_with_defaults()
    }

    /// Options for a handle.
    pub fn builder(store: impl Store) -> SessionStoreBuilder<T> {
        SessionStoreBuilder::new(Arc::new(store))
    }
}

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Asks the database for an answer, trying again as
    /// [`connect_retries`](SessionStoreBuilder::connect_retries) says. Not needed before other calls: it tells early
    /// what they would tell late.
    ///
    /// # Errors
    /// Those of the last attempt. An error that trying again cannot mend ends it at once.
    pub async fn connect(&self) -> Result<()> {
        self.core.connect().await
    }

    /// Makes a session and draws its id.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over the payload limit, [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// if the data does not serialize or its principal is not one.
    pub async fn create(&self, data: &T) -> Result<NewSession> {
        for _ in 0..ID_DRAWS {
            if let Some(new) = self.create_with_id(&SessionId::random()?, data).await? {
                return Ok(new);
            }
        }
        Err(self.error(
            Operation::Create,
            ErrorKind::Backend,
            "every id that was drawn is taken; the operating system's random numbers repeat",
        ))
    }

    /// Makes a session under an id that the caller drew; `None` if the id is taken, by a live session or a dead one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_with_id(&self, id: &SessionId, data: &T) -> Result<Option<NewSession>> {
        let now = self.core.now().await?;
        let expires_at = self.expiry(id, data, Some(now), now, Operation::Create)?;
        let create = Create {
            key: self.key(id)?,
            payload: self.encode(data, Operation::Create)?,
            expires_at,
            principal: self.principal_of(data, Operation::Create)?,
        };
        let created = self
            .core
            .call(Operation::Create, Repeatable::IfNotDone, || self.core.store.create(&create, now))
            .await?;
        if created == Created::KeyTaken {
            return Ok(None);
        }
        self.core.tell(&Event::Created { key: &create.key });
        self.clean_up(now).await;
        Ok(Some(NewSession { id: id.clone(), version: self.first_version(), expires_at }))
    }

    /// Reads a live session; `None` if it is absent or dead. It writes nothing.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if what is stored is not a `T`.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        self.load_as(id, Operation::Load).await
    }

    /// Replaces the data of a live session and renews its expiry; with `expected`, only if it has that version.
    ///
    /// With a [maximum lifetime](SessionStoreBuilder::max_lifetime) it reads the time of creation first;
    /// [`save`](Self::save) knows it already.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Unsupported`](crate::ErrorKind::Unsupported) with `expected` in a table without
    /// versions.
    pub async fn update(&self, id: &SessionId, data: &T, expected: Option<Version>) -> Result<Updated> {
        let Some(created_at) = self.created_at(id, Operation::Update).await? else {
            return Ok(Updated::Gone);
        };
        Ok(self.write(id, data, expected, created_at, Operation::Update).await?.0)
    }

    /// Writes back a session that was loaded, if nobody updated it since. On success the session has its new version
    /// and expiry and can be saved again.
    ///
    /// In a table without versions it replaces whatever is there.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn save(&self, session: &mut Session<T>) -> Result<Updated> {
        let expected = self.expected(session.version());
        let created_at = session.created_at();
        let (updated, expires_at) =
            self.write(session.id(), &session.data, expected, created_at, Operation::Update).await?;
        if let Updated::Saved(version) = updated {
            session.meta.version = version;
            session.meta.expires_at = expires_at;
            session.meta.principal = self.principal_of(&session.data, Operation::Update)?;
        }
        Ok(updated)
    }

    /// Changes a live session's data where it stands: an atomic read-modify-write. `None` if the session is absent
    /// or dead.
    ///
    /// The closure runs again on fresh data whenever somebody else was faster, so let it do nothing but change the
    /// data. The whole of it ends with the deadline.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Conflict`](crate::ErrorKind::Conflict) if others were faster until the
    /// deadline; [`Unsupported`](crate::ErrorKind::Unsupported) in a table without versions.
    pub async fn modify<R>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<Option<Modified<R>>> {
        if !self.capabilities().versions {
            return Err(self.error(
                Operation::Modify,
                ErrorKind::Unsupported,
                "this table holds no versions; use `update`, or a native table",
            ));
        }
        let deadline = Instant::now() + self.core.deadline;
        let mut rounds = 0;
        loop {
            let Some(mut session) = self.load_as(id, Operation::Modify).await? else { return Ok(None) };
            let value = change(&mut session.data);
            let (expected, created_at) = (Some(session.version()), session.created_at());
            match self.write(id, &session.data, expected, created_at, Operation::Modify).await? {
                (Updated::Saved(version), expires_at) => {
                    return Ok(Some(Modified { value, version, expires_at }));
                }
                (Updated::Gone, _) => return Ok(None),
                (Updated::Stale, _) => {}
            }
            if Instant::now() >= deadline {
                return Err(self.error(Operation::Modify, ErrorKind::Conflict, "others changed this session in every round until the deadline; nothing was changed, try again later"));
            }
            rounds += 1;
            sleep(back_off(rounds)).await;
        }
    }

    /// Creates or updates, as the Node stores' `set` does, but never brings a dead id back to life.
    ///
    /// In a table that keeps no tombstones a destroyed id cannot be told from a new one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn set(&self, id: &SessionId, data: &T) -> Result<SetOutcome> {
        // Whoever comes second in the race for a new id finds the key taken, and then the session live.
        for may_create in [true, false] {
            if let Updated::Saved(version) = self.update(id, data, None).await? {
                return Ok(SetOutcome::Updated(version));
            }
            if may_create && let Some(new) = self.create_with_id(id, data).await? {
                return Ok(SetOutcome::Created(new.version));
            }
        }
        Ok(SetOutcome::Gone)
    }

    /// Renews the expiry of a live session.
    ///
    /// It reads the session first if the time to live depends on its data, or if a
    /// [throttle](SessionStoreBuilder::touch_throttle) or a [maximum lifetime](SessionStoreBuilder::max_lifetime) is
    /// set; [`refresh`](Self::refresh) knows all that already.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the time to live depends on data that cannot be read.
    pub async fn touch(&self, id: &SessionId) -> Result<Touched> {
        let now = self.core.now().await?;
        let known = self.data.time_to_live.without_data(now);
        if let Some(expires_at) = known
            && self.core.max_lifetime.is_none()
            && self.core.touch_throttle == 0
        {
            return self.move_expiry(id, expires_at, now).await;
        }
        match self.load_as(id, Operation::Touch).await? {
            None => Ok(Touched::Gone),
            Some(mut session) => self.refresh(&mut session).await,
        }
    }

    /// Renews the expiry of a session that was loaded. With a [throttle](SessionStoreBuilder::touch_throttle) it
    /// writes nothing while the expiry would hardly move.
    pub async fn refresh(&self, session: &mut Session<T>) -> Result<Touched> {
        let now = self.core.now().await?;
        let (old, created_at) = (session.expires_at(), session.created_at());
        let expires_at = self.expiry(session.id(), &session.data, created_at, now, Operation::Touch)?;
        if now < old && self.is_throttled(old, expires_at, now) {
            return Ok(Touched::Throttled(old));
        }
        let touched = self.move_expiry(session.id(), expires_at, now).await?;
        if touched != Touched::Gone {
            session.meta.expires_at = expires_at;
        }
        Ok(touched)
    }

    /// Moves a live session to a new id and keeps everything else: what to do at every sign-in, so that an id that
    /// somebody planted is worth nothing. `None` if the session is absent or dead.
    ///
    /// # Errors
    /// As [`rotate_with`](Self::rotate_with).
    pub async fn rotate(&self, id: &SessionId) -> Result<Option<NewSession>> {
        let deadline = Instant::now() + self.core.deadline;
        loop {
            let Some(session) = self.load_as(id, Operation::Rotate).await? else { return Ok(None) };
            let rotated = self.rotate_loaded(&session, None).await?;
            match rotated {
                RotateOutcome::Rotated(new) => return Ok(Some(new)),
                RotateOutcome::Gone => return Ok(None),
                RotateOutcome::Stale if Instant::now() < deadline => {}
                RotateOutcome::Stale => {
                    return Err(self.error(Operation::Rotate, ErrorKind::Conflict, "others changed this session in every round until the deadline; nothing was changed, try again later"));
                }
            }
        }
    }

    /// Moves a live session to a new id and replaces its data in the same step; with `expected`, only if it has that
    /// version.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Unsupported`](crate::ErrorKind::Unsupported) where the backend cannot do it in
    /// one atomic step.
    pub async fn rotate_with(
        &self,
        id: &SessionId,
        data: &T,
        expected: Option<Version>,
    ) -> Result<RotateOutcome> {
        let Some(created_at) = self.created_at(id, Operation::Rotate).await? else {
            return Ok(RotateOutcome::Gone);
        };
        self.rotate_to(id, data, Some(self.encode(data, Operation::Rotate)?), expected, created_at).await
    }

    /// Ends a session; `false` if it is absent or dead already.
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.destroy_key(&self.key(id)?).await
    }

    /// Ends a session by the key that a listing gave.
    pub async fn destroy_key(&self, key: &SessionKey) -> Result<bool> {
        let now = self.core.now().await?;
        let destroy = Destroy { key: key.clone(), mode: self.core.destroy_mode };
        let destroyed = self
            .core
            .call(Operation::Destroy, Repeatable::IfNotDone, || self.core.store.destroy(&destroy, now))
            .await?;
        if destroyed {
            self.core.tell(&Event::Destroyed { key });
        }
        Ok(destroyed)
    }

    /// Ends several sessions and returns how many of them were live. Each ends for itself: after an error some may
    /// have ended.
    pub async fn destroy_many(&self, ids: &[SessionId]) -> Result<u64> {
        let now = self.core.now().await?;
        let mut keys = ids.iter().map(|id| self.key(id)).collect::<Result<Vec<_>>>()?;
        keys.sort();
        keys.dedup();
        let mode = self.core.destroy_mode;
        let writes: Vec<Write> = keys.into_iter().map(|key| Write::Destroy(Destroy { key, mode })).collect();
        let outcomes = self
            .core
            .call(Operation::Destroy, Repeatable::IfNotDone, || self.core.store.write_many(&writes, now))
            .await?;
        let mut ended = 0;
        for (write, outcome) in writes.iter().zip(outcomes) {
            if outcome? == Written::Destroyed(true) {
                self.core.tell(&Event::Destroyed { key: write.key() });
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends every session of a principal: sign out everywhere.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in a table without principals.
    pub async fn destroy_principal(&self, principal: &str) -> Result<u64> {
        self.destroy_all_but(principal, None).await
    }

    /// Ends every session of a principal but one, in one atomic step: sign out everywhere else.
    ///
    /// # Errors
    /// As [`destroy_principal`](Self::destroy_principal).
    pub async fn destroy_others(&self, principal: &str, keep: &SessionId) -> Result<u64> {
        self.destroy_all_but(principal, Some(&self.key(keep)?)).await
    }

    /// Lists up to `limit` live sessions, of one principal or of all, from behind `after` on. Start with `None` and
    /// go on with the last key of each page until a page is empty.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) with one in a table without principals.
    pub async fn list(
        &self,
        principal: Option<&str>,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
    ) -> Result<Vec<ListedSession<T>>> {
        let now = self.core.now().await?;
        let filter = self.filter(principal)?;
        let page = self
            .core
            .call(Operation::List, Repeatable::Yes, || self.core.store.list(&filter, after, limit, now))
            .await?;
        Ok(page
            .into_iter()
            .map(|listed| {
                let session = listed.record.and_then(|record| {
                    let data = self.decode(&record.payload, Operation::List)?;
                    Ok(StoredSession { data, meta: record.into() })
                });
                ListedSession { key: listed.key, session }
            })
            .collect())
    }

    /// Counts the live sessions, of one principal or of all.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn count(&self, principal: Option<&str>) -> Result<u64> {
        let now = self.core.now().await?;
        let filter = self.filter(principal)?;
        self.core.call(Operation::Count, Repeatable::Yes, || self.core.store.count(&filter, now)).await
    }

    /// Removes every session, live or dead, and returns how many rows there were.
    pub async fn clear(&self) -> Result<u64> {
        self.core.call(Operation::Clear, Repeatable::IfNotDone, || self.core.store.clear()).await
    }

    /// Removes up to `limit` sessions whose expiry has passed. The [`sweeper`](Self::sweeper) does this by itself.
    pub async fn purge(&self, limit: NonZeroU32) -> Result<u64> {
        self.core.purge(limit).await
    }

    /// A task that purges expired sessions from time to time. Nothing runs until it is
    /// [started](SweeperBuilder::start).
    pub fn sweeper(&self) -> SweeperBuilder {
        SweeperBuilder::new(Arc::clone(&self.core))
    }

    /// Looks at the table, the server and the clocks, and says in words what is wrong and how to mend it. An empty
    /// answer means that all is well.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        let mut findings =
            self.core.call(Operation::Diagnose, Repeatable::Yes, || self.core.store.diagnose()).await?;
        let skew = self
            .core
            .call(Operation::ServerTime, Repeatable::Yes, || {
                clock::offset(&*self.core.clock, &*self.core.store)
            })
            .await?;
        if skew.unsigned_abs() > 1_000 {
            findings.push(Finding::warning(
                format!("the database's clock is {skew} ms ahead of this host's"),
                "let both follow a time server; `SessionStoreBuilder::database_clock` makes all hosts agree meanwhile",
            ));
        }
        Ok(findings)
    }

    /// False while work is refused because the database cannot be reached. The next call after the back-off finds
    /// out whether it is back.
    pub fn is_connected(&self) -> bool {
        self.core.connection.is_connected()
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> Capabilities {
        self.core.store.capabilities()
    }

    /// The key under which the database holds the session with this id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold it.
    pub fn key(&self, id: &SessionId) -> Result<SessionKey> {
        id.key(self.core.store.key_format())
    }

    /// The backend behind this handle.
    pub fn backend(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    async fn load_as(&self, id: &SessionId, operation: Operation) -> Result<Option<Session<T>>> {
        let now = self.core.now().await?;
        let key = self.key(id)?;
        let record = self.core.call(operation, Repeatable::Yes, || self.core.store.load(&key, now)).await?;
        let Some(record) = record else { return Ok(None) };
        let data = self.decode(&record.payload, operation)?;
        Ok(Some(Session::new(id.clone(), data, record.into())))
    }

    async fn write(
        &self,
        id: &SessionId,
        data: &T,
        expected: Option<Version>,
        created_at: Option<Timestamp>,
        operation: Operation,
    ) -> Result<(Updated, Timestamp)> {
        let now = self.core.now().await?;
        let expires_at = self.expiry(id, data, created_at, now, operation)?;
        let update = Update {
            key: self.key(id)?,
            payload: self.encode(data, operation)?,
            expires_at,
            principal: self.principal_of(data, operation)?,
            expected,
        };
        let updated =
            self.core.call(operation, Repeatable::IfNotDone, || self.core.store.update(&update, now)).await?;
        Ok((updated, expires_at))
    }

    async fn move_expiry(&self, id: &SessionId, expires_at: Timestamp, now: Timestamp) -> Result<Touched> {
        let touch = Touch { key: self.key(id)?, expires_at };
        let moved =
            self.core.call(Operation::Touch, Repeatable::Yes, || self.core.store.touch(&touch, now)).await?;
        Ok(if moved { Touched::Moved(expires_at) } else { Touched::Gone })
    }

    async fn rotate_loaded(&self, session: &Session<T>, payload: Option<Payload>) -> Result<RotateOutcome> {
        let expected = self.expected(session.version());
        self.rotate_to(session.id(), &session.data, payload, expected, session.created_at()).await
    }

    async fn rotate_to(
        &self,
        id: &SessionId,
        data: &T,
        payload: Option<Payload>,
        expected: Option<Version>,
        created_at: Option<Timestamp>,
    ) -> Result<RotateOutcome> {
        let now = self.core.now().await?;
        let principal = self.principal_of(data, Operation::Rotate)?;
        for _ in 0..ID_DRAWS {
            let new = SessionId::random()?;
            let expires_at = self.expiry(&new, data, created_at, now, Operation::Rotate)?;
            let rotate = Rotate {
                from: self.key(id)?,
                to: self.key(&new)?,
                payload: payload.clone(),
                expires_at,
                principal: principal.clone(),
                expected,
                mode: self.core.destroy_mode,
            };
            let rotated = self
                .core
                .call(Operation::Rotate, Repeatable::IfNotDone, || self.core.store.rotate(&rotate, now))
                .await?;
            match rotated {
                Rotated::Rotated(version) => {
                    self.core.tell(&Event::Rotated { from: &rotate.from, to: &rotate.to });
                    return Ok(RotateOutcome::Rotated(NewSession { id: new, version, expires_at }));
                }
                Rotated::Stale => return Ok(RotateOutcome::Stale),
                Rotated::Gone => return Ok(RotateOutcome::Gone),
                Rotated::KeyTaken => {}
            }
        }
        Err(self.error(
            Operation::Rotate,
            ErrorKind::Backend,
            "every id that was drawn is taken; the operating system's random numbers repeat",
        ))
    }

    async fn destroy_all_but(&self, principal: &str, except: Option<&SessionKey>) -> Result<u64> {
        let now = self.core.now().await?;
        let principal = Principal::new(principal)?;
        let mode = self.core.destroy_mode;
        let count = self
            .core
            .call(Operation::Destroy, Repeatable::IfNotDone, || {
                self.core.store.destroy_principal(&principal, except, mode, now)
            })
            .await?;
        self.core.tell(&Event::PrincipalDestroyed { principal: &principal, count });
        Ok(count)
    }

    /// Removes a few expired sessions along with a create. It may fail or run late without anybody noticing but the
    /// observer.
    async fn clean_up(&self, now: Timestamp) {
        let Some(limit) = NonZeroU32::new(self.core.cleanup_limit) else { return };
        let purge = self.core.store.purge_expired(now, limit);
        let error = match timeout_at(Instant::now() + self.core.deadline, purge).await {
            Ok(Ok(count)) => return self.core.tell(&Event::Purged { count }),
            Ok(Err(error)) => error,
            Err(_) => Error::unavailable("the clean-up of expired sessions did not end within the deadline"),
        };
        let error = error.with_operation(Operation::Purge).with_backend(self.core.store.backend());
        self.core.tell(&Event::Error { error: &error });
    }

    /// When a session was created, where the maximum lifetime makes that matter. `None` if the session is gone.
    async fn created_at(&self, id: &SessionId, operation: Operation) -> Result<Option<Option<Timestamp>>> {
        if self.core.max_lifetime.is_none() {
            return Ok(Some(None));
        }
        let now = self.core.now().await?;
        let key = self.key(id)?;
        // A session keeps its time of creation for life, so nothing can change it between here and the write.
        let record = self.core.call(operation, Repeatable::Yes, || self.core.store.load(&key, now)).await?;
        Ok(record.map(|record| record.created_at))
    }

    fn expiry(
        &self,
        id: &SessionId,
        data: &T,
        created_at: Option<Timestamp>,
        now: Timestamp,
        operation: Operation,
    ) -> Result<Timestamp> {
        let idle =
            self.data.time_to_live.expiry(id, data, now).map_err(|error| error.with_operation(operation))?;
        Ok(match (self.core.max_lifetime, created_at) {
            (Some(most), Some(created_at)) => idle.min(created_at.saturating_add(most)),
            _ => idle,
        })
    }

    /// Whether a move from `old` to `new` is less than the set part of the time that a renewed session has.
    fn is_throttled(&self, old: Timestamp, new: Timestamp, now: Timestamp) -> bool {
        let distance = new.saturating_since(old).max(old.saturating_since(new));
        let least = new.saturating_since(now).as_millis() * u128::from(self.core.touch_throttle) / 100;
        distance.as_millis() < least
    }

    fn expected(&self, version: Version) -> Option<Version> {
        self.capabilities().versions.then_some(version)
    }

    fn first_version(&self) -> Version {
        if self.capabilities().versions { Version::FIRST } else { Version::NONE }
    }

    fn filter(&self, principal: Option<&str>) -> Result<Filter> {
        Ok(Filter { principal: principal.map(Principal::new).transpose()? })
    }

    fn principal_of(&self, data: &T, operation: Operation) -> Result<Option<Principal>> {
        let name = self.data.principal.as_ref().and_then(|principal| principal(data));
        name.map(Principal::new).transpose().map_err(|error| error.with_operation(operation))
    }

    fn encode(&self, data: &T, operation: Operation) -> Result<Payload> {
        let text = self.data.codec.encode(data).map_err(|error| error.with_operation(operation))?;
        if text.len() > self.core.payload_limit {
            let message = format!(
                "the session's data has {} bytes and may have {}; keep less in it, or raise \
                 `SessionStoreBuilder::payload_limit`",
                text.len(),
                self.core.payload_limit
            );
            return Err(self.error(operation, ErrorKind::TooLarge, message));
        }
        Ok(text.into())
    }

    fn decode(&self, payload: &Payload, operation: Operation) -> Result<T> {
        self.data
            .codec
            .decode(payload.as_str())
            .map_err(|error| error.with_operation(operation).with_backend(self.core.store.backend()))
    }

    fn error(&self, operation: Operation, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, message)
            .with_indeterminate(false)
            .with_operation(operation)
            .with_backend(self.core.store.backend())
    }
}

impl Core {
    pub(super) async fn purge(&self, limit: NonZeroU32) -> Result<u64> {
        let now = self.now().await?;
        let count = self
            .call(Operation::Purge, Repeatable::IfNotDone, || self.store.purge_expired(now, limit))
            .await?;
        self.tell(&Event::Purged { count });
        Ok(count)
    }
}

impl<T> Clone for SessionStore<T> {
    fn clone(&self) -> SessionStore<T> {
        SessionStore { core: Arc::clone(&self.core), data: Arc::clone(&self.data) }
    }
}

impl<T> fmt::Debug for SessionStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
