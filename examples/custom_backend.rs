//! A backend of one's own: sessions in one JSON file, rewritten with every change. Small, complete, and proven by the
//! conformance suite (`tests/custom_backend.rs`).
//!
//! ```console
//! $ cargo run --example custom_backend
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use session_store::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, KeyFormat,
    Listed, Principal, Record, Result, Rotate, Rotated, SessionKey, SessionStore, Store, Timestamp, Touch,
    Update, Updated, Version,
};
use tokio::sync::Mutex;

/// Sessions in one JSON file. One process may use a file at a time; its clones share it.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: Arc<PathBuf>,
    rows: Arc<Mutex<Rows>>,
}

type Rows = BTreeMap<String, Row>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    payload: String,
    expires_at: i64,
    created_at: i64,
    version: i64,
    principal: Option<String>,
    destroyed_at: Option<i64>,
}

impl FileStore {
    /// Opens the file, or begins an empty one.
    ///
    /// # Errors
    /// `Backend` if the file cannot be read, `Corrupt` if it is not one of this store.
    pub fn open(path: impl AsRef<Path>) -> Result<FileStore> {
        let rows = match fs::read(path.as_ref()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::corrupt("the file is not one of sessions; name another").with_source(error)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Rows::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(FileStore { path: Arc::new(path.as_ref().to_owned()), rows: Arc::new(Mutex::new(rows)) })
    }

    /// Changes the rows, and acknowledges that once the file holds it. If the file cannot be written, nothing has
    /// changed.
    ///
    /// There is no await between the change and the file, so a future that is dropped did all of it or nothing. A
    /// backend with a slower file would hand this to a thread of its own.
    async fn change<R>(&self, change: impl FnOnce(&mut Rows) -> Option<R>) -> Result<Option<R>> {
        let mut rows = self.rows.lock().await;
        let mut changed = rows.clone();
        let Some(outcome) = change(&mut changed) else { return Ok(None) };
        self.write(&changed).map_err(failed)?;
        *rows = changed;
        Ok(Some(outcome))
    }

    /// The old file or the new one, whatever happens: a rename is atomic.
    fn write(&self, rows: &Rows) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(rows)?)?;
        file.sync_all()?;
        fs::rename(&draft, &*self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
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
        let key = name(&create.key)?;
        let row = Row {
            payload: create.payload.as_str().to_owned(),
            expires_at: create.expires_at.as_millis(),
            created_at: now.as_millis(),
            version: Version::FIRST.get(),
            principal: text(create.principal.as_ref()),
            destroyed_at: None,
        };
        let created = self
            .change(|rows| {
                let is_new = !rows.contains_key(&key);
                is_new.then(|| _ = rows.insert(key, row))
            })
            .await?;
        Ok(if created.is_some() { Created::Created } else { Created::KeyTaken })
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        let rows = self.rows.lock().await;
        rows.get(&name(key)?).filter(|row| row.is_live(now)).map(Row::record).transpose()
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let key = name(&update.key)?;
        let mut refused = Updated::Gone;
        let saved = self
            .change(|rows| {
                let row = rows.get_mut(&key).filter(|row| row.is_live(now))?;
                if update.expected.is_some_and(|expected| expected.get() != row.version) {
                    refused = Updated::Stale;
                    return None;
                }
                row.payload = update.payload.as_str().to_owned();
                row.expires_at = update.expires_at.as_millis();
                row.principal = text(update.principal.as_ref());
                row.version += 1;
                Some(Updated::Saved(Version::new(row.version)))
            })
            .await?;
        Ok(saved.unwrap_or(refused))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        let key = name(&touch.key)?;
        let touched = self
            .change(|rows| {
                let row = rows.get_mut(&key).filter(|row| row.is_live(now))?;
                row.expires_at = touch.expires_at.as_millis();
                Some(())
            })
            .await?;
        Ok(touched.is_some())
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let key = name(&destroy.key)?;
        let destroyed = self.change(|rows| end(rows, &key, destroy.mode, now).then_some(())).await?;
        Ok(destroyed.is_some())
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (from, to) = (name(&rotate.from)?, name(&rotate.to)?);
        if from == to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            ));
        }
        let mut refused = Rotated::Gone;
        let rotated = self
            .change(|rows| {
                let mut row = rows.get(&from).filter(|row| row.is_live(now))?.clone();
                if rotate.expected.is_some_and(|expected| expected.get() != row.version) {
                    refused = Rotated::Stale;
                    return None;
                }
                if rows.contains_key(&to) {
                    refused = Rotated::KeyTaken;
                    return None;
                }
                end(rows, &from, rotate.mode, now);
                if let Some(payload) = &rotate.payload {
                    row.payload = payload.as_str().to_owned();
                }
                row.expires_at = rotate.expires_at.as_millis();
                row.principal = text(rotate.principal.as_ref());
                row.version += 1;
                let version = Version::new(row.version);
                rows.insert(to, row);
                Some(Rotated::Rotated(version))
            })
            .await?;
        Ok(rotated.unwrap_or(refused))
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        let except = except.map(name).transpose()?;
        let ended = self
            .change(|rows| {
                let theirs: Vec<String> = rows
                    .iter()
                    .filter(|(_, row)| row.principal.as_deref() == Some(principal.as_str()))
                    .map(|(key, _)| key.clone())
                    .filter(|key| Some(key) != except.as_ref())
                    .collect();
                Some(number(theirs.iter().filter(|key| end(rows, key, mode, now)).count()))
            })
            .await?;
        Ok(ended.unwrap_or(0))
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let removed = self
            .change(|rows| {
                let is_expired = |row: &Row| row.expires_at <= now.as_millis();
                let expired = rows.iter().filter(|(_, row)| is_expired(row)).map(|(key, _)| key.clone());
                let expired: Vec<String> = expired.take(size(limit)).collect();
                expired.iter().for_each(|key| _ = rows.remove(key));
                (!expired.is_empty()).then(|| number(expired.len()))
            })
            .await?;
        Ok(removed.unwrap_or(0))
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let after = after.map(name).transpose()?;
        let from = (after.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let rows = self.rows.lock().await;
        rows.range::<String, _>(from)
            .filter(|(_, row)| row.is_live(now) && row.passes(filter))
            .take(size(limit))
            .map(|(key, row)| Ok(Listed { key: key_of(key)?, record: row.record() }))
            .collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let rows = self.rows.lock().await;
        Ok(number(rows.values().filter(|row| row.is_live(now) && row.passes(filter)).count()))
    }

    async fn clear(&self) -> Result<u64> {
        let removed = self.change(|rows| Some(number(std::mem::take(rows).len()))).await?;
        Ok(removed.unwrap_or(0))
    }

    async fn server_time(&self) -> Result<Timestamp> {
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let rows = self.rows.lock().await.len();
        let slow = rows > 1_000;
        let remedy = "use SQLite, whose file is not rewritten with every change";
        Ok(slow
            .then(|| Finding::warning(format!("the file holds {rows} sessions"), remedy))
            .into_iter()
            .collect())
    }
}

