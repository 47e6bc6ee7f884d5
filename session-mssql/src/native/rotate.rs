//! The statement that gives a session another key.

use session_core::DestroyMode;

use super::key::Key;
use super::parts::{LIVE, RECORD, nullable, rotated};
use crate::shared::unless_taken;

/// A rotation renames the row, so that there is no instant with two live sessions or none; where the old key is to
/// stay taken, a row with what was there before takes its place.
pub(super) fn rotate(t: &str, key: &Key, mode: DestroyMode) -> String {
    use rotated::{CHANGED, DONE, KEY_TAKEN, STALE};
    let rename: Vec<String> = key
        .column_list()
        .into_iter()
        .zip(key.value_list(":to"))
        .map(|(column, value)| format!("{column} = {value}"))
        .collect();
    let tombstone = |payload: &str, principal: &str| {
        format!(
            "INSERT INTO {t} ({}, {RECORD}, [destroyed_at], [rotated]) \
             VALUES ({}, {payload}, @expires_at, @created_at, @version, {principal}, :now, 1); ",
            key.columns(),
            key.value(":from"),
        )
    };
    let (variables, reads, tombstone) = match mode {
        DestroyMode::Remove => ("", "", String::new()),
        DestroyMode::Forget => {
            (", @created_at bigint", ", @created_at = [created_at]", tombstone("N''", "NULL"))
        }
        DestroyMode::Keep => (
            ", @payload nvarchar(max), @created_at bigint, @principal nvarchar(255)",
            ", @payload = [payload], @created_at = [created_at], @principal = [principal]",
            tombstone("@payload", "@principal"),
        ),
    };
    let (is_old, rename, principal) = (key.is(":from"), rename.join(", "), nullable(":principal"));
    format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; \
         DECLARE @outcome bigint, @version bigint, @expires_at bigint{variables}; \
         BEGIN TRY \
         BEGIN TRANSACTION; \
         SELECT @version = [version], @expires_at = [expires_at]{reads} FROM {t} WITH (UPDLOCK, ROWLOCK) \
         WHERE {is_old} AND {LIVE}; \
         IF @version IS NOT NULL AND (:expected IS NULL OR @version = :expected) BEGIN \
         UPDATE {t} WITH (ROWLOCK) SET {rename}, [payload] = CASE WHEN :replace = 1 THEN :payload ELSE [payload] END, \
         [expires_at] = COALESCE(:expires_at, [expires_at]), [principal] = {principal}, [version] = @version + 1 \
         WHERE {is_old} AND {LIVE} AND [version] = @version AND [expires_at] = @expires_at; \
         IF @@ROWCOUNT = 0 SET @outcome = {CHANGED}; \
         ELSE BEGIN {tombstone}SET @outcome = {DONE}; END; \
         END ELSE SET @outcome = {STALE}; \
         COMMIT TRANSACTION; \
         SELECT @outcome AS [outcome], @version + 1 AS [version] WHERE @version IS NOT NULL; \
         END TRY BEGIN CATCH \
         IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; \
         {}; \
         SELECT CAST({KEY_TAKEN} AS bigint) AS [outcome], @version AS [version]; \
         END CATCH",
        unless_taken(t, &key.is(":to"))
    )
}
