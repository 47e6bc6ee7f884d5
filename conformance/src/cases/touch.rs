//! G5: a touch that expects a version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::contract::{Touch, Touched, Write, Written};
use session_core::{Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G5, Single, a_touch_of_another_version_changes_nothing),
    case!(G5, Single, touches_in_a_batch_expect_versions_of_their_own),
    case!(G5, Concurrent, a_touch_decided_on_old_data_never_lands),
];

async fn able(ctx: &Ctx) -> Verdict<Fixture> {
    let fixture = Fixture::new(ctx).await?;
    if fixture.can.versions { Ok(fixture) } else { does_not_apply("this table holds no versions") }
}

async fn a_touch_of_another_version_changes_nothing(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let key = fixture.create("s", "p", 100).await?;
    fixture.update(&key, "q", 100, 0).await?;
    let moved = fixture.touch_expecting(Version::new(2), &key, 150, 0).await?;
    ensure_eq!(moved, Touched::Moved, "a touch that expects the version there is");
    let before = fixture.load(&key, 0).await?;
    fixture.expect_live(&key, "q", 149, "after a touch that expects the version there is").await?;
    for version in [i64::MIN, -1, 0, 1, 3, i64::MAX] {
        for until in [1, 150, 500] {
            let stale = fixture.touch_expecting(Version::new(version), &key, until, 0).await?;
            ensure_eq!(stale, Touched::Stale, "a touch of version 2 that expects version {version}");
        }
        ensure_eq!(fixture.load(&key, 0).await?, before, "the session after a stale touch");
    }
    // The expiry that it has already is one like any other, and no touch is an update.
    for until in [150, 150, 120] {
        let moved = fixture.touch_expecting(Version::new(2), &key, until, 0).await?;
        ensure_eq!(moved, Touched::Moved, "a touch until {until} after others");
    }
    let gone = fixture.touch_expecting(Version::new(2), &key, 500, 120).await?;
    ensure_eq!(gone, Touched::Gone, "a touch of a session that has expired");
    let gone = fixture.touch_expecting(Version::new(1), &key, 500, 120).await?;
    ensure_eq!(gone, Touched::Gone, "a touch of a session that has expired, with another version");
    let absent = fixture.touch_expecting(Version::FIRST, &fixture.key("absent")?, 500, 0).await?;
    ensure_eq!(absent, Touched::Gone, "a touch of an absent session");
    Ok(())
}

async fn touches_in_a_batch_expect_versions_of_their_own(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let mut keys = Vec::new();
    for id in ["first", "second", "third", "fourth"] {
        keys.push(fixture.create(id, "p", 100).await?);
    }
    fixture.update(&keys[1], "q", 100, 0).await?;
    let absent = fixture.key("absent")?;
    let any = Touch { expected: None, ..fixture.touch_of(Version::FIRST, &keys[3], 300) };
    let touches = [
        (fixture.touch_of(Version::new(1), &keys[0], 300), Touched::Moved, 300),
        (fixture.touch_of(Version::new(1), &keys[1], 300), Touched::Stale, 100),
        (fixture.touch_of(Version::new(2), &keys[2], 300), Touched::Stale, 100),
        (fixture.touch_of(Version::new(1), &absent, 300), Touched::Gone, 0),
        (any, Touched::Moved, 300),
    ];
    let writes: Vec<Write> = touches.iter().map(|(touch, ..)| Write::Touch(touch.clone())).collect();
    let outcomes = fixture.store.write_many(&writes, fixture.now(0)).await?;
    ensure_eq!(outcomes.len(), touches.len(), "the outcomes of a batch of touches");
    for ((touch, expected, until), outcome) in touches.iter().zip(outcomes) {
        let what = format!("a touch in a batch that expects {:?}", touch.expected);
        ensure_eq!(outcome?, Written::Touched(*expected), "{what}");
        if let Some(record) = fixture.load(&touch.key, 0).await? {
            fixture.expect_expiry(record.expires_at, fixture.until(*until), &what)?;
        }
    }
    // Each of them alone in its batch.
    let stale = Write::Touch(fixture.touch_of(Version::new(7), &keys[0], 400));
    for outcome in fixture.store.write_many(&[stale], fixture.now(0)).await? {
        ensure_eq!(outcome?, Written::Touched(Touched::Stale), "a stale touch alone in a batch");
    }
    fixture.expect_live(&keys[0], "p", 299, "a session after a stale touch").await?;
    ensure_eq!(fixture.load(&keys[0], 300).await?, None, "a session after a stale touch, at its expiry");
    Ok(())
}

/// Each update gives the session a number and an expiry that goes with it. Others load it and move the expiry by one, on
/// the ground of that number: the expiry always goes with the number that is there.
async fn a_touch_decided_on_old_data_never_lands(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.versions {
        return does_not_apply("this table holds no versions");
    }
    let key = handles[0].create("s", "0", 1000).await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut touchers = JoinSet::new();
    for toucher in 0..6_usize {
        let (fixture, key, done) = (handles[toucher % 3].clone(), key.clone(), Arc::clone(&done));
        touchers.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let Some(record) = fixture.load(&key, 0).await? else {
                    return failed("a live session cannot be loaded");
                };
                let number: i64 = record.payload.as_str().parse().unwrap_or(-1);
                let (set, moved) = (1000 + 10 * number, 1001 + 10 * number);
                let slack = if fixture.can.exact_expiry { 0 } else { crate::world::SLACK };
                let goes_with_it = [set, moved]
                    .map(|until| fixture.until(until).as_millis())
                    .iter()
                    .any(|until| (0..=slack).contains(&record.expires_at.as_millis().saturating_sub(*until)));
                ensure!(goes_with_it, "with number {number}, the expiry is {:?}", record.expires_at);
                tokio::task::yield_now().await;
                let touched = persist(|| fixture.touch_expecting(record.version, &key, moved, 0)).await?;
                ensure!(touched != Touched::Gone, "a touch of a live session says that it is gone");
            }
            Ok(())
        });
    }
    for number in 1..=30_i64 {
        let payload = number.to_string();
        let updated = persist(|| handles[0].update(&key, &payload, 1000 + 10 * number, 0)).await?;
        ensure!(updated != Updated::Gone, "an update of a live session says that it is gone");
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::SeqCst);
    while let Some(toucher) = touchers.join_next().await {
        toucher.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}
