//! G5: no lost update.

use std::sync::Arc;
use std::time::Duration;

use session_core::contract::{Create, Created, Loaded, Payload, Touched, Update, Write, Written};
use session_core::{DestroyMode, ErrorKind, Gathering, Sessions, Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, expect_refusal, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G5, Single, an_update_replaces_everything_and_counts_up),
    case!(G5, Single, an_update_with_another_version_is_stale),
    case!(G5, Single, an_unchanged_update_is_an_update),
    case!(G5, Single, an_expected_version_without_versions_is_refused),
    case!(G5, Single, a_version_belongs_to_one_session),
    case!(G5, Concurrent, one_of_many_updates_of_one_version_wins),
    case!(G5, Concurrent, increments_by_compare_and_swap_are_all_counted),
    case!(G5, Concurrent, increments_through_modify_are_all_counted),
];

async fn an_update_replaces_everything_and_counts_up(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 100).await?;
    fixture.create("bystander", "b", 100).await?;
    for number in 1..=5 {
        let payload = format!("p{number}");
        let principal = if number % 2 == 0 { fixture.principal("ann")? } else { None };
        let update =
            Update { principal: principal.clone(), ..fixture.update_of(&key, &payload, 100 + number) };
        // Another time of the call than the create's.
        let updated = fixture.store.update(&update, fixture.now(number)).await?;
        fixture.expect_saved(updated, number, &format!("update {number}"))?;
        let Some(record) = fixture.load(&key, number).await? else {
            return failed("a session that was updated cannot be loaded");
        };
        ensure_eq!(record.payload.as_str(), payload, "the payload after update {number}");
        ensure_eq!(record.version, fixture.version(number), "the version after update {number}");
        ensure_eq!(record.principal, principal, "the principal after update {number}");
        fixture.expect_expiry(record.expires_at, fixture.until(100 + number), "after an update")?;
        if fixture.can.created_at {
            ensure_eq!(record.created_at, Some(fixture.now(0)), "the time of creation after an update");
        }
        ensure!(fixture.touch(&key, 200, 0).await?, "a live session cannot be touched");
    }
    fixture.expect_live(&fixture.key("bystander")?, "b", 0, "a session beside updates").await
}

async fn an_update_with_another_version_is_stale(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.versions {
        return does_not_apply("this table holds no versions");
    }
    let key = fixture.create("s", "p1", 100).await?;
    let first = fixture.update_expecting(Version::FIRST, &key, "p2").await?;
    ensure_eq!(first, Updated::Saved(Version::new(2)), "an update that expects the version there is");
    let before = fixture.load(&key, 0).await?;
    for version in [i64::MIN, -1, 0, 1, 3, 4, i64::MAX] {
        let stale = fixture.update_expecting(Version::new(version), &key, "wrong").await?;
        ensure_eq!(stale, Updated::Stale, "an update of version 2 that expects version {version}");
        ensure_eq!(fixture.load(&key, 0).await?, before, "the session after a stale update");
    }
    let second = fixture.update_expecting(Version::new(2), &key, "p3").await?;
    ensure_eq!(second, Updated::Saved(Version::new(3)), "an update after stale ones");
    ensure!(fixture.touch(&key, 200, 0).await?, "a live session cannot be touched");
    let third = fixture.update_expecting(Version::new(3), &key, "p4").await?;
    ensure_eq!(third, Updated::Saved(Version::new(4)), "an update after a touch, which is no update");
    Ok(())
}

/// A key is free again once its row is removed. What is known of its first session says nothing of the next one.
async fn a_version_belongs_to_one_session(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.versions {
        return does_not_apply("this table holds no versions");
    }
    for (way, first, next) in [("alone", 1_000, 1 << 48), ("in a batch", 7, 3)] {
        let key = fixture.key(way)?;
        for (payload, version) in [("first", first), ("next", next)] {
            let create = Create {
                key: key.clone(),
                payload: Payload::from(payload),
                expires_at: fixture.until(100),
                principal: None,
                version: Version::new(version),
            };
            let beside = Create { key: fixture.key(&format!("{way} {payload}"))?, ..create.clone() };
            if way == "alone" {
                let created = fixture.store.create(&create, fixture.now(0)).await?;
                ensure_eq!(created, Created::Created, "creating a session where there is none");
            } else {
                let writes = [create, beside].map(Write::Create);
                for written in fixture.store.write_many(&writes, fixture.now(0)).await? {
                    ensure_eq!(written?, Written::Created(Created::Created), "creating sessions {way}");
                }
            }
            let Some(record) = fixture.load(&key, 0).await? else {
                return failed(format!("a session that was created {way} cannot be loaded"));
            };
            ensure_eq!(
                record.version.get(),
                version,
                "the version of a session that was created {way} at it"
            );
            if payload == "next" {
                break;
            }
            let updated = fixture.update_expecting(record.version, &key, "changed").await?;
            ensure_eq!(updated, Updated::Saved(record.version.next()), "an update of a new session");
            ensure!(
                fixture.destroy(&key, DestroyMode::Remove, 0).await?,
                "a live session cannot be destroyed"
            );
        }
        let old = Version::new(first + 1);
        let updated = fixture.update_expecting(old, &key, "late").await?;
        ensure_eq!(updated, Updated::Stale, "an update that expects the version of a session removed before");
        let touched = fixture.touch_expecting(old, &key, 500, 0).await?;
        ensure_eq!(touched, Touched::Stale, "a touch that expects the version of a session removed before");
        match fixture.load_knowing(old, &key, 0).await? {
            Loaded::Record(record) => {
                ensure_eq!(record.payload.as_str(), "next", "the payload of the next session")
            }
            other => return failed(format!("a load that knows a session removed before answers {other:?}")),
        }
    }
    Ok(())
}

