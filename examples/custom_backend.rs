//! A backend of one's own: sessions in a file. Small, complete, good for several processes, and proven by the conformance
//! suite (`tests/custom_backend.rs`). `custom_backend/lines.rs` is the file; what becomes of sessions stands here.
//!
//! `cargo run --example custom_backend`

use std::num::NonZeroU32;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use session_store::{contract::*, *};

#[path = "custom_backend/lines.rs"]
mod lines;

use lines::{Key, Lines, number};

/// Sessions in one file.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Mutex<Lines<Row>>>);

type Rows = lines::Rows<Row>;
type Changes = lines::Changes<Row>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    payload: String,
    principal: Option<String>,
    expires_at: i64,
    created_at: i64,
    version: i64,
    destroyed: bool,
    rotated: bool,
}

impl FileStore {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// `Backend` if the file cannot be read and written, or is not one of this store.
    pub fn open(path: impl AsRef<Path>) -> Result<FileStore> {
        let store = FileStore(Arc::new(Mutex::new(Lines::open(path).map_err(failed)?)));
        store.with(|_, _| ())?;
        Ok(store)
    }

    /// Lets `work` see the rows, and makes the changes that it asks for.
    ///
    /// There is no await in here, so a future that is dropped did all of it or nothing. A backend with a slower file
    /// would hand this to a thread of its own.
    fn with<A>(&self, work: impl FnOnce(&Rows, &mut Changes) -> A) -> Result<A> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).with(work).map_err(failed)
    }
}

#[async_trait]
impl Store for FileStore {
    fn backend(&self) -> &'static str {
        "file"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }
    fn key_format(&self) -> KeyFormat {
        KeyFormat::Hashed
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.with(|rows, changes| {
            if rows.contains_key(&digest(&create.key)) {
                return Created::KeyTaken;
            }
            let row = Row {
                payload: create.payload.as_str().to_owned(),
                principal: text(create.principal.as_ref()),
                expires_at: create.expires_at.as_millis(),
                created_at: now.as_millis(),
                version: create.version.get(),
                destroyed: false,
                rotated: false,
            };
            changes.rows.push((digest(&create.key), Some(row)));
            Created::Created
        })
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let record = self.with(|rows, _| live(rows, &load.key, now).map(Row::record))?.transpose()?;
        Ok(record.map_or(Loaded::Gone, |record| Loaded::of(record, load.known)))
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.with(|rows, changes| match live(rows, &update.key, now) {
            None => Updated::Gone,
            Some(row) if row.is_not(update.expected) => Updated::Stale,
            Some(row) => {
                let row = row.next(Some(&update.payload), update.principal.as_ref(), update.expires_at);
                let version = Version::new(row.version);
                changes.rows.push((digest(&update.key), Some(row)));
                Updated::Saved(version)
            }
        })
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.with(|rows, changes| match live(rows, &touch.key, now) {
            None => Touched::Gone,
            Some(row) if row.is_not(touch.expected) => Touched::Stale,
            Some(row) => {
                let expires_at = touch.expires_at.as_millis();
                changes.rows.push((digest(&touch.key), Some(Row { expires_at, ..row.clone() })));
                Touched::Moved
            }
        })
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.with(|rows, changes| {
            let live = live(rows, &destroy.key, now);
            live.map(|row| end(changes, digest(&destroy.key), row, false, destroy.mode)).is_some()
        })
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.with(|rows, changes| match live(rows, &rotate.from, now) {
            None => Rotated::Gone,
            Some(row) if row.is_not(rotate.expected) => Rotated::Stale,
            Some(_) if rows.contains_key(&digest(&rotate.to)) => Rotated::KeyTaken,
            Some(row) => {
                let new = row.next(rotate.payload.as_ref(), rotate.principal.as_ref(), rotate.expires_at);
                let version = Version::new(new.version);
                end(changes, digest(&rotate.from), row, true, rotate.mode);
                changes.rows.push((digest(&rotate.to), Some(new)));
                Rotated::Rotated(version)
            }
        })
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.with(|rows, _| match rows.get(&digest(key)) {
            None => Fate::Unknown,
            Some(row) if row.rotated => Fate::RotatedAway,
            Some(row) if row.destroyed => Fate::Destroyed,
            Some(row) if row.is_live(now) => Fate::Live,
            Some(_) => Fate::Expired,
        })
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        let (except, bound) = (destroy.except.as_ref().map(digest), destroy.created_before);
        self.with(|rows, changes| {
            for (key, row) in rows.iter().filter(|(_, row)| row.is_live(now) && row.is_of(&destroy.principal))
            {
                let is_old = bound.is_none_or(|bound| row.created_at < bound.as_millis());
                if is_old && except.as_ref() != Some(key) {
                    end(changes, *key, row, false, destroy.mode);
                }
            }
            number(changes.rows.len())
        })
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.with(|rows, changes| {
            for (key, row) in rows.iter().filter(|(_, row)| row.is_of(principal)) {
                let (destroyed, version) = (row.destroyed || row.is_live(now), row.version + 1);
                changes.rows.push((*key, Some(Row { destroyed, version, ..row.wiped() })));
            }
            changes.forget = true;
            number(changes.rows.len())
        })
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.with(|rows, changes| {
            let expired = rows.iter().filter(|(_, row)| row.expires_at <= now.as_millis());
            changes.rows.extend(expired.zip(0..limit.get()).map(|((key, _), _)| (*key, None)));
            let purged = number(changes.rows.len());
            // With the last of them goes what the file holds of the others.
            changes.forget = purged < u64::from(limit.get());
            purged
        })
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let behind = (after.map(digest).map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.with(|rows, _| {
            let page = rows.range(behind).filter(|(_, row)| row.passes(filter, now)).zip(0..limit.get());
            page.map(|((key, row), _)| Listed { key: SessionKey::from_digest(*key), record: row.record() })
                .collect()
        })
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.with(|rows, _| number(rows.values().filter(|row| row.passes(filter, now)).count()))
    }

    async fn clear(&self) -> Result<u64> {
        self.with(|rows, changes| {
            changes.rows.extend(rows.keys().map(|key| (*key, None)));
            changes.forget = true;
            number(changes.rows.len())
        })
    }

    async fn server_time(&self) -> Result<Timestamp> {
        Ok(SystemTime::now().into())
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        Ok(vec![Finding::note("the file grows with every change")])
    }
}

