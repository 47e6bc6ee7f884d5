//! The operations of the native layout, one session at a time.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::{
    Error, ErrorKind, Fate, KeyFormat, Principal, Result, SessionKey, Timestamp, Updated, Version,
};
use session_sql::value::{self, bigint, timestamp, version};
use session_sql::{Bound, Named, Statement};

use super::Native;
use super::parts::rotated;
use super::statements::{ByFilter, Listing};
use crate::error;
use crate::run::Connections;
use crate::run::count;
use crate::shared::{AGAIN, purge};
use crate::value::{Row, flag, listed, payload, principal};

impl Native {
    pub(crate) async fn create(&self, run: &Connections, create: &Create, now: Timestamp) -> Result<Created> {
        let values = [
            ("key", (&create.key).into()),
            ("payload", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
            ("principal", principal(create.principal.as_ref())),
            ("version", create.version.into()),
            ("now", now.into()),
        ];
        let row = run.run_for_row(self.sql.create.bind(&values)).await?;
        match row.map(|row| row.number("done")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    pub(crate) async fn load(&self, run: &Connections, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("key", (&load.key).into()), ("known", load.known.into()), ("now", now.into())];
        let row = run.read_for_row(self.sql.load.bind(&values)).await?;
        row.map_or(Ok(Loaded::Gone), |row| value::loaded(row.columns(), load.known))
    }

    pub(crate) async fn update(&self, run: &Connections, update: &Update, now: Timestamp) -> Result<Updated> {
        let [key, payload, expires_at, principal, at]: [Named<'_>; 5] = [
            ("key", (&update.key).into()),
            ("payload", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("principal", principal(update.principal.as_ref())),
            ("now", now.into()),
        ];
        let Some(expected) = update.expected else {
            let values = [key, payload, expires_at, principal, at];
            let row = run.run_for_row(self.sql.update.bind(&values)).await?;
            return Ok(row.map(|row| read_version(&row)).transpose()?.map_or(Updated::Gone, Updated::Saved));
        };
        let values = [key, payload, expires_at, principal, at, ("expected", expected.into())];
        Ok(match change_expecting(run, self.sql.update_expected.bind(&values), expected).await? {
            Changed::Done(version) => Updated::Saved(version),
            Changed::Stale => Updated::Stale,
            Changed::Gone => Updated::Gone,
        })
    }

    pub(crate) async fn touch(&self, run: &Connections, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let [key, expires_at, at]: [Named<'_>; 3] =
            [("key", (&touch.key).into()), ("expires_at", touch.expires_at.into()), ("now", now.into())];
        let Some(expected) = touch.expected else {
            let row = run.run_for_row(self.sql.touch.bind(&[key, expires_at, at])).await?;
            return Ok(if row.is_some() { Touched::Moved } else { Touched::Gone });
        };
        let values = [key, expires_at, at, ("expected", expected.into())];
        Ok(match change_expecting(run, self.sql.touch_expected.bind(&values), expected).await? {
            Changed::Done(_) => Touched::Moved,
            Changed::Stale => Touched::Stale,
            Changed::Gone => Touched::Gone,
        })
    }

    pub(crate) async fn destroy(&self, run: &Connections, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let values = [("key", (&destroy.key).into()), ("now", now.into())];
        Ok(run.run_for_row(self.sql.destroy.of(destroy.mode).bind(&values)).await?.is_some())
    }

    pub(crate) async fn rotate(&self, run: &Connections, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let values = [
            ("from", (&rotate.from).into()),
            ("to", (&rotate.to).into()),
            ("payload", payload(rotate.payload.as_ref())),
            ("replace", flag(rotate.payload.is_some())),
            ("expires_at", rotate.expires_at.into()),
            ("principal", principal(rotate.principal.as_ref())),
            ("expected", rotate.expected.into()),
            ("now", now.into()),
        ];
        for _ in 0..AGAIN {
            let Some(row) = run.run_for_row(self.sql.rotate.of(rotate.mode).bind(&values)).await? else {
                return Ok(Rotated::Gone);
            };
            let [outcome, new] = row.columns();
            match bigint("outcome", outcome)? {
                rotated::DONE => return version(new).map(Rotated::Rotated),
                rotated::STALE => return Ok(Rotated::Stale),
                rotated::KEY_TAKEN => return Ok(Rotated::KeyTaken),
                rotated::CHANGED => {}
                _ => return Err(error::unexpected("the server did not say what became of a rotation")),
            }
        }
        Err(changes_too_fast())
    }

    pub(crate) async fn fate(&self, run: &Connections, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let row = run.read_for_row(self.sql.fate.bind(&[("key", key.into())])).await?;
        let Some(row) = row else { return Ok(Fate::Unknown) };
        let [is_destroyed, is_rotated, expires_at] = row.columns();
        let is_destroyed = value::flag("destroyed_at", is_destroyed)?;
        let is_rotated = value::flag("rotated", is_rotated)?;
        Ok(value::fate(is_destroyed, is_rotated, timestamp("expires_at", expires_at)?, now))
    }

    pub(crate) async fn destroy_principal(
        &self,
        run: &Connections,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Result<u64> {
        let [principal, created_before, at]: [Named<'_>; 3] = [
            ("principal", (&destroy.principal).into()),
            ("created_before", destroy.created_before.into()),
            ("now", now.into()),
        ];
        let sets = match &destroy.except {
            None => {
                let statement = self.sql.destroy_principal.of(destroy.mode);
                run.run(statement.bind(&[principal, created_before, at])).await?
            }
            Some(except) => {
                let values = [principal, created_before, at, ("except", except.into())];
                run.run(self.sql.destroy_others.of(destroy.mode).bind(&values)).await?
            }
        };
        count(sets)
    }

    pub(crate) async fn forget_principal(
        &self,
        run: &Connections,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<u64> {
        let values = [("principal", principal.into()), ("now", now.into())];
        count(run.run(self.sql.forget_principal.bind(&values)).await?)
    }

    pub(crate) async fn purge_expired(
        &self,
        run: &Connections,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Result<u64> {
        purge(run, &self.sql.purge, now.into(), limit).await
    }

    pub(crate) async fn list(
        &self,
        run: &Connections,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let mut values: Vec<Named<'_>> = vec![("now", now.into()), ("limit", limit.get().into())];
        values.extend(after.map(|after| ("after", after.into())));
        values.extend(filter.principal.as_ref().map(|principal| ("principal", principal.into())));
        let of = |listing| statement_of(listing, after, filter).bind(&values);
        // The payload, the principal and a plain key.
        let texts: &[usize] = match self.format {
            KeyFormat::Hashed => &[0, 4],
            KeyFormat::Plain => &[0, 4, 5],
        };
        let rows = run.read_listing(of(&self.sql.list), of(&self.sql.list_bytes), texts).await?;
        rows.iter().map(|row| self.listed(row)).collect()
    }

    fn listed(&self, row: &Row) -> Result<Listed> {
        let [payload, expires_at, created_at, version, principal, key] = row.columns();
        let record = value::record([payload, expires_at, created_at, version, principal]);
        listed(self.format, key, record)
    }

    pub(crate) async fn count(&self, run: &Connections, filter: &Filter, now: Timestamp) -> Result<u64> {
        let at = ("now", now.into());
        count(match &filter.principal {
            None => run.read(self.sql.count.all.bind(&[at])).await?,
            Some(principal) => {
                let values = [at, ("principal", principal.into())];
                run.read(self.sql.count.principal.bind(&values)).await?
            }
        })
    }

    pub(crate) async fn clear(&self, run: &Connections) -> Result<u64> {
        count(run.run(self.sql.clear.bind(&[])).await?)
    }
}

/// What became of a change that expected a version.
enum Changed {
    /// It was done, and the session has this version now.
    Done(Version),
    Stale,
    Gone,
}

/// Runs a change that expects a version, until it is certain what became of it.
async fn change_expecting(run: &Connections, statement: Bound<'_>, expected: Version) -> Result<Changed> {
    for _ in 0..AGAIN {
        let mut sets = run.run(statement).await?.into_iter();
        if let Some(row) = sets.next().and_then(first) {
            return read_version(&row).map(Changed::Done);
        }
        match sets.next().and_then(first).map(|row| read_version(&row)).transpose()? {
            None => return Ok(Changed::Gone),
            // It came to have the expected version only after the first statement had looked.
            Some(version) if version == expected => {}
            Some(_) => return Ok(Changed::Stale),
        }
    }
    Err(changes_too_fast())
}

fn first(set: Vec<Row>) -> Option<Row> {
    set.into_iter().next()
}

fn read_version(row: &Row) -> Result<Version> {
    let [found] = row.columns();
    version(found)
}

fn statement_of<'l>(listing: &'l Listing, after: Option<&SessionKey>, filter: &Filter) -> &'l Statement {
    let ByFilter { all, principal } = if after.is_some() { &listing.after } else { &listing.first };
    if filter.principal.is_some() { principal } else { all }
}

fn changes_too_fast() -> Error {
    Error::new(ErrorKind::Conflict, "others changed the session all the time; try again").with_in_doubt(false)
}
