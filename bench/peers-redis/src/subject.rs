//! The store as a subject.

use std::fmt::Debug;

use harness::{Data, Result, Subject};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::KeysInterface;

use crate::server::Server;

pub(crate) struct OnRedis<C: KeysInterface + Send + Sync> {
    pub(crate) store: RedisStore<C>,
    pub(crate) server: Server,
}

fn tomorrow() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::DAY
}

impl<C: KeysInterface + Debug + Send + Sync + 'static> Subject for OnRedis<C> {
    /// Redis removes what has expired by itself.
    const PURGES: bool = false;
    type Id = Id;
    type Draft = Record;

    fn draft(&self, data: Data) -> Record {
        Record { id: Id::default(), data, expiry_date: tomorrow() }
    }

    async fn create(&self, draft: &mut Record, _: bool) -> Result<Id> {
        draft.id = Id::default();
        draft.expiry_date = tomorrow();
        self.store.create(draft).await?;
        Ok(draft.id)
    }

    async fn load(&self, id: &Id) -> Result<bool> {
        Ok(std::hint::black_box(self.store.load(id).await?).is_some())
    }

    async fn save(&self, id: &Id, draft: &mut Record) -> Result<()> {
        draft.id = *id;
        draft.expiry_date = tomorrow();
        Ok(self.store.save(draft).await?)
    }

    async fn touch(&self, id: &Id, draft: &mut Record) -> Result<()> {
        self.save(id, draft).await
    }

    async fn destroy(&self, id: &Id) -> Result<()> {
        Ok(self.store.delete(id).await?)
    }

    async fn purge(&self) -> Result<()> {
        Ok(())
    }

    fn server_cpu_seconds(&self) -> Option<f64> {
        self.server.process().map(harness::cpu_seconds_of)
    }
}
