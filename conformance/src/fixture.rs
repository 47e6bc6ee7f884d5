//! Short words for what nearly every case does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use session_core::contract::{
    Create, Created, Destroy, Filter, Load, Loaded, Payload, Record, Rotate, Rotated, Store, Touch, Touched,
    Update,
};
use session_core::{
    Capabilities, DestroyMode, ErrorKind, Fate, Principal, Result, SessionId, SessionKey, Timestamp, Updated,
    Version,
};

use crate::case::{Ctx, Verdict, ensure, ensure_eq, failed};
use crate::plain::Plain as _;
use crate::world::{Frame, SLACK, T, limit};

/// A store, with times that it can hold.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) can: Capabilities,
    frame: Frame,
}

impl Fixture {
    /// A store on a table of its own.
    pub(crate) async fn new(ctx: &Ctx) -> Verdict<Fixture> {
        Ok(Fixture::of(ctx.store().await?))
    }

    /// Several handles on one new table.
    pub(crate) async fn handles(ctx: &Ctx, count: usize) -> Verdict<Vec<Fixture>> {
        Ok(ctx.handles(count).await?.into_iter().map(Fixture::of).collect())
    }

    pub(crate) fn of(store: Arc<dyn Store>) -> Fixture {
        let can = store.capabilities();
        Fixture { store, can, frame: Frame::around(T, can) }
    }

    /// The same store at other times.
    pub(crate) fn around(&self, base: i64) -> Fixture {
        Fixture { frame: Frame::around(base, self.can), ..self.clone() }
    }

    /// The instant of a call. What expires at `until(n)` is dead at `now(n)` and live at `now(n - 1)`.
    pub(crate) fn now(&self, number: i64) -> Timestamp {
        self.frame.now(number)
    }

    /// An expiry.
    pub(crate) fn until(&self, number: i64) -> Timestamp {
        self.frame.expiry(number)
    }

    pub(crate) fn key(&self, id: &str) -> Verdict<SessionKey> {
        Ok(SessionId::new(id)?.key(self.store.key_format())?)
    }

