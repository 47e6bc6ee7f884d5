//! The operations of the layout of connect-mssql-v2. What needs a column that it lacks never comes here.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Listed, Load, Loaded, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{Fate, KeyFormat, Result, SessionKey, Timestamp, Updated, Version};
use session_sql::Named;
use session_sql::value;

use super::MssqlV2;
use crate::error;
use crate::run::Connections;
use crate::run::count;
use crate::shared::purge;
use crate::value::{Row, flag, listed, payload};

impl MssqlV2 {
    pub(crate) async fn create(&self, run: &Connections, create: &Create) -> Result<Created> {
        let values = [
            ("sid", (&create.key).into()),
            ("session", (&create.payload).into()),
            ("expires", self.expiry(create.expires_at)),
        ];
        let row = run.run_for_row(self.sql.create.bind(&values)).await?;
        match row.map(|row| row.number("done")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    pub(crate) async fn load(&self, run: &Connections, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("sid", (&load.key).into()), ("now", self.now(now))];
        let row = run.read_for_row(self.sql.load.bind(&values)).await?;
        row.map_or(Ok(Loaded::Gone), |row| self.record(row.columns()).map(Loaded::Record))
    }

    pub(crate) async fn update(&self, run: &Connections, update: &Update, now: Timestamp) -> Result<Updated> {
        let values = [
            ("sid", (&update.key).into()),
            ("session", (&update.payload).into()),
            ("expires", self.expiry(update.expires_at.unwrap_or(now))),
            ("move", flag(update.expires_at.is_some())),
            ("now", self.now(now)),
        ];
        let row = run.run_for_row(self.sql.update.bind(&values)).await?;
        Ok(if row.is_some() { Updated::Saved(Version::NONE) } else { Updated::Gone })
    }

    pub(crate) async fn touch(&self, run: &Connections, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let values = [
            ("sid", (&touch.key).into()),
            ("expires", self.expiry(touch.expires_at)),
            ("now", self.now(now)),
        ];
        let row = run.run_for_row(self.sql.touch.bind(&values)).await?;
        Ok(if row.is_some() { Touched::Moved } else { Touched::Gone })
    }

    /// Removes the row, whatever the mode: another one never comes.
    pub(crate) async fn destroy(&self, run: &Connections, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let values = [("sid", (&destroy.key).into()), ("now", self.now(now))];
        Ok(run.run_for_row(self.sql.destroy.bind(&values)).await?.is_some())
    }

    pub(crate) async fn rotate(&self, run: &Connections, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let values = [
            ("sid", (&rotate.from).into()),
            ("to", (&rotate.to).into()),
            ("session", payload(rotate.payload.as_ref())),
            ("replace", flag(rotate.payload.is_some())),
            ("expires", self.expiry(rotate.expires_at.unwrap_or(now))),
            ("move", flag(rotate.expires_at.is_some())),
            ("now", self.now(now)),
        ];
        let row = run.run_for_row(self.sql.rotate.bind(&values)).await?;
        match row.map(|row| row.number("done")).transpose()? {
            Some(1) => Ok(Rotated::Rotated(Version::NONE)),
            Some(_) => Ok(Rotated::KeyTaken),
            None => Ok(Rotated::Gone),
        }
    }

    pub(crate) async fn fate(&self, run: &Connections, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let row = run.read_for_row(self.sql.fate.bind(&[("sid", key.into())])).await?;
        let Some(row) = row else { return Ok(Fate::Unknown) };
        let [expires] = row.columns();
        Ok(value::fate(false, false, self.read_expiry(expires)?, now))
    }

    pub(crate) async fn purge_expired(
        &self,
        run: &Connections,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Result<u64> {
        purge(run, &self.sql.purge, self.now(now), limit).await
    }

    pub(crate) async fn list(
        &self,
        run: &Connections,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let mut values: Vec<Named<'_>> = vec![("now", self.now(now)), ("limit", limit.get().into())];
        values.extend(after.map(|after| ("after", after.into())));
        let list = if after.is_some() { &self.sql.list_after } else { &self.sql.list };
        let rows = run.read_listing(list.decoded.bind(&values), list.bytes.bind(&values), &[0, 2]).await?;
        rows.iter().map(|row| self.listed(row)).collect()
    }

    fn listed(&self, row: &Row) -> Result<Listed> {
        let [session, expires, sid] = row.columns();
        listed(KeyFormat::Plain, sid, self.record([session, expires]))
    }

    pub(crate) async fn count(&self, run: &Connections, now: Timestamp) -> Result<u64> {
        count(run.read(self.sql.count.bind(&[("now", self.now(now))])).await?)
    }

    pub(crate) async fn clear(&self, run: &Connections) -> Result<u64> {
        count(run.run(self.sql.clear.bind(&[])).await?)
    }
}
