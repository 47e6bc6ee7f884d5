//! The contract between the handle and a backend.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Capabilities, Create, Created, Destroy, DestroyMode, Filter, Finding, KeyFormat, Listed, Principal,
    Record, Result, Rotate, Rotated, SessionKey, Timestamp, Touch, Update, Updated, Write, Written,
};

/// A table of sessions in some database: what a backend implements, and all that it must do.
///
/// This is mechanism. Every policy (ids and their hashing, time to live, clock, codec, limits, deadlines, retries,
/// events, clean-up) is [`SessionStore`](crate::SessionStore)'s, written once for all backends.
///
/// # Words
/// A session is **live** at `now` if a row has its key, the row is not marked destroyed, and `now < expires_at`.
/// Otherwise it is **dead**, and a row that is dead stays dead: no operation below makes it live again. A row that is
/// dead still **takes** its key until a purge or [`clear`](Store::clear) removes it.
///
/// # What holds for every operation
/// - **Time.** `now` is an argument. A backend never reads a clock to decide anything, and no time zone of a server,
///   a connection or a host has any influence. The boundary is one: a session is dead from `expires_at` on
///   (`expires_at <= now`), exactly to the millisecond, for every `i64`. The calls of one store need not have
///   ascending times.
/// - **Identity.** Two keys are the same if and only if their bytes are equal; so are two principals. Case, accents,
///   trailing blanks and normal forms always matter. A key of the other [`KeyFormat`] is
///   [`InvalidInput`](crate::ErrorKind::InvalidInput).
/// - **Atomicity.** Each operation happens at one instant between its call and its return, wholly or not at all,
///   whatever other handles, connections and processes do meanwhile (it is linearizable for each session). An error
///   of which [`is_indeterminate`](crate::Error::is_indeterminate) is false means that nothing was changed; after any
///   other error the operation was done wholly or not at all.
/// - **Durability.** What is acknowledged survives `kill -9` of this process and, in a database that promises it, of
///   the server. After the server is back the store works again without being opened anew.
/// - **Isolation.** A row that is corrupt, oversized or locked harms no call for another key. Two stores on different
///   tables never see each other.
/// - **Contention** never shows as a wrong outcome. A deadlock or a serialization failure is
///   [`Conflict`](crate::ErrorKind::Conflict), with nothing changed, and the handle tries again.
/// - **Payloads** come back byte for byte, up to at least 5 MiB, with every Unicode character. What the database
///   cannot take whole is refused with [`TooLarge`](crate::ErrorKind::TooLarge), never cut.
/// - **Secrets.** No plain key, payload or password stands in an error, a log or the text of a statement. Values
///   are always bound.
///
/// # Cancel safety
/// Any future below may be dropped at any await. The operation then happened wholly or not at all, the store stays
/// usable, and no later call sees anything of an answer that was not waited for: a connection whose operation did
/// not finish is closed or drained before it is used again.
///
/// # What a backend cannot do
/// [`capabilities`](Store::capabilities) says so, and the calls concerned return
/// [`Unsupported`](crate::ErrorKind::Unsupported) and change nothing: an update or rotation with `expected` without
/// `versions`; a create, update or rotation with a principal, a filter by principal and
/// [`destroy_principal`](Store::destroy_principal) without `principals`; [`rotate`](Store::rotate) without
/// `rotation`; [`DestroyMode::Soft`] without `tombstones`.
///
/// # Proof
/// The `conformance` crate runs every sentence here against a backend, from about twenty lines of its author.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The backend's name in errors, events and spans: `sqlite`, `postgres`.
    fn backend(&self) -> &'static str;

    /// What this backend and this table's layout can do. Always the same answer.
    fn capabilities(&self) -> Capabilities;

    /// How this table holds ids. Always the same answer; the handle makes keys accordingly.
    fn key_format(&self) -> KeyFormat;

    /// Makes a new session, at version 1 and with `created_at = now`.
    ///
    /// Returns [`Created::KeyTaken`], and changes nothing, if any row has the key, live or dead. Of several creates
    /// of one key at once exactly one succeeds.
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created>;

    /// Reads a session that is live at `now`; `None` if it is absent or dead.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the row is there and cannot be read, naming the column.
    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>>;

    /// Replaces payload, expiry and principal of a session that is live at `now`, and counts its version up by one.
    ///
    /// With `expected` it does so only if the session has that version; [`Updated::Stale`] says that it is live and
    /// has another. [`Updated::Gone`] says that it is absent or dead. Both mean that nothing was changed. An update
    /// never makes a row.
    ///
    /// [`Updated::Saved`] tells the new version. Without `expected` and without `told_versions` it may leave it open
    /// ([`Version::NONE`](crate::Version::NONE)), as the database does not tell it along with the update: whoever
    /// goes on from there loads the session anyway.
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated>;

    /// Moves the expiry of a session that is live at `now`. Payload, version and principal stay.
    ///
    /// Returns `false`, and changes nothing, if the session is absent or dead. A touch that leaves the expiry as it
    /// is returns `true`.
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool>;

    /// Ends a session that is live at `now`, at once and for ever.
    ///
    /// Returns `false`, and changes nothing, if the session is absent or dead: of several destroys at once exactly
    /// one returns `true`.
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool>;

    /// Moves a session that is live at `now` from one key to another. At every instant exactly one of the two is
    /// live, and a crash leaves one of the two.
    ///
    /// The session keeps its `created_at`; its version counts up by one, and is told as by [`update`](Store::update).
    /// Afterwards the old key is dead as if [`destroy`](Store::destroy)ed with the same mode.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if both keys are the same.
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated>;

    /// Ends every session of a principal that is live at `now`, but for `except`, in one atomic step: a session
    /// that is created or updated to this principal at the same time is ended or is not, and none is forgotten that
    /// was there before. Returns how many it ended. An `except` that is not among them changes nothing.
    ///
    /// With [`DestroyMode::Hard`] the rows go at once. Without `hard_ends`, as the database cannot find and remove them in
    /// one step, they may stay, all of them, without payload and principal and expired since ever, until the next purge.
    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64>;

    /// Removes up to `limit` rows whose expiry has passed (`expires_at <= now`), destroyed or not, in no
    /// particular order. Returns how many it removed.
    ///
    /// A row whose expiry is moved beyond `now` before its turn comes stays. It does not wait for rows that others have locked
    /// where the database can skip them, and several purges at once remove and count each row once. Fewer than
    /// `limit` means that, but for such rows, none is left.
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64>;

    /// Lists up to `limit` sessions that are live at `now`, in an order of the backend's own that is the same for
    /// every call, from the first one behind `after` on (`after` itself need not exist any more).
    ///
    /// A session that is live throughout a walk over all pages is met exactly once. An entry that cannot be read
    /// says so in its [`Listed::record`], and the listing goes on.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>>;

    /// Counts the sessions that are live at `now`.
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64>;

    /// Removes every row, live or dead, and returns how many. Needs no more rights than
    /// [`destroy`](Store::destroy) does.
    async fn clear(&self) -> Result<u64>;

    /// The database's own clock; the host's, where the database is in this process. A round trip that touches no
    /// table: it also serves to see whether the database is there.
    async fn server_time(&self) -> Result<Timestamp>;

    /// Looks at the live table and server and says what is not as this backend needs it: a missing table, column
    /// or index, a wrong type or collation, a limit that is too small. Changes nothing. An empty answer means that
    /// all is well.
    async fn diagnose(&self) -> Result<Vec<Finding>>;

    /// Several loads at once: `result[i]` is what [`load`](Store::load) of `keys[i]` gives.
    ///
    /// The keys are distinct. Each load stands for itself: a corrupt row is an inner error of its own. An outer
    /// error means that the whole batch failed, and says nothing of the single ones.
    ///
    /// The provided form loads one after another.
    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            outcomes.push(self.load(key, now).await);
        }
        Ok(outcomes)
    }

    /// Several writes at once: `result[i]` is what the single operation for `writes[i]` gives, in the variant of
    /// the same name.
    ///
    /// The keys are distinct. Each write stands for itself and is acknowledged, durable, when this returns: the
    /// batch is not atomic, and a write that fails harms no other. An outer error means that the batch failed as a
    /// whole; if it is not [indeterminate](crate::Error::is_indeterminate), none of the writes was done, and they
    /// may be tried one by one. Dropping the future leaves each write done wholly or not at all.
    ///
    /// The provided form does one after another.
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(match write {
                Write::Create(create) => self.create(create, now).await.map(Written::Created),
                Write::Update(update) => self.update(update, now).await.map(Written::Updated),
                Write::Touch(touch) => self.touch(touch, now).await.map(Written::Touched),
                Write::Destroy(destroy) => self.destroy(destroy, now).await.map(Written::Destroyed),
            });
        }
        Ok(outcomes)
    }

    /// How the handle should gather concurrent calls for this backend. The provided form answers
    /// [`Gathering::OFF`], right for a backend whose many-key forms are the provided ones.
    fn gathering(&self) -> Gathering {
        Gathering::OFF
    }
}

