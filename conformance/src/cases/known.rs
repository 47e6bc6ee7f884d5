//! G7: loads by those who have the session already.

use session_core::contract::{Load, Loaded, Record};
use session_core::{ErrorKind, SessionKey, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, expect_refusal, persist};
use crate::proxy::Proxy;

pub(crate) const CASES: &[Case] = &[
    case!(G7, Single, an_unchanged_session_is_answered_by_its_expiry),
    case!(G7, Single, loads_in_a_batch_know_versions_of_their_own),
    case!(G7, Concurrent, callers_who_know_different_versions_each_get_their_answer),
    case!(G7, Single, a_known_version_without_versions_is_refused),
    case!(G7, Single, an_unchanged_payload_does_not_cross_the_network),
];

async fn able(ctx: &Ctx) -> Verdict<Fixture> {
    let fixture = Fixture::new(ctx).await?;
    if fixture.can.versions { Ok(fixture) } else { does_not_apply("this table holds no versions") }
}

async fn record(fixture: &Fixture, key: &SessionKey) -> Verdict<Record> {
    match fixture.load(key, 0).await? {
        Some(record) => Ok(record),
        None => failed("a live session cannot be loaded"),
    }
}

fn expect_unchanged(fixture: &Fixture, loaded: Loaded, until: i64, what: &str) -> Verdict {
    match loaded {
        Loaded::Unchanged { expires_at } => {
            fixture.expect_expiry(expires_at, fixture.until(until), &format!("{what}, unchanged"))
        }
        other => failed(format!("{what}: expected that it is unchanged, but it answers {other:?}")),
    }
}

async fn an_unchanged_session_is_answered_by_its_expiry(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let key = fixture.create_for(fixture.can.principals.then_some("ann"), "s", "first", 100).await?;
    let (first, second) = (Version::FIRST, Version::new(2));
    expect_unchanged(&fixture, fixture.load_knowing(first, &key, 0).await?, 100, "a new session")?;
    for until in [500, 50] {
        ensure!(fixture.touch(&key, until, 0).await?, "a live session cannot be touched");
        expect_unchanged(&fixture, fixture.load_knowing(first, &key, 0).await?, until, "after a touch")?;
        expect_unchanged(&fixture, fixture.load_knowing(first, &key, until - 1).await?, until, "at the end")?;
        let gone = fixture.load_knowing(first, &key, until).await?;
        ensure_eq!(gone, Loaded::Gone, "a known session at its expiry");
    }
    for version in [i64::MIN, -1, 0, 2, 3, i64::MAX] {
        let loaded = fixture.load_knowing(Version::new(version), &key, 0).await?;
        let there = Loaded::Record(record(&fixture, &key).await?);
        ensure_eq!(loaded, there, "a load of version 1 that knows version {version}");
    }
    // Everything of it may have changed, and nothing: an update is an update.
    fixture.update(&key, "first", 50, 0).await?;
    let loaded = fixture.load_knowing(first, &key, 0).await?;
    ensure_eq!(loaded, Loaded::Record(record(&fixture, &key).await?), "a session that was updated");
    expect_unchanged(&fixture, fixture.load_knowing(second, &key, 0).await?, 50, "the new version")?;
    for mode in fixture.modes() {
        let key = fixture.create(&format!("{mode:?}"), "p", 100).await?;
        ensure!(fixture.destroy(&key, *mode, 0).await?, "a live session cannot be destroyed");
        ensure_eq!(fixture.load_knowing(first, &key, 0).await?, Loaded::Gone, "one destroyed {mode:?}");
    }
    ensure_eq!(fixture.load_knowing(first, &fixture.key("absent")?, 0).await?, Loaded::Gone, "an absent one");
    Ok(())
}

async fn loads_in_a_batch_know_versions_of_their_own(ctx: Ctx) -> Verdict {
    let fixture = able(&ctx).await?;
    let mut loads = Vec::new();
    let mut expected = Vec::new();
    for number in 0..12_i64 {
        let key = fixture.create(&format!("session {number}"), &format!("p{number}"), 100 + number).await?;
        let version = 1 + number % 2;
        if version == 2 {
            fixture.update(&key, &format!("q{number}"), 100 + number, 0).await?;
        }
        let known = [None, Some(1), Some(2), Some(7)][usize::try_from(number / 3).unwrap_or(0)];
        let record = record(&fixture, &key).await?;
        let unchanged = Loaded::Unchanged { expires_at: record.expires_at };
        expected.push(if known == Some(version) { unchanged } else { Loaded::Record(record) });
        loads.push(Load { key, known: known.map(Version::new) });
    }
    let destroyed = fixture.create("destroyed", "p", 100).await?;
    fixture.destroy(&destroyed, fixture.modes()[0], 0).await?;
    for key in [destroyed, fixture.create("expired", "p", 0).await?, fixture.key("absent")?] {
        loads.push(Load { key, known: Some(Version::FIRST) });
        expected.push(Loaded::Gone);
    }
    // In other orders and sizes, down to batches of one.
    for (step, size) in [(1, 15), (7, 15), (4, 5), (2, 1)] {
        let order: Vec<usize> = (0..15).map(|at| at * step % 15).collect();
        for part in order.chunks(size) {
            let batch: Vec<Load> = part.iter().map(|at| loads[*at].clone()).collect();
            let loaded = fixture.store.load_many(&batch, fixture.now(0)).await?;
            ensure_eq!(loaded.len(), batch.len(), "the outcomes of a batch of loads");
            for (at, loaded) in part.iter().zip(loaded) {
                let known = loads[*at].known;
                ensure_eq!(loaded?, expected[*at], "load {at} in a batch, which knows {known:?}");
            }
        }
    }
    Ok(())
}

