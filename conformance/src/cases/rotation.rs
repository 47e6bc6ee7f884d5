//! G6: atomic rotation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::contract::{Created, Payload, Rotate, Rotated};
use session_core::{DestroyMode, ErrorKind, SessionKey, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, expect_refusal, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G6, Single, a_rotation_moves_the_session),
    case!(G6, Single, a_rotation_to_a_taken_key_changes_nothing),
    case!(G6, Single, a_rotation_of_another_version_changes_nothing),
    case!(G6, Single, a_rotation_to_the_same_key_is_refused),
    case!(G6, Single, a_rotation_without_the_ability_is_refused),
    case!(G6, Concurrent, one_of_many_rotations_wins),
    case!(G6, Concurrent, old_or_new_is_live_at_every_instant),
];

async fn able(ctx: &Ctx) -> Verdict<Fixture> {
    let fixture = Fixture::new(ctx).await?;
    if fixture.can.rotation { Ok(fixture) } else { does_not_apply("this table cannot rotate") }
}

async fn a_rotation_moves_the_session(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let bystander = fixture.create("bystander", "b", 100).await?;
    for mode in fixture.modes() {
        for payload in [None, Some("new payload")] {
            for (number, principal) in [(1, None), (2, fixture.principal("ann")?)] {
                let case = format!("{mode:?}, payload {payload:?}");
                let old = fixture.create(&format!("old {case} {number}"), "kept payload", 100).await?;
                let new = fixture.key(&format!("new {case} {number}"))?;
                fixture.update(&old, "kept payload", 100, 0).await?;
                let rotate = Rotate {
                    mode: *mode,
                    payload: payload.map(Payload::from),
                    principal: principal.clone(),
                    expected: fixture.can.versions.then_some(Version::new(2)),
                    ..fixture.rotate_of(&old, &new, 150)
                };
                let rotated = fixture.rotate(&rotate, 5).await?;
                ensure_eq!(rotated, Rotated::Rotated(fixture.version(2)), "a rotation, {case}");
                ensure_eq!(fixture.load(&old, 5).await?, None, "the old key after a rotation, {case}");
                let Some(record) = fixture.load(&new, 5).await? else {
                    return failed(format!("the new key cannot be loaded after a rotation, {case}"));
                };
                let expected = payload.unwrap_or("kept payload");
                ensure_eq!(record.payload.as_str(), expected, "the payload after a rotation, {case}");
                ensure_eq!(record.version, fixture.version(2), "the version after a rotation, {case}");
                ensure_eq!(record.principal, principal, "the principal after a rotation, {case}");
                fixture.expect_expiry(record.expires_at, fixture.until(150), "after a rotation")?;
                if fixture.can.created_at {
                    let created_at = Some(fixture.now(0));
                    ensure_eq!(record.created_at, created_at, "the time of creation after a rotation");
                }
                fixture.expect_live(&new, expected, 149, "the new key, just before its expiry").await?;
                fixture.expect_dead(&new, 150, "the new key at its expiry").await?;
            }
        }
    }
    fixture.expect_live(&bystander, "b", 0, "a session beside rotations").await
}

async fn a_rotation_to_a_taken_key_changes_nothing(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let session = fixture.create("s", "p", 100).await?;
    let live = fixture.create("live", "another", 100).await?;
    let mut taken = vec![(live.clone(), "live"), (fixture.create("expired", "x", 0).await?, "expired")];
    if fixture.can.tombstones {
        let destroyed = fixture.create("destroyed", "x", 100).await?;
        fixture.destroy(&destroyed, DestroyMode::Keep, 0).await?;
        taken.push((destroyed, "destroyed"));
    }
    let before = fixture.load(&session, 0).await?;
    for (to, what) in taken {
        for mode in fixture.modes() {
            let rotate = Rotate {
                mode: *mode,
                payload: Some(Payload::from("wrong")),
                ..fixture.rotate_of(&session, &to, 100)
            };
            let rotated = fixture.rotate(&rotate, 0).await?;
            ensure_eq!(rotated, Rotated::KeyTaken, "a rotation to the key of a session that is {what}");
            ensure_eq!(fixture.load(&session, 0).await?, before, "the session after that");
        }
    }
    fixture.expect_live(&live, "another", 0, "the session whose key was taken").await?;
    ensure_eq!(fixture.count(0).await?, 2, "the live sessions after rotations that failed");
    Ok(())
}

async fn a_rotation_of_another_version_changes_nothing(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    if !fixture.can.versions {
        return does_not_apply("this table holds no versions");
    }
    let session = fixture.create("s", "p", 100).await?;
    fixture.update(&session, "q", 100, 0).await?;
    let before = fixture.load(&session, 0).await?;
    let to = fixture.key("new")?;
    for version in [0, 1, 3] {
        let expected = Some(Version::new(version));
        let rotate = Rotate { expected, ..fixture.rotate_of(&session, &to, 100) };
        ensure_eq!(fixture.rotate(&rotate, 0).await?, Rotated::Stale, "a rotation of version {version}");
        ensure_eq!(fixture.load(&session, 0).await?, before, "the session after a stale rotation");
        ensure_eq!(fixture.try_create(&to, "free", 100).await?, Created::Created, "the new key after that");
        ensure!(fixture.destroy(&to, DestroyMode::Remove, 0).await?, "a live session cannot be destroyed");
    }
    Ok(())
}

