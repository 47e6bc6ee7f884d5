//! A backend of one's own: sessions in one file, to which every change is appended as a line of JSON. Small, complete,
//! good for several processes, and proven by the conformance suite (`tests/custom_backend.rs`).
//!
//! ```console
//! $ cargo run --example custom_backend
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use session_store::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, KeyFormat,
    Listed, Principal, Record, Result, Rotate, Rotated, SessionKey, SessionStore, Store, Timestamp, Touch,
    Update, Updated, Version,
};

/// Sessions in one file.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Mutex<Log>>);

/// The file, and what its lines up to some place come to.
#[derive(Debug)]
struct Log {
    file: File,
    read: u64,
    rows: Rows,
}

type Rows = BTreeMap<String, Row>;

/// A line of the file: the rows that one operation changed, and `None` for those that it removed. An operation is one
/// line, so that it is there wholly or not at all.
type Line = BTreeMap<String, Option<Row>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    payload: String,
    expires_at: i64,
    created_at: i64,
    version: i64,
    principal: Option<String>,
    destroyed_at: Option<i64>,
}

impl FileStore {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// `Backend` if the file cannot be read and written, `Corrupt` if it is not one of this store.
    pub fn open(path: impl AsRef<Path>) -> Result<FileStore> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let store = FileStore(Arc::new(Mutex::new(Log { file, read: 0, rows: Rows::new() })));
        store.look(|_| ())?;
        Ok(store)
    }

    /// Reads the rows as they are now, whoever wrote them.
    fn look<R>(&self, look: impl FnOnce(&Rows) -> R) -> Result<R> {
        self.locked(|log| Ok(look(&log.rows)))
    }

    /// Appends the line that `changed` makes of the rows. Acknowledged once the file holds it; if it cannot be
    /// written, nothing has changed. Returns how many rows were changed.
    fn change(&self, changed: impl FnOnce(&Rows) -> Line) -> Result<usize> {
        self.locked(|log| {
            let line = changed(&log.rows);
            if !line.is_empty() {
                log.append(&line).map_err(failed)?;
            }
            Ok(line.len())
        })
    }

    /// Alone with the file, and up to date with it.
    ///
    /// There is no await in here, so a future that is dropped did all of it or nothing. A backend with a slower file
    /// would hand this to a thread of its own.
    fn locked<R>(&self, work: impl FnOnce(&mut Log) -> Result<R>) -> Result<R> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.file.lock().map_err(failed)?;
        let outcome = log.catch_up().and_then(|()| work(&mut log));
        log.file.unlock().map_err(failed)?;
        outcome
    }
}

impl Log {
    /// Reads what others have appended.
    fn catch_up(&mut self) -> Result<()> {
        if self.file.metadata().map_err(failed)?.len() == self.read {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.read)).map_err(failed)?;
        let mut reader = BufReader::new(&self.file);
        let mut text = String::new();
        loop {
            text.clear();
            let length = reader.read_line(&mut text).map_err(failed)?;
            if !text.ends_with('\n') {
                // The end, or what a process that was killed left of a line: nobody was told that it was written.
                break;
            }
            let line: Line = serde_json::from_str(&text).map_err(|error| {
                // The parser's message may quote the line, which is secret.
                Error::corrupt(format!(
                    "a line of the file is not one of sessions ({:?} error); name another file",
                    error.classify()
                ))
            })?;
            apply(&mut self.rows, line);
            self.read += u64::try_from(length).unwrap_or(u64::MAX);
        }
        self.file.set_len(self.read).map_err(failed)
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if let Err(error) = self.file.write_all(&text) {
            self.file.set_len(self.read)?;
            return Err(error);
        }
        self.read += u64::try_from(text.len()).unwrap_or(u64::MAX);
        apply(&mut self.rows, line.clone());
        Ok(())
    }
}

