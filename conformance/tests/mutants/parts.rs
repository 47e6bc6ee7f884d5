//! What the operations of the small store are made of: its pool, its columns, its rules, each of which may be broken.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, Once};
use std::time::Duration;

use conformance::Part;
use session_core::contract::{Create, Filter, Loaded, Payload, Record};
use session_core::{DestroyMode, Error, Result, SessionKey, Timestamp, Version};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::cache::Cache;
use crate::faults::{Fault, On};
use crate::lock::Lock;
use crate::net::Net;
use crate::rules::{Rules, is_held};
use crate::subject::{End, Form, Row, Rows};

/// The connections of a store.
pub(crate) const CONNECTIONS: usize = 8;

pub(crate) struct SmallStore {
    pub(crate) form: Form,
    pub(crate) rows: Rows,
    /// The way to the server, where there is one.
    net: Option<Net>,
    lock: Lock,
    pub(crate) rules: Rules,
    /// Its payloads hold Latin-1 alone.
    pub(crate) narrow: bool,
    pub(crate) connections: Semaphore,
    /// The answer of a load that nobody waited for.
    pub(crate) left_over: Mutex<Option<Loaded>>,
    pub(crate) cache: Cache,
    /// What this handle has destroyed and not yet written.
    pub(crate) destroyed: Mutex<HashSet<SessionKey>>,
}

impl fmt::Debug for SmallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallStore").finish_non_exhaustive()
    }
}

/// An answer on its way. Dropped, it stays on the connection.
pub(crate) struct UnderWay<'a>(pub(crate) &'a SmallStore, pub(crate) Option<Loaded>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Some(answer) = self.1.take() else { return };
        match self.0.form.fault {
            Fault::AnAnswerIsLeftOnTheConnection => *self.0.left_over.lock().unwrap() = Some(answer),
            Fault::ADroppedCallPanicsLater => {
                // Once is enough, and less to read.
                static ONCE: Once = Once::new();
                ONCE.call_once(|| {
                    drop(tokio::spawn(async { panic!("the rest of an answer makes no sense") }))
                });
            }
            _ => {}
        }
    }
}

