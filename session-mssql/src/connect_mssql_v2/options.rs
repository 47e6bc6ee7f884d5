//! What is to be said of a table of connect-mssql-v2.

use std::fmt;
use std::sync::Arc;

use session_core::Timestamp;

use crate::datetime::LocalTime;

/// The table of the Node package connect-mssql-v2: `[sid] nvarchar(255)`, `[session] nvarchar(max)`, `[expires] datetime`.
///
/// A Node application and this one can use it at the same time. The table contains ids in clear. They are compared byte
/// for byte, whatever the table's collation. Members of a session's JSON that an application does not know are kept if
/// its data type keeps them, as [`serde_json::Value`] does.
///
/// The table has no versions, principals, marks of destroyed sessions or times of creation. In a table made as Node's
/// documentation says, the primary key takes ids for equal that differ in case or in trailing blanks only. Creating the
/// second of two such ids returns [`KeyTaken`](session_core::contract::Created::KeyTaken). A table of
/// [`create_table`](crate::MssqlStore::create_table) has a fourth, computed column that keeps them apart, and an index
/// on the expiry. Node can use it all the same.
///
/// It holds expiries in steps of 1/300 s: a session never dies earlier than asked, and at most 4 ms later. An expiry after
/// the year 9999 means for ever.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use session_core::TableName;
/// use session_mssql::{ConnectMssqlV2, MssqlStore};
///
/// let store = MssqlStore::builder()
///     .url("Server=tcp:localhost,1433;User=app;Password=secret;Database=web")
///     .connect_mssql_v2(ConnectMssqlV2::new())
///     .table(TableName::new("dbo.sessions")?) // Node's option `table`
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct ConnectMssqlV2 {
    pub(super) local_time: Option<LocalTime>,
}

impl ConnectMssqlV2 {
    /// The table as Node uses it by default.
    pub fn new() -> ConnectMssqlV2 {
        ConnectMssqlV2::default()
    }

    /// For Node's `useUTC: false`: expiries are written, compared and read in local time. `minutes_ahead` says how
    /// many minutes that is ahead of UTC at a time, as the Node application's host would.
    ///
    /// Defaults to UTC, as in Node. Where clocks are set back an hour happens twice, and a session that ends in it may
    /// end an hour early or late: share a table in UTC where you can.
    pub fn local_time(
        self,
        minutes_ahead: impl Fn(Timestamp) -> i32 + Send + Sync + 'static,
    ) -> ConnectMssqlV2 {
        ConnectMssqlV2 { local_time: Some(Arc::new(minutes_ahead)) }
    }
}

impl fmt::Debug for ConnectMssqlV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectMssqlV2").field("local_time", &self.local_time.is_some()).finish()
    }
}