async fn a_rotation_to_the_same_key_is_refused(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let session = fixture.create("s", "p", 100).await?;
    let before = fixture.load(&session, 0).await?;
    let rotated = fixture.rotate(&fixture.rotate_of(&session, &session, 200), 0).await;
    expect_refusal(rotated, ErrorKind::InvalidInput, "a rotation to the same key")?;
    ensure_eq!(fixture.load(&session, 0).await?, before, "the session after that");
    Ok(())
}

async fn a_rotation_without_the_ability_is_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.rotation {
        return does_not_apply("this table can rotate");
    }
    let session = fixture.create("s", "p", 100).await?;
    let to = fixture.key("t")?;
    let rotated = fixture.rotate(&fixture.rotate_of(&session, &to, 100), 0).await;
    expect_refusal(rotated, ErrorKind::Unsupported, "a rotation")?;
    fixture.expect_live(&session, "p", 0, "after a rotation that was refused").await?;
    ensure_eq!(fixture.load(&to, 0).await?, None, "the key that the rotation was refused to");
    Ok(())
}

async fn one_of_many_rotations_wins(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    if !handles[0].can.rotation {
        return does_not_apply("this table cannot rotate");
    }
    for round in 0..10 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let from = handles[0].create(&format!("round {round}"), "p", 100).await?;
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (fixture, from) = (handles[caller % handles.len()].clone(), from.clone());
            callers.spawn(async move {
                let to = fixture.key(&format!("round {round}, caller {caller}"))?;
                let rotate = Rotate { mode, ..fixture.rotate_of(&from, &to, 100) };
                let rotated = persist(|| fixture.rotate(&rotate, 0)).await?;
                Ok::<_, Stop>((to, rotated))
            });
        }
        let mut winners = Vec::new();
        while let Some(caller) = callers.join_next().await {
            let (to, rotated) = caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
            match rotated {
                Rotated::Rotated(_) => winners.push(to),
                Rotated::Gone => ensure_eq!(handles[0].load(&to, 0).await?, None, "the key of a loser"),
                other => return failed(format!("one of several rotations is told {other:?}")),
            }
        }
        ensure_eq!(winners.len(), 1, "the winners among 8 concurrent rotations of one session");
        handles[1].expect_live(&winners[0], "p", 0, "the session of the rotation that won").await?;
        ensure_eq!(handles[2].load(&from, 0).await?, None, "the old key");
        ensure_eq!(handles[3].count(0).await?, u64::try_from(round).unwrap_or(0) + 1, "the live sessions");
    }
    Ok(())
}

/// One session moves along a chain of keys. A reader who finds a key dead must find a later one live, and one who
/// finds a key live must find all earlier ones dead.
async fn old_or_new_is_live_at_every_instant(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.rotation {
        return does_not_apply("this table cannot rotate");
    }
    const LINKS: usize = 30;
    let chain: Vec<SessionKey> =
        (0..=LINKS).map(|link| handles[0].key(&format!("link {link}"))).collect::<Verdict<_>>()?;
    handles[0].create("link 0", "p", 100).await?;
    let chain = Arc::new(chain);
    let done = Arc::new(AtomicBool::new(false));

    let mut readers = JoinSet::new();
    for reader in 0..4 {
        let (fixture, chain, done) =
            (handles[reader % handles.len()].clone(), Arc::clone(&chain), Arc::clone(&done));
        readers.spawn(async move {
            let mut at = 0;
            while !done.load(Ordering::SeqCst) {
                // Where it was last seen, or further on: nowhere else.
                if fixture.load(&chain[at], 0).await?.is_some() {
                    if at > 0 {
                        let old = fixture.load(&chain[at - 1], 0).await?;
                        ensure!(old.is_none(), "the old key is live after the new one was seen live");
                    }
                } else {
                    let next = at + 1;
                    ensure!(next <= LINKS, "the last key of the chain was seen and is dead");
                    // Whoever looks at the keys one after another cannot be overtaken without meeting it: where it
                    // is not, it has gone on.
                    let mut found = None;
                    for (place, key) in chain.iter().enumerate().skip(next) {
                        if fixture.load(key, 0).await?.is_some() {
                            found = Some(place);
                            break;
                        }
                    }
                    let Some(place) = found else {
                        return failed("the old key is dead, and no later one is live");
                    };
                    at = place;
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    for link in 0..LINKS {
        let mode = handles[0].modes()[link % handles[0].modes().len()];
        let rotate = Rotate { mode, ..handles[0].rotate_of(&chain[link], &chain[link + 1], 100) };
        // The instant between is what counts: the very next loads of another handle must be right.
        let rotated = persist(|| handles[link % handles.len()].rotate(&rotate, 0)).await?;
        ensure!(matches!(rotated, Rotated::Rotated(_)), "a rotation along the chain is told {rotated:?}");
        let other = &handles[(link + 1) % handles.len()];
        ensure_eq!(other.load(&chain[link], 0).await?, None, "the old key after a rotation");
        other.expect_live(&chain[link + 1], "p", 0, "the new key after a rotation").await?;
        ensure_eq!(other.count(0).await?, 1, "the live sessions while one moves");
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        reader.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}
