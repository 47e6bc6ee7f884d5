//! G12: contained faults.

use std::num::NonZeroU32;

use session_core::contract::{Create, Created, Destroy, Filter, Payload, Touch, Write, Written};
use session_core::{ErrorKind, Gathering, KeyFormat, SessionId, SessionKey, Sessions, Updated, Version};

use crate::Part;
use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure, ensure_eq, failed, not_run};
use crate::fixture::Fixture;
use crate::plain::Plain as _;
use crate::world::limit;

pub(crate) const CASES: &[Case] = &[
    case!(G12, Single, a_corrupt_row_is_an_error_of_its_own),
    case!(G12, Single, a_listing_goes_on_past_a_corrupt_row),
    case!(G12, Single, a_corrupt_row_can_be_destroyed_and_purged),
    case!(G12, Single, a_row_damaged_in_any_part_is_an_error_of_its_own),
    case!(G12, Single, a_write_that_fails_takes_no_other_along),
    case!(G12, Single, data_of_another_shape_harms_no_other_session),
    case!(G12, Single, a_refused_write_in_a_batch_harms_no_other),
    case!(G12, Single, an_oversized_session_harms_no_other),
];

/// Sessions of which one cannot be read.
async fn with_a_corrupt_row(ctx: &Ctx) -> Verdict<(Fixture, Vec<SessionKey>, SessionKey)> {
    let namespace = ctx.namespace();
    let fixture = Fixture::of(ctx.open(&namespace).await?);
    let mut keys = Vec::new();
    for number in 0..7 {
        keys.push(fixture.create(&format!("session {number}"), "p", 100).await?);
    }
    let corrupt = keys.remove(3);
    if ctx.subject().corrupt(&namespace, &corrupt).await? {
        Ok((fixture, keys, corrupt))
    } else if ctx.subject().durable() {
        not_run("this backend offers no way to corrupt a row")
    } else {
        does_not_apply("this backend is not durable: nobody else writes its rows")
    }
}

async fn a_corrupt_row_is_an_error_of_its_own(ctx: Ctx) -> Verdict {
    let (fixture, keys, corrupt) = with_a_corrupt_row(&ctx).await?;
    match fixture.load(&corrupt, 0).await {
        Ok(found) => return failed(format!("a corrupt row is loaded as {found:?}")),
        Err(error) => ensure_eq!(error.kind(), ErrorKind::Corrupt, "the kind of error ({error})"),
    }
    for key in &keys {
        fixture.expect_live(key, "p", 0, "a session beside a corrupt row").await?;
        fixture.update(key, "q", 100, 0).await?;
        fixture.expect_live(key, "q", 0, "a session beside a corrupt row").await?;
    }
    let mut all = keys.clone();
    all.insert(2, corrupt);
    let batch = fixture.store.find_many(&all, fixture.now(0)).await?;
    ensure_eq!(batch.len(), all.len(), "the outcomes of a batch with a corrupt row");
    for (position, outcome) in batch.into_iter().enumerate() {
        match outcome {
            Ok(Some(record)) => {
                ensure!(position != 2, "a corrupt row is loaded in a batch");
                ensure_eq!(record.payload.as_str(), "q", "a session in a batch with a corrupt row");
            }
            Ok(None) => return failed("a live session is absent in a batch with a corrupt row"),
            Err(error) => {
                ensure_eq!(position, 2, "the position of the corrupt row");
                ensure_eq!(error.kind(), ErrorKind::Corrupt, "the kind of error in a batch ({error})");
            }
        }
    }
    Ok(())
}

