//! G3: what became of a session, as far as its row tells.

use session_core::contract::{Destroy, Rotate, Write};
use session_core::{DestroyMode, Fate, SessionKey};

use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure, ensure_eq};
use crate::fixture::Fixture;
use crate::plain::Plain as _;

pub(crate) const CASES: &[Case] = &[
    case!(G3, Single, a_fate_tells_what_became_of_a_session),
    case!(G3, Single, a_fate_outlasts_the_expiry_until_the_purge),
    case!(G3, Single, asking_for_a_fate_changes_nothing),
];

/// What is left of a session that was destroyed or rotated away with this mode.
fn left_by(mode: DestroyMode, fate: Fate) -> Fate {
    if mode == DestroyMode::Remove { Fate::Unknown } else { fate }
}

/// What a rotation leaves under the old key, as far as this table tells.
fn rotated_away(fixture: &Fixture) -> Fate {
    if fixture.can.tells_rotation { Fate::RotatedAway } else { Fate::Destroyed }
}

async fn expect_fate(fixture: &Fixture, key: &SessionKey, now: i64, fate: Fate, what: &str) -> Verdict {
    ensure_eq!(fixture.fate(key, now).await?, fate, "the fate of {what}, at {now}");
    Ok(())
}

/// Moves a session to a new key and returns that.
async fn rotate(fixture: &Fixture, from: &SessionKey, to: &str, mode: DestroyMode) -> Verdict<SessionKey> {
    let to = fixture.key(to)?;
    let rotate = Rotate { mode, ..fixture.rotate_of(from, &to, 10) };
    let rotated = fixture.rotate(&rotate, 0).await?;
    fixture.expect_rotated(rotated, 1, "a rotation")?;
    Ok(to)
}

async fn a_fate_tells_what_became_of_a_session(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    expect_fate(&fixture, &fixture.key("never")?, 0, Fate::Unknown, "a session that never was").await?;
    let key = fixture.create("live", "p", 10).await?;
    for (now, fate) in [(-100, Fate::Live), (9, Fate::Live), (10, Fate::Expired), (11, Fate::Expired)] {
        expect_fate(&fixture, &key, now, fate, "a session until 10").await?;
    }
    let past = fixture.create("updated into the past", "p", 10).await?;
    fixture.update(&past, "q", -1, -5).await?;
    expect_fate(&fixture, &past, 0, Fate::Expired, "a session that an update let expire").await?;

    for mode in fixture.modes() {
        let destroyed = left_by(*mode, Fate::Destroyed);
        let single = fixture.create(&format!("destroyed {mode:?}"), "p", 10).await?;
        ensure!(fixture.destroy(&single, *mode, 0).await?, "a live session cannot be destroyed");
        expect_fate(&fixture, &single, 0, destroyed, &format!("a session destroyed {mode:?}")).await?;

        let batched = fixture.create(&format!("destroyed {mode:?} in a batch"), "p", 10).await?;
        let beside = fixture.create(&format!("beside {mode:?}"), "p", 10).await?;
        let destroys = [&batched, &beside].map(|key| Destroy { key: key.clone(), mode: *mode });
        let written = fixture.store.write_many(&destroys.map(Write::Destroy), fixture.now(0)).await?;
        for outcome in written {
            outcome?;
        }
        expect_fate(&fixture, &batched, 0, destroyed, &format!("one destroyed {mode:?} in a batch")).await?;

        if let Some(ann) = fixture.principal("ann")? {
            let anns = fixture.create_for(Some("ann"), &format!("ann's {mode:?}"), "p", 10).await?;
            fixture.store.destroy_all_of(&ann, None, *mode, fixture.now(0)).await?;
            let mut possible = vec![destroyed];
            if *mode == DestroyMode::Remove && !fixture.can.removes_principal_rows {
                possible.extend([Fate::Destroyed, Fate::Expired]);
            }
            let fate = fixture.fate(&anns, 0).await?;
            ensure!(possible.contains(&fate), "the fate after a destroy by principal, {mode:?}: {fate:?}");
        }
        if fixture.can.rotation {
            let old = fixture.create(&format!("old {mode:?}"), "p", 10).await?;
            let new = rotate(&fixture, &old, &format!("new {mode:?}"), *mode).await?;
            let away = left_by(*mode, rotated_away(&fixture));
            expect_fate(&fixture, &old, 0, away, &format!("a session rotated away {mode:?}")).await?;
            expect_fate(&fixture, &new, 0, Fate::Live, "the session it was rotated to").await?;
            // What becomes of it later is another session's fate.
            fixture.destroy(&new, *mode, 0).await?;
            expect_fate(&fixture, &new, 0, destroyed, "a rotated session that was destroyed").await?;
            expect_fate(&fixture, &old, 0, away, "its old key after that").await?;
        }
    }
    Ok(())
}

async fn a_fate_outlasts_the_expiry_until_the_purge(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let expired = fixture.create("expired", "p", 10).await?;
    let mut rows = vec![(expired, Fate::Expired, "a session that expired".to_owned())];
    for mode in fixture.modes().iter().filter(|mode| **mode != DestroyMode::Remove) {
        let destroyed = fixture.create(&format!("destroyed {mode:?}"), "p", 10).await?;
        ensure!(fixture.destroy(&destroyed, *mode, 0).await?, "a live session cannot be destroyed");
        rows.push((destroyed, Fate::Destroyed, format!("a session destroyed {mode:?}")));
        if fixture.can.rotation {
            let old = fixture.create(&format!("old {mode:?}"), "p", 10).await?;
            let new = rotate(&fixture, &old, &format!("new {mode:?}"), *mode).await?;
            rows.push((old, rotated_away(&fixture), format!("a session rotated away {mode:?}")));
            rows.push((new, Fate::Expired, "a rotated session that expired".to_owned()));
        }
    }
    for now in [10, 11, 1000] {
        for (key, fate, what) in &rows {
            expect_fate(&fixture, key, now, *fate, what).await?;
        }
    }
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    ensure_eq!(fixture.purge(1000, 10).await?, u64::from(count), "the rows purged");
    for (key, _, what) in &rows {
        expect_fate(&fixture, key, 10, Fate::Unknown, &format!("{what}, after the purge")).await?;
    }
    Ok(())
}

async fn asking_for_a_fate_changes_nothing(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.tombstones {
        return does_not_apply("this table keeps no rows of destroyed sessions");
    }
    let live = fixture.create("live", "p", 100).await?;
    let expired = fixture.create("expired", "p", 0).await?;
    let destroyed = fixture.create("destroyed", "p", 100).await?;
    fixture.destroy(&destroyed, DestroyMode::Keep, 0).await?;
    let before = fixture.load(&live, 0).await?;
    for _ in 0..2 {
        expect_fate(&fixture, &live, 0, Fate::Live, "a live session").await?;
        expect_fate(&fixture, &expired, 0, Fate::Expired, "an expired session").await?;
        expect_fate(&fixture, &destroyed, 0, Fate::Destroyed, "a destroyed session").await?;
    }
    ensure_eq!(fixture.load(&live, 0).await?, before, "a session whose fate was asked for");
    ensure_eq!(fixture.store.clear().await?, 3, "the rows of sessions whose fates were asked for");
    Ok(())
}
