//! Bringing moved pages to the disk, beside the writer.
//!
//! SQLite flushes the database only in a checkpoint that has moved the whole log. Under steady writing that is the
//! one for which the writer pauses: with 64 MiB of scattered pages to flush it took 90 ms. What is flushed before
//! need not be flushed then. Nothing relies on it: SQLite still flushes all that its own rules ask for.

#[cfg(unix)]
pub(crate) use unix::flush;

/// Without POSIX locks there may be other ways; so far the pause is just longer.
#[cfg(not(unix))]
pub(crate) fn flush(_: &std::path::Path) {}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::sync::{Arc, Mutex, PoisonError};

    /// Flushes this file. An error is left for SQLite to meet.
    pub(crate) fn flush(path: &Path) {
        if let Some(file) = open(path) {
            drop(file.sync_data());
        }
    }

    /// Opens each file once and never closes it: closing any descriptor of a file would drop all locks that this process
    /// has on it, and those of SQLite's connections are among them. So there is at most one more for each file, and
    /// only where the log has grown large.
    fn open(path: &Path) -> Option<Arc<File>> {
        static FILES: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

        // A path may come to name another file; a file that is open keeps its number.
        let named = path.metadata().ok()?;
        let (device, inode) = (named.dev(), named.ino());
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files.iter().find(|known| (known.device, known.inode) == (device, inode)) {
            return Some(Arc::clone(&known.file));
        }
        let file = Arc::new(File::open(path).ok()?);
        files.push(Opened { device, inode, file: Arc::clone(&file) });
        Some(file)
    }

    #[derive(Debug)]
    struct Opened {
        device: u64,
        inode: u64,
        file: Arc<File>,
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_file_is_opened_once_and_stays_open() {
            let path = std::env::temp_dir().join(format!("flush-{}.db", std::process::id()));
            std::fs::write(&path, "pages").unwrap();
            let [first, again] = [open(&path), open(&path)].map(Option::unwrap);
            assert!(Arc::ptr_eq(&first, &again));
            drop((first, again));
            assert_eq!(Arc::strong_count(&open(&path).unwrap()), 2);
            std::fs::remove_file(&path).unwrap();
            assert!(open(&path).is_none());
        }
    }
}