async fn a_listing_goes_on_past_a_corrupt_row(ctx: Ctx) -> Verdict {
    let (fixture, keys, corrupt) = with_a_corrupt_row(&ctx).await?;
    for page in [100, 3, 2, 1] {
        let (mut last, mut readable, mut unreadable) = (None, Vec::new(), Vec::new());
        loop {
            let listed =
                fixture.store.list(&Filter::default(), last.as_ref(), limit(page), fixture.now(0)).await?;
            let Some(entry) = listed.last() else { break };
            last = Some(entry.key.clone());
            for entry in listed {
                match entry.record {
                    Ok(_) => readable.push(entry.key),
                    Err(error) => {
                        ensure_eq!(
                            error.kind(),
                            ErrorKind::Corrupt,
                            "the kind of error in a listing ({error})"
                        );
                        unreadable.push(entry.key);
                    }
                }
            }
            ensure!(readable.len() + unreadable.len() <= 7, "a walk in pages of {page} does not end");
        }
        readable.sort();
        let mut expected = keys.clone();
        expected.sort();
        ensure_eq!(readable, expected, "the readable sessions of a walk in pages of {page}");
        ensure_eq!(
            unreadable,
            std::slice::from_ref(&corrupt),
            "the corrupt ones of a walk in pages of {page}"
        );
    }
    Ok(())
}

async fn a_corrupt_row_can_be_destroyed_and_purged(ctx: Ctx) -> Verdict {
    let (fixture, keys, corrupt) = with_a_corrupt_row(&ctx).await?;
    // What exactly the row holds is the backend's affair; that a call fails for it is not the others'.
    let _ = fixture.destroy(&corrupt, fixture.modes()[0], 0).await;
    fixture.create("expired", "p", 0).await?;
    let purged = fixture.purge(100, 0).await?;
    ensure!((1..=2).contains(&purged), "a purge beside a corrupt row removes {purged} rows of 1");
    for key in &keys {
        fixture.expect_live(key, "p", 0, "a session beside a corrupt row that was destroyed").await?;
    }
    let rows = fixture.store.clear().await?;
    ensure!((6..=7).contains(&rows), "clear removes {rows} rows of 6 or 7");
    Ok(())
}

/// Sessions with one damaged part each, as many as the backend can damage.
async fn with_damaged_rows(ctx: &Ctx) -> Verdict<(Fixture, Vec<(Part, SessionKey)>)> {
    let namespace = ctx.namespace();
    let fixture = Fixture::of(ctx.open(&namespace).await?);
    let mut damaged = Vec::new();
    for part in Part::ALL {
        // Those that are not needed stay as sound ones.
        let principal = fixture.can.principals.then_some("ann");
        let key = fixture.create_for(principal, &format!("{part:?}"), ROW, 100).await?;
        if ctx.subject().damage(&namespace, &key, part).await? {
            damaged.push((part, key));
        }
    }
    if !damaged.is_empty() {
        Ok((fixture, damaged))
    } else if ctx.subject().durable() {
        not_run("this backend offers no way to damage a row")
    } else {
        does_not_apply("this backend is not durable: nobody else writes its rows")
    }
}

/// What the damaged rows hold, which no error may quote.
const ROW: &str = "payload-of-a-damaged-row-51d7";

fn expect_corrupt(error: &session_core::Error, what: &str) -> Verdict {
    ensure_eq!(error.kind(), ErrorKind::Corrupt, "{what}: the kind of error ({error})");
    let told = format!("{error} {error:?}");
    ensure!(!told.contains(ROW), "{what}: the error quotes the row");
    Ok(())
}

/// Such a row is no absent session either: whoever loads it must learn that there is one.
async fn a_row_damaged_in_any_part_is_an_error_of_its_own(ctx: Ctx) -> Verdict {
    let (fixture, damaged) = with_damaged_rows(&ctx).await?;
    let sound = fixture.create("sound", "p", 100).await?;
    for (part, key) in &damaged {
        let what = format!("a row with a damaged {part:?}");
        match fixture.load(key, 0).await {
            Ok(found) => return failed(format!("{what} is loaded as {found:?}")),
            Err(error) => expect_corrupt(&error, &what)?,
        }
        let batch = fixture.store.find_many(&[key.clone(), sound.clone()], fixture.now(0)).await?;
        let [Err(error), Ok(Some(_))] = batch.as_slice() else {
            return failed(format!("{what}, in a batch with a sound one: {batch:?}"));
        };
        expect_corrupt(error, &format!("{what}, in a batch"))?;
    }
    let listed = fixture.store.list(&Filter::default(), None, limit(100), fixture.now(0)).await?;
    for (part, key) in &damaged {
        let what = format!("a row with a damaged {part:?}, in a listing");
        match listed.iter().find(|entry| entry.key == *key).map(|entry| &entry.record) {
            Some(Err(error)) => expect_corrupt(error, &what)?,
            other => return failed(format!("{what}: {other:?}")),
        }
    }
    ensure_eq!(listed.len(), Part::ALL.len() + 1, "the entries of a listing with damaged rows");
    fixture.expect_live(&sound, "p", 0, "a session beside damaged rows").await
}

