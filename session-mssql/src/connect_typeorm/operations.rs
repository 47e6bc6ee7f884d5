//! The operations of the layout of connect-typeorm. What needs a column that it lacks never comes here.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Listed, Load, Loaded, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{DestroyMode, Fate, KeyFormat, Result, SessionKey, Timestamp, Updated, Version};
use session_sql::{Named, connect_typeorm};

use super::Typeorm;
use crate::datetime;
use crate::error;
use crate::run::Connections;
use crate::run::count;
use crate::shared::purge;
use crate::value::{Row, flag, listed, payload};

impl Typeorm {
    pub(crate) async fn create(&self, run: &Connections, create: &Create) -> Result<Created> {
        let values = [
            ("id", (&create.key).into()),
            ("json", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
        ];
        let row = run.run_for_row(self.statements(run).await?.create.bind(&values)).await?;
        match row.map(|row| row.number("done")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    pub(crate) async fn load(&self, run: &Connections, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("id", (&load.key).into()), ("now", now.into())];
        let row = run.read_for_row(self.statements(run).await?.load.bind(&values)).await?;
        row.map_or(Ok(Loaded::Gone), |row| connect_typeorm::record(row.columns()).map(Loaded::Record))
    }

    pub(crate) async fn update(&self, run: &Connections, update: &Update, now: Timestamp) -> Result<Updated> {
        let values = [
            ("id", (&update.key).into()),
            ("json", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("now", now.into()),
        ];
        let row = run.run_for_row(self.statements(run).await?.update.bind(&values)).await?;
        Ok(if row.is_some() { Updated::Saved(Version::NONE) } else { Updated::Gone })
    }

    pub(crate) async fn touch(&self, run: &Connections, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let values =
            [("id", (&touch.key).into()), ("expires_at", touch.expires_at.into()), ("now", now.into())];
        let row = run.run_for_row(self.statements(run).await?.touch.bind(&values)).await?;
        Ok(if row.is_some() { Touched::Moved } else { Touched::Gone })
    }

    /// TypeORM marks in the server's local time, and this in UTC: nobody reads more of it than that it is there.
    pub(crate) async fn destroy(&self, run: &Connections, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let statements = &self.statements(run).await?;
        let [id, at, moment]: [Named<'_>; 3] =
            [("id", (&destroy.key).into()), ("now", now.into()), ("moment", datetime::now(now, None))];
        let row = match destroy.mode {
            DestroyMode::Forget => run.run_for_row(statements.forget.bind(&[id, at, moment])).await?,
            DestroyMode::Keep => run.run_for_row(statements.keep.bind(&[id, at, moment])).await?,
            DestroyMode::Remove => run.run_for_row(statements.remove.bind(&[id, at])).await?,
        };
        Ok(row.is_some())
    }

    pub(crate) async fn rotate(&self, run: &Connections, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let statements = &self.statements(run).await?;
        let mut values: Vec<Named<'_>> = vec![
            ("id", (&rotate.from).into()),
            ("to", (&rotate.to).into()),
            ("json", payload(rotate.payload.as_ref())),
            ("replace", flag(rotate.payload.is_some())),
            ("expires_at", rotate.expires_at.into()),
            ("now", now.into()),
        ];
        let statement = match rotate.mode {
            DestroyMode::Forget => &statements.rotate_forgetting,
            DestroyMode::Keep => &statements.rotate_keeping,
            DestroyMode::Remove => &statements.rotate_removing,
        };
        if rotate.mode != DestroyMode::Remove {
            values.push(("moment", datetime::now(now, None)));
        }
        let row = run.run_for_row(statement.bind(&values)).await?;
        match row.map(|row| row.number("done")).transpose()? {
            Some(1) => Ok(Rotated::Rotated(Version::NONE)),
            Some(_) => Ok(Rotated::KeyTaken),
            None => Ok(Rotated::Gone),
        }
    }

    pub(crate) async fn fate(&self, run: &Connections, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let statement = &self.statements(run).await?.fate;
        let row = run.read_for_row(statement.bind(&[("id", key.into())])).await?;
        row.map_or(Ok(Fate::Unknown), |row| connect_typeorm::fate(row.columns(), now))
    }

    pub(crate) async fn purge_expired(
        &self,
        run: &Connections,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Result<u64> {
        purge(run, &self.statements(run).await?.purge, now.into(), limit).await
    }

    pub(crate) async fn list(
        &self,
        run: &Connections,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let statements = &self.statements(run).await?;
        let mut values: Vec<Named<'_>> = vec![("now", now.into()), ("limit", limit.get().into())];
        values.extend(after.map(|after| ("after", after.into())));
        let list = if after.is_some() { &statements.list_after } else { &statements.list };
        let rows = run.read_listing(list.decoded.bind(&values), list.bytes.bind(&values), &[0, 2]).await?;
        rows.iter().map(listed_of).collect()
    }

    pub(crate) async fn count(&self, run: &Connections, now: Timestamp) -> Result<u64> {
        let statement = &self.statements(run).await?.count;
        count(run.read(statement.bind(&[("now", now.into())])).await?)
    }

    pub(crate) async fn clear(&self, run: &Connections) -> Result<u64> {
        count(run.run(self.statements(run).await?.clear.bind(&[])).await?)
    }
}

fn listed_of(row: &Row) -> Result<Listed> {
    let [json, expired_at, id] = row.columns();
    listed(KeyFormat::Plain, id, connect_typeorm::record([json, expired_at]))
}
