//! G14: principals and listings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::contract::{Filter, Rotate, Update};
use session_core::{DestroyMode, ErrorKind, Principal, SessionKey, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq};
use crate::fixture::{Fixture, expect_refusal, persist};
use crate::plain::Plain as _;
use crate::world::limit;

pub(crate) const CASES: &[Case] = &[
    case!(G14, Single, a_walk_meets_every_live_session_once),
    case!(G14, Single, a_walk_goes_on_from_a_key_that_is_gone),
    case!(G14, Concurrent, a_walk_beside_changes_meets_what_stays_once),
    case!(G14, Single, sessions_of_a_principal_are_listed_and_counted_exactly),
    case!(G14, Single, similar_principals_are_different),
    case!(G14, Single, hostile_principals_are_ordinary_principals),
    case!(G14, Single, a_destroy_by_principal_takes_all_of_them_and_no_other),
    case!(G14, Single, a_removal_by_principal_leaves_no_row_beyond_the_next_purge),
    case!(G14, Concurrent, a_destroy_by_principal_is_complete_beside_writers),
    case!(G14, Concurrent, all_but_this_one_is_one_step),
    case!(G14, Single, principals_without_the_ability_are_refused),
];

async fn able(ctx: &Ctx) -> Verdict<Fixture> {
    let fixture = Fixture::new(ctx).await?;
    if fixture.can.principals { Ok(fixture) } else { does_not_apply("this table holds no principals") }
}

fn of(principal: &str) -> Verdict<Filter> {
    Ok(Filter { principal: Some(Principal::new(principal)?) })
}

fn sorted(mut keys: Vec<SessionKey>) -> Vec<SessionKey> {
    keys.sort();
    keys
}

async fn a_walk_meets_every_live_session_once(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    ensure_eq!(fixture.walk(&Filter::default(), 3, 0).await?, [], "a walk over an empty table");
    let mut live = Vec::new();
    for number in 0..23 {
        let key =
            fixture.create(&format!("session {number}"), "p", if number % 5 == 4 { 0 } else { 100 }).await?;
        match number % 5 {
            3 => _ = fixture.destroy(&key, fixture.modes()[0], 0).await?,
            4 => {}
            _ => live.push(key),
        }
    }
    let live = sorted(live);
    let order = fixture.walk(&Filter::default(), 100, 0).await?;
    ensure_eq!(sorted(order.clone()), live, "the sessions of a walk in one page");
    for page in [1, 2, 3, 7, 14, 15, 16] {
        let walked = fixture.walk(&Filter::default(), page, 0).await?;
        ensure_eq!(walked, order, "the sessions of a walk in pages of {page}, in their order");
    }
    ensure_eq!(fixture.count(0).await?, u64::try_from(live.len()).unwrap_or(0), "the count");
    Ok(())
}

async fn a_walk_goes_on_from_a_key_that_is_gone(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    for number in 0..9 {
        fixture.create(&format!("session {number}"), "p", 100).await?;
    }
    let order = fixture.walk(&Filter::default(), 100, 0).await?;
    for (position, key) in order.iter().enumerate() {
        let mode = fixture.modes()[position % fixture.modes().len()];
        ensure!(fixture.destroy(key, mode, 0).await?, "a live session cannot be destroyed");
        let rest = fixture.store.list(&Filter::default(), Some(key), limit(100), fixture.now(0)).await?;
        let rest: Vec<_> = rest.into_iter().map(|entry| entry.key).collect();
        ensure_eq!(rest, order[position + 1..], "the sessions behind a key that is gone");
    }
    Ok(())
}

