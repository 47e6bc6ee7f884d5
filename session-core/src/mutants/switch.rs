//! Which fault is on, and which there are, as the environment says.

use std::collections::HashSet;
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The fault that is on.
static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| env::var("SESSION_STORE_MUTANT").ok());

/// The file to which every fault is written that could be on, a line each: its id, a tab, and what it is.
static LIST: LazyLock<Option<String>> = LazyLock::new(|| env::var("SESSION_STORE_MUTANTS_LIST").ok());

/// Whether the fault of this name is on.
pub fn broken(name: &str) -> bool {
    CHOSEN.as_deref() == Some(name)
}

/// Whether the fault is on that leaves out this item, such as one setting of a connection.
pub fn drops(group: &str, item: &str) -> bool {
    let name = format!("{group}: without {item}");
    offer(&name, || name.clone());
    broken(&name)
}

/// Whether any fault is on, or a list is wanted.
pub fn is_on() -> bool {
    CHOSEN.is_some() || LIST.is_some()
}

/// Writes a fault to the list, once, if a list is wanted.
pub fn offer(id: &str, what: impl FnOnce() -> String) {
    static OFFERED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

    let Some(file) = &*LIST else { return };
    if OFFERED.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned()) {
        // Whoever reads the list finds out that it is empty.
        let file = OpenOptions::new().append(true).create(true).open(file);
        _ = file.and_then(|mut file| file.write_all(format!("{id}\t{}\n", what()).as_bytes()));
    }
}
