//! G4: one boundary, exact to the millisecond.

use std::time::{Duration, SystemTime};

use session_core::contract::{Filter, Loaded, Rotated, Touched};
use session_core::{DestroyMode, Fate, Timestamp, Updated, Version};

use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::Fixture;
use crate::plain::Plain as _;
use crate::world::{T, at, limit};

pub(crate) const CASES: &[Case] = &[
    case!(G4, Single, expiry_is_exact_in_every_operation),
    case!(G4, Single, a_touch_moves_the_expiry_exactly),
    case!(G4, Single, times_at_the_ends_of_the_range_are_exact),
    case!(G4, Single, never_is_never),
    case!(G4, Single, times_around_a_change_of_summer_time_are_exact),
    case!(G4, Single, every_millisecond_of_a_second_is_kept),
    case!(G4, Single, times_need_not_ascend),
    case!(G4, Single, the_servers_time_is_one_clock_in_every_time_zone),
    case!(G4, Single, an_inexact_expiry_is_never_early_and_hardly_late),
];

/// For each operation a session that has one unit left, and one whose time is just up.
async fn expiry_is_exact_in_every_operation(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    for base in [T, 0, -T] {
        let fixture = fixture.around(base);
        let what = |operation: &str| format!("{operation} at the boundary around {base}");
        for (now, live) in [(9, true), (10, false), (11, false)] {
            let key = fixture.create("s", "p", 10).await?;
            ensure_eq!(fixture.load(&key, now).await?.is_some(), live, "{}", what("load"));
            let batch = fixture.store.find_many(std::slice::from_ref(&key), fixture.now(now)).await?;
            for record in batch {
                ensure_eq!(record?.is_some(), live, "{}", what("load in a batch"));
            }
            if fixture.can.versions {
                let known = fixture.load_knowing(Version::FIRST, &key, now).await?;
                ensure_eq!(known != Loaded::Gone, live, "{}", what("load with a known version"));
                let touched = fixture.touch_expecting(Version::FIRST, &key, 10, now).await?;
                ensure_eq!(touched != Touched::Gone, live, "{}", what("touch with an expected version"));
            }
            let fate = if live { Fate::Live } else { Fate::Expired };
            ensure_eq!(fixture.fate(&key, now).await?, fate, "{}", what("fate"));
            ensure_eq!(fixture.count(now).await?, u64::from(live), "{}", what("count"));
            let listed = fixture.store.list(&Filter::default(), None, limit(10), fixture.now(now)).await?;
            ensure_eq!(listed.len(), usize::from(live), "{}", what("list"));
            ensure_eq!(fixture.touch(&key, 10, now).await?, live, "{}", what("touch"));
            let updated = fixture.update(&key, "p", 10, now).await?;
            ensure_eq!(updated != Updated::Gone, live, "{}", what("update"));
            if fixture.can.rotation {
                let to = fixture.key("t")?;
                let rotated = fixture.rotate(&fixture.rotate_of(&key, &to, 10), now).await?;
                ensure_eq!(rotated != Rotated::Gone, live, "{}", what("rotate"));
                fixture.destroy(&to, DestroyMode::Remove, 9).await?;
            }
            fixture.store.clear().await?;

            for mode in fixture.modes() {
                let key = fixture.create("s", "p", 10).await?;
                ensure_eq!(fixture.destroy(&key, *mode, now).await?, live, "{}", what("destroy"));
                fixture.store.clear().await?;
                if let Some(principal) = fixture.principal("ann")? {
                    fixture.create_for(Some("ann"), "s", "p", 10).await?;
                    let time = fixture.now(now);
                    let filter = Filter { principal: Some(principal.clone()) };
                    let count = fixture.store.count(&filter, time).await?;
                    ensure_eq!(count, u64::from(live), "{}", what("count by principal"));
                    let destroyed = fixture.store.destroy_all_of(&principal, None, *mode, time).await?;
                    ensure_eq!(destroyed, u64::from(live), "{}", what("destroy by principal"));
                    fixture.store.clear().await?;
                }
            }

            if let Some(principal) = fixture.principal("ann")? {
                let key = fixture.create_for(Some("ann"), "s", "p", 10).await?;
                ensure_eq!(
                    fixture.store.forget_principal(&principal, fixture.now(now)).await?,
                    1,
                    "{}",
                    what("forget")
                );
                let destroyed = if fixture.can.tombstones { Fate::Destroyed } else { Fate::Unknown };
                let fate = if live { destroyed } else { Fate::Expired };
                ensure_eq!(fixture.fate(&key, now).await?, fate, "{}", what("what is forgotten"));
                fixture.store.clear().await?;
            }

            fixture.create("s", "p", 10).await?;
            ensure_eq!(fixture.purge(10, now).await?, u64::from(!live), "{}", what("purge"));
            fixture.store.clear().await?;
        }
    }
    Ok(())
}

