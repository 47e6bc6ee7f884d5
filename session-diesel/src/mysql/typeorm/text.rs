//! What a column for text can hold. A server whose `sql_mode` is lax cuts or replaces what it cannot.

use session_core::{ConnectTypeorm, Error, ErrorKind, Result, TableName};

use super::statements::{self, Statements};
use crate::convert;
use crate::mysql::diagnose;
use crate::mysql::pool::Connections;
use crate::mysql::query::{Bind, MysqlRow, columns};

/// The table as it is.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) id: Text,
    pub(super) json: Text,
    /// Whether there is a column that marks destroyed sessions.
    pub(super) tombstones: bool,
    pub(super) statements: Statements,
}

/// A column for text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    name: String,
    pub(super) charset: String,
    pub(super) collation: String,
    most_chars: u64,
    pub(super) most_bytes: u64,
}

impl Layout {
    /// Looks at the table; `None` if there is none.
    pub(super) async fn look(
        connections: &Connections,
        table: &TableName,
        names: &ConnectTypeorm,
    ) -> Result<Option<Layout>> {
        let found = connections.read(statements::TEXTS, &diagnose::names(table), text).await?;
        let found: Vec<Text> = found.into_iter().collect::<Result<_>>()?;
        if found.is_empty() {
            return Ok(None);
        }
        // The names of columns are the same in any case.
        let find = |name: &str| {
            found.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
                let what =
                    format!("the table {table} lacks the column {name}; name its own in `ConnectTypeorm`");
                Error::new(ErrorKind::Backend, what).with_code("1054").with_indeterminate(false)
            })
        };
        let (id, json) = (find(names.id())?, find(names.json())?);
        find(names.expired_at())?;
        let tombstones = find(names.destroyed_at()).is_ok();
        let statements = Statements::new(table, names, (&id.charset, &id.collation), tombstones);
        Ok(Some(Layout { id, json, tombstones, statements }))
    }
}

impl Text {
    /// Refuses a text that the column cannot hold whole, in as many characters and bytes.
    pub(super) async fn check(&self, connections: &Connections, text: &str) -> Result<()> {
        let (mut bytes, mut whole) = (length(text.len()), true);
        match self.charset.as_str() {
            "" | "utf8mb4" => {}
            "utf8mb3" | "utf8" => whole = text.chars().all(|char| char <= '\u{ffff}'),
            "ascii" | "latin1" if text.is_ascii() => {}
            charset => (bytes, whole) = measured(connections, charset, text).await?,
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
async fn measured(connections: &Connections, charset: &str, text: &str) -> Result<(u64, bool)> {
    let read = |row: &MysqlRow| {
        columns(row, |[bytes, whole]| {
            Ok((convert::bigint("bytes", bytes)?, convert::bigint("whole", whole)?))
        })
    };
    let values = [Bind::Text(text); 3];
    let rows = connections.read(&statements::measure(charset), &values, read).await?;
    let (bytes, whole) = rows
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(Error::corrupt("the server did not say how long a text is")))?;
    Ok((convert::count(bytes), whole == 1))
}

fn text(row: &MysqlRow) -> Result<Text> {
    columns(row, |[name, charset, collation, chars, bytes]| {
        Ok(Text {
            name: convert::text("catalog", name)?.to_owned(),
            charset: convert::text("catalog", charset)?.to_owned(),
            collation: convert::text("catalog", collation)?.to_owned(),
            most_chars: convert::count(convert::bigint("catalog", chars)?),
            most_bytes: convert::count(convert::bigint("catalog", bytes)?),
        })
    })
}

/// No text has more bytes than `u64::MAX`.
fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