async fn a_walk_beside_changes_meets_what_stays_once(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    let mut staying = Vec::new();
    for number in 0..30 {
        staying.push(handles[0].create(&format!("stays {number}"), "p", 100).await?);
    }
    let staying = sorted(staying);
    let done = Arc::new(AtomicBool::new(false));
    let mut changers = JoinSet::new();
    for (changer, fixture) in handles.iter().take(2).cloned().enumerate() {
        let (done, staying) = (Arc::clone(&done), staying.clone());
        changers.spawn(async move {
            let mut turn = 0;
            while !done.load(Ordering::SeqCst) {
                let key = fixture.create(&format!("changer {changer}, turn {turn}"), "p", 100).await?;
                persist(|| fixture.update(&staying[turn % 30], "q", 100, 0)).await?;
                persist(|| fixture.touch(&staying[(turn + 7) % 30], 200, 0)).await?;
                persist(|| fixture.destroy(&key, DestroyMode::Remove, 0)).await?;
                turn += 1;
                tokio::task::yield_now().await;
            }
            Ok::<_, Stop>(())
        });
    }
    for page in [1, 4, 9, 100] {
        let mut walked = handles[2].walk(&Filter::default(), page, 0).await?;
        walked.retain(|key| staying.contains(key));
        ensure_eq!(
            sorted(walked),
            staying,
            "what stays, as a walk in pages of {page} beside changes meets it"
        );
    }
    done.store(true, Ordering::SeqCst);
    while let Some(changer) = changers.join_next().await {
        changer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

async fn sessions_of_a_principal_are_listed_and_counted_exactly(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let mut ann = Vec::new();
    for number in 0..7 {
        ann.push(fixture.create_for(Some("ann"), &format!("ann {number}"), "p", 100).await?);
        fixture.create_for(Some("bob"), &format!("bob {number}"), "p", 100).await?;
        fixture.create(&format!("nobody {number}"), "p", 100).await?;
    }
    fixture.create_for(Some("ann"), "expired", "p", 0).await?;
    let destroyed = fixture.create_for(Some("ann"), "destroyed", "p", 100).await?;
    fixture.destroy(&destroyed, fixture.modes()[0], 0).await?;
    let expect = async |expected: &[SessionKey], what: &str| {
        for page in [1, 2, 3, 100] {
            let walked = fixture.walk(&of("ann")?, page, 0).await?;
            ensure_eq!(sorted(walked), sorted(expected.to_vec()), "{what}, in pages of {page}");
        }
        let count = fixture.store.count(&of("ann")?, fixture.now(0)).await?;
        ensure_eq!(count, u64::try_from(expected.len()).unwrap_or(0), "{what}: the count");
        Ok(())
    };
    expect(&ann, "the sessions of a principal").await?;

    // An update decides anew whose a session is, and so does a rotation.
    fixture.update(&ann[0], "now nobody's", 100, 0).await?;
    let handed =
        Update { principal: Some(Principal::new("bob")?), ..fixture.update_of(&ann[1], "bob's", 100) };
    fixture.store.update(&handed, fixture.now(0)).await?;
    let nobodys = fixture.key("nobody 0")?;
    let taken =
        Update { principal: Some(Principal::new("ann")?), ..fixture.update_of(&nobodys, "ann's", 100) };
    fixture.store.update(&taken, fixture.now(0)).await?;
    let mut expected = ann[2..].to_vec();
    expected.push(nobodys);
    expect(&expected, "after updates to other principals").await?;
    fixture.touch(&ann[2], 200, 0).await?;
    expect(&expected, "after a touch").await?;
    if fixture.can.rotation {
        let to = fixture.key("rotated")?;
        let kept = Rotate { principal: Some(Principal::new("ann")?), ..fixture.rotate_of(&ann[2], &to, 100) };
        fixture.rotate(&kept, 0).await?;
        let away = fixture.key("rotated away")?;
        fixture.rotate(&fixture.rotate_of(&ann[3], &away, 100), 0).await?;
        expected.retain(|key| *key != ann[2] && *key != ann[3]);
        expected.push(to);
        expect(&expected, "after rotations").await?;
    }
    ensure_eq!(fixture.walk(&of("carl")?, 10, 0).await?, [], "the sessions of a principal who has none");
    ensure_eq!(fixture.store.count(&of("carl")?, fixture.now(0)).await?, 0, "their count");
    Ok(())
}

async fn a_removal_by_principal_leaves_no_row_beyond_the_next_purge(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let ann = Principal::new("ann")?;
    let bobs = fixture.create_for(Some("bob"), "bob's", "p", 100).await?;
    for number in 0..5 {
        fixture.create_for(Some("ann"), &format!("ann {number}"), "p", 100).await?;
    }
    let destroyed = fixture.store.destroy_all_of(&ann, None, DestroyMode::Remove, fixture.now(0)).await?;
    ensure_eq!(destroyed, 5, "the sessions that a destroy by principal takes");
    if !fixture.can.removes_principal_rows {
        fixture.purge(100, 0).await?;
    }
    for number in 0..5 {
        let key = fixture.create(&format!("ann {number}"), "another", 100).await?;
        fixture
            .expect_live(&key, "another", 0, "a new session under the key of one that was destroyed")
            .await?;
    }
    fixture.expect_live(&bobs, "p", 0, "the session of another").await
}

/// Each principal has one session; each is listed alone, and destroyed alone. Families share no id.
async fn expect_distinct(fixture: &Fixture, family: usize, principals: &[String]) -> Verdict {
    let mut keys = Vec::new();
    for (number, principal) in principals.iter().enumerate() {
        let id = format!("session {family}.{number}");
        keys.push(fixture.create_for(Some(principal), &id, "p", 100).await?);
    }
    for (principal, key) in principals.iter().zip(&keys) {
        let walked = fixture.walk(&of(principal)?, 10, 0).await?;
        ensure_eq!(walked, std::slice::from_ref(key), "the sessions of {principal:?}");
        let count = fixture.store.count(&of(principal)?, fixture.now(0)).await?;
        ensure_eq!(count, 1, "the count of {principal:?}");
        let kept = fixture.load(key, 0).await?.and_then(|record| record.principal);
        ensure_eq!(kept, Some(Principal::new(principal.as_str())?), "the principal as it is loaded");
    }
    let mut left = principals.len();
    for principal in principals {
        let named = Principal::new(principal.as_str())?;
        let destroyed =
            fixture.store.destroy_all_of(&named, None, DestroyMode::Remove, fixture.now(0)).await?;
        ensure_eq!(destroyed, 1, "the sessions that the destroy of {principal:?} takes");
        left -= 1;
        ensure_eq!(fixture.count(0).await?, u64::try_from(left).unwrap_or(0), "the sessions of the others");
    }
    Ok(())
}

async fn similar_principals_are_different(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let families: [&[&str]; 7] = [
        &["ann", "Ann", "ANN", "ann ", " ann", "ann\t", "ann\u{a0}"],
        &["josé", "jose", "jose\u{301}", "JOSÉ"],
        &["straße", "strasse", "STRASSE"],
        &["i", "I", "ı", "İ"],
        &["1", "01", "1.0", "１"],
        &["🐶", "🐱", "か", "が"],
        &["a", "a%", "a_", "ab", "%", "_"],
    ];
    for (number, family) in families.into_iter().enumerate() {
        let family: Vec<String> = family.iter().map(|name| (*name).to_owned()).collect();
        expect_distinct(&fixture, number, &family).await?;
    }
    Ok(())
}

async fn hostile_principals_are_ordinary_principals(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let mut names: Vec<String> = [
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\'",
        "' OR '1'='1",
        "'; DROP TABLE sessions; --",
        "%",
        "[a]",
        "$1",
        "?",
        ":a",
        "@p1",
        "null",
        "NULL",
        "\r\n",
        "\u{1}",
        "\u{feff}",
        "\u{10ffff}",
        "user@example.org",
        "{\"id\":1}",
        "a/b",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    // The longest there may be, in bytes and in few characters; and two that differ at their end alone.
    names.extend(["x".repeat(255), format!("{}y", "x".repeat(254)), "x".repeat(254)]);
    names.extend(["é".repeat(127), "語".repeat(85), "🦀".repeat(63)]);
    expect_distinct(&fixture, 0, &names).await
}

async fn a_destroy_by_principal_takes_all_of_them_and_no_other(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let (ann, now) = (Principal::new("ann")?, fixture.now(0));
    for mode in fixture.modes() {
        let mut theirs = Vec::new();
        for number in 0..5 {
            theirs.push(fixture.create_for(Some("ann"), &format!("ann {number}"), "p", 100).await?);
        }
        let bob = fixture.create_for(Some("bob"), "bob", "p", 100).await?;
        let nobody = fixture.create("nobody", "p", 100).await?;
        fixture.create_for(Some("ann"), "expired", "p", 0).await?;

        let except = fixture.key("ann 2")?;
        let destroy = |except: Option<SessionKey>| {
            let (store, ann) = (&fixture.store, &ann);
            async move { store.destroy_all_of(ann, except.as_ref(), *mode, now).await }
        };
        ensure_eq!(
            destroy(Some(except.clone())).await?,
            4,
            "the sessions destroyed, of 5 all but one, {mode:?}"
        );
        fixture.expect_live(&except, "p", 0, "the one that is excepted").await?;
        for key in theirs.iter().filter(|key| **key != except) {
            fixture.expect_dead(key, 0, "a session that was destroyed by its principal").await?;
        }
        ensure_eq!(
            destroy(Some(except.clone())).await?,
            0,
            "the sessions destroyed when only the one is left"
        );
        // Exceptions that are not among theirs change nothing.
        for (number, other, expected) in [(1, &bob, 2), (2, &theirs[0], 1)] {
            let again = fixture.create_for(Some("ann"), &format!("again {number}"), "p", 100).await?;
            ensure_eq!(
                destroy(Some(other.clone())).await?,
                expected,
                "the sessions destroyed, with a foreign exception"
            );
            ensure_eq!(fixture.load(&again, 0).await?, None, "a session that was destroyed by its principal");
        }
        for key in [&bob, &nobody] {
            fixture.expect_live(key, "p", 0, "a session of nobody or another principal").await?;
        }
        ensure_eq!(destroy(None).await?, 0, "the sessions destroyed when none is left");
        fixture.store.clear().await?;
    }
    Ok(())
}

/// While sessions of a principal are created and renewed, all of them are destroyed: whatever was there before is dead.
async fn a_destroy_by_principal_is_complete_beside_writers(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    if !handles[0].can.principals {
        return does_not_apply("this table holds no principals");
    }
    let ann = Principal::new("ann")?;
    for round in 0..8 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let mut before = Vec::new();
        for number in 0..8 {
            let id = format!("round {round}, session {number}");
            before.push(handles[0].create_for(Some("ann"), &id, "p", 100).await?);
        }
        let bystander = handles[0].create_for(Some("bob"), &format!("round {round}, bob"), "p", 100).await?;
        let mut writers = JoinSet::new();
        for (number, key) in before.iter().enumerate() {
            let (fixture, key, ann) = (handles[number % 2].clone(), key.clone(), ann.clone());
            writers.spawn(async move {
                let saved = Update { principal: Some(ann.clone()), ..fixture.update_of(&key, "q", 100) };
                for _ in 0..4 {
                    persist(|| fixture.store.update(&saved, fixture.now(0))).await?;
                    persist(|| fixture.touch(&key, 200, 0)).await?;
                }
                let id = format!("round {round}, made beside the destroy, {number}");
                persist(|| async { Ok(fixture.create_for(Some("ann"), &id, "p", 100).await) }).await??;
                Ok::<_, Stop>(())
            });
        }
        persist(|| handles[2].store.destroy_all_of(&ann, None, mode, handles[2].now(0))).await?;
        for key in &before {
            ensure_eq!(
                handles[2].load(key, 0).await?,
                None,
                "a session that was there before its principal's sessions were destroyed"
            );
        }
        while let Some(writer) = writers.join_next().await {
            writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        for key in &before {
            ensure_eq!(
                handles[1].load(key, 0).await?,
                None,
                "a session after its principal's sessions were destroyed, and late writes"
            );
        }
        handles[0].expect_live(&bystander, "p", 0, "a session of another principal").await?;
        let rest = handles[0].walk(&of("ann")?, 100, 0).await?.len();
        let destroyed =
            persist(|| handles[0].store.destroy_all_of(&ann, None, mode, handles[0].now(0))).await?;
        ensure_eq!(
            destroyed,
            u64::try_from(rest).unwrap_or(0),
            "the sessions that were made beside the first destroy"
        );
    }
    Ok(())
}

/// Several of a principal's sessions each ask to destroy all others at once. In every order one of them is excepted
/// last, and no two survive.
async fn all_but_this_one_is_one_step(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    if !handles[0].can.principals {
        return does_not_apply("this table holds no principals");
    }
    let ann = Principal::new("ann")?;
    for round in 0..10 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let mut keys = Vec::new();
        for number in 0..6 {
            let id = format!("round {round}, session {number}");
            keys.push(handles[0].create_for(Some("ann"), &id, "p", 100).await?);
        }
        let mut callers = JoinSet::new();
        for fixture in handles.clone() {
            let (ann, keep) = (ann.clone(), keys[0].clone());
            callers.spawn(async move {
                persist(|| fixture.store.destroy_all_of(&ann, Some(&keep), mode, fixture.now(0))).await
            });
        }
        let mut destroyed = 0;
        while let Some(caller) = callers.join_next().await {
            destroyed += caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        ensure_eq!(destroyed, 5, "the sessions that four destroys of all but one say they took, of 6");
        handles[1].expect_live(&keys[0], "p", 0, "the one that all excepted").await?;
        ensure_eq!(handles[2].walk(&of("ann")?, 10, 0).await?, keys[..1], "the sessions that are left");
        ensure!(
            handles[0].destroy(&keys[0], DestroyMode::Remove, 0).await?,
            "a live session cannot be destroyed"
        );
    }
    Ok(())
}

async fn principals_without_the_ability_are_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.principals {
        return does_not_apply("this table holds principals");
    }
    let (store, now, ann) = (&fixture.store, fixture.now(0), Principal::new("ann")?);
    let key = fixture.create("s", "p", 100).await?;
    let unsupported = ErrorKind::Unsupported;
    let create = session_core::contract::Create {
        key: fixture.key("t")?,
        payload: "p".into(),
        expires_at: fixture.until(100),
        principal: Some(ann.clone()),
        version: Version::FIRST,
    };
    expect_refusal(store.create(&create, now).await, unsupported, "a create with a principal")?;
    let update = Update { principal: Some(ann.clone()), ..fixture.update_of(&key, "q", 100) };
    expect_refusal(store.update(&update, now).await, unsupported, "an update with a principal")?;
    expect_refusal(store.list(&of("ann")?, None, limit(10), now).await, unsupported, "a list by principal")?;
    expect_refusal(store.count(&of("ann")?, now).await, unsupported, "a count by principal")?;
    for mode in fixture.modes() {
        let destroyed = store.destroy_all_of(&ann, None, *mode, now).await;
        expect_refusal(destroyed, unsupported, "a destroy by principal")?;
    }
    expect_refusal(store.forget_principal(&ann, now).await, unsupported, "forgetting a principal")?;
    if fixture.can.rotation {
        let to = fixture.key("u")?;
        let rotate = Rotate { principal: Some(ann), ..fixture.rotate_of(&key, &to, 100) };
        expect_refusal(fixture.rotate(&rotate, 0).await, unsupported, "a rotation with a principal")?;
    }
    fixture.expect_live(&key, "p", 0, "a session after calls that were refused").await?;
    ensure_eq!(fixture.count(0).await?, 1, "the sessions after calls that were refused");
    Ok(())
}