impl Row {
    fn is_live(&self, now: Timestamp) -> bool {
        self.destroyed_at.is_none() && now.as_millis() < self.expires_at
    }

    fn passes(&self, filter: &Filter) -> bool {
        filter.principal.is_none() || self.principal == text(filter.principal.as_ref())
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

fn end(rows: &mut Rows, key: &str, mode: DestroyMode, now: Timestamp) -> bool {
    let Some(row) = rows.get_mut(key).filter(|row| row.is_live(now)) else { return false };
    match mode {
        DestroyMode::Soft => row.destroyed_at = Some(now.as_millis()),
        DestroyMode::Hard => _ = rows.remove(key),
    }
    true
}

/// A key as a member's name in the file: hexadecimal digits, which sort as the bytes do.
fn name(key: &SessionKey) -> Result<String> {
    match key.as_digest() {
        Some(digest) => Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        None => {
            Err(Error::invalid_input("this file holds hashed keys; make keys with the store's `key_format`"))
        }
    }
}

fn key_of(name: &str) -> Result<SessionKey> {
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(name.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16)
            .map_err(|_| Error::corrupt("a key in the file is not hexadecimal"))?;
    }
    Ok(SessionKey::from_digest(digest))
}

fn text(principal: Option<&Principal>) -> Option<String> {
    principal.map(|principal| principal.as_str().to_owned())
}

fn failed(error: io::Error) -> Error {
    // The old file stands until the rename, and the rows in memory with it.
    Error::new(
        ErrorKind::Backend,
        "the file of sessions cannot be read or written; check its folder's rights and space",
    )
    .with_source(error)
}

fn number(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn size(limit: NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::temp_dir().join("sessions.json");
    let sessions: SessionStore<Vec<String>> = SessionStore::new(FileStore::open(&path)?);
    let new = sessions.create(&vec!["apples".to_owned()]).await?;
    sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
    println!("{}", fs::read_to_string(&path).map_err(failed)?);
    sessions.clear().await?;
    Ok(())
}
