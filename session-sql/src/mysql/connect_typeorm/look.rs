//! What the table's columns can hold. A server whose `sql_mode` is lax cuts or replaces what they cannot.

use session_core::{Error, ErrorKind, Result, TableName};

use super::statements::{Statements, measure};
use crate::mysql::diagnose::{Column, find};
use crate::{ConnectTypeorm, Run, value};

/// The table as it is.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) id: Text,
    pub(super) json: Text,
    pub(super) statements: Statements,
}

/// A column for text.
#[derive(Debug)]
pub(super) struct Text {
    name: String,
    charset: String,
    most_chars: u64,
    most_bytes: u64,
}

impl Look {
    pub(super) fn at(columns: &[Column], table: &TableName, names: &ConnectTypeorm) -> Result<Look> {
        let named = |name: &str| {
            find(columns, name).ok_or_else(|| {
                refused(format!(
                    "the table {table} lacks the column {name}; name its own in `ConnectTypeorm`"
                ))
            })
        };
        let (id, json) = (named(names.id())?, named(names.json())?);
        named(names.expired_at())?;
        let has_destroyed_at = find(columns, names.destroyed_at()).is_some();
        if has_destroyed_at != names.has_destroyed_at()
            && let Some(finding) = names.judge_destroyed_at(has_destroyed_at)
        {
            return Err(refused(format!("{}; {}", finding.what, finding.remedy)));
        }
        let statements = Statements::new(table, names, (&id.charset, &id.found.collation));
        Ok(Look { id: Text::of(id), json: Text::of(json), statements })
    }
}

impl Text {
    fn of(column: &Column) -> Text {
        Text {
            name: column.found.name.clone(),
            charset: column.charset.clone(),
            most_chars: column.most_chars,
            most_bytes: column.most_bytes,
        }
    }

    /// Refuses a text that the column cannot hold whole, in as many characters and bytes.
    pub(super) async fn check<R: Run>(&self, run: &R, text: &str) -> Result<()> {
        let (mut bytes, mut whole) = (length(text.len()), true);
        match self.charset.as_str() {
            "" | "utf8mb4" => {}
            "utf8mb3" | "utf8" => whole = text.chars().all(|char| char <= '\u{ffff}'),
            "ascii" | "latin1" if text.is_ascii() => {}
            charset => (bytes, whole) = measured(run, charset, text).await?,
        }
        if !whole {
            return Err(Error::invalid_input(format!(
                "column `{}` is in {} and cannot hold one of the characters; alter it to utf8mb4",
                self.name, self.charset
            )));
        }
        if bytes > self.most_bytes || length(text.chars().count()) > self.most_chars {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "column `{}` holds at most {} bytes; alter its type, or store less",
                    self.name, self.most_bytes
                ),
            ));
        }
        Ok(())
    }
}

/// How many bytes a text has in a character set, and whether every character of it is there.
async fn measured<R: Run>(run: &R, charset: &str, text: &str) -> Result<(u64, bool)> {
    let read = |row: &R::Row| {
        R::columns(row, |[bytes, whole]| {
            Ok((value::count(value::bigint("bytes", bytes)?), value::flag("whole", whole)?))
        })
    };
    let rows = run.read(measure(charset).bind(&[("text", text.into())]), read).await?;
    let unsaid = || Err(Error::corrupt("the server did not say how long a text is"));
    rows.into_iter().next().unwrap_or_else(unsaid)
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::Backend, what).with_code("1054").with_in_doubt(false)
}

/// No text has more bytes than `u64::MAX`.
fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
