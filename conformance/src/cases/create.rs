//! G2: create never overwrites.

use session_core::contract::Created;
use session_core::{DestroyMode, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq};
use crate::fixture::{Fixture, persist};
use crate::plain::Plain as _;

pub(crate) const CASES: &[Case] = &[
    case!(G2, Single, a_live_key_is_taken),
    case!(G2, Single, an_expired_key_is_taken_until_it_is_purged),
    case!(G2, Single, a_destroyed_key_is_taken_until_it_is_purged),
    case!(G2, Single, a_key_without_a_row_is_free),
    case!(G2, Concurrent, one_of_many_creates_wins),
];

/// Tries to create over a key, singly and in a batch, and checks that it cannot be done.
async fn expect_taken(fixture: &Fixture, id: &str, what: &str) -> Verdict {
    let key = fixture.key(id)?;
    for until in [1, 100, 1000] {
        let created = fixture.try_create(&key, "another", until).await?;
        ensure_eq!(created, Created::KeyTaken, "a create over {what}");
    }
    let create = session_core::contract::Create {
        key,
        payload: "another".into(),
        expires_at: fixture.until(100),
        principal: None,
        version: Version::FIRST,
    };
    let written =
        fixture.store.write_many(&[session_core::contract::Write::Create(create)], fixture.now(0)).await?;
    for outcome in written {
        let taken = session_core::contract::Written::Created(Created::KeyTaken);
        ensure_eq!(outcome?, taken, "a create over {what}, in a batch");
    }
    Ok(())
}

async fn a_live_key_is_taken(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("a", "first", 100).await?;
    let before = fixture.load(&key, 0).await?;
    expect_taken(&fixture, "a", "a live session").await?;
    ensure_eq!(fixture.load(&key, 0).await?, before, "the session after creates over it");
    Ok(())
}

async fn an_expired_key_is_taken_until_it_is_purged(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    // One that expired, and one that was dead from the start.
    for (id, until) in [("expired", -1), ("at once", 0), ("long ago", -1000)] {
        let key = fixture.create(id, "first", until).await?;
        expect_taken(&fixture, id, "an expired session").await?;
        fixture.expect_dead(&key, 0, "an expired session after creates over it").await?;
        ensure_eq!(fixture.purge(10, 0).await?, 1, "the rows that a purge removes");
        let created = fixture.try_create(&key, "second", 100).await?;
        ensure_eq!(created, Created::Created, "a create after the purge");
        fixture.expect_live(&key, "second", 0, "created after the purge").await?;
    }
    Ok(())
}

async fn a_destroyed_key_is_taken_until_it_is_purged(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.tombstones {
        return does_not_apply("this table keeps no tombstones");
    }
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        let key = fixture.create("a", "first", 10).await?;
        ensure!(fixture.destroy(&key, mode, 0).await?, "a live session cannot be destroyed");
        expect_taken(&fixture, "a", &format!("a session destroyed {mode:?}")).await?;
        fixture.expect_dead(&key, 0, "a destroyed session after creates over it").await?;
        ensure_eq!(fixture.purge(10, 9).await?, 0, "the rows that a purge before the expiry removes");
        expect_taken(&fixture, "a", "a destroyed session whose time is not yet up").await?;
        ensure_eq!(fixture.purge(10, 10).await?, 1, "the rows that a purge after the expiry removes");
        let created = fixture.try_create(&key, "second", 100).await?;
        ensure_eq!(created, Created::Created, "a create after the purge");
        if let Some(ann) = fixture.principal("ann")? {
            fixture.create_for(Some("ann"), "anns", "first", 10).await?;
            let destroyed = fixture.store.destroy_all_of(&ann, None, mode, fixture.now(0)).await?;
            ensure_eq!(destroyed, 1, "the sessions destroyed by principal");
            expect_taken(&fixture, "anns", &format!("a session destroyed {mode:?} by its principal")).await?;
        }
        fixture.store.clear().await?;
    }
    Ok(())
}

async fn a_key_without_a_row_is_free(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("a", "first", 100).await?;
    ensure!(fixture.destroy(&key, DestroyMode::Remove, 0).await?, "a live session cannot be destroyed");
    ensure_eq!(fixture.try_create(&key, "second", 100).await?, Created::Created, "a create after a removal");
    let record = fixture.load(&key, 0).await?;
    ensure_eq!(record.map(|record| record.version), Some(fixture.version(0)), "the version of a new session");
    ensure_eq!(fixture.store.clear().await?, 1, "the rows that clear removes");
    ensure_eq!(fixture.try_create(&key, "third", 100).await?, Created::Created, "a create after clear");
    fixture.expect_live(&key, "third", 0, "created after clear").await
}

async fn one_of_many_creates_wins(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    for round in 0..12 {
        let mut callers = JoinSet::new();
        for caller in 0..12 {
            let fixture = handles[caller % handles.len()].clone();
            callers.spawn(async move {
                let key = fixture.key(&format!("round {round}"))?;
                let payload = format!("caller {caller}");
                let created = persist(|| fixture.try_create(&key, &payload, 100)).await?;
                Ok::<_, Stop>((payload, created))
            });
        }
        let mut winners = Vec::new();
        while let Some(caller) = callers.join_next().await {
            let (payload, created) = caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
            winners.extend((created == Created::Created).then_some(payload));
        }
        ensure_eq!(winners.len(), 1, "the winners among 12 concurrent creates of one key");
        for fixture in &handles {
            let key = fixture.key(&format!("round {round}"))?;
            fixture.expect_live(&key, &winners[0], 0, "the session of the one create that won").await?;
        }
    }
    Ok(())
}