fn apply(rows: &mut Rows, line: Line) {
    for (key, row) in line {
        match row {
            Some(row) => _ = rows.insert(key, row),
            None => _ = rows.remove(&key),
        }
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
        let is_free = |rows: &Rows| !rows.contains_key(&key);
        let created =
            self.change(|rows| is_free(rows).then(|| (key.clone(), Some(row))).into_iter().collect())?;
        Ok(if created == 1 { Created::Created } else { Created::KeyTaken })
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        let key = name(key)?;
        self.look(|rows| live(rows, &key, now).map(Row::record).transpose())?
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let key = name(&update.key)?;
        let mut outcome = Updated::Gone;
        self.change(|rows| {
            let Some(row) = live(rows, &key, now) else { return Line::new() };
            if update.expected.is_some_and(|expected| expected.get() != row.version) {
                outcome = Updated::Stale;
                return Line::new();
            }
            outcome = Updated::Saved(Version::new(row.version + 1));
            let row = Row {
                payload: update.payload.as_str().to_owned(),
                expires_at: update.expires_at.as_millis(),
                principal: text(update.principal.as_ref()),
                version: row.version + 1,
                ..row.clone()
            };
            Line::from([(key, Some(row))])
        })?;
        Ok(outcome)
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        let key = name(&touch.key)?;
        let expires_at = touch.expires_at.as_millis();
        let touched = self.change(|rows| {
            let touched = live(rows, &key, now).map(|row| Row { expires_at, ..row.clone() });
            touched.map(|row| (key, Some(row))).into_iter().collect()
        })?;
        Ok(touched == 1)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let key = name(&destroy.key)?;
        let destroyed = self.change(|rows| {
            let destroyed = live(rows, &key, now).map(|row| row.after_death(destroy.mode, now));
            destroyed.map(|row| (key, row)).into_iter().collect()
        })?;
        Ok(destroyed == 1)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (from, to) = (name(&rotate.from)?, name(&rotate.to)?);
        if from == to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            ));
        }
        let mut outcome = Rotated::Gone;
        self.change(|rows| {
            let Some(old) = live(rows, &from, now) else { return Line::new() };
            if rotate.expected.is_some_and(|expected| expected.get() != old.version) {
                outcome = Rotated::Stale;
                return Line::new();
            }
            if rows.contains_key(&to) {
                outcome = Rotated::KeyTaken;
                return Line::new();
            }
            outcome = Rotated::Rotated(Version::new(old.version + 1));
            let new = Row {
                payload: rotate.payload.as_ref().map_or(&*old.payload, |payload| payload.as_str()).to_owned(),
                expires_at: rotate.expires_at.as_millis(),
                principal: text(rotate.principal.as_ref()),
                version: old.version + 1,
                ..old.clone()
            };
            Line::from([(from, old.after_death(rotate.mode, now)), (to, Some(new))])
        })?;
        Ok(outcome)
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        let except = except.map(name).transpose()?;
        let ended = self.change(|rows| {
            rows.iter()
                .filter(|(key, row)| {
                    row.is_live(now)
                        && row.principal.as_deref() == Some(principal.as_str())
                        && Some(*key) != except.as_ref()
                })
                .map(|(key, row)| (key.clone(), row.after_death(mode, now)))
                .collect()
        })?;
        Ok(number(ended))
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let removed = self.change(|rows| {
            let expired = rows.iter().filter(|(_, row)| row.expires_at <= now.as_millis());
            expired.take(size(limit)).map(|(key, _)| (key.clone(), None)).collect()
        })?;
        Ok(number(removed))
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
        self.look(|rows| {
            rows.range::<String, _>(from)
                .filter(|(_, row)| row.is_live(now) && row.passes(filter))
                .take(size(limit))
                .map(|(key, row)| Ok(Listed { key: key_of(key)?, record: row.record() }))
                .collect()
        })?
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.look(|rows| number(rows.values().filter(|row| row.is_live(now) && row.passes(filter)).count()))
    }

    async fn clear(&self) -> Result<u64> {
        let removed = self.change(|rows| rows.keys().map(|key| (key.clone(), None)).collect())?;
        Ok(number(removed))
    }

    async fn server_time(&self) -> Result<Timestamp> {
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let lines = self.locked(|log| Ok(log.read))?;
        let remedy = "use SQLite, whose file does not grow with every change";
        let finding = Finding::warning(format!("the file has {lines} bytes and never shrinks"), remedy);
        Ok((lines > 1_000_000).then_some(finding).into_iter().collect())
    }
}

impl Row {
    fn is_live(&self, now: Timestamp) -> bool {
        self.destroyed_at.is_none() && now.as_millis() < self.expires_at
    }

    /// What is left of it; `None` for nothing.
    fn after_death(&self, mode: DestroyMode, now: Timestamp) -> Option<Row> {
        match mode {
            DestroyMode::Soft => Some(Row { destroyed_at: Some(now.as_millis()), ..self.clone() }),
            DestroyMode::Hard => None,
        }
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

fn live<'a>(rows: &'a Rows, key: &str, now: Timestamp) -> Option<&'a Row> {
    rows.get(key).filter(|row| row.is_live(now))
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
    // What was not written wholly is cut off again, by this process or the next one.
    Error::new(
        ErrorKind::Backend,
        "the file of sessions cannot be read or written; check its rights and the space",
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
    let path = std::env::temp_dir().join("sessions.jsonl");
    let sessions: SessionStore<Vec<String>> = SessionStore::new(FileStore::open(&path)?);
    let new = sessions.create(&vec!["apples".to_owned()]).await?;
    sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
    println!("{}", fs::read_to_string(&path).map_err(failed)?);
    sessions.clear().await?;
    Ok(())
}