/// A write to a row that cannot be read may fail, and whatever travels with it is done.
async fn a_write_that_fails_takes_no_other_along(ctx: Ctx) -> Verdict {
    let (fixture, damaged) = with_damaged_rows(&ctx).await?;
    let now = fixture.now(0);
    for (number, (part, key)) in damaged.iter().enumerate() {
        let others = [
            fixture.create(&format!("updated {number}"), "p", 100).await?,
            fixture.create(&format!("destroyed {number}"), "p", 100).await?,
        ];
        let created = fixture.key(&format!("created {number}"))?;
        let writes = [
            create(&fixture, &format!("created {number}"), "p")?,
            Write::Update(fixture.update_of(key, "q", 100)),
            Write::Update(fixture.update_of(&others[0], "q", 100)),
            Write::Destroy(Destroy { key: others[1].clone(), mode: fixture.modes()[0] }),
        ];
        let what = format!("beside an update of a row with a damaged {part:?}");
        let mut outcomes = Vec::new();
        match fixture.store.write_many(&writes, now).await {
            Ok(written) => outcomes.extend(written),
            // The batch as a whole, and it says that nothing was done: then it is tried one by one.
            Err(error) => {
                ensure!(!error.is_in_doubt(), "a batch {what} fails as a whole, and in doubt: {error}");
                for write in &writes {
                    outcomes.push(write.apply(&*fixture.store, now).await);
                }
            }
        }
        for (write, outcome) in writes.iter().zip(&outcomes).filter(|(write, _)| write.key() != key) {
            let is_done = matches!(
                outcome,
                Ok(Written::Created(Created::Created)
                    | Written::Updated(Updated::Saved(_))
                    | Written::Destroyed(true))
            );
            ensure!(is_done, "{write:?} {what}: {outcome:?}");
        }
        fixture.expect_live(&created, "p", 0, &format!("a session that was made {what}")).await?;
        fixture.expect_live(&others[0], "q", 0, &format!("a session that was updated {what}")).await?;
        ensure_eq!(fixture.load(&others[1], 0).await?, None, "a session that was destroyed {what}");
    }
    Ok(())
}

/// A session that another program or another version wrote: text, but not the handle's data.
async fn data_of_another_shape_harms_no_other_session(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let sessions: Sessions<u64> = Sessions::builder(store.clone()).gathering(Gathering::OFF).build()?;
    let good = [sessions.create(&1).await?.id, sessions.create(&2).await?.id];
    let bad = SessionId::new("another program's")?;
    let create = Create {
        key: bad.key(store.key_format())?,
        payload: Payload::from("{\"not\":\"a number\""),
        expires_at: session_core::Timestamp::NEVER,
        principal: None,
        version: Version::FIRST,
    };
    store.create(&create, session_core::Timestamp::from_millis(0)).await?;
    match sessions.load(&bad).await {
        Ok(_) => return failed("data of another shape is loaded"),
        Err(error) => ensure_eq!(error.kind(), ErrorKind::Corrupt, "the kind of error ({error})"),
    }
    let listed = sessions.list(None, None, NonZeroU32::MAX).await?;
    let (readable, unreadable): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|listed| listed.session.is_ok());
    ensure_eq!(readable.len(), 2, "the sessions that are listed beside data of another shape");
    ensure_eq!(unreadable.len(), 1, "the entries that say that they cannot be read");
    for (number, id) in (1..).zip(&good) {
        let data = sessions.load(id).await?.map(|session| session.data);
        ensure_eq!(data, Some(number), "a session beside data of another shape");
    }
    ensure!(sessions.destroy(&bad).await?, "data of another shape cannot be destroyed");
    ensure_eq!(sessions.count(None).await?, 2, "the sessions that are left");
    Ok(())
}

