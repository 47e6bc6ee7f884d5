//! Which database a path or a URL names.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use session_core::{Error, Result};

use crate::percent_decoded;

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// In a file, by its absolute path.
    File(PathBuf),
    /// In memory.
    Memory,
}

impl Database {
    /// The database that a path names. Looks at nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it names none.
    pub fn at(path: &Path) -> Result<Database> {
        if path == Path::new(":memory:") {
            return Ok(Database::Memory);
        }
        if path.as_os_str().is_empty() {
            return Err(Error::invalid_input(
                "the path of the database is empty; give a file, or `:memory:` for a database in memory",
            ));
        }
        if path.to_str().is_some_and(|text| text.starts_with("file:") || text.starts_with("sqlite:")) {
            return Err(Error::invalid_input(
                "the path of the database is a URL; give the path of a file, or `url(\"sqlite:…\")`, or `url(\"file:…\")`",
            ));
        }
        // An absolute path is never taken for one of SQLite's special names, and stays right when the program changes
        // its folder.
        let path = std::path::absolute(path).map_err(|error| {
            Error::invalid_input("the path of the database cannot be made absolute; give an absolute path")
                .with_source(error)
        })?;
        Ok(Database::File(path))
    }
}

/// Parameters of SQLite's URIs that change nothing with one of these values.
const FINE: &[(&str, &str)] =
    &[("mode", "rwc"), ("mode", "memory"), ("cache", "private"), ("nolock", "0"), ("immutable", "0")];

/// Parameters of SQLite's URIs that a store has no use for, and what to do.
const REFUSED: &[(&str, &str)] = &[
    ("mode", "is `rwc` here: a session store writes, and makes its file; leave it out"),
    ("cache", "is `private` here; leave it out"),
    ("nolock", "would let two processes damage the file; leave it out"),
    ("immutable", "is for files that nobody writes, and a session store writes; leave it out"),
    ("psow", "is the system's own; leave it out"),
    ("vfs", "cannot be chosen; leave it out"),
    ("modeof", "is not read; set the file's rights"),
];

impl Database {
    /// The database that a URL names: `sqlite:` or `sqlite://` and a path as it stands, or SQLite's own `file:`, whose path
    /// is decoded.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it names none, or asks for what cannot be.
    pub fn of_url(url: &str) -> Result<Database> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            return named(path, query);
        }
        let Some(rest) = url.strip_prefix("file:") else {
            return refuse(
                "this is no URL of SQLite; write `sqlite:sessions.db`, `sqlite:///srv/sessions.db` or `file:sessions.db`",
            );
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match path.strip_prefix("//") {
            Some(with_host) => {
                let (host, path) = with_host.split_at(with_host.find('/').unwrap_or(with_host.len()));
                if !matches!(host, "" | "localhost") {
                    return refuse(
                        "the URL names another machine; write `file:sessions.db` or `file:///srv/sessions.db`",
                    );
                }
                path
            }
            None => path,
        };
        named(&decoded(path)?, query)
    }
}

fn named(path: &str, query: &str) -> Result<Database> {
    let mut in_memory = false;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        in_memory |= (name.as_str(), value.as_str()) == ("mode", "memory");
        if FINE.contains(&(name.as_str(), value.as_str())) {
            continue;
        }
        return match REFUSED.iter().find(|(refused, _)| *refused == name) {
            Some((name, what)) => refuse(&format!("the SQLite URL's `{name}` {what}")),
            None => refuse(
                "the SQLite URL has a parameter that is not known; use the builder's options, and `path` for a file with `?` \
                 in its name",
            ),
        };
    }
    match path {
        _ if in_memory => Ok(Database::Memory),
        "" => refuse("the SQLite URL names no file; write `sqlite:sessions.db`"),
        path => Database::at(Path::new(path)),
    }
}

/// Unlike SQLite, which passes over what is no code, this refuses it.
fn decoded(text: &str) -> Result<String> {
    percent_decoded(text).map_or_else(
        || {
            refuse(
                "a `%` in the SQLite URL begins no code of two digits, or the codes are not UTF-8; write the sign itself as \
                 %25",
            )
        },
        Ok,
    )
}

fn refuse<T>(what: &str) -> Result<T> {
    Err(Error::invalid_input(what))
}

/// Makes a missing file readable by its owner alone: sessions concern nobody else. SQLite gives its log the same
/// rights. Whatever fails here, SQLite meets again and reports.
pub fn make_private(path: &Path) {
    // Closing the new file drops the locks that this process has on it: nobody may open it before.
    static MAKING: Mutex<()> = Mutex::new(());

    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn a_url_names_a_file_or_memory() {
        let file = |path: &str| Database::at(Path::new(path)).unwrap();
        for (url, database) in [
            ("sqlite:a.db", file("a.db")),
            ("sqlite://a.db", file("a.db")),
            ("sqlite:/tmp/a.db", file("/tmp/a.db")),
            ("sqlite:///tmp/a b%20.db", file("/tmp/a b%20.db")),
            ("sqlite:a.db?mode=rwc", file("a.db")),
            ("sqlite::memory:", Database::Memory),
            ("sqlite://:memory:", Database::Memory),
            ("file:a.db", file("a.db")),
            ("file:a.db?mode=rwc&cache=private", file("a.db")),
            ("file:/tmp/a.db#x?mode=ro", file("/tmp/a.db")),
            ("file:///tmp/a%20b%3F.db", file("/tmp/a b?.db")),
            ("file://localhost/tmp/a.db", file("/tmp/a.db")),
            ("file::memory:", Database::Memory),
            ("file::memory:?cache=private", Database::Memory),
            ("file:///C:/Users/ann/a.db", file("/C:/Users/ann/a.db")),
            ("sqlite:///C:/Users/ann/a.db", file("/C:/Users/ann/a.db")),
            ("sqlite:C:\\Users\\ann\\a.db", file("C:\\Users\\ann\\a.db")),
            ("file:a%20b%25.db?immutable=0&nolock=0", file("a b%.db")),
            ("file:any?mode=memory", Database::Memory),
        ] {
            assert_eq!(Database::of_url(url).unwrap(), database, "{url}");
        }
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        for url in [
            "",
            "a.db",
            "sqlite:",
            "sqlite://",
            "sqlite:a.db?mode=ro",
            "sqlite:a.db?mode=rw",
            "sqlite:a.db?x=y",
            "file:",
            "file:a.db?mode=ro",
            "file:a.db?mode=rw",
            "file:a.db?cache=shared",
            "file:a.db?vfs=unix-none",
            "file:a.db?nolock=1",
            "file:a.db?immutable=1",
            "file:a.db?mode=rwc&mode=ro",
            "sqlite:a.db?cache=shared",
            "file::memory:?cache=shared",
            "file:a.db?psow=0",
            "file:a.db?mod=ro",
            "file:a.db?mode=memory&cache=shared",
            "file://host/a.db",
            "file:a%zz.db",
            "file:a%00.db",
            "postgres://localhost/app",
        ] {
            assert_eq!(Database::of_url(url).unwrap_err().kind(), ErrorKind::InvalidInput, "{url}");
        }
    }

    #[test]
    fn a_path_is_made_absolute_and_no_url() {
        assert!(
            matches!(Database::at(Path::new("a.db")).unwrap(), Database::File(path) if path.is_absolute())
        );
        for path in ["", "file:a.db?mode=memory", "sqlite:a.db"] {
            assert_eq!(Database::at(Path::new(path)).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
        }
    }
}