async fn a_touch_moves_the_expiry_exactly(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 10).await?;
    // Later, the same again, earlier, and by one.
    for until in [500, 500, 20, 21, 20] {
        ensure!(fixture.touch(&key, until, 0).await?, "a touch of a live session says that it is not live");
        let record = fixture.load(&key, 0).await?;
        let Some(record) = record else {
            return crate::case::failed("a session that was touched cannot be loaded");
        };
        fixture.expect_expiry(record.expires_at, fixture.until(until), "after a touch")?;
        ensure_eq!(record.version, fixture.version(0), "the version after a touch");
        ensure_eq!(record.payload.as_str(), "p", "the payload after a touch");
        if fixture.can.created_at {
            ensure_eq!(record.created_at, Some(fixture.now(0)), "the time of creation after a touch");
        }
        fixture.expect_live(&key, "p", until - 1, "just before the new expiry").await?;
        ensure_eq!(fixture.load(&key, until).await?, None, "the session at its new expiry");
    }
    Ok(())
}

async fn times_at_the_ends_of_the_range_are_exact(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.exact_expiry {
        return does_not_apply("this table holds no exact expiries");
    }
    let min = i64::MIN;
    let max = i64::MAX;
    let times = [
        min,
        min + 1,
        -62_135_596_800_001,
        -1_000,
        -1,
        0,
        1,
        999,
        1_000,
        (1 << 31) - 1,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        (1 << 53) - 1,
        (1 << 53) + 1,
        253_402_300_800_000,
        max - 1,
        max,
    ];
    for (number, until) in times.into_iter().enumerate() {
        for now in [until.saturating_sub(1), until, until.saturating_add(1), min, max] {
            let live = now < until;
            let id = format!("{number} at {now}");
            let create = session_core::contract::Create {
                key: fixture.key(&id)?,
                payload: "p".into(),
                expires_at: at(until),
                principal: None,
                version: Version::FIRST,
            };
            fixture.store.create(&create, at(now)).await?;
            let record = fixture.store.find(&create.key, at(now)).await?;
            ensure_eq!(record.is_some(), live, "whether a session until {until} is live at {now}");
            if let Some(record) = record {
                ensure_eq!(record.expires_at, at(until), "an expiry as it is loaded");
                if fixture.can.created_at {
                    ensure_eq!(record.created_at, Some(at(now)), "a time of creation as it is loaded");
                }
            }
            let count = fixture.store.count(&Filter::default(), at(now)).await?;
            ensure_eq!(count, u64::from(live), "the count at {now} of a session until {until}");
            ensure_eq!(
                fixture.store.move_expiry(&create.key, at(until), at(now)).await?,
                live,
                "a touch at {now} until {until}"
            );
            let purged = fixture.store.purge_expired(at(now), limit(10)).await?;
            ensure_eq!(purged, u64::from(!live), "a purge at {now} of a session until {until}");
            fixture.store.clear().await?;
        }
    }
    Ok(())
}

async fn never_is_never(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.key("s")?;
    let create = session_core::contract::Create {
        key: key.clone(),
        payload: "p".into(),
        expires_at: Timestamp::NEVER,
        principal: None,
        version: Version::FIRST,
    };
    fixture.store.create(&create, fixture.now(0)).await?;
    // A thousand years from now, and where the time can be anything, its last millisecond but one.
    let late = if fixture.can.exact_expiry { at(i64::MAX - 1) } else { at(T + 31_556_952_000_000) };
    for now in [fixture.now(0), late] {
        let record = fixture.store.find(&key, now).await?;
        ensure!(record.is_some(), "a session without an end is dead at {now:?}");
        ensure_eq!(fixture.store.purge_expired(now, limit(10)).await?, 0, "the rows purged at {now:?}");
    }
    let record = fixture.store.find(&key, fixture.now(0)).await?;
    let expiry = record.map(|record| record.expires_at);
    ensure_eq!(expiry, Some(Timestamp::NEVER), "the expiry of a session without an end");
    Ok(())
}

