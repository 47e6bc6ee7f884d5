//! Calls that never travel alone: each single call goes to the database in one batch with calls of others.
//!
//! A gatherer makes batches of what arrives while a statement is under way. One caller alone never has any. So his call is
//! preceded by one to a session of nobody's, which a gate below the gatherer holds back until the call and its companions
//! have queued. The companions are for sessions that do not exist, and change nothing.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Gathered, Listed, Load, Loaded, Rotate, Rotated,
    Store, Touch, Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionId, SessionKey, Timestamp,
    Updated,
};
use tokio::sync::oneshot;

use crate::around::store_around;

/// A call to nobody's session: says that it has arrived, and waits.
struct Plug {
    arrived: oneshot::Sender<()>,
    opened: oneshot::Receiver<()>,
}

type Plugs = Arc<Mutex<HashMap<SessionKey, Plug>>>;

/// What stands between gatherer and store: holds plugs back, answers them itself, and counts batches.
pub(crate) struct Gate {
    store: Arc<dyn Store>,
    plugs: Plugs,
    batches: Arc<AtomicUsize>,
}

impl Gate {
    async fn pass(&self) -> &dyn Store {
        &*self.store
    }

    async fn pass_write(&self) -> Result<&dyn Store> {
        Ok(self.pass().await)
    }

    /// A gate that adds to `batches` each batch of two operations or more.
    pub(crate) fn new(store: Arc<dyn Store>, batches: Arc<AtomicUsize>) -> Gate {
        Gate { store, plugs: Plugs::default(), batches }
    }

    /// Whether the key is a plug's. Then it has waited until it was opened.
    async fn holds_back(&self, key: &SessionKey) -> bool {
        let plug = self.plugs.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let Some(plug) = plug else { return false };
        // Who has gone away waits for nothing.
        _ = plug.arrived.send(());
        _ = plug.opened.await;
        true
    }

    /// The places of the operations that go on to the store.
    async fn let_through<'a>(&self, keys: impl Iterator<Item = &'a SessionKey>) -> Vec<bool> {
        let mut through = Vec::new();
        for key in keys {
            through.push(!self.holds_back(key).await);
        }
        if through.iter().filter(|through| **through).count() > 1 {
            self.batches.fetch_add(1, Ordering::SeqCst);
        }
        through
    }
}

/// The answers of those that went through, and a plug's beside them.
fn answers<T>(through: &[bool], of_the_store: Vec<Result<T>>, plug: impl Fn() -> T) -> Vec<Result<T>> {
    let mut of_the_store = of_the_store.into_iter();
    let mut all: Vec<Result<T>> = through
        .iter()
        .filter_map(|through| if *through { of_the_store.next() } else { Some(Ok(plug())) })
        .collect();
    // A store that answers too often is not to get away with it.
    all.extend(of_the_store);
    all
}

fn chosen<T: Clone>(through: &[bool], all: &[T]) -> Vec<T> {
    all.iter().zip(through).filter(|(_, through)| **through).map(|(one, _)| one.clone()).collect()
}

store_around!(Gate, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.store.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        if self.holds_back(&load.key).await {
            return Ok(Loaded::Gone);
        }
        self.store.load(load, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.store.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        if self.holds_back(&touch.key).await {
            return Ok(Touched::Gone);
        }
        self.store.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.store.destroy(destroy, now).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let through = self.let_through(loads.iter().map(|load| &load.key)).await;
        let loaded = self.store.load_many(&chosen(&through, loads), now).await?;
        Ok(answers(&through, loaded, || Loaded::Gone))
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let through = self.let_through(writes.iter().map(Write::key)).await;
        let written = self.store.write_many(&chosen(&through, writes), now).await?;
        Ok(answers(&through, written, || Written::Touched(Touched::Gone)))
    }
});

/// The store as one caller sees it whose calls all travel with others'.
pub(crate) struct Company {
    store: Gathered,
    plugs: Plugs,
    number: AtomicU64,
}

impl Company {
    async fn pass(&self) -> &Gathered {
        &self.store
    }

    async fn pass_write(&self) -> Result<&Gathered> {
        Ok(self.pass().await)
    }

    /// `gathering` has one lane of each kind.
    pub(crate) fn new(gate: Gate, gather: impl FnOnce(Arc<dyn Store>) -> Gathered) -> Company {
        let plugs = Arc::clone(&gate.plugs);
        Company { store: gather(Arc::new(gate)), plugs, number: AtomicU64::new(0) }
    }