impl SmallStore {
    pub(crate) fn new(form: Form, rows: Rows, net: Option<Net>, lock: Lock, rules: Rules) -> SmallStore {
        SmallStore {
            form,
            rows,
            net,
            lock,
            rules,
            narrow: false,
            connections: Semaphore::new(CONNECTIONS),
            left_over: Mutex::default(),
            cache: Cache::default(),
            destroyed: Mutex::default(),
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
        if let Some(net) = &self.net {
            net.trip(1).await?;
        }
        self.lock.pass(self.is(Fault::StatementsOutliveTheirCallers)).await;
        Ok(permit)
    }

    /// The answer to a write that is done, where it comes later than the write.
    pub(crate) async fn acknowledge(&self) -> Result<()> {
        match &self.net {
            Some(net) if self.is(Fault::ALostAnswerIsDenied) => {
                // Most of what a write takes, so that most of those that are cut are done.
                sleep(Duration::from_millis(3)).await;
                net.trip(1).await.map_err(|error| error.with_in_doubt(false))
            }
            _ => Ok(()),
        }
    }

    /// The round trip of another statement.
    pub(crate) async fn another_trip(&self) {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    /// What an answer costs on the network.
    pub(crate) async fn receive(&self, loaded: &Loaded, payload: usize) -> Result<()> {
        let Some(net) = &self.net else { return Ok(()) };
        let sends = matches!(loaded, Loaded::Record(_)) || self.is(Fault::UnchangedPayloadsAreSent);
        net.trip(if sends { payload } else { 0 }).await
    }

    pub(crate) fn bytes(&self, key: &SessionKey) -> Vec<u8> {
        let bytes = key.as_bytes().to_vec();
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        match self.form.fault {
            Fault::KeysFoldCase => text().to_lowercase().into_bytes(),
            Fault::KeysAreTrimmed => text().trim_end_matches(' ').as_bytes().to_vec(),
            Fault::KeysAreCut => bytes[..bytes.len().min(128)].to_vec(),
            Fault::KeysLoseAccents => text().replace(['é', 'è'], "e").into_bytes(),
            Fault::DigestsAreCut => bytes[..bytes.len() - 1].to_vec(),
            _ => bytes,
        }
    }

    pub(crate) fn is_live(&self, row: &Row, now: Timestamp, on: On) -> bool {
        self.is_in_time(row, now, on) && (row.end.is_none() || self.is(Fault::TombstonesAreIgnored(on)))
    }

    pub(crate) fn is_damaged(&self, key: &SessionKey) -> bool {
        self.rows.lock().unwrap().get(&self.bytes(key)).is_some_and(|row| row.damaged.is_some())
    }

    pub(crate) fn is_in_time(&self, row: &Row, now: Timestamp, on: On) -> bool {
        if self.is(Fault::ANullExpiryIsNoSession) && row.damaged == Some(Part::Expiry) {
            return false;
        }
        let now = now.as_millis();
        if self.is(Fault::OffByOne(on)) { now <= row.expires_at } else { now < row.expires_at }
    }

    /// The expiry after a change that may leave it as it is.
    pub(crate) fn expiry(&self, row: &Row, asked: Option<Timestamp>, on: On) -> i64 {
        match (asked, self.form.fault) {
            (Some(time), _) => self.column(time),
            (None, Fault::AnExpiryLeftAloneIsTheFirst(there)) if there == on => row.first_expires_at,
            (None, Fault::AnExpiryLeftAloneIsNone(there)) if there == on => i64::MAX,
            (None, _) => row.expires_at,
        }
    }

    /// What a load says of a live session.
    pub(crate) fn answer(&self, row: &Row, known: Option<Version>) -> Result<Loaded> {
        let record = self.record(row)?;
        let is_known = match self.form.fault {
            Fault::KnownVersionsAreIgnored => false,
            Fault::AnyKnownVersionWillDo => known.is_some(),
            Fault::ALaterKnownVersionWillDo => known.is_some_and(|known| known >= record.version),
            _ => known == Some(record.version),
        };
        Ok(match self.form.fault {
            Fault::UnchangedTellsTheFirstExpiry if is_known => {
                Loaded::Unchanged { expires_at: Timestamp::from_millis(row.first_expires_at) }
            }
            Fault::AnotherKnownVersionIsGone if known.is_some() && !is_known => Loaded::Gone,
            _ if is_known => Loaded::Unchanged { expires_at: record.expires_at },
            _ => Loaded::Record(record),
        })
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
            Fault::LackedCharactersAreReplaced if self.narrow => {
                text.replace(|character| !is_held(character), "?")
            }
            Fault::LineEndsAreNormalized => text.replace("\r\n", "\n"),
            _ => text.to_owned(),
        }
    }

    pub(crate) fn record(&self, row: &Row) -> Result<Record> {
        if row.damaged.is_some() {
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

    pub(crate) fn first_of(&self, create: &Create) -> i64 {
        if self.form.can.versions { create.version.get() } else { 0 }
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
        why: End,
        mode: DestroyMode,
        (now, on): (Timestamp, On),
    ) -> bool {
        let Some(row) = rows.get_mut(key) else { return false };
        if !self.is_live(row, now, on) {
            return self.is(Fault::EveryDestroyIsASuccess);
        }
        row.end = Some(match self.form.fault {
            Fault::ARotationIsCalledADestroy => End::Destroyed,
            Fault::ADestroyIsCalledARotation => End::RotatedAway,
            _ => why,
        });
        match (mode, self.form.fault) {
            (DestroyMode::Forget, Fault::ForgetRemovesTheRow) => _ = rows.remove(key),
            (DestroyMode::Forget, _)
            | (DestroyMode::Keep, Fault::KeepForgets)
            | (DestroyMode::Remove, Fault::RemoveLeavesTheRow) => self.wipe(row),
            (DestroyMode::Keep, _) => {}
            (DestroyMode::Remove, _) => _ = rows.remove(key),
        }
        true
    }

    pub(crate) fn wipe(&self, row: &mut Row) {
        if !self.is(Fault::ForgetKeepsThePayload) {
            row.payload.clear();
        }
        if !self.is(Fault::ForgetKeepsThePrincipal) {
            row.principal = None;
        }
    }
}

/// A lock that goes to whoever purges: between two batches without a pause nobody else finds it free. One store is broken so.
pub(crate) mod purging {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use tokio::time::sleep;

    static LAST: Mutex<Option<Instant>> = Mutex::new(None);

    pub(crate) async fn takes_its_time() {
        for _ in 0..24 {
            *LAST.lock().unwrap() = Some(Instant::now());
            sleep(Duration::from_millis(5)).await;
        }
        *LAST.lock().unwrap() = Some(Instant::now());
    }

    pub(crate) async fn is_over() {
        let last = || *LAST.lock().unwrap();
        while last().is_some_and(|last| last.elapsed() < Duration::from_millis(50)) {
            sleep(Duration::from_millis(5)).await;
        }
    }
}
