//! G14: what is done for all sessions of a principal: bounded by the time of creation, and forgotten.

use session_core::contract::{DestroyPrincipal, Filter, Loaded, Rotate, Rotated, Update};
use session_core::{DestroyMode, ErrorKind, Fate, Principal, SessionKey, Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq};
use crate::fixture::{Fixture, expect_refusal, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G14, Single, a_destroy_by_principal_may_spare_what_was_created_since),
    case!(G14, Single, a_bound_on_creation_without_the_ability_is_refused),
    case!(G14, Concurrent, a_destroy_by_principal_finds_what_is_rotated_meanwhile),
    case!(G14, Single, forgetting_a_principal_wipes_every_row_of_it_and_no_other),
    case!(G14, Single, what_is_forgotten_of_an_expired_session_is_another_version),
    case!(G14, Concurrent, forgetting_a_principal_is_complete_beside_writers),
];

async fn able(ctx: &Ctx) -> Verdict<Fixture> {
    let fixture = Fixture::new(ctx).await?;
    if fixture.can.principals { Ok(fixture) } else { does_not_apply("this table holds no principals") }
}

fn ann() -> Verdict<Principal> {
    Ok(Principal::new("ann")?)
}

/// Makes a session of Ann's at this time.
async fn create_at(fixture: &Fixture, id: &str, now: i64) -> Verdict<SessionKey> {
    let create = session_core::contract::Create {
        key: fixture.key(id)?,
        payload: "p".into(),
        expires_at: fixture.until(1000),
        principal: Some(ann()?),
        version: Version::FIRST,
    };
    fixture.store.create(&create, fixture.now(now)).await?;
    Ok(create.key)
}

async fn destroy(
    fixture: &Fixture,
    created_before: Option<i64>,
    except: Option<&SessionKey>,
    mode: DestroyMode,
) -> Verdict<u64> {
    let destroy = DestroyPrincipal {
        principal: ann()?,
        except: except.cloned(),
        created_before: created_before.map(|time| fixture.now(time)),
        mode,
    };
    persist(|| fixture.store.destroy_principal(&destroy, fixture.now(100))).await
}

async fn rotate(
    fixture: &Fixture,
    from: &SessionKey,
    to: &SessionKey,
    mode: DestroyMode,
) -> Verdict<Rotated> {
    let rotate = Rotate { mode, principal: Some(ann()?), ..fixture.rotate_of(from, to, 1000) };
    persist(|| fixture.store.rotate(&rotate, fixture.now(100))).await
}

async fn a_destroy_by_principal_may_spare_what_was_created_since(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    if !fixture.can.created_at {
        return does_not_apply("this table does not hold when a session was created");
    }
    for mode in fixture.modes() {
        // The times of creation, and the sessions of another one, who must not be met.
        let times = [-7, 0, 39, 40, 41, 99];
        for bound in [-100_i64, -7, -6, 39, 40, 41, 99, 100] {
            let mut keys = Vec::new();
            for time in times {
                keys.push((time, create_at(&fixture, &format!("at {time}"), time).await?));
            }
            // Neither an update nor a touch nor a rotation makes a session younger.
            let update = Update { principal: Some(ann()?), ..fixture.update_of(&keys[0].1, "q", 1000) };
            let updated = fixture.store.update(&update, fixture.now(90)).await?;
            ensure!(matches!(updated, Updated::Saved(_)), "an update of a live session: {updated:?}");
            ensure!(fixture.touch(&keys[2].1, 900, 90).await?, "a live session cannot be touched");
            if fixture.can.rotation {
                let to = fixture.key("rotated")?;
                rotate(&fixture, &keys[1].1, &to, DestroyMode::Remove).await?;
                keys[1].1 = to;
            }
            let bobs = fixture.create_for(Some("bob"), "bob's", "p", 1000).await?;
            // One that is meant and excepted, one that is spared and excepted, and none.
            let except = [Some(0), Some(5), None][usize::try_from(bound.rem_euclid(3)).unwrap_or(0)];
            let excepted = except.map(|at: usize| &keys[at].1);
            let is_meant = |time: i64, key: &SessionKey| time < bound && Some(key) != excepted;
            let meant = keys.iter().filter(|(time, key)| is_meant(*time, key)).count();
            let destroyed = destroy(&fixture, Some(bound), excepted, *mode).await?;
            let meant = u64::try_from(meant).unwrap_or(u64::MAX);
            ensure_eq!(
                destroyed,
                meant,
                "the sessions that were created before {bound}, of {times:?}, {mode:?}"
            );
            for (time, key) in &keys {
                let is_live = fixture.load(key, 100).await?.is_some();
                let what = format!("a session of {time} after a destroy of those before {bound}, {mode:?}");
                ensure_eq!(is_live, !is_meant(*time, key), "whether it is live, {what}");
            }
            fixture.expect_live(&bobs, "p", 100, "a session of another principal").await?;
            ensure_eq!(destroy(&fixture, Some(bound), excepted, *mode).await?, 0, "a second time");
            fixture.store.clear().await?;
        }
    }
    Ok(())
}

