//! What the handle does when a write meets with something: others are faster, the database gives it up, an answer is lost.
//! Each is made to happen, so that a store that never waits is no better than one that does.

use std::sync::Arc;
use std::time::Duration;

use session_core::contract::Store;
use session_core::{
    Clock, DestroyMode, ErrorKind, Gathering, ManualClock, RotateOutcome, Session, SessionId, Sessions,
    SessionsBuilder, TimeToLive, Timestamp, TouchOutcome, Updated,
};

use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::meddle::{Meddled, Plot};
use crate::world::{T, at};

pub(crate) const CASES: &[Case] = &[
    case!(G5, Single, a_save_that_comes_second_is_told_so),
    case!(G5, Single, a_change_is_made_to_what_was_saved_meanwhile),
    case!(G5, Single, a_touch_goes_by_the_data_of_its_instant),
    case!(G5, Single, a_late_save_never_meets_the_next_session_of_an_id),
    case!(G4, Single, a_clock_that_is_set_back_revives_nobody),
    case!(G6, Single, a_rotation_keeps_what_was_saved_meanwhile),
    case!(G4, Single, a_maximum_lifetime_outlasts_every_renewal),
    case!(G4, Single, each_attempt_goes_by_its_own_time),
    case!(G7, Single, data_that_cannot_be_read_back_is_refused),
    case!(G8, Single, a_write_is_made_again_after_a_conflict),
    case!(G10, Single, a_write_in_doubt_is_not_made_again),
    case!(G10, Single, a_write_without_an_answer_is_in_doubt).waits(),
    case!(G14, Single, signing_out_everywhere_else_spares_one_session),
    case!(G16, Single, a_connection_found_closed_costs_no_write),
];

type Counters = Sessions<u64>;

/// A handle with a plot, and another one on the same table, which meets with nothing.
async fn handles(ctx: &Ctx) -> Verdict<(Counters, Arc<Plot>, Counters)> {
    let store = ctx.store().await?;
    let (meddled, plot) = Meddled::new(Arc::clone(&store));
    Ok((builder(meddled).build()?, plot, builder(store).build()?))
}

fn builder(store: impl Store) -> SessionsBuilder<u64> {
    let builder = Sessions::builder(store).gathering(Gathering::OFF).deadline(Duration::from_secs(60));
    builder.on_error(|_| session_core::ErrorAction::Continue)
}

/// The session, which must be there.
async fn loaded(sessions: &Counters, id: &SessionId) -> Verdict<Session<u64>> {
    match sessions.load(id).await? {
        Some(session) => Ok(session),
        None => failed("the session cannot be loaded"),
    }
}

/// What somebody else does meanwhile: sets a session's data.
fn saves(
    sessions: &Counters,
    id: &SessionId,
    data: u64,
) -> impl Future<Output = session_core::Result<()>> + use<> {
    let (sessions, id) = (sessions.clone(), id.clone());
    async move { sessions.update(&id, &data, None).await.map(drop) }
}

fn needs_versions(sessions: &Counters) -> Verdict {
    if sessions.capabilities().versions { Ok(()) } else { does_not_apply("this table has no versions") }
}

/// Two load a session, and both save it: the second save changes nothing. Whoever saved may save again.
async fn a_save_that_comes_second_is_told_so(ctx: Ctx) -> Verdict {
    let (sessions, _, _) = handles(&ctx).await?;
    needs_versions(&sessions)?;
    let id = sessions.create(&1).await?.id;
    let (mut first, mut second) = (loaded(&sessions, &id).await?, loaded(&sessions, &id).await?);
    first.data = 2;
    second.data = 3;
    for save in ["the first save", "another one by the same hand"] {
        let saved = sessions.save(&mut first).await?;
        ensure!(matches!(saved, Updated::Saved(_)), "{save}: {saved:?}");
    }
    ensure_eq!(
        sessions.save(&mut second).await?,
        Updated::Stale,
        "a save of what was loaded before another save"
    );
    ensure_eq!(loaded(&sessions, &id).await?.data, 2, "the data after two saves of which one came second");
    Ok(())
}