/// Some databases count only the rows that an update really changed.
async fn an_unchanged_update_is_an_update(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 100).await?;
    for number in 1..=3 {
        let updated = fixture.update(&key, "p", 100, 0).await?;
        fixture.expect_saved(updated, number, "an update to what is there")?;
        ensure!(fixture.touch(&key, 100, 0).await?, "a touch to the expiry that is there says it is gone");
    }
    Ok(())
}

async fn an_expected_version_without_versions_is_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.versions {
        return does_not_apply("this table holds versions");
    }
    let key = fixture.create("s", "p", 100).await?;
    for version in [Version::NONE, Version::FIRST] {
        let updated = fixture.update_expecting(version, &key, "q").await;
        expect_refusal(updated, ErrorKind::Unsupported, "an update with an expected version")?;
        let touched = fixture.touch_expecting(version, &key, 200, 0).await;
        expect_refusal(touched, ErrorKind::Unsupported, "a touch with an expected version")?;
    }
    fixture.expect_live(&key, "p", 0, "after updates that were refused").await
}

async fn one_of_many_updates_of_one_version_wins(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    if !handles[0].can.versions {
        return does_not_apply("this table holds no versions");
    }
    let key = handles[0].create("s", "p", 100).await?;
    for round in 1..=12 {
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (fixture, key) = (handles[caller % handles.len()].clone(), key.clone());
            callers.spawn(async move {
                let payload = format!("round {round}, caller {caller}");
                let version = Version::new(round);
                let updated = persist(|| fixture.update_expecting(version, &key, &payload)).await?;
                Ok::<_, Stop>((payload, updated))
            });
        }
        let mut winners = Vec::new();
        while let Some(caller) = callers.join_next().await {
            match caller.map_err(|panic| Stop::Failed(panic.to_string()))?? {
                (payload, Updated::Saved(version)) => winners.push((payload, version.get())),
                (_, Updated::Stale) => {}
                (_, Updated::Gone) => return failed("an update of a live session says that it is gone"),
            }
        }
        ensure_eq!(winners.len(), 1, "the winners among 8 concurrent updates of version {round}");
        ensure_eq!(winners[0].1, round + 1, "the version that the winner is told");
        handles[1].expect_live(&key, &winners[0].0, 0, "the update that won").await?;
    }
    Ok(())
}

async fn increments_by_compare_and_swap_are_all_counted(ctx: Ctx) -> Verdict {
    const WORKERS: usize = 5;
    const TIMES: i64 = 10;
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.versions {
        return does_not_apply("this table holds no versions");
    }
    let key = handles[0].create("s", "0", 100).await?;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (fixture, key) = (handles[worker % handles.len()].clone(), key.clone());
        workers.spawn(async move {
            let mut done = 0;
            while done < TIMES {
                let Some(record) = fixture.load(&key, 0).await? else {
                    return failed("a session that is updated cannot be loaded");
                };
                let value: i64 =
                    record.payload.as_str().parse().map_err(|_| {
                        Stop::Failed(format!("the counter holds {:?}", record.payload.as_str()))
                    })?;
                let next = (value + 1).to_string();
                match persist(|| fixture.update_expecting(record.version, &key, &next)).await? {
                    Updated::Saved(_) => done += 1,
                    Updated::Stale => tokio::task::yield_now().await,
                    Updated::Gone => return failed("an update of a live session says that it is gone"),
                }
            }
            Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    let total = i64::try_from(WORKERS).unwrap_or(0) * TIMES;
    handles[0].expect_live(&key, &total.to_string(), 0, "the sum of all increments").await?;
    let version = handles[0].load(&key, 0).await?.map(|record| record.version);
    ensure_eq!(version, Some(handles[0].version(total)), "the version after all increments");
    Ok(())
}

async fn increments_through_modify_are_all_counted(ctx: Ctx) -> Verdict {
    const WORKERS: usize = 6;
    const TIMES: u64 = 8;
    let namespace = ctx.namespace();
    let mut stores: Vec<Sessions<u64>> = Vec::new();
    for _ in 0..3 {
        let store = ctx.open(&namespace).await?;
        if !store.capabilities().versions {
            return does_not_apply("this table holds no versions");
        }
        // The suite has gathered the calls already, where it is to.
        let builder = Sessions::builder(store).gathering(Gathering::OFF).deadline(Duration::from_secs(60));
        stores.push(builder.build()?);
    }
    let id = Arc::new(stores[0].create(&0).await?.id);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (store, id) = (stores[worker % stores.len()].clone(), Arc::clone(&id));
        workers.spawn(async move {
            for _ in 0..TIMES {
                let modified = store.modify(&id, |count| *count += 1).await?;
                ensure!(modified.is_some(), "modify of a live session says that it is gone");
            }
            Ok::<_, Stop>(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    let total = u64::try_from(WORKERS).unwrap_or(0) * TIMES;
    let session = stores[1].load(&id).await?;
    ensure_eq!(session.map(|session| session.data), Some(total), "the sum of all increments");
    Ok(())
}