async fn a_bound_on_creation_without_the_ability_is_refused(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    if fixture.can.created_at {
        return does_not_apply("this table holds when a session was created");
    }
    let key = create_at(&fixture, "s", 0).await?;
    let bounded = DestroyPrincipal {
        principal: ann()?,
        except: None,
        created_before: Some(fixture.now(50)),
        mode: DestroyMode::Remove,
    };
    let refused = fixture.store.destroy_principal(&bounded, fixture.now(100)).await;
    expect_refusal(refused, ErrorKind::Unsupported, "a destroy by principal with a bound on creation")?;
    fixture.expect_live(&key, "p", 100, "a session after a destroy that was refused").await
}

/// Sessions that move from key to key all the while are each under one of them at every instant: a destroy of them all
/// takes each.
async fn a_destroy_by_principal_finds_what_is_rotated_meanwhile(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.principals || !handles[0].can.rotation {
        return does_not_apply("this table holds no principals, or cannot rotate");
    }
    for round in 0..9 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let walkers = Walkers::start(&handles, round, mode).await?;
        let bound = (handles[0].can.created_at && round % 2 == 1).then_some(50);
        let destroyed = destroy(&handles[2], bound, None, mode).await?;
        ensure_eq!(
            destroyed,
            Walkers::COUNT,
            "the sessions destroyed by principal while they moved, {mode:?}"
        );
        walkers.expect_gone(&handles[1], "its principal's sessions were destroyed").await?;
        handles[0].store.clear().await?;
    }
    Ok(())
}

/// Sessions of Ann's, each of which moves from key to key until it is gone.
struct Walkers(JoinSet<Verdict<Vec<SessionKey>>>);

impl Walkers {
    const COUNT: u64 = 6;

    async fn start(handles: &[Fixture], round: usize, mode: DestroyMode) -> Verdict<Walkers> {
        let mut walkers = JoinSet::new();
        for walker in 0..Walkers::COUNT {
            let fixture = handles[usize::try_from(walker).unwrap_or(0) % 2].clone();
            let first = create_at(&fixture, &format!("round {round}, walker {walker}"), 0).await?;
            walkers.spawn(async move {
                let mut keys = vec![first];
                for step in 0..200 {
                    let to = fixture.key(&format!("round {round}, walker {walker}, step {step}"))?;
                    let Some(from) = keys.last() else { break };
                    match rotate(&fixture, from, &to, mode).await? {
                        Rotated::Rotated(_) => keys.push(to),
                        _ => break,
                    }
                    tokio::task::yield_now().await;
                }
                Ok(keys)
            });
        }
        // Let them set out.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        Ok(Walkers(walkers))
    }

    /// Checks that none is live under any key.
    async fn expect_gone(mut self, fixture: &Fixture, what: &str) -> Verdict {
        while let Some(walker) = self.0.join_next().await {
            for key in walker.map_err(|panic| Stop::Failed(panic.to_string()))?? {
                let loaded = fixture.load(&key, 100).await?;
                ensure_eq!(loaded, None, "a session that moved while {what}");
            }
        }
        let filter = Filter { principal: Some(ann()?) };
        ensure_eq!(
            fixture.store.count(&filter, fixture.now(100)).await?,
            0,
            "the sessions left after {what}"
        );
        Ok(())
    }
}

async fn forget(fixture: &Fixture) -> Verdict<u64> {
    let ann = ann()?;
    persist(|| fixture.store.forget_principal(&ann, fixture.now(100))).await
}

