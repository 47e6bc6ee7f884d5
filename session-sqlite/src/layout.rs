//! The dialect over rusqlite, which blocks: each operation is done when it returns.

use std::num::NonZeroU32;

use rusqlite::Connection;
use session_core::Finding;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update, Write, Written,
};
use session_core::{Capabilities, Fate, KeyFormat, Principal, SessionKey, TableName, Timestamp, Updated};
use session_sql::FoundColumn;
use session_sql::sqlite::{self, diagnose, ready};

use crate::error::Answer;
use crate::run::Blocking;

/// A table of sessions in some layout. Each operation is one of [`Store`](session_core::contract::Store) on an open
/// connection; one that writes is called within a transaction, which is rolled back after an error if anything was
/// changed.
#[derive(Debug)]
pub(crate) struct Layout(pub(crate) sqlite::Layout);

impl Layout {
    pub(crate) fn table(&self) -> &TableName {
        self.0.table()
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    pub(crate) fn key_format(&self) -> KeyFormat {
        self.0.key_format()
    }

    pub(crate) fn schema_sql(&self) -> &str {
        self.0.schema_sql()
    }

    pub(crate) fn diagnose(&self, db: &Connection) -> Answer<Vec<Finding>> {
        ready(diagnose::diagnose(&mut Blocking(db), &self.0))
    }

    pub(crate) fn create(&self, db: &Connection, create: &Create, now: Timestamp) -> Answer<Created> {
        ready(self.0.create(&mut Blocking(db), create, now))
    }

    pub(crate) fn load(&self, db: &Connection, load: &Load, now: Timestamp) -> Answer<Loaded> {
        ready(self.0.load(&mut Blocking(db), load, now))
    }

    pub(crate) fn update(&self, db: &Connection, update: &Update, now: Timestamp) -> Answer<Updated> {
        ready(self.0.update(&mut Blocking(db), update, now))
    }

    pub(crate) fn touch(&self, db: &Connection, touch: &Touch, now: Timestamp) -> Answer<Touched> {
        ready(self.0.touch(&mut Blocking(db), touch, now))
    }

    pub(crate) fn destroy(&self, db: &Connection, destroy: &Destroy, now: Timestamp) -> Answer<bool> {
        ready(self.0.destroy(&mut Blocking(db), destroy, now))
    }

    pub(crate) fn rotate(&self, db: &Connection, rotate: &Rotate, now: Timestamp) -> Answer<Rotated> {
        ready(self.0.rotate(&mut Blocking(db), rotate, now))
    }

    pub(crate) fn fate(&self, db: &Connection, key: &SessionKey, now: Timestamp) -> Answer<Fate> {
        ready(self.0.fate(&mut Blocking(db), key, now))
    }

    pub(crate) fn destroy_principal(
        &self,
        db: &Connection,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Answer<u64> {
        ready(self.0.destroy_principal(&mut Blocking(db), destroy, now))
    }

    pub(crate) fn forget_principal(
        &self,
        db: &Connection,
        principal: &Principal,
        now: Timestamp,
    ) -> Answer<u64> {
        ready(self.0.forget_principal(&mut Blocking(db), principal, now))
    }

    pub(crate) fn purge_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<u64> {
        ready(self.0.purge_expired(&mut Blocking(db), now, limit))
    }

    pub(crate) fn find_expired(
        &self,
        db: &Connection,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Answer<Vec<i64>> {
        ready(self.0.find_expired(&mut Blocking(db), now, limit))
    }

    pub(crate) fn purge_found(&self, db: &Connection, rows: &[i64], now: Timestamp) -> Answer<u64> {
        ready(self.0.purge_found(&mut Blocking(db), rows, now))
    }

    pub(crate) fn list(
        &self,
        db: &Connection,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>> {
        ready(self.0.list(&mut Blocking(db), filter, after, limit, now))
    }

    pub(crate) fn count(&self, db: &Connection, filter: &Filter, now: Timestamp) -> Answer<u64> {
        ready(self.0.count(&mut Blocking(db), filter, now))
    }

    pub(crate) fn clear(&self, db: &Connection) -> Answer<u64> {
        ready(self.0.clear(&mut Blocking(db)))
    }

    pub(crate) fn write(&self, db: &Connection, write: &Write, now: Timestamp) -> Answer<Written> {
        ready(self.0.write(&mut Blocking(db), write, now))
    }
}

/// The columns of a table; none if it is not there.
pub(crate) fn columns(db: &Connection, table: &str) -> Answer<Vec<FoundColumn>> {
    ready(diagnose::columns(&mut Blocking(db), table))
}

/// Sees that the file is there.
pub(crate) fn look(db: &Connection) -> Answer<()> {
    ready(diagnose::look(&mut Blocking(db)))
}
