//! Parts of the statements.

use session_core::DestroyMode;
use session_sql::Statement;

use crate::shared::statement;

/// A statement that ends sessions, in each of its ways.
#[derive(Debug)]
pub(super) struct ByMode {
    pub(super) forget: Statement,
    pub(super) keep: Statement,
    pub(super) remove: Statement,
}

impl ByMode {
    /// Writes each of them.
    pub(super) fn new(template: impl Fn(DestroyMode) -> String) -> ByMode {
        ByMode {
            forget: statement(template(DestroyMode::Forget)),
            keep: statement(template(DestroyMode::Keep)),
            remove: statement(template(DestroyMode::Remove)),
        }
    }

    pub(super) fn of(&self, mode: DestroyMode) -> &Statement {
        match mode {
            DestroyMode::Forget => &self.forget,
            DestroyMode::Keep => &self.keep,
            DestroyMode::Remove => &self.remove,
        }
    }
}

/// All columns but the key's, in the order in which records are read.
pub(super) const RECORD: &str = "[payload], [expires_at], [created_at], [version], [principal]";
pub(super) const LIVE: &str = "[expires_at] > :now AND [destroyed_at] IS NULL";
/// What a session that is forgotten leaves of itself.
pub(super) const WIPED: &str = "[payload] = N'', [principal] = NULL";

/// What is set in a row that stays.
pub(super) fn destroyed(mode: DestroyMode) -> String {
    match mode {
        DestroyMode::Forget => format!("[destroyed_at] = :now, {WIPED}"),
        DestroyMode::Keep | DestroyMode::Remove => "[destroyed_at] = :now".to_owned(),
    }
}

/// The payload, unless the caller has it.
pub(super) fn unless_known(is_known: &str, payload: &str) -> String {
    format!("CASE WHEN {is_known} THEN CAST(NULL AS nvarchar(max)) ELSE {payload} END AS [payload]")
}

/// NULL for the empty text. By its length, as a blank equals the empty text, and in some collations a control
/// character does.
pub(super) fn nullable(text: &str) -> String {
    format!("CASE WHEN DATALENGTH({text}) > 0 THEN {text} END")
}

/// What a rotation's first column says.
pub(super) mod rotated {
    /// It was done.
    pub(in crate::native) const DONE: i64 = 1;
    /// The session is live and has another version than the expected one.
    pub(in crate::native) const STALE: i64 = 2;
    /// There is a row with the new key.
    pub(in crate::native) const KEY_TAKEN: i64 = 3;
    /// The row was changed between two statements, which only a server that ignores UPDLOCK allows. Nothing was done.
    pub(in crate::native) const CHANGED: i64 = 4;
}