/// A change reads, somebody else saves, and the change is written: it must be made to what the other one saved.
async fn a_change_is_made_to_what_was_saved_meanwhile(ctx: Ctx) -> Verdict {
    let (sessions, plot, others) = handles(&ctx).await?;
    needs_versions(&sessions)?;
    let id = sessions.create(&1).await?.id;
    plot.meanwhile(saves(&others, &id, 10));
    let modified = sessions.modify(&id, |count| *count += 1).await?;
    ensure!(modified.is_some(), "a change of a live session finds it gone");
    ensure_eq!(loaded(&others, &id).await?.data, 11, "1 was read, 10 was saved meanwhile, and 1 was added");

    let mut session = loaded(&sessions, &id).await?;
    plot.meanwhile(saves(&others, &id, 20));
    let modified = sessions.modify_session(&mut session, |count| *count += 1).await?;
    ensure!(modified.is_some(), "a change of a live session that was loaded finds it gone");
    ensure_eq!(
        loaded(&others, &id).await?.data,
        21,
        "11 was loaded, 20 was saved meanwhile, and 1 was added"
    );
    ensure_eq!(session.data, 21, "the session in hand after such a change");
    ensure!(plot.is_over(), "a change of a session does not write");
    Ok(())
}

/// An id is used again once its row is removed. What was loaded of the session before must not be saved over the next one.
async fn a_late_save_never_meets_the_next_session_of_an_id(ctx: Ctx) -> Verdict {
    let sessions = builder(ctx.store().await?).destroy_mode(DestroyMode::Remove).build()?;
    needs_versions(&sessions)?;
    let id = SessionId::new("used again")?;
    ensure!(sessions.create_with_id(&id, &1).await?.is_some(), "a new id is taken");
    let mut before = loaded(&sessions, &id).await?;
    ensure!(sessions.destroy(&id).await?, "a live session cannot be destroyed");
    ensure!(sessions.create_with_id(&id, &10).await?.is_some(), "an id without a row is taken");
    before.data = 2;
    let saved = sessions.save(&mut before).await?;
    ensure_eq!(saved, Updated::Stale, "a save of the session that had this id before");
    ensure_eq!(loaded(&sessions, &id).await?.data, 10, "the data of the session that has the id now");
    Ok(())
}

/// A session has expired, and then the host's clock is set back to before that.
async fn a_clock_that_is_set_back_revives_nobody(ctx: Ctx) -> Verdict {
    let clock = Arc::new(ManualClock::new(at(T)));
    let sessions = builder(ctx.store().await?)
        .clock(Hand(Arc::clone(&clock)))
        .time_to_live(TimeToLive::fixed(Duration::from_secs(60))?)
        .build()?;
    let id = sessions.create(&1).await?.id;
    clock.advance(Duration::from_secs(61));
    ensure!(sessions.load(&id).await?.is_none(), "an expired session is loaded");
    clock.set(at(T));
    ensure!(sessions.load(&id).await?.is_none(), "a clock that is set back revives a session");
    ensure_eq!(sessions.update(&id, &2, None).await?, Updated::Gone, "an update of it");
    Ok(())
}

/// The time to live follows from the data: a touch that was decided on old data must not land on new.
async fn a_touch_goes_by_the_data_of_its_instant(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let clock = Arc::new(ManualClock::new(at(T)));
    let (meddled, plot) = Meddled::new(Arc::clone(&store));
    let seconds =
        || TimeToLive::per_session(|_: &SessionId, seconds: &u64| Some(Duration::from_secs(*seconds)));
    let with =
        |builder: SessionsBuilder<u64>| builder.clock(Hand(Arc::clone(&clock))).time_to_live(seconds());
    let (sessions, others) = (with(builder(meddled)).build()?, with(builder(store)).build()?);
    needs_versions(&sessions)?;
    let id = sessions.create(&1000).await?.id;
    plot.meanwhile(saves(&others, &id, 10));
    let touched = sessions.touch(&id).await?;
    let expected = at(T).saturating_add(Duration::from_secs(10));
    ensure_eq!(touched, TouchOutcome::Moved(expected), "a touch, when the data ask for 10 seconds meanwhile");
    ensure_eq!(loaded(&others, &id).await?.expires_at(), expected, "the expiry after it");
    Ok(())
}