    /// Keys of sessions that nobody makes.
    fn nobodys(&self, number: u64) -> Result<[SessionKey; 3]> {
        let key = |what| SessionId::new(format!("nobody's {what} {number}"))?.key(self.store.key_format());
        Ok([key("first")?, key("second")?, key("third")?])
    }

    async fn travel<T>(
        &self,
        plug_key: &SessionKey,
        plug: impl Future<Output = ()> + Send,
        call: impl Future<Output = T> + Send,
        companions: impl Future<Output = ()> + Send,
    ) -> T {
        let (arrived, has_arrived) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        self.plugs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(plug_key.clone(), Plug { arrived, opened });
        let (mut plug, mut call, mut companions) = (pin!(plug), pin!(call), pin!(companions));
        let mut is_over = false;
        tokio::select! {
            biased;
            () = &mut plug => is_over = true,
            _ = has_arrived => {}
        }
        // The lane is held: what is polled now queues.
        let (mut answer, mut are_over) = (None, false);
        std::future::poll_fn(|context| {
            if let Poll::Ready(early) = call.as_mut().poll(context) {
                answer = Some(early);
            }
            are_over = companions.as_mut().poll(context).is_ready();
            Poll::Ready(())
        })
        .await;
        _ = open.send(());
        let rest = async {
            if !is_over {
                plug.await;
            }
        };
        let others = async {
            if !are_over {
                companions.await;
            }
        };
        let own = async {
            match answer {
                Some(answer) => answer,
                None => call.await,
            }
        };
        tokio::join!(own, rest, others).0
    }

    /// A write, between two of its kind.
    async fn write<T>(
        &self,
        like: impl Fn(SessionKey) -> Write,
        call: impl Future<Output = Result<T>> + Send,
        now: Timestamp,
    ) -> Result<T> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let [plug, first, second] = self.nobodys(number)?;
        let touch = Touch { key: plug.clone(), expires_at: Timestamp::NEVER, expected: None };
        let plugged = async { _ = self.store.touch(&touch, now).await };
        let (first, second) = (like(first), like(second));
        let companions =
            async { _ = tokio::join!(first.apply(&self.store, now), second.apply(&self.store, now)) };
        self.travel(&plug, plugged, call, companions).await
    }
}

store_around!(Company, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        // Another create would make a session.
        let like = |key| Write::Touch(Touch { key, expires_at: create.expires_at, expected: None });
        self.write(like, self.store.create(create, now), now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let [plug, first, second] = self.nobodys(self.number.fetch_add(1, Ordering::Relaxed))?;
        let (plug, first, second) = (Load::new(plug), Load::new(first), Load::new(second));
        let plugged = async { _ = self.store.load(&plug, now).await };
        let companions =
            async { _ = tokio::join!(self.store.load(&first, now), self.store.load(&second, now)) };
        self.travel(&plug.key, plugged, self.store.load(load, now), companions).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let like = |key| Write::Update(Update { key, payload: "{}".into(), ..update.clone() });
        self.write(like, self.store.update(update, now), now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let like = |key| Write::Touch(Touch { key, ..touch.clone() });
        self.write(like, self.store.touch(touch, now), now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let like = |key| Write::Destroy(Destroy { key, mode: destroy.mode });
        self.write(like, self.store.destroy(destroy, now), now).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.store.load_many(loads, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.store.write_many(writes, now).await
    }
});

#[cfg(test)]
mod tests {
    use session_core::MemoryStore;

    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn each_call_of_a_single_caller_travels_in_a_batch() {
        let batches = Arc::new(AtomicUsize::new(0));
        let gate = Gate::new(Arc::new(MemoryStore::new()), Arc::clone(&batches));
        let gathering = Gathering { read_lanes: 1, write_lanes: 1, max_batch: 16, max_bytes: 1 << 20 };
        let company = Company::new(gate, |gate| Gathered::new(gate, gathering));
        let fixture = Fixture::of(Arc::new(company));
        let key = fixture.create("s", "p", 100).await.unwrap();
        fixture.update(&key, "q", 100, 0).await.unwrap();
        assert!(fixture.touch(&key, 200, 0).await.unwrap());
        fixture.expect_live(&key, "q", 150, "a session that travels in company").await.unwrap();
        assert!(fixture.destroy(&key, session_core::DestroyMode::Remove, 0).await.unwrap());
        assert_eq!(fixture.load(&key, 0).await.unwrap(), None);
        assert_eq!(batches.load(Ordering::SeqCst), 6, "one for each call");
        assert_eq!(fixture.store.clear().await.unwrap(), 0, "companions leave nothing");
    }
}