async fn forgetting_a_principal_wipes_every_row_of_it_and_no_other(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    ensure_eq!(forget(&fixture).await?, 0, "the rows of a principal who has none");
    let others = [
        fixture.create_for(Some("bob"), "bob's", "p", 1000).await?,
        fixture.create_for(Some("Ann"), "Ann's", "p", 1000).await?,
        fixture.create("nobody's", "p", 1000).await?,
    ];
    let dead = if fixture.can.tombstones { Fate::Destroyed } else { Fate::Unknown };
    let mut theirs = Vec::new();
    for number in 0..3 {
        theirs.push((create_at(&fixture, &format!("live {number}"), 0).await?, dead));
    }
    theirs.push((fixture.create_for(Some("ann"), "expired", "p", 100).await?, Fate::Expired));
    let mut wiped_before = Vec::new();
    for mode in fixture.modes() {
        let destroyed = create_at(&fixture, &format!("destroyed {mode:?}"), 0).await?;
        ensure!(fixture.destroy(&destroyed, *mode, 100).await?, "a live session cannot be destroyed");
        let (mut rows, is_kept) = (vec![(destroyed, Fate::Destroyed)], *mode == DestroyMode::Keep);
        if fixture.can.rotation {
            let old = create_at(&fixture, &format!("old {mode:?}"), 0).await?;
            let new = fixture.key(&format!("new {mode:?}"))?;
            rotate(&fixture, &old, &new, *mode).await?;
            let away = if fixture.can.tells_rotation { Fate::RotatedAway } else { Fate::Destroyed };
            rows.push((old, away));
            theirs.push((new, dead));
        }
        if is_kept {
            theirs.extend(rows);
        } else if *mode == DestroyMode::Forget {
            wiped_before.extend(rows);
        }
    }
    let rows = u64::try_from(theirs.len()).unwrap_or(u64::MAX);
    ensure_eq!(
        forget(&fixture).await?,
        rows,
        "the rows wiped: live ones, expired ones, and those that were kept"
    );
    let filter = Filter { principal: Some(ann()?) };
    ensure_eq!(
        fixture.store.count(&filter, fixture.now(100)).await?,
        0,
        "the sessions of a forgotten principal"
    );
    ensure_eq!(fixture.walk(&filter, 10, 100).await?, [], "the sessions listed of a forgotten principal");
    for (key, fate) in theirs.iter().chain(&wiped_before) {
        ensure_eq!(fixture.load(key, 100).await?, None, "a session whose principal was forgotten");
        ensure_eq!(fixture.fate(key, 100).await?, *fate, "its fate");
    }
    for key in &others {
        fixture.expect_live(key, "p", 100, "a session of another, or of nobody").await?;
    }
    ensure_eq!(forget(&fixture).await?, 0, "the rows wiped a second time");
    // What was wiped is as dead as ever: one of each kind.
    for (key, _) in [&theirs[0], &theirs[3], &theirs[theirs.len() - 1]] {
        fixture.expect_dead(key, 100, "a session whose principal was forgotten").await?;
    }
    let again = create_at(&fixture, "again", 0).await?;
    fixture.expect_live(&again, "p", 100, "a new session of a principal who was forgotten").await
}

/// By one clock it has expired, and by one that is behind it lives. Whoever knows how it was hears that it is not so now.
async fn what_is_forgotten_of_an_expired_session_is_another_version(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    if !fixture.can.versions {
        return does_not_apply("this table holds no versions");
    }
    let key = fixture.create_for(Some("ann"), "expired", "p", 100).await?;
    ensure_eq!(forget(&fixture).await?, 1, "the rows wiped, of which one has expired");
    let loaded = fixture.load_knowing(fixture.version(0), &key, 50).await?;
    ensure!(
        !matches!(loaded, Loaded::Unchanged { .. }),
        "a session that was wiped has the version of before: a cache would show what was forgotten"
    );
    Ok(())
}

/// Sessions move, are saved and renewed while their principal is forgotten: none of those that were there lives on.
async fn forgetting_a_principal_is_complete_beside_writers(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.principals {
        return does_not_apply("this table holds no principals");
    }
    for round in 0..6 {
        let bobs = handles[0].create_for(Some("bob"), &format!("round {round}, bob"), "p", 1000).await?;
        let mut keys = Vec::new();
        for number in 0..6 {
            keys.push(create_at(&handles[0], &format!("round {round}, session {number}"), 0).await?);
        }
        let mut writers = JoinSet::new();
        for (number, key) in keys.iter().cloned().enumerate() {
            let fixture = handles[number % 2].clone();
            writers.spawn(async move {
                let update = Update { principal: Some(ann()?), ..fixture.update_of(&key, "q", 1000) };
                loop {
                    let updated = persist(|| fixture.store.update(&update, fixture.now(100))).await?;
                    if updated == Updated::Gone {
                        return Ok::<_, Stop>(());
                    }
                    persist(|| fixture.touch(&key, 2000, 100)).await?;
                    tokio::task::yield_now().await;
                }
            });
        }
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let walkers =
            if handles[0].can.rotation { Some(Walkers::start(&handles, round, mode).await?) } else { None };
        forget(&handles[2]).await?;
        for key in &keys {
            let loaded = handles[2].load(key, 100).await?;
            ensure_eq!(loaded, None, "a session that was there when its principal was forgotten");
        }
        if let Some(walkers) = walkers {
            walkers.expect_gone(&handles[1], "its principal was forgotten").await?;
        }
        while let Some(writer) = writers.join_next().await {
            writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        ensure_eq!(forget(&handles[1]).await?, 0, "the rows that are left of a forgotten principal");
        handles[0].expect_live(&bobs, "p", 100, "a session of another principal").await?;
        handles[0].store.clear().await?;
    }
    Ok(())
}