/// At once, for one session and for others, so that a store that gathers loads takes them together.
async fn callers_who_know_different_versions_each_get_their_answer(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 2).await?;
    if !handles[0].can.versions {
        return does_not_apply("this table holds no versions");
    }
    let mut keys = Vec::new();
    for number in 0..2 {
        let key = handles[0].create(&format!("session {number}"), "p", 100).await?;
        persist(|| handles[0].update(&key, "q", 100, 0)).await?;
        keys.push((key.clone(), record(&handles[0], &key).await?));
    }
    let mut callers = JoinSet::new();
    for caller in 0..32_usize {
        let (fixture, (key, record)) = (handles[caller / 16].clone(), keys[caller % 2].clone());
        callers.spawn(async move {
            for turn in 0..6 {
                let known = [None, Some(1), Some(2), Some(3)][(caller / 2 + turn) % 4];
                let load = Load { key: key.clone(), known: known.map(Version::new) };
                let loaded = fixture.store.load(&load, fixture.now(0)).await?;
                let expected = Loaded::of(record.clone(), load.known);
                ensure_eq!(loaded, expected, "a load of version 2 beside others that knows {known:?}");
            }
            Ok::<_, Stop>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

async fn a_known_version_without_versions_is_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.versions {
        return does_not_apply("this table holds versions");
    }
    let key = fixture.create("s", "p", 100).await?;
    for version in [Version::NONE, Version::FIRST] {
        let loaded = fixture.load_knowing(version, &key, 0).await;
        expect_refusal(loaded, ErrorKind::Unsupported, "a load that knows a version")?;
    }
    let other = Load::new(fixture.create("t", "q", 100).await?);
    let knowing = Load { key, known: Some(Version::FIRST) };
    let loaded = fixture.store.load_many(&[knowing, other], fixture.now(0)).await?;
    ensure_eq!(loaded.len(), 2, "the outcomes of a batch with a load that is refused");
    for (position, loaded) in loaded.into_iter().enumerate() {
        if position == 0 {
            expect_refusal(loaded, ErrorKind::Unsupported, "a load in a batch that knows a version")?;
        } else {
            let payload = loaded?.record().map(|record| record.payload.as_str().to_owned());
            ensure_eq!(payload.as_deref(), Some("q"), "a load beside one that is refused");
        }
    }
    Ok(())
}

/// Counts what comes from the server.
async fn an_unchanged_payload_does_not_cross_the_network(ctx: Ctx) -> Verdict {
    const LARGE: usize = 1024 * 1024;
    /// What an answer without the payload takes at most, and whatever else the server has to say meanwhile.
    const SMALL: u64 = 32 * 1024;
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let namespace = ctx.namespace();
    ctx.open(&namespace).await?;
    let proxy = Proxy::start(server).await?;
    let fixture = Fixture::of(ctx.open_via(&namespace, Some(proxy.address())).await?);
    if !fixture.can.versions {
        return does_not_apply("this table holds no versions");
    }
    let mut keys = Vec::new();
    for id in ["first", "second"] {
        // No repetition that something on the way could shorten.
        let payload: String =
            (0..LARGE / 8).map(|number| format!("{:08x}", number * 2_654_435_761 % (1 << 32))).collect();
        keys.push(fixture.create(id, &payload, 100).await?);
    }
    for batched in [false, true] {
        for (known, sent) in [(None, true), (Some(1), false), (Some(2), true), (Some(1), false)] {
            let before = proxy.bytes_from_server();
            let loads: Vec<Load> =
                keys.iter().map(|key| Load { key: key.clone(), known: known.map(Version::new) }).collect();
            let loaded = if batched {
                fixture
                    .store
                    .load_many(&loads, fixture.now(0))
                    .await?
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()?
            } else {
                vec![fixture.store.load(&loads[0], fixture.now(0)).await?]
            };
            let bytes = proxy.bytes_from_server() - before;
            let what = format!("loads of 1 MiB that know {known:?}, batched: {batched}");
            for loaded in &loaded {
                ensure_eq!(matches!(loaded, Loaded::Record(_)), sent, "whether {what} give the payload");
            }
            let payloads = match (sent, ctx.is_kept()) {
                (true, false) => loaded.len(),
                // Of what was read once nothing is sent again, whatever the caller knows: one is new in each batch.
                (true, true) => usize::from(known.is_none()),
                (false, _) => 0,
            };
            if let Some(payloads) = u64::try_from(payloads * LARGE).ok().filter(|payloads| *payloads > 0) {
                ensure!(bytes >= payloads, "{what}: only {bytes} bytes came from the server");
            } else {
                ensure!(bytes <= SMALL, "{what}: {bytes} bytes came from the server");
            }
        }
    }
    Ok(())
}
