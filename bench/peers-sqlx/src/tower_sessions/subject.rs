//! A store of tower-sessions as a subject. Shared by two programs, each with its own version of tower-sessions-core.

use harness::{Data, Result, Subject};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{ExpiredDeletion, SessionStore};

/// Any store of tower-sessions.
pub(crate) struct TowerSessions<S>(pub(crate) S);

fn expiry(expired: bool) -> OffsetDateTime {
    OffsetDateTime::now_utc() + if expired { -Duration::DAY } else { Duration::DAY }
}

impl<S: SessionStore + ExpiredDeletion> Subject for TowerSessions<S> {
    type Id = Id;
    type Draft = Record;

    fn draft(&self, data: Data) -> Record {
        Record { id: Id::default(), data, expiry_date: expiry(false) }
    }

    async fn create(&self, draft: &mut Record, expired: bool) -> Result<Id> {
        draft.id = Id::default();
        draft.expiry_date = expiry(expired);
        self.0.create(draft).await?;
        Ok(draft.id)
    }

    async fn load(&self, id: &Id) -> Result<bool> {
        Ok(std::hint::black_box(self.0.load(id).await?).is_some())
    }

    async fn save(&self, id: &Id, draft: &mut Record) -> Result<()> {
        draft.id = *id;
        draft.expiry_date = expiry(false);
        Ok(self.0.save(draft).await?)
    }

    async fn touch(&self, id: &Id, draft: &mut Record) -> Result<()> {
        self.save(id, draft).await
    }

    async fn destroy(&self, id: &Id) -> Result<()> {
        Ok(self.0.delete(id).await?)
    }

    async fn purge(&self) -> Result<()> {
        Ok(self.0.delete_expired().await?)
    }
}
