//! Rows in one file, to which every change is appended as a line of JSON. It knows nothing of sessions, and is good for
//! several processes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) type Key = [u8; 32];
pub(crate) type Rows<R> = BTreeMap<Key, R>;

/// What one operation changes. It is one line of the file, and so there wholly or not at all.
#[derive(Debug)]
pub(crate) struct Changes<R> {
    /// `None` for rows that go.
    pub(crate) rows: Vec<(Key, Option<R>)>,
    /// Whether what the rows held before must not stay in the file.
    pub(crate) forget: bool,
}

/// The file, and what its lines up to some place come to.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    file: File,
    read: u64,
    rows: Rows<R>,
}

impl<R: Clone + Serialize + DeserializeOwned> Lines<R> {
    /// Opens the file, or makes an empty one.
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Lines<R>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Lines { file, read: 0, rows: Rows::new() })
    }

    /// Lets `work` see the rows as they are now, whoever wrote them, and makes the changes that it asks for.
    pub(crate) fn with<A>(&mut self, work: impl FnOnce(&Rows<R>, &mut Changes<R>) -> A) -> io::Result<A> {
        self.file.lock()?;
        let outcome = self.catch_up().and_then(|()| {
            let mut changes = Changes { rows: Vec::new(), forget: false };
            let outcome = work(&self.rows, &mut changes);
            self.change(changes).map(|()| outcome)
        });
        self.file.unlock()?;
        outcome
    }

    /// Reads what others have appended.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() == self.read {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::new(&self.file);
        let mut text = String::new();
        while reader.read_line(&mut text)? > 0 && text.ends_with('\n') {
            match serde_json::from_str(&text) {
                Ok((all, rows)) => apply(&mut self.rows, all, rows),
                // Half written over by a process that was killed. What is right stands behind it.
                Err(_) if text.starts_with(' ') => {}
                // The parser's message may quote the line, which is secret.
                Err(_) => return Err(io::Error::other("a line of the file is no rows; name another file")),
            }
            self.read += number(text.len());
            text.clear();
        }
        // What a process that was killed left of a line: nobody was told that it was written.
        self.file.set_len(self.read)
    }

    /// To forget, it says once more what there is, and writes blanks over all that was said before.
    fn change(&mut self, changes: Changes<R>) -> io::Result<()> {
        if changes.rows.is_empty() {
            return Ok(());
        }
        self.append(false, changes.rows)?;
        if changes.forget {
            let past = self.read;
            self.append(true, self.rows.iter().map(|(key, row)| (*key, Some(row.clone()))).collect())?;
            self.file.rewind()?;
            io::copy(&mut io::repeat(b' ').take(past), &mut self.file)?;
        }
        Ok(())
    }

    /// Appends a line: rows that change, or all that there are.
    fn append(&mut self, all: bool, rows: Vec<(Key, Option<R>)>) -> io::Result<()> {
        let line = serde_json::to_string(&(all, &rows))? + "\n";
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.write_all(line.as_bytes())?;
        self.read += number(line.len());
        apply(&mut self.rows, all, rows);
        Ok(())
    }
}

fn apply<R>(rows: &mut Rows<R>, all: bool, changed: Vec<(Key, Option<R>)>) {
    if all {
        rows.clear();
    }
    for (key, row) in changed {
        match row {
            Some(row) => _ = rows.insert(key, row),
            None => _ = rows.remove(&key),
        }
    }
}

pub(crate) fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
