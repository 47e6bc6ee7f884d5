//! G4: a change that leaves the expiry as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::contract::{Rotate, Rotated, Update, Write, Written};
use session_core::{SessionKey, Timestamp, Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G4, Single, an_update_may_leave_the_expiry_as_it_is),
    case!(G4, Single, a_rotation_may_leave_the_expiry_as_it_is),
    case!(G4, Concurrent, an_expiry_left_alone_is_never_written_back),
];

fn leaving(fixture: &Fixture, key: &SessionKey, payload: &str) -> Update {
    Update { expires_at: None, ..fixture.update_of(key, payload, 0) }
}

/// The ways to update, each with a name.
async fn update_in_every_way(fixture: &Fixture, key: &SessionKey, until: i64) -> Verdict {
    let now = fixture.now(0);
    let updated = fixture.store.update(&leaving(fixture, key, "single"), now).await?;
    ensure!(matches!(updated, Updated::Saved(_)), "an update that leaves the expiry: {updated:?}");
    expect_until(fixture, key, "single", until).await?;

    let beside = fixture.create("beside", "p", 77).await?;
    let moving = fixture.update_of(&beside, "moved", 88);
    for batch in
        [vec![leaving(fixture, key, "alone in a batch")], vec![moving, leaving(fixture, key, "batch")]]
    {
        let writes: Vec<Write> = batch.iter().cloned().map(Write::Update).collect();
        for outcome in fixture.store.write_many(&writes, now).await? {
            let outcome = outcome?;
            let saved = matches!(outcome, Written::Updated(Updated::Saved(_)));
            ensure!(saved, "an update that leaves the expiry, in a batch: {outcome:?}");
        }
        let payload = batch.last().map_or("", |update| update.payload.as_str());
        expect_until(fixture, key, payload, until).await?;
    }
    expect_until(fixture, &beside, "moved", 88).await?;
    fixture.destroy(&beside, session_core::DestroyMode::Remove, 0).await?;

    if let Some(record) = fixture.load(key, 0).await?.filter(|_| fixture.can.versions) {
        let wrong = Update { expected: Some(Version::new(1000)), ..leaving(fixture, key, "wrong") };
        ensure_eq!(fixture.store.update(&wrong, now).await?, Updated::Stale, "with another version");
        let right = Update { expected: Some(record.version), ..leaving(fixture, key, "expected") };
        let saved = Updated::Saved(record.version.next());
        ensure_eq!(fixture.store.update(&right, now).await?, saved, "with the version that it has");
        expect_until(fixture, key, "expected", until).await?;
    }
    Ok(())
}

async fn expect_until(fixture: &Fixture, key: &SessionKey, payload: &str, until: i64) -> Verdict {
    let what = format!("after a change to {payload:?} that leaves the expiry");
    let Some(record) = fixture.load(key, 0).await? else {
        return failed(format!("{what} the session cannot be loaded"));
    };
    ensure_eq!(record.payload.as_str(), payload, "the payload {what}");
    fixture.expect_expiry(record.expires_at, fixture.until(until), &what)?;
    fixture.expect_live(key, payload, until - 1, &what).await?;
    ensure_eq!(fixture.load(key, until).await?, None, "the session at its expiry, {what}");
    Ok(())
}

async fn an_update_may_leave_the_expiry_as_it_is(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 100).await?;
    update_in_every_way(&fixture, &key, 100).await?;
    for until in [500, 50, 51] {
        ensure!(fixture.touch(&key, until, 0).await?, "a live session cannot be touched");
        update_in_every_way(&fixture, &key, until).await?;
    }
    fixture.update(&key, "moved", 60, 0).await?;
    update_in_every_way(&fixture, &key, 60).await?;

    // A session without an end keeps being one.
    let create = session_core::contract::Create {
        key: fixture.key("endless")?,
        payload: "p".into(),
        expires_at: Timestamp::NEVER,
        principal: None,
        version: Version::FIRST,
    };
    fixture.store.create(&create, fixture.now(0)).await?;
    fixture.store.update(&leaving(&fixture, &create.key, "q"), fixture.now(0)).await?;
    let expiry = fixture.load(&create.key, 0).await?.map(|record| record.expires_at);
    ensure_eq!(expiry, Some(Timestamp::NEVER), "an expiry that is never, after an update that leaves it");
    Ok(())
}

async fn a_rotation_may_leave_the_expiry_as_it_is(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.rotation {
        return crate::case::does_not_apply("this table cannot rotate");
    }
    for mode in fixture.modes() {
        let mut key = fixture.create(&format!("{mode:?}"), "p", 100).await?;
        for (number, until) in [100, 500, 50].into_iter().enumerate() {
            ensure!(fixture.touch(&key, until, 0).await?, "a live session cannot be touched");
            let to = fixture.key(&format!("{mode:?} {number}"))?;
            let version = fixture.load(&key, 0).await?.map(|record| record.version);
            let rotate = Rotate {
                expires_at: None,
                expected: version.filter(|_| fixture.can.versions && number % 2 == 0),
                mode: *mode,
                ..fixture.rotate_of(&key, &to, 0)
            };
            let rotated = fixture.rotate(&rotate, 0).await?;
            ensure!(matches!(rotated, Rotated::Rotated(_)), "a rotation that leaves the expiry: {rotated:?}");
            expect_until(&fixture, &to, "p", until).await?;
            key = to;
        }
    }
    Ok(())
}

/// One caller moves the expiry, others save and leave it: what the one has set, no other may set back.
async fn an_expiry_left_alone_is_never_written_back(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    let key = handles[0].create("s", "p", 100).await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut savers = JoinSet::new();
    for (saver, fixture) in handles.iter().cloned().enumerate() {
        let (key, done) = (key.clone(), Arc::clone(&done));
        savers.spawn(async move {
            for turn in 0_u32.. {
                let update = leaving(&fixture, &key, &format!("saver {saver}, turn {turn}"));
                if turn % 2 == 0 {
                    persist(|| fixture.store.update(&update, fixture.now(0))).await?;
                } else {
                    let writes = [Write::Update(update)];
                    persist(|| fixture.store.write_many(&writes, fixture.now(0))).await?;
                }
                if done.load(Ordering::SeqCst) {
                    break;
                }
                tokio::task::yield_now().await;
            }
            Ok::<_, Stop>(())
        });
    }
    for turn in 0..40_i64 {
        let until = 100 + (turn * 37) % 100;
        let toucher = &handles[usize::try_from(turn).unwrap_or(0) % 3];
        ensure!(persist(|| toucher.touch(&key, until, 0)).await?, "a live session cannot be touched");
        for _ in 0..2 {
            let Some(record) = handles[1].load(&key, 0).await? else {
                return failed("a live session cannot be loaded");
            };
            let what = "that a touch has set, beside updates that leave it";
            toucher.expect_expiry(record.expires_at, toucher.until(until), what)?;
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::SeqCst);
    while let Some(saver) = savers.join_next().await {
        saver.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}
