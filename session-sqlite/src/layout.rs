//! What a table's shape decides: the statements, and what can be done.

use std::fmt;
use std::num::NonZeroU32;

use rusqlite::Connection;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Filter, KeyFormat, Listed, Principal, Record,
    Rotate, Rotated, SessionKey, Timestamp, Touch, Update, Updated, Write, Written,
};

use crate::diagnose::Expectation;
use crate::error::Failure;

pub(crate) type Answer<T> = Result<T, Failure>;

/// A table of sessions of some shape. Each method is one operation of [`Store`](session_core::Store) on an open
/// connection; one that writes is called within a transaction, which is rolled back after an error if anything was
/// changed.
pub(crate) trait Layout: fmt::Debug + Send + Sync {
    fn capabilities(&self) -> Capabilities;
    fn key_format(&self) -> KeyFormat;
    /// The statements that make the table and its indexes where they are missing.
    fn schema_sql(&self) -> &str;
    /// How the live table should look.
    fn expectation(&self) -> Expectation<'_>;

    fn create(&self, db: &Connection, create: &Create, now: Timestamp) -> Answer<Created>;
    fn load(&self, db: &Connection, key: &SessionKey, now: Timestamp) -> Answer<Option<Record>>;
    fn update(&self, db: &Connection, update: &Update, now: Timestamp) -> Answer<Updated>;
    fn touch(&self, db: &Connection, touch: &Touch, now: Timestamp) -> Answer<bool>;
    fn destroy(&self, db: &Connection, destroy: &Destroy, now: Timestamp) -> Answer<bool>;
    fn rotate(&self, db: &Connection, rotate: &Rotate, now: Timestamp) -> Answer<Rotated>;
    fn destroy_principal(
        &self,
        db: &Connection,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Answer<u64>;
    fn purge_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<u64>;
    /// The rows that [`purge_expired`](Layout::purge_expired) would remove.
    fn find_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<Vec<i64>>;
    /// Removes those of the rows found that are expired still.
    fn purge_found(&self, db: &Connection, rows: &[i64], now: Timestamp) -> Answer<u64>;
    fn list(
        &self,
        db: &Connection,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>>;
    fn count(&self, db: &Connection, filter: &Filter, now: Timestamp) -> Answer<u64>;
    fn clear(&self, db: &Connection) -> Answer<u64>;

    fn write(&self, db: &Connection, write: &Write, now: Timestamp) -> Answer<Written> {
        match write {
            Write::Create(create) => self.create(db, create, now).map(Written::Created),
            Write::Update(update) => self.update(db, update, now).map(Written::Updated),
            Write::Touch(touch) => self.touch(db, touch, now).map(Written::Touched),
            Write::Destroy(destroy) => self.destroy(db, destroy, now).map(Written::Destroyed),
        }
    }
}

/// A count of rows. No machine has more than `u64::MAX`.
pub(crate) fn number(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
