//! What a small store does for all sessions of a principal.

use std::collections::BTreeMap;

use session_core::contract::{DestroyPrincipal, Filter};
use session_core::{DestroyMode, Principal, Result, Timestamp};
use tokio::task::yield_now;

use crate::faults::{Fault, On};
use crate::parts::SmallStore;
use crate::subject::{End, Row};

impl SmallStore {
    pub(crate) async fn destroy_of_principal(
        &self,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Result<u64> {
        let _connection = self.connect().await?;
        let how = (now, On::DestroyPrincipal);
        if matches!(
            self.form.fault,
            Fault::APrincipalIsCountedBeforeItsDestroy | Fault::ADestroyByPrincipalSelectsFirst
        ) {
            let theirs = self.meant_by(&self.rows.lock().unwrap(), destroy);
            self.another_trip().await;
            let mut rows = self.rows.lock().unwrap();
            let end = |key: &&Vec<u8>| self.end(&mut rows, key, End::Destroyed, destroy.mode, how);
            let destroyed = theirs.iter().filter(end).count();
            let counts_all = self.is(Fault::APrincipalIsCountedBeforeItsDestroy);
            return Ok(u64::try_from(if counts_all { theirs.len() } else { destroyed }).unwrap());
        }
        let destroyed = {
            let mut rows = self.rows.lock().unwrap();
            let mut theirs = self.meant_by(&rows, destroy);
            if self.is(Fault::OneOfAPrincipalIsLeft) {
                theirs.pop();
            }
            let mode = match destroy.mode {
                DestroyMode::Remove if self.is(Fault::ADestroyByPrincipalLeavesRows) => DestroyMode::Keep,
                DestroyMode::Forget if self.is(Fault::ADestroyByPrincipalForgetsNothing) => DestroyMode::Keep,
                mode => mode,
            };
            if mode == DestroyMode::Remove && !self.form.can.removes_principal_rows {
                theirs.iter().filter(|key| self.empty(&mut rows, key, now)).count()
            } else {
                theirs.iter().filter(|key| self.end(&mut rows, key, End::Destroyed, mode, how)).count()
            }
        };
        yield_now().await;
        Ok(u64::try_from(destroyed).unwrap())
    }

    /// The rows of the sessions that are to be destroyed, if they are live.
    fn meant_by(&self, rows: &BTreeMap<Vec<u8>, Row>, destroy: &DestroyPrincipal) -> Vec<Vec<u8>> {
        let filter = Filter { principal: Some(destroy.principal.clone()) };
        let except = destroy.except.as_ref().map(|except| self.bytes(except));
        let is_old = |row: &Row| {
            destroy.created_before.is_none_or(|bound| match self.form.fault {
                Fault::ABoundOnCreationIsIgnored => true,
                Fault::ABoundOnCreationIsIncluded => row.created_at <= bound.as_millis(),
                Fault::ABoundOnCreationIsOfSeconds => {
                    row.created_at < bound.as_millis().div_euclid(1000) * 1000
                }
                _ => row.created_at < bound.as_millis(),
            })
        };
        let excepts = |key: &[u8]| match self.form.fault {
            Fault::TheExceptedOneIsTaken => false,
            Fault::ABoundDropsTheException if destroy.created_before.is_some() => false,
            _ => Some(key) == except.as_deref(),
        };
        let meant =
            rows.iter().filter(|(key, row)| self.passes(row, &filter) && is_old(row) && !excepts(key));
        meant.map(|(key, _)| key.clone()).collect()
    }

    /// Leaves nothing of a live session but a row for the next purge.
    fn empty(&self, rows: &mut BTreeMap<Vec<u8>, Row>, key: &[u8], now: Timestamp) -> bool {
        let Some(row) = rows.get_mut(key).filter(|row| self.is_live(row, now, On::DestroyPrincipal)) else {
            return false;
        };
        (row.end, row.expires_at) = (Some(End::Destroyed), i64::MIN);
        self.wipe(row);
        true
    }

    pub(crate) async fn forget_of_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        let _connection = self.connect().await?;
        let filter = Filter { principal: Some(principal.clone()) };
        let select = |rows: &BTreeMap<Vec<u8>, Row>| -> Vec<Vec<u8>> {
            let theirs = rows.iter().filter(|(_, row)| self.passes(row, &filter));
            theirs.map(|(key, _)| key.clone()).collect()
        };
        let selected = if self.is(Fault::ForgettingAPrincipalSelectsFirst) {
            let selected = select(&self.rows.lock().unwrap());
            self.another_trip().await;
            Some(selected)
        } else {
            None
        };
        let wiped = {
            let mut rows = self.rows.lock().unwrap();
            let theirs = selected.unwrap_or_else(|| select(&rows));
            theirs.iter().map(|key| u64::from(self.forget_row(&mut rows, key, now))).sum()
        };
        yield_now().await;
        Ok(wiped)
    }

    /// Wipes a row. True if that counts.
    fn forget_row(&self, rows: &mut BTreeMap<Vec<u8>, Row>, key: &[u8], now: Timestamp) -> bool {
        let Some(row) = rows.get_mut(key) else { return false };
        let is_live = self.is_live(row, now, On::ForgetPrincipal);
        let is_passed_by = match self.form.fault {
            Fault::ForgettingMissesTheExpired => row.end.is_none() && !is_live,
            Fault::ForgettingMissesTheKept => row.end == Some(End::Destroyed),
            Fault::ForgettingMissesTheRotated => row.end == Some(End::RotatedAway),
            Fault::ForgettingMissesTheLive => is_live,
            _ => false,
        };
        if is_passed_by {
            return false;
        }
        if is_live && !self.form.can.tombstones || self.is(Fault::ForgettingRemovesRows) {
            rows.remove(key);
            return true;
        }
        if is_live && !self.is(Fault::ForgettingLeavesThemLive)
            || row.end.is_none() && self.is(Fault::ForgettingCallsTheExpiredDestroyed)
        {
            row.end = Some(End::Destroyed);
        }
        if !(self.is(Fault::ForgettingKeepsPayloads)) {
            row.payload.clear();
        }
        row.principal = None;
        if !self.is(Fault::ForgettingLeavesTheVersion) {
            row.version += self.step();
        }
        is_live || !self.is(Fault::ForgettingCountsTheLiveAlone)
    }
}
