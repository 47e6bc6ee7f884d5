//! How a small store moves a session to another key.

use session_core::contract::{Rotate, Rotated};
use session_core::{DestroyMode, Result, Timestamp, Version};
use tokio::task::yield_now;

use crate::faults::{Fault, On};
use crate::parts::SmallStore;
use crate::subject::{End, Row};

impl SmallStore {
    pub(crate) async fn move_session(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (from, to) = (self.bytes(&rotate.from), self.bytes(&rotate.to));
        let _connection = self.connect().await?;
        self.admit(rotate.payload.as_ref().map_or("", |payload| payload.as_str()))?;
        let row = {
            let mut rows = self.rows.lock().unwrap();
            let Some(old) = rows.get(&from).filter(|row| self.is_live(row, now, On::Rotate)).cloned() else {
                return Ok(Rotated::Gone);
            };
            let stale = rotate.expected.is_some_and(|expected| expected.get() != old.version);
            if stale && !self.is(Fault::RotateIgnoresItsVersion) {
                return Ok(Rotated::Stale);
            }
            if rows.contains_key(&to) && !self.is(Fault::RotateOverwrites) {
                return Ok(Rotated::KeyTaken);
            }
            let row = Row {
                key: rotate.to.clone(),
                payload: rotate.payload.as_ref().map_or(old.payload.clone(), |payload| self.text(payload)),
                expires_at: self.expiry(&old, rotate.expires_at, On::Rotate),
                first_expires_at: rotate.expires_at.map_or(old.first_expires_at, |time| self.column(time)),
                created_at: if self.is(Fault::RotateLosesTheCreation) {
                    now.as_millis()
                } else {
                    old.created_at
                },
                version: old.version + self.step(),
                principal: rotate.principal.clone(),
                end: None,
                damaged: None,
            };
            let mode = match rotate.mode {
                DestroyMode::Forget if self.is(Fault::RotationsForgetNothing) => DestroyMode::Keep,
                mode => mode,
            };
            if !self.is(Fault::RotateLeavesTheOldOne) {
                self.end(&mut rows, &from, End::RotatedAway, mode, (now, On::Rotate));
            }
            if !self.is(Fault::RotateIsDoneInTwoSteps) {
                rows.insert(to.clone(), row.clone());
            }
            row
        };
        yield_now().await;
        let leaves_open = !self.form.can.returns_new_version && rotate.expected.is_none();
        let version = if leaves_open { Version::NONE } else { Version::new(row.version) };
        if self.is(Fault::RotateIsDoneInTwoSteps) {
            self.another_trip().await;
            self.rows.lock().unwrap().insert(to, row);
        }
        Ok(Rotated::Rotated(version))
    }
}