/// Local times that exist twice or not at all somewhere: whatever zone a server, a connection or this host has, it
/// must not show.
async fn times_around_a_change_of_summer_time_are_exact(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    // 2026: Europe on 29 March and 25 October at 1:00 UTC, New York on 8 March and 1 November, Lord Howe on 4 April.
    let changes =
        [1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_793_512_800_000, 1_775_314_800_000];
    let quarter = 15 * 60 * 1000;
    for change in changes {
        for step in -6..=6 {
            let until = change + step * quarter;
            let id = format!("until {until}");
            let create = session_core::contract::Create {
                key: fixture.key(&id)?,
                payload: "p".into(),
                expires_at: at(until),
                principal: None,
                version: Version::FIRST,
            };
            fixture.store.create(&create, at(until - quarter)).await?;
            let (before, after) = (at(until - 1), at(until + if fixture.can.exact_expiry { 0 } else { 5 }));
            let record = fixture.store.find(&create.key, before).await?;
            let Some(record) = record else {
                return crate::case::failed(format!("a session until {until} is dead 1 ms before that"));
            };
            fixture.expect_expiry(record.expires_at, at(until), "near a change of summer time")?;
            ensure_eq!(
                fixture.store.find(&create.key, after).await?,
                None,
                "a session until {until} after that"
            );
        }
    }
    Ok(())
}

async fn every_millisecond_of_a_second_is_kept(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let writes: Vec<session_core::contract::Write> = (0..1000)
        .step_by(7)
        .map(|ms| {
            Ok(session_core::contract::Write::Create(session_core::contract::Create {
                key: fixture.key(&format!("ms {ms}"))?,
                payload: "p".into(),
                expires_at: at(T + ms),
                principal: None,
                version: Version::FIRST,
            }))
        })
        .collect::<Verdict<_>>()?;
    for outcome in fixture.store.write_many(&writes, at(T - 1)).await? {
        outcome?;
    }
    for (ms, write) in (0..1000).step_by(7).zip(&writes) {
        let Some(record) = fixture.store.find(write.key(), at(T + ms - 1)).await? else {
            return crate::case::failed(format!("a session until T+{ms} ms is dead 1 ms before that"));
        };
        fixture.expect_expiry(record.expires_at, at(T + ms), &format!("T+{ms} ms"))?;
    }
    Ok(())
}

async fn times_need_not_ascend(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 10).await?;
    for now in [20, 5, 10, 9, 1000, 0, -1000] {
        ensure_eq!(fixture.load(&key, now).await?.is_some(), now < 10, "whether it is live at {now}");
        ensure_eq!(fixture.count(now).await?, u64::from(now < 10), "the count at {now}");
    }
    ensure_eq!(fixture.touch(&key, 50, 20).await?, false, "a touch after the expiry");
    ensure_eq!(fixture.touch(&key, 30, 5).await?, true, "a touch before the expiry");
    fixture.expect_live(&key, "p", 20, "after a touch that came with an earlier time").await
}

async fn an_inexact_expiry_is_never_early_and_hardly_late(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.exact_expiry {
        return does_not_apply("this table holds expiries exactly");
    }
    for ms in 0..50 {
        let until = T + ms;
        let create = session_core::contract::Create {
            key: fixture.key(&format!("ms {ms}"))?,
            payload: "p".into(),
            expires_at: at(until),
            principal: None,
            version: Version::FIRST,
        };
        fixture.store.create(&create, at(T - 1)).await?;
        let early = fixture.store.find(&create.key, at(until - 1)).await?;
        ensure!(early.is_some(), "a session until T+{ms} ms is dead 1 ms before that");
        let late = fixture.store.find(&create.key, at(until + crate::world::SLACK)).await?;
        ensure!(late.is_none(), "a session until T+{ms} ms is live {} ms later", crate::world::SLACK);
    }
    Ok(())
}

/// By it a purge and `database_clock` go: whoever is ahead of it by a time zone removes what is live.
async fn the_servers_time_is_one_clock_in_every_time_zone(ctx: Ctx) -> Verdict {
    /// Time zones are a quarter of an hour apart at least, and hosts that follow a time server far less than half of it.
    const APART: u64 = 7 * 60 * 1000;

    let store = ctx.store().await?;
    // Of as many times, one is no whole second.
    for _ in 0..50 {
        let server = store.server_time().await?;
        let host = Timestamp::from(SystemTime::now());
        let difference = server.as_millis().abs_diff(host.as_millis());
        ensure!(
            difference < APART,
            "the server's time is {difference} ms from this host's: in another time zone, or in another unit"
        );
        if server.as_millis() % 1000 != 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    failed("the server's time is in whole seconds")
}