impl Row {
    fn is_live(&self, now: Timestamp) -> bool {
        !self.destroyed && now.as_millis() < self.expires_at
    }

    fn is_of(&self, principal: &Principal) -> bool {
        self.principal.as_deref() == Some(principal.as_str())
    }

    fn is_not(&self, expected: Option<Version>) -> bool {
        expected.is_some_and(|expected| expected.get() != self.version)
    }

    fn passes(&self, filter: &Filter, now: Timestamp) -> bool {
        self.is_live(now) && filter.principal.as_ref().is_none_or(|principal| self.is_of(principal))
    }

    /// What an update makes of it.
    fn next(&self, payload: Option<&Payload>, whose: Option<&Principal>, until: Option<Timestamp>) -> Row {
        let payload = payload.map_or(self.payload.as_str(), Payload::as_str).to_owned();
        let expires_at = until.map_or(self.expires_at, Timestamp::as_millis);
        Row { payload, principal: text(whose), expires_at, version: self.version + 1, ..*self }
    }

    fn wiped(&self) -> Row {
        Row { payload: String::new(), principal: None, ..*self }
    }

    fn record(&self) -> Result<Record> {
        Ok(Record {
            payload: self.payload.as_str().into(),
            expires_at: Timestamp::from_millis(self.expires_at),
            created_at: Some(Timestamp::from_millis(self.created_at)),
            version: Version::new(self.version),
            principal: self.principal.as_deref().map(Principal::new).transpose()?,
        })
    }
}

/// Ends a session, and leaves of it what is asked for.
fn end(changes: &mut Changes, key: Key, row: &Row, rotated: bool, mode: DestroyMode) {
    let left = match mode {
        DestroyMode::Forget => Some(Row { destroyed: true, rotated, ..row.wiped() }),
        DestroyMode::Keep => Some(Row { destroyed: true, rotated, ..row.clone() }),
        DestroyMode::Remove => None,
    };
    changes.rows.push((key, left));
    changes.forget |= mode != DestroyMode::Keep;
}

fn live<'a>(rows: &'a Rows, key: &SessionKey, now: Timestamp) -> Option<&'a Row> {
    rows.get(&digest(key)).filter(|row| row.is_live(now))
}

/// No key of the other format comes this far.
fn digest(key: &SessionKey) -> Key {
    key.as_digest().copied().unwrap_or_default()
}

fn text(principal: Option<&Principal>) -> Option<String> {
    principal.map(|principal| principal.as_str().to_owned())
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Backend, "the file cannot be read or written; check rights and space")
        .with_source(error)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::temp_dir().join("sessions.jsonl");
    let sessions: Sessions<Vec<String>> = Sessions::new(FileStore::open(&path)?);
    let new = sessions.create(&vec!["apples".to_owned()]).await?;
    sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
    println!("{}", fs::read_to_string(&path).map_err(failed)?);
    sessions.clear().await.map(drop)
}