/// A write that is refused before it reaches the database, in the middle of others, and one that the database may
/// refuse.
async fn a_refused_write_in_a_batch_harms_no_other(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let foreign = match fixture.store.key_format() {
        KeyFormat::Hashed => SessionKey::from_text("foreign"),
        KeyFormat::Plain => SessionKey::from_digest([7; 32]),
    };
    let foreign = Write::Touch(Touch { key: foreign, expires_at: fixture.until(100), expected: None });
    expect_others_done(&fixture, foreign, true).await?;
    let nul = create(&fixture, "m", "nul \0, in clear")?;
    expect_others_done(&fixture, nul, false).await
}

pub(super) fn create(fixture: &Fixture, id: &str, payload: &str) -> Verdict<Write> {
    Ok(Write::Create(Create {
        key: fixture.key(id)?,
        payload: Payload::from(payload),
        expires_at: fixture.until(100),
        principal: None,
        version: Version::FIRST,
    }))
}

/// Puts a write between two creates. It may also be done, unless it must not be.
pub(super) async fn expect_others_done(fixture: &Fixture, between: Write, must_fail: bool) -> Verdict {
    fixture.store.clear().await?;
    let writes = [create(fixture, "a", "p")?, between, create(fixture, "b", "p")?];
    match fixture.store.write_many(&writes, fixture.now(0)).await {
        Ok(outcomes) => {
            ensure_eq!(outcomes.len(), 3, "the outcomes of a batch with a write that is refused");
            let mut done = 0;
            for (position, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    Ok(written) => {
                        ensure!(
                            position != 1 || !must_fail,
                            "a write that cannot be done is said to be done"
                        );
                        done += 1;
                        ensure_eq!(written, Written::Created(Created::Created), "a create of a batch");
                    }
                    Err(error) => {
                        ensure_eq!(position, 1, "the position of the write that is refused ({error})");
                        let refused = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::TooLarge);
                        ensure!(refused, "the kind of error: {error}");
                    }
                }
            }
            ensure_eq!(
                fixture.count(0).await?,
                done,
                "the sessions after a batch with a write that was refused"
            );
        }
        Err(error) => {
            // The batch as a whole: then nothing was done, and it is tried one by one.
            ensure!(!error.is_in_doubt(), "a refusal leaves open what was done: {error}");
            ensure_eq!(fixture.count(0).await?, 0, "the sessions after a batch that failed as a whole");
        }
    }
    Ok(())
}

/// The largest session that is promised, between small ones.
async fn an_oversized_session_harms_no_other(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let small = [fixture.create("a", "p", 100).await?, fixture.create("z", "p", 100).await?];
    // Twice what must be possible: it is kept whole, or refused.
    let huge = "x".repeat(10 * 1024 * 1024);
    let key = fixture.key("m")?;
    match fixture.try_create(&key, &huge, 100).await {
        Ok(_) => {
            let length = fixture.payload(&key, 0).await?.map(|payload| payload.len());
            ensure_eq!(length, Some(huge.len()), "the length of a huge payload that was accepted");
        }
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::TooLarge, "the kind of error for a huge payload ({error})");
            ensure_eq!(fixture.load(&key, 0).await?, None, "a huge session that was refused");
        }
    }
    for key in &small {
        fixture.expect_live(key, "p", 0, "a session beside a huge one").await?;
    }
    let listed = fixture.live_keys(0).await?;
    ensure!(small.iter().all(|key| listed.contains(key)), "a session beside a huge one is not listed");
    Ok(())
}
