//! SQLite's error codes: <https://sqlite.org/rescode.html> says what each means.
//!
//! A code is an extended one, which has the primary one in its last byte.

use session_core::{Error, ErrorKind};

const PRIMARY: i32 = 0xff;
const ERROR: i32 = 1;
const PERM: i32 = 3;
const ABORT: i32 = 4;
/// Another connection holds a lock that this one needs.
pub const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
/// Nothing may be written.
pub const READONLY: i32 = 8;
/// The file has lost its name.
const READONLY_DBMOVED: i32 = READONLY | 4 << 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
/// A trigger's RAISE, whose words may be any expression's value, from SQLite 3.47 on.
const CONSTRAINT_TRIGGER: i32 = CONSTRAINT | 7 << 8;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;

/// True if another connection holds a lock that this one needs.
pub fn is_busy(code: i32) -> bool {
    matches!(code & PRIMARY, BUSY | LOCKED)
}

/// True if the connection may be at fault, and a new one may do better: the file was moved, mended, or came back.
pub fn spoils_connection(code: i32) -> bool {
    matches!(code & PRIMARY, IOERR | CORRUPT | NOTADB | READONLY | CANTOPEN | PROTOCOL | NOMEM)
}

/// True if a commit that failed so may yet be found in the log after a crash: the log's last bytes may have reached
/// the disk although the system reported an error. Only of some errors it is known that nothing was
/// (<https://sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction"): the rest is in doubt.
pub fn leaves_commit_in_doubt(code: i32) -> bool {
    !matches!(
        code & PRIMARY,
        // Another connection's lock, before anything is written; the transaction stays open.
        BUSY | LOCKED | PROTOCOL
            // Nothing may be written, or there is no room for it.
            | READONLY | PERM | AUTH | CANTOPEN | FULL
            // Refused, or rolled back on demand.
            | CONSTRAINT | ABORT | INTERRUPT
    )
}

/// True if SQLite's own words may quote a value of the row: those of a trigger, and of a function that is given one. What
/// SQLite finds wrong with a statement of ours quotes names alone.
pub fn may_quote(code: i32, said: &str) -> bool {
    let is_about_names = ["no such ", "table ", "near "].iter().any(|beginning| said.starts_with(beginning));
    code == CONSTRAINT_TRIGGER || (code & PRIMARY == ERROR && !is_about_names)
}

/// SQLite's error, by its code and in its words, on a table. Nothing was changed, unless the caller says otherwise.
pub fn classify(code: i32, said: &str, table: &str) -> Error {
    let (kind, message) = describe(code, said, table);
    let error = Error::new(kind, message).with_in_doubt(false).with_code(code.to_string());
    // The whole file is out of reach, not one session in it.
    if code & PRIMARY == CANTOPEN { error.with_unreachable() } else { error }
}

/// Kind and message. SQLite tells a missing table or column by its words alone.
fn describe(code: i32, said: &str, table: &str) -> (ErrorKind, String) {
    let backend = |message: &str| (ErrorKind::Backend, message.to_owned());
    match code & PRIMARY {
        BUSY | LOCKED | PROTOCOL => (
            ErrorKind::Unavailable,
            "another connection holds the database's lock; find the long transaction, or raise `busy_timeout`".to_owned(),
        ),
        CANTOPEN => (
            ErrorKind::Unavailable,
            "the database file cannot be opened; check that its folder exists and that this user may write the \
             folder and the file"
                .to_owned(),
        ),
        TOOBIG => (
            ErrorKind::TooLarge,
            "the payload is over SQLite's limit for one row, 1 GB unless it was lowered; store less".to_owned(),
        ),
        CORRUPT => backend(
            "the database file is damaged; stop the application, then restore a backup or use sqlite3's `.recover`",
        ),
        NOTADB => {
            backend("the file is not a database, or an encrypted one; check the path, and move the file away if it is not yours")
        }
        READONLY if code == READONLY_DBMOVED => backend(
            "the database file was moved or removed while it was open; the next call opens what is there now, so put the \
             file back, or start the application anew",
        ),
        READONLY => backend(
            "the database is read-only; let this user write the file and its folder, and check that the file system \
             is not mounted read-only",
        ),
        PERM | AUTH => {
            backend("access to the database was denied; let this user read and write the file and its folder")
        }
        FULL => backend(
            "the disk is full, or the database reached its `max_page_count`; free space, purge expired sessions, or move \
             the file",
        ),
        IOERR => {
            backend("the operating system could not read or write the database file; check the disk and its log")
        }
        NOMEM => backend("SQLite got no memory; check the machine's or the container's limit"),
        CONSTRAINT => backend(&format!(
            "the table \"{table}\" refuses a row of this store; compare its columns and constraints with `schema_sql()`"
        )),
        ERROR if said.contains("no such table") => backend(&format!(
            "the table \"{table}\" is missing; call `create_table()`, or run the statements of `schema_sql()`"
        )),
        ERROR if said.contains("no such column") || said.contains("has no column named") => {
            backend(&format!(
                "the table \"{table}\" lacks a column; compare it with `schema_sql()`, or give another table name"
            ))
        }
        _ => backend("SQLite refused the statement; `doctor()` checks the table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_lost_its_name_is_told_from_one_that_may_not_be_written() {
        let moved = classify(READONLY_DBMOVED, "attempt to write a readonly database", "t");
        assert!(moved.to_string().contains("moved or removed"), "{moved}");
        assert!(spoils_connection(READONLY_DBMOVED) && !moved.is_in_doubt());
        assert!(classify(READONLY, "", "t").to_string().contains("let this user write"));
    }

    #[test]
    fn words_that_may_quote_a_value_are_told_from_those_about_names() {
        for (code, said) in
            [(CONSTRAINT_TRIGGER, "no: secret"), (ERROR, "bad JSON path: 'secret'"), (ERROR, "")]
        {
            assert!(may_quote(code, said), "{said}");
        }
        for (code, said) in [
            (ERROR, "no such table: t"),
            (ERROR, "no such column: version"),
            (ERROR, "table t has no column named version"),
            (CONSTRAINT, "CHECK constraint failed: other"),
            (FULL, "database or disk is full"),
        ] {
            assert!(!may_quote(code, said), "{said}");
        }
    }

    #[test]
    fn a_commit_is_in_doubt_unless_it_is_known_that_nothing_was_written() {
        const IOERR_FSYNC: i32 = IOERR | 4 << 8;
        for code in [BUSY, LOCKED, FULL, READONLY, CONSTRAINT] {
            assert!(!leaves_commit_in_doubt(code), "{code}");
        }
        for code in [IOERR, IOERR_FSYNC, NOMEM, CORRUPT, ERROR] {
            assert!(leaves_commit_in_doubt(code), "{code}");
        }
    }
}
