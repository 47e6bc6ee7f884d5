//! The contract between the handle and a backend.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update, Write, Written,
};
use crate::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, Timestamp, Updated,
};

/// A table of sessions in some database: what a backend implements, and all that it must do.
///
/// This is mechanism. Every policy (ids and their hashing, time to live, clock, codec, limits, deadlines, retries,
/// events, clean-up) is [`Sessions`](crate::Sessions)'s, written once for all backends. What capabilities and key
/// format rule out is refused before it reaches a backend, by [`Checked`](crate::contract::Checked).
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
///   trailing blanks and normal forms always matter.
/// - **Atomicity.** Each operation happens at one instant between its call and its return, wholly or not at all,
///   whatever other handles, connections and processes do meanwhile (it is linearizable for each session). An error
///   of which [`is_in_doubt`](crate::Error::is_in_doubt) is false means that nothing was changed; after any
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
/// [`capabilities`](Store::capabilities) says so. Calls that need more never come: [`Checked`](crate::contract::Checked)
/// stands in front of every store, answers them with [`Unsupported`](crate::ErrorKind::Unsupported), and documents
/// which they are. It also refuses keys of the other [`KeyFormat`], and puts the backend's name on errors. So a backend
/// has no code for that.
///
/// # Proof
/// The crate `session-conformance` runs every sentence here against a backend, from about twenty lines of its author.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The backend's name in errors, events and spans: `sqlite`, `postgres`.
    fn backend(&self) -> &'static str;

    /// What this backend and this table's layout can do. Always the same answer.
    fn capabilities(&self) -> Capabilities;

    /// How this table holds ids. Always the same answer; the handle makes keys accordingly.
    fn key_format(&self) -> KeyFormat;

    /// Makes a new session, at the [version](Create::version) that is given and with `created_at = now`.
    ///
    /// Returns [`Created::KeyTaken`], and changes nothing, if any row has the key, live or dead. Of several creates
    /// of one key at once exactly one succeeds.
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created>;

    /// Reads a session that is live at `now`.
    ///
    /// If the session has the version that the caller [knows](Load::known), the answer is
    /// [`Loaded::Unchanged`], and the database does not send the payload. [`Loaded::Gone`] says that the session is
    /// absent or dead.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the row is there and cannot be read, naming the column.
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded>;

    /// Replaces payload and principal of a session that is live at `now`, moves its expiry unless that is to stay, and
    /// counts its version up by one.
    ///
    /// With `expected` it does so only if the session has that version; [`Updated::Stale`] says that it is live and
    /// has another. [`Updated::Gone`] says that it is absent or dead. Both mean that nothing was changed. An update
    /// never makes a row.
    ///
    /// [`Updated::Saved`] tells the new version. Without `expected` and without
    /// [`returns_new_version`](Capabilities::returns_new_version) it may leave it open
    /// ([`Version::NONE`](crate::Version::NONE)), as the database does not tell it along with the update: whoever
    /// goes on from there loads the session anyway.
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated>;

    /// Moves the expiry of a session that is live at `now`. Payload, version and principal stay.
    ///
    /// With `expected` it does so only if the session has that version, and says so as [`update`](Store::update) does.
    /// A touch that leaves the expiry as it is is [`Touched::Moved`] all the same.
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched>;

    /// Ends a session that is live at `now`, at once and for ever.
    ///
    /// Returns `false`, and changes nothing, if the session is absent or dead: of several destroys at once exactly
    /// one returns `true`. After one that [forgets](crate::DestroyMode::Forget), no byte of the payload or the principal is in
    /// the table.
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool>;

    /// Moves a session that is live at `now` from one key to another. At every instant exactly one of the two is
    /// live, and a crash leaves one of the two.
    ///
    /// The session keeps its `created_at`; its version counts up by one, and is told as by [`update`](Store::update).
    /// Afterwards the old key is dead as if [`destroy`](Store::destroy)ed with the same mode: a row that stays under it
    /// with [`Forget`](crate::DestroyMode::Forget) has neither payload nor principal. The two keys differ.
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated>;

    /// Says what became of a session, as far as its row tells at `now`. Changes nothing.
    ///
    /// A session that was destroyed or rotated away stays so when its expiry passes. Without
    /// [`tells_rotation`](Capabilities::tells_rotation) one that was rotated away is [`Fate::Destroyed`]. A key without
    /// a row is [`Fate::Unknown`].
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate>;

    /// Ends every session of a principal that is live at `now`, except `except`, in one atomic step. Returns how many it
    /// ended. It misses no session that was there before. A session that is created for this principal, or updated to
    /// it, at the same time may end or stay. An `except` that is not among them changes nothing. With `created_before`,
    /// sessions that were created then or later stay; a rotation does not make a session younger.
    ///
    /// With [`DestroyMode::Remove`](crate::DestroyMode::Remove) the rows go at once. A backend without
    /// [`removes_principal_rows`](Capabilities::removes_principal_rows) cannot find and remove them in one step. Its
    /// rows may stay until the next purge, all of them, with no payload, no principal, and an expiry long past.
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64>;

    /// Wipes everything that the table holds of a principal, in one atomic step: sessions that are live at `now` end as
    /// with [`DestroyMode::Forget`](crate::DestroyMode::Forget) (in a table without
    /// [`tombstones`](Capabilities::tombstones) as with `Remove`), and rows of dead ones lose payload and principal. A
    /// dead session's [fate](Store::fate) stays the same. One that has expired counts its version up, as a clock that is
    /// behind may still show it: whoever knows the version before is told of the change. Like [`destroy_principal`](Store::destroy_principal), it misses
    /// no session that was there before. Returns how many rows it wiped.
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64>;

    /// Removes up to `limit` rows whose expiry has passed (`expires_at <= now`), destroyed or not, in no
    /// particular order. Returns how many it removed.
    ///
    /// A row stays if its expiry is moved beyond `now` before its turn comes. Rows that others have locked are left out
    /// if the database can skip them. Several purges at once remove and count each row once. A number below `limit`
    /// means that no such row is left, except those that were locked. Between two purges, writes that wait get their turn.
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

    /// Several loads at once: `result[i]` is what [`load`](Store::load) of `loads[i]` gives.
    ///
    /// The keys are distinct. Each load stands for itself: a corrupt row is an inner error of its own. An outer
    /// error means that the whole batch failed, and says nothing of the single ones.
    ///
    /// The provided form loads one after another.
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let mut outcomes = Vec::with_capacity(loads.len());
        for load in loads {
            outcomes.push(self.load(load, now).await);
        }
        Ok(outcomes)
    }

    /// Several writes at once: `result[i]` is what the single operation for `writes[i]` gives, in the variant of
    /// the same name.
    ///
    /// The keys are distinct. Each write stands for itself and is acknowledged, durable, when this returns: the
    /// batch is not atomic, and a write that fails harms no other. An outer error means that the batch failed as a
    /// whole; if it is not [in_doubt](crate::Error::is_in_doubt), none of the writes was done, and they
    /// may be tried one by one. Dropping the future leaves each write done wholly or not at all.
    ///
    /// The provided form does one after another.
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(write.apply(self, now).await);
        }
        Ok(outcomes)
    }

    /// How the handle should gather concurrent calls for this backend. The provided form answers
    /// [`Gathering::OFF`], right for a backend whose many-key forms are the provided ones.
    fn gathering(&self) -> Gathering {
        Gathering::OFF
    }
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
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        (**self).load(load, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        (**self).update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        (**self).touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        (**self).destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        (**self).rotate(rotate, now).await
    }
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        (**self).fate(key, now).await
    }
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        (**self).destroy_principal(destroy, now).await
    }
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        (**self).forget_principal(principal, now).await
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
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        (**self).load_many(loads, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        (**self).write_many(writes, now).await
    }
    fn gathering(&self) -> Gathering {
        (**self).gathering()
    }
}
