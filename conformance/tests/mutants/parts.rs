//! What the operations of the small store are made of: its pool, its columns, its rules, each of which may be broken.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Mutex;

use session_core::{
    DestroyMode, Error, Filter, Payload, Principal, Record, Result, SessionKey, Timestamp, Version,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

use crate::backend::{Form, Row, Rows};
use crate::faults::{Fault, On};

pub(crate) struct SmallStore {
    pub(crate) form: Form,
    pub(crate) rows: Rows,
    pub(crate) connections: Semaphore,
    /// The answer of a load that nobody waited for.
    pub(crate) left_over: Mutex<Option<Option<Record>>>,
    pub(crate) cached: Mutex<HashMap<SessionKey, Record>>,
    /// What this handle has ended and not yet written.
    pub(crate) ended: Mutex<HashSet<SessionKey>>,
}

impl fmt::Debug for SmallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallStore").finish_non_exhaustive()
    }
}

/// An answer on its way. Dropped, it stays on the connection.
pub(crate) struct UnderWay<'a>(pub(crate) &'a SmallStore, pub(crate) Option<Option<Record>>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.1.take()
            && self.0.is(Fault::AnAnswerIsLeftOnTheConnection)
        {
            *self.0.left_over.lock().unwrap() = Some(answer);
        }
    }
}

impl SmallStore {
    pub(crate) fn new(form: Form, rows: Rows) -> SmallStore {
        SmallStore {
            form,
            rows,
            connections: Semaphore::new(8),
            left_over: Mutex::default(),
            cached: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.form.fault == fault
    }

    /// A connection of the pool, and a round trip to get there.
    pub(crate) async fn connect(&self) -> Result<SemaphorePermit<'_>> {
        let permit = self.connections.acquire().await.expect("never closed");
        if self.is(Fault::ADroppedCallKeepsItsConnection) {
            permit.forget();
            yield_now().await;
            self.connections.add_permits(1);
            return Ok(self.connections.acquire().await.expect("never closed"));
        }
        yield_now().await;
        Ok(permit)
    }

    pub(crate) fn bytes(&self, key: &SessionKey) -> Result<Vec<u8>> {
        if key.format() != self.form.format && !self.is(Fault::ForeignKeysAreAccepted) {
            return Err(Error::invalid_input("the key is of the other format"));
        }
        let bytes = key.as_bytes().to_vec();
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        Ok(match self.form.fault {
            Fault::KeysFoldCase => text().to_lowercase().into_bytes(),
            Fault::KeysAreTrimmed => text().trim_end_matches(' ').as_bytes().to_vec(),
            Fault::KeysAreCut => bytes[..bytes.len().min(128)].to_vec(),
            Fault::KeysLoseAccents => text().replace(['é', 'è'], "e").into_bytes(),
            Fault::DigestsAreCut => bytes[..bytes.len() - 1].to_vec(),
            _ => bytes,
        })
    }

    pub(crate) fn is_live(&self, row: &Row, now: Timestamp, on: On) -> bool {
        let now = now.as_millis();
        let in_time = if self.is(Fault::OffByOne(on)) { now <= row.expires_at } else { now < row.expires_at };
        in_time && (!row.destroyed || self.is(Fault::TombstonesAreIgnored(on)))
    }

    /// A time as the column holds it.
    pub(crate) fn column(&self, time: Timestamp) -> i64 {
        let millis = time.as_millis();
        match self.form.fault {
            Fault::TimesAreSeconds => millis.div_euclid(1000).saturating_mul(1000),
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "the fault"
            )]
            Fault::TimesAreFloats => (millis as f64) as i64,
            Fault::TimesAreUnsigned => millis.max(0),
            _ if !self.form.can.exact_expiry && time != Timestamp::NEVER => {
                millis.saturating_add(3).div_euclid(4).saturating_mul(4)
            }
            _ => millis,
        }
    }

    pub(crate) fn text(&self, payload: &Payload) -> String {
        let text = payload.as_str();
        let cut = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        match self.form.fault {
            Fault::PayloadsAreCut => text[..cut(65_535).unwrap_or(0)].to_owned(),
            Fault::PayloadsAreTrimmed => text.trim_end().to_owned(),
            Fault::PayloadsEndAtNul => text.split('\0').next().unwrap_or_default().to_owned(),
            Fault::AstralCharactersAreLost => text.replace(|c: char| c > '\u{ffff}', "?"),
            Fault::LineEndsAreNormalized => text.replace("\r\n", "\n"),
            _ => text.to_owned(),
        }
    }

    pub(crate) fn record(&self, row: &Row) -> Result<Record> {
        if row.corrupt {
            let shown =
                if self.is(Fault::AnErrorNamesThePayload) { row.payload.as_str() } else { "the payload" };
            return Err(Error::corrupt(format!("{shown} cannot be decoded")));
        }
        Ok(Record {
            payload: Payload::from(row.payload.as_str()),
            expires_at: Timestamp::from_millis(row.expires_at),
            created_at: self.form.can.created_at.then_some(Timestamp::from_millis(row.created_at)),
            version: Version::new(row.version),
            principal: row.principal.clone(),
        })
    }

    pub(crate) fn step(&self) -> i64 {
        i64::from(self.form.can.versions)
    }

    pub(crate) fn check(
        &self,
        principal: Option<&Principal>,
        expected: Option<Version>,
        mode: Option<DestroyMode>,
    ) -> Result<()> {
        let can = self.form.can;
        let unsupported = principal.is_some() && !can.principals
            || expected.is_some() && !can.versions
            || mode == Some(DestroyMode::Soft) && !can.tombstones;
        if unsupported && !self.is(Fault::TheUnsupportedIsDone) {
            return Err(Error::unsupported("this table cannot do that"));
        }
        Ok(())
    }

    pub(crate) fn passes(&self, row: &Row, filter: &Filter) -> bool {
        match (&filter.principal, &row.principal) {
            (None, _) => true,
            (Some(wanted), Some(principal)) if self.is(Fault::PrincipalsFoldCase) => {
                wanted.as_str().to_lowercase() == principal.as_str().to_lowercase()
            }
            (wanted, principal) => wanted == principal,
        }
    }

    pub(crate) fn end(
        &self,
        rows: &mut BTreeMap<Vec<u8>, Row>,
        key: &[u8],
        mode: DestroyMode,
        now: Timestamp,
        on: On,
    ) -> bool {
        let Some(row) = rows.get_mut(key) else { return false };
        if !self.is_live(row, now, on) {
            return self.is(Fault::EveryEndIsASuccess);
        }
        match mode {
            DestroyMode::Soft => row.destroyed = true,
            DestroyMode::Hard => _ = rows.remove(key),
        }
        true
    }
}