async fn a_rotation_keeps_what_was_saved_meanwhile(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    if !store.capabilities().rotation || !store.capabilities().versions {
        return does_not_apply("this table has no rotation, or no versions");
    }
    let principals = store.capabilities().principals;
    let (meddled, plot) = Meddled::new(Arc::clone(&store));
    let owned = |builder: SessionsBuilder<u64>| match principals {
        true => builder.principal(|user: &u64| Some(user.to_string())),
        false => builder,
    };
    let (sessions, others) = (owned(builder(meddled)).build()?, owned(builder(store)).build()?);
    let check = async |id: &SessionId, data: u64, what: &str| {
        let session = loaded(&others, id).await?;
        ensure_eq!(session.data, data, "the data after {what}");
        if principals {
            let principal = session.principal().map(|principal| principal.as_str().to_owned());
            ensure_eq!(principal, Some(data.to_string()), "the principal after {what}");
        }
        Ok(())
    };

    let id = sessions.create(&1).await?.id;
    plot.meanwhile(saves(&others, &id, 10));
    let Some(new) = sessions.rotate(&id).await? else {
        return failed("a rotation finds a live session gone");
    };
    check(&new.id, 10, "a rotation beside a save").await?;

    let mut session = loaded(&sessions, &new.id).await?;
    plot.meanwhile(saves(&others, &new.id, 20));
    let rotated = sessions.rotate_session(&mut session, |count| *count += 1).await?;
    ensure!(rotated.is_some(), "a rotation with a change finds a live session gone");
    check(session.id(), 21, "a rotation that adds 1, beside a save of 20").await?;

    let id = session.id().clone();
    plot.meanwhile(saves(&others, &id, 30));
    let rotated = sessions.rotate_with(&id, &2, Some(session.version())).await?;
    ensure_eq!(rotated, RotateOutcome::Stale, "a rotation that expects a version, beside a save");
    check(&id, 30, "a rotation that came too late").await?;
    ensure!(plot.is_over(), "a rotation does not write");
    Ok(())
}

/// A clock that the case keeps in its hands.
#[derive(Debug)]
struct Hand(Arc<ManualClock>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A session lives 60 seconds from each renewal and 100 at most, whatever renews it: also under new ids.
async fn a_maximum_lifetime_outlasts_every_renewal(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let can = store.capabilities();
    if !can.created_at {
        return does_not_apply("this table does not hold when a session was created");
    }
    let clock = Arc::new(ManualClock::new(at(T)));
    let sessions = builder(store)
        .clock(Hand(Arc::clone(&clock)))
        .time_to_live(TimeToLive::fixed(Duration::from_secs(60))?)
        .max_lifetime(Duration::from_secs(100))
        .build()?;
    let after = |seconds| at(T).saturating_add(Duration::from_secs(seconds));
    // To the 4 ms that a coarse table may be late.
    let check = async |id: &SessionId, what: &str| {
        let late = loaded(&sessions, id).await?.expires_at().saturating_since(after(100));
        ensure!(
            late.as_millis() <= 4,
            "{what} lets a session live {late:?} longer than its maximum lifetime"
        );
        Ok(())
    };
    let mut id = sessions.create(&1).await?.id;
    let ending = sessions.create(&1).await?.id;
    clock.set(after(50));
    for id in [&id, &ending] {
        ensure!(
            matches!(sessions.touch(id).await?, TouchOutcome::Moved(_)),
            "a touch finds a live session gone"
        );
        check(id, "a touch").await?;
    }
    sessions.update(&id, &2, None).await?;
    check(&id, "an update").await?;
    let mut session = loaded(&sessions, &id).await?;
    sessions.refresh(&mut session).await?;
    check(&id, "a refresh").await?;
    sessions.save(&mut session).await?;
    check(&id, "a save").await?;
    sessions.set(&id, &3).await?;
    check(&id, "a set").await?;
    sessions.touch_until(&id, after(1000)).await?;
    check(&id, "a touch until a later time").await?;
    if can.versions {
        sessions.modify(&id, |count| *count += 1).await?;
        check(&id, "a change").await?;
    }
    if can.rotation {
        if let Some(new) = sessions.rotate(&id).await? {
            id = new.id;
        }
        check(&id, "a rotation").await?;
        if let RotateOutcome::Rotated(new) = sessions.rotate_with(&id, &4, None).await? {
            id = new.id;
        }
        check(&id, "a rotation with new data").await?;
        let mut session = loaded(&sessions, &id).await?;
        sessions.rotate_session(&mut session, |count| *count += 1).await?;
        id = session.id().clone();
        check(&id, "a rotation with a change").await?;
    }
    clock.set(after(101));
    ensure!(sessions.load(&id).await?.is_none(), "a session that was renewed outlives its maximum lifetime");
    ensure!(
        sessions.load(&ending).await?.is_none(),
        "a session that was touched outlives its maximum lifetime"
    );
    Ok(())
}

/// A write is given up, and when it is made again the session has expired.
async fn each_attempt_goes_by_its_own_time(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let clock = Arc::new(ManualClock::new(at(T)));
    let (meddled, plot) = Meddled::new(store);
    let sessions = builder(meddled)
        .clock(Turned { clock: Arc::clone(&clock), plot: Arc::clone(&plot) })
        .time_to_live(TimeToLive::fixed(Duration::from_secs(60))?)
        .build()?;
    let id = sessions.create(&1).await?.id;
    plot.conflict();
    let updated = sessions.update(&id, &2, None).await?;
    ensure_eq!(updated, Updated::Gone, "an update whose second attempt comes after the session has expired");
    ensure!(
        sessions.load(&id).await?.is_none(),
        "an update revives a session that expired between two attempts"
    );
    Ok(())
}

/// A clock that is a minute later once a write was given up.
#[derive(Debug)]
struct Turned {
    clock: Arc<ManualClock>,
    plot: Arc<Plot>,
}

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        let minutes = u64::from(self.plot.writes() > 1);
        self.clock.now().saturating_add(Duration::from_secs(60 * minutes))
    }
}

