//! A table in one of the layouts.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, KeyFormat, Principal, SessionKey, TableName, Timestamp, Updated,
};

use super::{Answer, Native, Step, Typeorm};
use crate::connect_typeorm::no_principals;
use crate::{Expectation, FoundColumn};

/// A table of sessions in some layout. Each operation is one of [`Store`](session_core::contract::Store) on an open
/// connection. One that writes is called within a transaction, which is rolled back after an error if anything was
/// changed. Those of one statement may be called without: `create`, `destroy`, `destroy_principal`, `forget_principal`,
/// `purge_expired`, `clear`, and what ends in `at_once`.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a store has one, behind its Arc")]
pub enum Layout {
    /// Everything that the contract knows.
    Native(Native),
    /// A table that a Node application uses at the same time.
    Typeorm(Typeorm),
}

/// The same of each layout.
macro_rules! of_each {
    ($layout:expr, $table:ident => $what:expr) => {
        match $layout {
            Layout::Native($table) => $what,
            Layout::Typeorm($table) => $what,
        }
    };
}

#[expect(clippy::missing_errors_doc, reason = "those of the operation of the same name")]
impl Layout {
    /// The table.
    pub fn table(&self) -> &TableName {
        of_each!(self, table => table.table())
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        of_each!(self, table => table.capabilities())
    }

    /// How it holds ids.
    pub fn key_format(&self) -> KeyFormat {
        of_each!(self, table => table.key_format())
    }

    /// The statements that make the table and its indexes where they are missing.
    pub fn schema_sql(&self) -> &str {
        of_each!(self, table => table.schema_sql())
    }

    /// How the table should look.
    pub(super) fn expectation(&self) -> Expectation<'_> {
        of_each!(self, table => table.expected())
    }

    /// What there is to say of its columns besides.
    pub(super) fn judge(&self, columns: &[FoundColumn]) -> Option<Finding> {
        match self {
            Layout::Native(_) => None,
            Layout::Typeorm(typeorm) => typeorm.judge(columns),
        }
    }

    /// The same layout of the table as it is. No columns mean that there is no table yet.
    #[must_use]
    pub fn seen(self, columns: &[FoundColumn]) -> Layout {
        match self {
            Layout::Native(native) => Layout::Native(native),
            Layout::Typeorm(typeorm) => Layout::Typeorm(typeorm.seen(columns)),
        }
    }

    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<S: Step>(&self, db: &mut S, create: &Create, now: Timestamp) -> Answer<Created, S> {
        match self {
            Layout::Native(native) => native.create(db, create, now).await,
            Layout::Typeorm(typeorm) => typeorm.create(db, create).await,
        }
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<S: Step>(&self, db: &mut S, load: &Load, now: Timestamp) -> Answer<Loaded, S> {
        of_each!(self, table => table.load(db, load, now).await)
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<S: Step>(&self, db: &mut S, update: &Update, now: Timestamp) -> Answer<Updated, S> {
        of_each!(self, table => table.update(db, update, now).await)
    }

    /// An update that needs no transaction. None has changed nothing: [`update`](Layout::update) says why.
    pub async fn update_at_once<S: Step>(
        &self,
        db: &mut S,
        update: &Update,
        now: Timestamp,
    ) -> Answer<Option<Updated>, S> {
        match self {
            Layout::Native(native) => native.update_at_once(db, update, now).await,
            Layout::Typeorm(typeorm) => typeorm.update(db, update, now).await.map(Some),
        }
    }

    /// A touch that needs no transaction. None has changed nothing: [`touch`](Layout::touch) says why.
    pub async fn touch_at_once<S: Step>(
        &self,
        db: &mut S,
        touch: &Touch,
        now: Timestamp,
    ) -> Answer<Option<Touched>, S> {
        match self {
            Layout::Native(native) => native.touch_at_once(db, touch, now).await,
            Layout::Typeorm(typeorm) => typeorm.touch(db, touch, now).await.map(Some),
        }
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<S: Step>(&self, db: &mut S, touch: &Touch, now: Timestamp) -> Answer<Touched, S> {
        of_each!(self, table => table.touch(db, touch, now).await)
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<S: Step>(&self, db: &mut S, destroy: &Destroy, now: Timestamp) -> Answer<bool, S> {
        of_each!(self, table => table.destroy(db, destroy, now).await)
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<S: Step>(&self, db: &mut S, rotate: &Rotate, now: Timestamp) -> Answer<Rotated, S> {
        of_each!(self, table => table.rotate(db, rotate, now).await)
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<S: Step>(&self, db: &mut S, key: &SessionKey, now: Timestamp) -> Answer<Fate, S> {
        of_each!(self, table => table.fate(db, key, now).await)
    }

    /// As [`Store::destroy_principal`](session_core::contract::Store::destroy_principal).
    pub async fn destroy_principal<S: Step>(
        &self,
        db: &mut S,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Answer<u64, S> {
        match self {
            Layout::Native(native) => native.destroy_principal(db, destroy, now).await,
            Layout::Typeorm(_) => Err(no_principals().into()),
        }
    }

    /// As [`Store::forget_principal`](session_core::contract::Store::forget_principal).
    pub async fn forget_principal<S: Step>(
        &self,
        db: &mut S,
        principal: &Principal,
        now: Timestamp,
    ) -> Answer<u64, S> {
        match self {
            Layout::Native(native) => native.forget_principal(db, principal, now).await,
            Layout::Typeorm(_) => Err(no_principals().into()),
        }
    }

    /// As [`Store::purge_expired`](session_core::contract::Store::purge_expired).
    pub async fn purge_expired<S: Step>(
        &self,
        db: &mut S,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Answer<u64, S> {
        of_each!(self, table => table.purge_expired(db, now, limit).await)
    }

    /// The rows that [`purge_expired`](Layout::purge_expired) would remove.
    pub async fn find_expired<S: Step>(
        &self,
        db: &mut S,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Answer<Vec<i64>, S> {
        of_each!(self, table => table.find_expired(db, now, limit).await)
    }

    /// Removes those of the rows found that are expired still.
    pub async fn purge_found<S: Step>(&self, db: &mut S, rows: &[i64], now: Timestamp) -> Answer<u64, S> {
        of_each!(self, table => table.purge_found(db, rows, now).await)
    }

    /// As [`Store::list`](session_core::contract::Store::list).
    pub async fn list<S: Step>(
        &self,
        db: &mut S,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>, S> {
        match self {
            Layout::Native(native) => native.list(db, filter, after, limit, now).await,
            Layout::Typeorm(typeorm) => typeorm.list(db, after, limit, now).await,
        }
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<S: Step>(&self, db: &mut S, filter: &Filter, now: Timestamp) -> Answer<u64, S> {
        match self {
            Layout::Native(native) => native.count(db, filter, now).await,
            Layout::Typeorm(typeorm) => typeorm.count(db, now).await,
        }
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<S: Step>(&self, db: &mut S) -> Answer<u64, S> {
        of_each!(self, table => table.clear(db).await)
    }

    /// Does one write of a batch, as the operation of the same name.
    pub async fn write<S: Step>(&self, db: &mut S, write: &Write, now: Timestamp) -> Answer<Written, S> {
        match write {
            Write::Create(create) => self.create(db, create, now).await.map(Written::Created),
            Write::Update(update) => self.update(db, update, now).await.map(Written::Updated),
            Write::Touch(touch) => self.touch(db, touch, now).await.map(Written::Touched),
            Write::Destroy(destroy) => self.destroy(db, destroy, now).await.map(Written::Destroyed),
        }
    }
}
