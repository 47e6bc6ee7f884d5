//! What the tests share.

mod sessions;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use session_core::Timestamp;
use session_sqlite::{SqliteBuilder, SqliteStore};

pub(crate) use sessions::{create, create_for, destroy, key, load, touch, update};

/// The tests of a module, each an asynchronous function that panics where something is wrong.
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$({
            let (_, module) = module_path!().split_once("::").unwrap();
            let name = format!("{module}::{}", stringify!($name));
            libtest_mimic::Trial::test(name, || {
                crate::support::run($name());
                Ok(())
            })
        }),*]
    };
}

/// Runs a test on a runtime with one thread.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A folder of one test, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sqlite-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file that is not there yet.
    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("sessions.db")
    }

    /// A store on that file.
    pub(crate) fn builder(&self) -> SqliteBuilder {
        SqliteStore::builder().path(self.database())
    }

    /// The same, with its table.
    pub(crate) async fn store(&self) -> SqliteStore {
        let store = self.builder().build().unwrap();
        store.create_table().await.unwrap();
        store
    }

    /// A connection behind the store's back.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_324_200_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_795_324_200_000 + 86_400_000);
pub(crate) const MANY: NonZeroU32 = NonZeroU32::new(1000).unwrap();
