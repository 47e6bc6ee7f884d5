//! This project's store, through the handle that applications use, with its defaults: what the drivers' benchmarks share.
//!
//! One option is not the default: a destroyed session's row is deleted, as the peers do it, and not kept as a
//! tombstone.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use harness::{Data, Orders, Result, Subject, serve};
use session_core::contract::Store;
use session_core::{CacheSize, DestroyMode, Gathering, SessionId, Sessions, TimeToLive};

/// More than any run has sessions.
const CACHED: usize = 10_000_000;

struct Handles {
    live: Sessions<Data>,
    /// The sessions are in the cache, and a load does not copy them.
    is_cached: bool,
    /// The same table, with sessions that are dead from the start.
    expired: Sessions<Data>,
}

/// Serves the benchmark with a store that is ready.
///
/// # Errors
///
/// If the handles cannot be made, or an order cannot be read.
pub async fn run(store: impl Store, orders: &Orders, settings: &str) -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(store);
    let gathering = gathering(&*store, orders);
    // To count what the server writes: `BENCH_TOUCH_THROTTLE=PERCENT`.
    let throttle = std::env::var("BENCH_TOUCH_THROTTLE").ok().and_then(|percent| percent.parse().ok());
    let handle = |time_to_live, is_cached| {
        let mut builder = Sessions::<Data>::builder(Arc::clone(&store));
        if is_cached {
            builder = builder.cache(CacheSize::sessions(CACHED));
        }
        builder
            .touch_throttle(throttle.unwrap_or(0))
            .time_to_live(time_to_live)
            .destroy_mode(DestroyMode::Remove)
            .gathering(gathering)
            .build()
    };
    let is_cached = orders.subject == "cached";
    let handles = Handles {
        live: handle(TimeToLive::default(), is_cached)?,
        is_cached,
        expired: handle(TimeToLive::per_session(|_, _| Some(Duration::ZERO)), false)?,
    };
    let lanes = match gathering {
        Gathering::OFF => "gathering off".to_owned(),
        Gathering { read_lanes, write_lanes, max_batch, .. } => {
            format!("{read_lanes} read and {write_lanes} write lanes, up to {max_batch} a batch")
        }
    };
    let cache = if is_cached { ", every session in the cache, load_shared" } else { "" };
    serve(handles, &format!("{settings}, {lanes}, rows deleted at destroy{cache}")).await
}

/// What the backend recommends, unless told otherwise: to find the best, `BENCH_LANES=READ,WRITE,BATCH`.
fn gathering(store: &dyn Store, orders: &Orders) -> Gathering {
    if orders.subject == "one-by-one" {
        return Gathering::OFF;
    }
    let recommended = store.gathering();
    let Ok(lanes) = std::env::var("BENCH_LANES") else { return recommended };
    let numbers: Vec<usize> = lanes.split(',').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [read_lanes, write_lanes, max_batch] => {
            Gathering { read_lanes, write_lanes, max_batch, max_bytes: 4 << 20 }
        }
        _ => recommended,
    }
}

impl Subject for Handles {
    type Id = SessionId;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<SessionId> {
        let handle = if expired { &self.expired } else { &self.live };
        Ok(handle.create(draft).await?.id)
    }

    async fn load(&self, id: &SessionId) -> Result<bool> {
        if self.is_cached {
            return Ok(std::hint::black_box(self.live.load_shared(id).await?).is_some());
        }
        Ok(std::hint::black_box(self.live.load(id).await?).is_some())
    }

    async fn save(&self, id: &SessionId, draft: &mut Data) -> Result<()> {
        self.live.update(id, draft, None).await?;
        Ok(())
    }

    async fn touch(&self, id: &SessionId, _: &mut Data) -> Result<()> {
        self.live.touch(id).await?;
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<()> {
        self.live.destroy(id).await?;
        Ok(())
    }

    async fn settle(&self, id: &SessionId) -> Result<()> {
        if self.is_cached {
            self.live.load_shared(id).await?;
        }
        Ok(())
    }

    async fn purge(&self) -> Result<()> {
        let limit = NonZeroU32::new(1_000).ok_or("no limit")?;
        while self.live.purge(limit).await? == u64::from(limit.get()) {}
        Ok(())
    }
}