/// JSON has no NaN: it is written as `null`, which is no number.
async fn data_that_cannot_be_read_back_is_refused(ctx: Ctx) -> Verdict {
    let sessions: Sessions<f64> = Sessions::builder(ctx.store().await?).gathering(Gathering::OFF).build()?;
    let id = sessions.create(&1.5).await?.id;
    let refused = [
        sessions.create(&f64::NAN).await.map(drop),
        sessions.update(&id, &f64::NAN, None).await.map(drop),
        sessions.set(&id, &f64::NAN).await.map(drop),
    ];
    for came in refused {
        match came {
            Ok(()) => return failed("data that cannot be read back are written"),
            Err(error) => ensure_eq!(error.kind(), ErrorKind::InvalidInput, "the kind of error ({error})"),
        }
    }
    let data = sessions.load(&id).await?.map(|session| session.data);
    ensure_eq!(data, Some(1.5), "the data after writes that were refused");
    ensure_eq!(sessions.count(None).await?, 1, "the sessions after a create that was refused");
    Ok(())
}

/// The database gives up each kind of write once, and the caller does not notice.
async fn a_write_is_made_again_after_a_conflict(ctx: Ctx) -> Verdict {
    let (sessions, plot, _) = handles(&ctx).await?;
    every_write(&sessions, &plot, Plot::conflict, "after a conflict").await
}

/// A pooled connection was closed while it was idle, which the next write finds out before it is sent.
async fn a_connection_found_closed_costs_no_write(ctx: Ctx) -> Verdict {
    let (sessions, plot, _) = handles(&ctx).await?;
    every_write(&sessions, &plot, Plot::closed_connection, "over a connection that was closed").await
}

/// Makes each kind of write, after `trouble`.
async fn every_write(sessions: &Counters, plot: &Plot, trouble: fn(&Plot), when: &str) -> Verdict {
    let can = sessions.capabilities();
    trouble(plot);
    let id = sessions.create(&1).await?.id;
    trouble(plot);
    let updated = sessions.update(&id, &2, None).await?;
    ensure!(matches!(updated, Updated::Saved(_)), "an update {when}: {updated:?}");
    trouble(plot);
    let touched = sessions.touch(&id).await?;
    ensure!(matches!(touched, TouchOutcome::Moved(_)), "a touch {when}: {touched:?}");
    let mut id = id;
    if can.versions {
        trouble(plot);
        ensure!(sessions.modify(&id, |count| *count += 1).await?.is_some(), "a change {when} finds nothing");
        ensure_eq!(loaded(sessions, &id).await?.data, 3, "the data after a change {when}");
    }
    if can.rotation {
        trouble(plot);
        match sessions.rotate(&id).await? {
            Some(new) => id = new.id,
            None => return failed(format!("a rotation {when} finds nothing")),
        }
    }
    trouble(plot);
    ensure!(sessions.destroy(&id).await?, "a destroy {when} finds nothing");
    let ids = [sessions.create(&1).await?.id, sessions.create(&1).await?.id];
    trouble(plot);
    ensure_eq!(sessions.destroy_many(&ids).await?, 2, "how many a destroy of two {when} ends");
    ensure_eq!(sessions.count(None).await?, 0, "the sessions that are left");
    if can.principals {
        trouble(plot);
        sessions.destroy_principal("ann").await?;
        trouble(plot);
        sessions.forget_principal("ann").await?;
    }
    ensure!(plot.is_over(), "not every write {when} was made again");
    Ok(())
}

