//! What does not change is not written: counted on the server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use session_core::contract::Store;
use session_core::{Sessions, TouchOutcome};

/// Asks the server how many statements that change rows it has run for the store so far.
pub(crate) type Writes = Box<dyn Fn() -> Pin<Box<dyn Future<Output = i64> + Send>> + Send + Sync>;

/// Loads and throttled touches, through the handle and with gathering as the backend recommends it.
pub(crate) async fn loads_and_throttled_touches_write_nothing(store: Arc<dyn Store>, writes: Writes) {
    let sessions = Sessions::<u32>::builder(store).touch_throttle(10).build().unwrap();
    let new = sessions.create(&7).await.unwrap();
    let before = writes().await;
    assert!(before > 0, "the create is counted");
    for _ in 0..20 {
        let mut session = sessions.load(&new.id).await.unwrap().unwrap();
        assert_eq!(sessions.touch(&new.id).await.unwrap(), TouchOutcome::Throttled(new.expires_at));
        assert_eq!(sessions.refresh(&mut session).await.unwrap(), TouchOutcome::Throttled(new.expires_at));
    }
    // So many at once that they travel in batches.
    let calls = (0..64).map(|_| async {
        assert!(sessions.load(&new.id).await.unwrap().is_some());
        assert_eq!(sessions.touch(&new.id).await.unwrap(), TouchOutcome::Throttled(new.expires_at));
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(writes().await, before, "a write for what did not change");
    let updated = sessions.update(&new.id, &8, None).await.unwrap();
    assert!(matches!(updated, session_core::Updated::Saved(_)));
    assert_eq!(writes().await, before + 1, "what changes is written once");
}