/// What a backend recommends for gathering concurrent calls into its many-key forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// How many loads or batches of loads may be under way at once; 0 sends every load on its own.
    pub read_lanes: usize,
    /// How many writes or batches of writes may be under way at once; 0 sends every write on its own.
    pub write_lanes: usize,
    /// The most operations in one batch.
    pub max_batch: usize,
    /// The most bytes of payload in one batch of writes; one larger write goes alone.
    pub max_bytes: usize,
}

impl Gathering {
    /// Every call goes to the backend on its own.
    pub const OFF: Gathering = Gathering { read_lanes: 0, write_lanes: 0, max_batch: 1, max_bytes: 0 };
}

/// A shared store is a store.
#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn backend(&self) -> &'static str {
        (**self).backend()
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn key_format(&self) -> KeyFormat {
        (**self).key_format()
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        (**self).create(create, now).await
    }
    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        (**self).load(key, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        (**self).update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        (**self).touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        (**self).destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        (**self).rotate(rotate, now).await
    }
    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        (**self).destroy_principal(principal, except, mode, now).await
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        (**self).purge_expired(now, limit).await
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        (**self).list(filter, after, limit, now).await
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        (**self).count(filter, now).await
    }
    async fn clear(&self) -> Result<u64> {
        (**self).clear().await
    }
    async fn server_time(&self) -> Result<Timestamp> {
        (**self).server_time().await
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        (**self).diagnose().await
    }
    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        (**self).load_many(keys, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        (**self).write_many(writes, now).await
    }
    fn gathering(&self) -> Gathering {
        (**self).gathering()
    }
}