/// A write is done, and its answer is lost. Made again, it would undo what others did since.
async fn a_write_in_doubt_is_not_made_again(ctx: Ctx) -> Verdict {
    let (sessions, plot, others) = handles(&ctx).await?;
    let id = sessions.create(&1).await?.id;
    plot.lost_answer();
    plot.meanwhile(saves(&others, &id, 3));
    let before = plot.writes();
    match sessions.update(&id, &2, None).await {
        Ok(updated) => {
            return failed(format!(
                "an update without an answer ends in {updated:?}: it was made again, over what others had saved"
            ));
        }
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::Unavailable, "the kind of error ({error})");
            ensure!(error.is_in_doubt(), "an update that was done fails, and says that nothing was changed");
        }
    }
    ensure_eq!(plot.writes() - before, 1, "how often an update was sent of which the answer was lost");
    ensure_eq!(loaded(&others, &id).await?.data, 2, "the data after an update in doubt, which was done");
    Ok(())
}

/// What ran out of time may be done yet. A read changes nothing, so it never leaves doubt.
async fn a_write_without_an_answer_is_in_doubt(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let id = builder(Arc::clone(&store)).build()?.create(&1).await?.id;
    let (meddled, plot) = Meddled::new(store);
    let deadline = Duration::from_millis(300) + ctx.subject().cold_start();
    let sessions = builder(meddled).deadline(deadline).build()?;
    plot.break_loads();
    match sessions.load(&id).await {
        Ok(loaded) => return failed(format!("a load over a broken connection ends in {loaded:?}")),
        Err(error) => {
            ensure!(!error.is_in_doubt(), "a load that failed says that it may have changed something");
        }
    }
    plot.silence();
    match sessions.create(&2).await {
        Ok(_) => failed("a create without an answer succeeds"),
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::Unavailable, "the kind of error ({error})");
            ensure!(error.is_in_doubt(), "a create that ran out of time says that nothing was changed");
            Ok(())
        }
    }
}

async fn signing_out_everywhere_else_spares_one_session(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let can = store.capabilities();
    if !can.principals {
        return does_not_apply("this table has no principals");
    }
    let clock = Arc::new(ManualClock::new(at(T)));
    let sessions = builder(store)
        .clock(Hand(Arc::clone(&clock)))
        .time_to_live(TimeToLive::fixed(Duration::from_secs(3600))?)
        .principal(|user: &u64| Some(format!("user {user}")))
        .build()?;
    let mut ids = Vec::new();
    for user in [1, 1, 1, 2] {
        ids.push(sessions.create(&user).await?.id);
        clock.advance(Duration::from_secs(1));
    }
    let live = async || {
        let mut live = Vec::new();
        for id in &ids {
            live.push(sessions.load(id).await?.is_some());
        }
        Ok::<_, session_core::Error>(live)
    };
    if can.created_at {
        let second = at(T).saturating_add(Duration::from_secs(1));
        ensure_eq!(
            sessions.destroy_created_before("user 1", second).await?,
            1,
            "how many were created before"
        );
        ensure_eq!(
            live().await?,
            [false, true, true, true],
            "who lives after all before a time were signed out"
        );
    }
    let ended = sessions.destroy_others("user 1", &ids[2]).await?;
    ensure_eq!(ended, if can.created_at { 1 } else { 2 }, "how many signing out everywhere else ends");
    ensure_eq!(live().await?, [false, false, true, true], "who lives after one signed out everywhere else");
    Ok(())
}