    /// What this table can keep of the dead.
    pub(crate) fn modes(&self) -> &'static [DestroyMode] {
        if self.can.tombstones {
            &[DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove]
        } else {
            &[DestroyMode::Remove]
        }
    }

    /// The principal, where this table holds any.
    pub(crate) fn principal(&self, name: &str) -> Verdict<Option<Principal>> {
        Ok(if self.can.principals { Some(Principal::new(name)?) } else { None })
    }

    /// The version after `updates` updates.
    pub(crate) fn version(&self, updates: i64) -> Version {
        if self.can.versions { Version::new(1 + updates) } else { Version::NONE }
    }

    /// Checks what an update is told that expected no version: the one after `updates` updates, or that it is left open
    /// where the store may do that.
    pub(crate) fn expect_saved(&self, updated: Updated, updates: i64, what: &str) -> Verdict {
        if self.can.returns_new_version || updated != Updated::Saved(Version::NONE) {
            ensure_eq!(updated, Updated::Saved(self.version(updates)), "{what}");
        }
        Ok(())
    }

    /// Checks what a rotation is told that expected no version.
    pub(crate) fn expect_rotated(&self, rotated: Rotated, updates: i64, what: &str) -> Verdict {
        if self.can.returns_new_version || rotated != Rotated::Rotated(Version::NONE) {
            ensure_eq!(rotated, Rotated::Rotated(self.version(updates)), "{what}");
        }
        Ok(())
    }

    /// Makes a session at `now(0)`.
    pub(crate) async fn create(&self, id: &str, payload: &str, until: i64) -> Verdict<SessionKey> {
        self.create_for(None, id, payload, until).await
    }

    /// Makes a session of a principal at `now(0)`.
    pub(crate) async fn create_for(
        &self,
        principal: Option<&str>,
        id: &str,
        payload: &str,
        until: i64,
    ) -> Verdict<SessionKey> {
        let key = self.key(id)?;
        let principal = principal.map(Principal::new).transpose()?;
        let create = Create {
            key: key.clone(),
            payload: Payload::from(payload),
            expires_at: self.until(until),
            principal,
            version: Version::FIRST,
        };
        let created = persist(|| self.store.create(&create, self.now(0))).await?;
        ensure_eq!(created, Created::Created, "creating a new session, id {id:?}");
        Ok(key)
    }

    pub(crate) async fn try_create(&self, key: &SessionKey, payload: &str, until: i64) -> Result<Created> {
        let create = Create {
            key: key.clone(),
            payload: Payload::from(payload),
            expires_at: self.until(until),
            principal: None,
            version: Version::FIRST,
        };
        self.store.create(&create, self.now(0)).await
    }

    pub(crate) async fn load(&self, key: &SessionKey, now: i64) -> Result<Option<Record>> {
        self.store.find(key, self.now(now)).await
    }

    pub(crate) async fn payload(&self, key: &SessionKey, now: i64) -> Result<Option<String>> {
        Ok(self.load(key, now).await?.map(|record| record.payload.as_str().to_owned()))
    }

    /// A load by somebody who knows this version.
    pub(crate) async fn load_knowing(&self, known: Version, key: &SessionKey, now: i64) -> Result<Loaded> {
        self.store.load(&Load { key: key.clone(), known: Some(known) }, self.now(now)).await
    }

    pub(crate) async fn fate(&self, key: &SessionKey, now: i64) -> Result<Fate> {
        self.store.fate(key, self.now(now)).await
    }

    pub(crate) fn update_of(&self, key: &SessionKey, payload: &str, until: i64) -> Update {
        Update {
            key: key.clone(),
            payload: Payload::from(payload),
            expires_at: Some(self.until(until)),
            principal: None,
            expected: None,
        }
    }

    pub(crate) async fn update(
        &self,
        key: &SessionKey,
        payload: &str,
        until: i64,
        now: i64,
    ) -> Result<Updated> {
        self.store.update(&self.update_of(key, payload, until), self.now(now)).await
    }

    pub(crate) async fn update_expecting(
        &self,
        expected: Version,
        key: &SessionKey,
        payload: &str,
    ) -> Result<Updated> {
        let update = Update { expected: Some(expected), ..self.update_of(key, payload, 100) };
        self.store.update(&update, self.now(0)).await
    }

    pub(crate) async fn touch(&self, key: &SessionKey, until: i64, now: i64) -> Result<bool> {
        self.store.move_expiry(key, self.until(until), self.now(now)).await
    }

    pub(crate) fn touch_of(&self, expected: Version, key: &SessionKey, until: i64) -> Touch {
        Touch { key: key.clone(), expires_at: self.until(until), expected: Some(expected) }
    }

    pub(crate) async fn touch_expecting(
        &self,
        expected: Version,
        key: &SessionKey,
        until: i64,
        now: i64,
    ) -> Result<Touched> {
        self.store.touch(&self.touch_of(expected, key, until), self.now(now)).await
    }

    pub(crate) async fn destroy(&self, key: &SessionKey, mode: DestroyMode, now: i64) -> Result<bool> {
        self.store.destroy(&Destroy { key: key.clone(), mode }, self.now(now)).await
    }

    /// A rotation that keeps the payload, removes the old row, and expects nothing.
    pub(crate) fn rotate_of(&self, from: &SessionKey, to: &SessionKey, until: i64) -> Rotate {
        Rotate {
            from: from.clone(),
            to: to.clone(),
            payload: None,
            expires_at: Some(self.until(until)),
            principal: None,
            expected: None,
            mode: DestroyMode::Remove,
        }
    }

    pub(crate) async fn rotate(&self, rotate: &Rotate, now: i64) -> Result<Rotated> {
        self.store.rotate(rotate, self.now(now)).await
    }

    pub(crate) async fn purge(&self, most: u32, now: i64) -> Result<u64> {
        self.store.purge_expired(self.now(now), limit(most)).await
    }

    pub(crate) async fn count(&self, now: i64) -> Result<u64> {
        self.store.count(&Filter::default(), self.now(now)).await
    }

    /// The keys of all live sessions, walked in pages of this size.
    pub(crate) async fn walk(&self, filter: &Filter, page: u32, now: i64) -> Verdict<Vec<SessionKey>> {
        let mut keys: Vec<SessionKey> = Vec::new();
        loop {
            let listed = self.store.list(filter, keys.last(), limit(page), self.now(now)).await?;
            let most = usize::try_from(page).unwrap_or(usize::MAX);
            ensure!(listed.len() <= most, "a page of at most {page} entries has {}", listed.len());
            if listed.is_empty() {
                return Ok(keys);
            }
            for entry in listed {
                ensure!(!keys.contains(&entry.key), "a walk in pages of {page} meets {:?} twice", entry.key);
                keys.push(entry.key);
            }
        }
    }

    /// The keys of all live sessions, sorted.
    pub(crate) async fn live_keys(&self, now: i64) -> Verdict<Vec<SessionKey>> {
        let mut keys = self.walk(&Filter::default(), 100, now).await?;
        keys.sort();
        Ok(keys)
    }

    /// Checks that a session is live and holds this payload.
    pub(crate) async fn expect_live(&self, key: &SessionKey, payload: &str, now: i64, what: &str) -> Verdict {
        let loaded = self.payload(key, now).await?;
        ensure!(loaded.is_some(), "{what}: the session must be live, but it cannot be loaded");
        ensure_eq!(loaded.as_deref(), Some(payload), "{what}: the payload");
        Ok(())
    }

    /// Checks that no operation finds a session, and that none brings it back.
    pub(crate) async fn expect_dead(&self, key: &SessionKey, now: i64, what: &str) -> Verdict {
        let late = self.now(now);
        for round in ["", ", after late writes to it"] {
            ensure_eq!(self.load(key, now).await?, None, "{what}{round}: load");
            let batch = self.store.find_many(std::slice::from_ref(key), late).await?;
            for record in batch {
                ensure_eq!(record?, None, "{what}{round}: load in a batch");
            }
            let live = self.walk(&Filter::default(), 100, now).await?;
            ensure!(!live.contains(key), "{what}{round}: it is listed");
            let count = self.count(now).await?;
            ensure_eq!(count, u64::try_from(live.len()).unwrap_or(u64::MAX), "{what}{round}: the count");

            ensure_eq!(self.update(key, "late", 1000, now).await?, Updated::Gone, "{what}{round}: update");
            ensure!(self.fate(key, now).await? != Fate::Live, "{what}{round}: its fate is to live");
            let leaving = Update { expires_at: None, ..self.update_of(key, "late", 0) };
            let updated = self.store.update(&leaving, late).await?;
            ensure_eq!(updated, Updated::Gone, "{what}{round}: update that leaves the expiry");
            if self.can.versions {
                for version in [Version::FIRST, Version::new(2)] {
                    let loaded = self.load_knowing(version, key, now).await?;
                    ensure_eq!(loaded, Loaded::Gone, "{what}{round}: load with a known version");
                    let expecting = Update { expected: Some(version), ..self.update_of(key, "late", 1000) };
                    let updated = self.store.update(&expecting, late).await?;
                    ensure_eq!(updated, Updated::Gone, "{what}{round}: update with an expected version");
                    let touched = self.touch_expecting(version, key, 1000, now).await?;
                    ensure_eq!(touched, Touched::Gone, "{what}{round}: touch with an expected version");
                }
            }
            ensure_eq!(self.touch(key, 1000, now).await?, false, "{what}{round}: touch");
            for mode in self.modes() {
                ensure_eq!(self.destroy(key, *mode, now).await?, false, "{what}{round}: destroy {mode:?}");
            }
            if self.can.rotation {
                let to = self.key("where a dead session must not go")?;
                let rotated = self.rotate(&self.rotate_of(key, &to, 1000), now).await?;
                ensure_eq!(rotated, Rotated::Gone, "{what}{round}: rotate");
                ensure_eq!(self.load(&to, now).await?, None, "{what}{round}: the key it was rotated to");
            }
        }
        Ok(())
    }

    /// Checks an expiry as it was loaded.
    pub(crate) fn expect_expiry(&self, came: Timestamp, asked: Timestamp, what: &str) -> Verdict {
        if self.can.exact_expiry {
            ensure_eq!(came, asked, "{what}: the expiry");
            return Ok(());
        }
        let late = came.as_millis().checked_sub(asked.as_millis());
        let allowed = late.is_some_and(|late| (0..=SLACK).contains(&late));
        ensure!(allowed, "{what}: the expiry is {came:?} for {asked:?}; it may be up to {SLACK} ms late");
        Ok(())
    }
}

/// Repeats a call that the database gave up in favour of another: that changes nothing and is no fault of a store.
pub(crate) async fn persist<R, F: Future<Output = Result<R>>>(mut call: impl FnMut() -> F) -> Verdict<R> {
    for attempt in 0..200_u64 {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                ensure!(
                    !error.is_in_doubt(),
                    "a conflict says that nothing was changed, but this one is indeterminate: {error}"
                );
                tokio::time::sleep(Duration::from_millis(attempt.min(20))).await;
            }
            other => return Ok(other?),
        }
    }
    failed("a call met a conflict 200 times in a row")
}

/// Checks that a call is refused with this kind of error, and that the error says that nothing was changed.
pub(crate) fn expect_refusal<R: std::fmt::Debug>(came: Result<R>, kind: ErrorKind, what: &str) -> Verdict {
    match came {
        Ok(answer) => {
            failed(format!("{what}: expected the error `{}`, but it answers {answer:?}", kind.as_str()))
        }
        Err(error) => {
            ensure_eq!(error.kind(), kind, "{what}: the kind of error ({error})");
            ensure!(
                !error.is_in_doubt(),
                "{what}: nothing was changed, but the error says it may be: {error}"
            );
            Ok(())
        }
    }
}
