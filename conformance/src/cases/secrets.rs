//! G15: secrets stay secret.

use std::error::Error as StdError;
use std::num::NonZeroU32;

use session_core::{Error, Gathering, KeyFormat, SessionId, SessionStore};

use crate::capture::Capture;
use crate::case::{Case, Ctx, Stop, Verdict, case, ensure, not_run};
use crate::fixture::Fixture;
use crate::proxy::{Mode, Proxy};

pub(crate) const CASES: &[Case] = &[
    case!(G15, Single, no_id_is_in_the_database),
    case!(G15, Single, no_secret_is_printed_or_traced),
    case!(G15, Single, an_error_about_a_row_names_no_secret),
    case!(G15, Fault, an_error_about_a_connection_names_no_secret),
];

/// Occurs in every payload of these cases, and nowhere else.
const PAYLOAD: &str = "payload-b7f1d1c8";

/// The first of these texts that stands in the bytes, in one of the encodings that databases use for text. A dump may
/// have hundreds of megabytes: they are read once.
fn find<'a>(haystack: &[u8], texts: &'a [String]) -> Option<&'a String> {
    let mut needles: Vec<(Vec<u8>, &String)> = Vec::new();
    for text in texts {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        needles.push((text.clone().into_bytes(), text));
        needles.push((text.encode_utf16().flat_map(u16::to_le_bytes).collect(), text));
        needles.push((hex.to_uppercase().into_bytes(), text));
        needles.push((hex.into_bytes(), text));
    }
    let mut begins = [false; 256];
    for (needle, _) in &needles {
        if let Some(first) = needle.first() {
            begins[usize::from(*first)] = true;
        }
    }
    for (at, byte) in haystack.iter().enumerate() {
        if begins[usize::from(*byte)] {
            let found = needles.iter().find(|(needle, _)| haystack[at..].starts_with(needle));
            if let Some((_, text)) = found {
                return Some(text);
            }
        }
    }
    None
}

async fn no_id_is_in_the_database(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    if store.key_format() == KeyFormat::Plain {
        return not_run("this table holds plain ids, so that others can read it");
    }
    let can = store.capabilities();
    let sessions: SessionStore<String> = SessionStore::builder(store).gathering(Gathering::OFF).build()?;
    let mut ids: Vec<SessionId> = Vec::new();
    for number in 0..10 {
        let id = sessions.create(&format!("{PAYLOAD} {number}")).await?.id;
        sessions.update(&id, &format!("{PAYLOAD} {number} updated"), None).await?;
        sessions.touch(&id).await?;
        if can.rotation
            && number % 3 == 0
            && let Some(new) = sessions.rotate(&id).await?
        {
            ids.push(new.id);
        }
        if number % 3 == 1 {
            sessions.destroy(&id).await?;
        }
        ids.push(id);
    }
    let chosen = SessionId::new("an id that a framework chose 1f6a")?;
    sessions.create_with_id(&chosen, &PAYLOAD.to_owned()).await?;
    ids.push(chosen);
    let Some(dump) = ctx.backend().raw_dump(&namespace).await? else {
        return not_run("this backend offers no dump of what it holds");
    };
    let shows = find(&dump, &[PAYLOAD.to_owned()]).is_some();
    ensure!(shows, "the dump does not even hold the payloads: it shows nothing");
    let ids: Vec<String> = ids.iter().map(|id| id.expose().to_owned()).collect();
    ensure!(find(&dump, &ids).is_none(), "an id stands in the database in clear");
    Ok(())
}

/// Everything that an error tells, to people and to programs.
fn everything_about(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

fn expect_silent(text: &str, secrets: &[String], what: &str) -> Verdict {
    for secret in secrets {
        ensure!(!secret.is_empty() && !text.contains(secret.as_str()), "{what} names a secret: {text}");
    }
    Ok(())
}

async fn no_secret_is_printed_or_traced(ctx: Ctx) -> Verdict {
    let capture = Capture::start();
    let store = ctx.store().await?;
    let plain = store.key_format() == KeyFormat::Plain;
    let can = store.capabilities();
    let sessions: SessionStore<String> =
        SessionStore::builder(store.clone()).gathering(Gathering::OFF).payload_limit(200).build()?;
    let mut secrets = ctx.backend().secrets();
    secrets.push(PAYLOAD.to_owned());
    let mut printed = format!("{store:?} {sessions:?}");
    let data = PAYLOAD.to_owned();
    let new = sessions.create(&data).await?;
    let mut ids = vec![new.id.clone()];
    printed.push_str(&format!("{new:?} {:?} {:?}", new.id, sessions.key(&new.id)?));
    sessions.update(&new.id, &data, None).await?;
    sessions.touch(&new.id).await?;
    if let Some(session) = sessions.load(&new.id).await? {
        let id = session.id();
        printed.push_str(&format!("{id:?}"));
    }
    if can.versions {
        sessions.modify(&new.id, |data| data.push('!')).await?;
    }
    let mut current = new.id.clone();
    if can.rotation
        && let Some(rotated) = sessions.rotate(&new.id).await?
    {
        printed.push_str(&format!("{rotated:?}"));
        current = rotated.id.clone();
        ids.push(rotated.id);
    }
    for listed in sessions.list(None, None, NonZeroU32::MIN).await? {
        printed.push_str(&format!("{:?}", listed.key));
    }
    // Records and changes print themselves without their payload.
    if let Some(record) = store.load(&sessions.key(&current)?, session_core::Timestamp::MIN).await? {
        printed.push_str(&format!("{record:?}"));
    }
    if let Err(error) = sessions.update(&current, &PAYLOAD.repeat(100), None).await {
        printed.push_str(&everything_about(&error));
    }
    sessions.destroy(&current).await?;
    sessions.count(None).await?;
    ids.iter().for_each(|id| secrets.push(id.expose().to_owned()));
    expect_silent(&printed, &secrets, "what is printed")?;
    let traced = capture.text();
    ensure!(
        traced.contains("session") || traced.is_empty(),
        "what is traced cannot be captured: {}",
        traced.len()
    );
    expect_silent(&traced, &secrets, "what is traced")?;
    ensure!(!plain || !printed.contains(ids[0].expose()), "a plain key is printed");
    Ok(())
}

/// Errors that stem from what a session's row holds.
async fn an_error_about_a_row_names_no_secret(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    let sessions: SessionStore<u64> =
        SessionStore::builder(store.clone()).gathering(Gathering::OFF).build()?;
    let id = SessionId::random()?;
    let key = sessions.key(&id)?;
    let create = session_core::Create {
        key: key.clone(),
        payload: format!("\"{PAYLOAD}").into(),
        expires_at: session_core::Timestamp::NEVER,
        principal: None,
    };
    store.create(&create, session_core::Timestamp::from_millis(0)).await?;
    let secrets = [PAYLOAD.to_owned(), id.expose().to_owned()];
    let mut said = String::new();
    if let Err(error) = sessions.load(&id).await {
        said.push_str(&everything_about(&error));
    }
    ensure!(!said.is_empty(), "data of another shape is loaded");
    for listed in sessions.list(None, None, NonZeroU32::MIN).await? {
        said.extend(listed.session.err().map(|error| everything_about(&error)));
    }
    if ctx.backend().corrupt(&namespace, &key).await? {
        let fixture = Fixture::of(store.clone());
        said.extend(fixture.load(&key, 0).await.err().map(|error| everything_about(&error)));
        for listed in sessions.list(None, None, NonZeroU32::MIN).await? {
            said.extend(listed.session.err().map(|error| everything_about(&error)));
        }
    }
    // The database itself complains of what it cannot take.
    let huge = format!("{PAYLOAD}\0{PAYLOAD}");
    let update = session_core::Update {
        key,
        payload: huge.into(),
        expires_at: session_core::Timestamp::NEVER,
        principal: None,
        expected: None,
    };
    let refused = store.update(&update, session_core::Timestamp::from_millis(0)).await;
    said.extend(refused.err().map(|error| everything_about(&error)));
    expect_silent(&said, &secrets, "an error")
}

/// Errors that stem from the connection: refused, cut, and without an answer.
async fn an_error_about_a_connection_names_no_secret(ctx: Ctx) -> Verdict {
    let Some(server) = ctx.backend().address() else { return not_run("there is no server") };
    let namespace = ctx.namespace();
    ctx.open(&namespace).await?;
    let proxy = Proxy::start(server).await?;
    let store = ctx.open_via(&namespace, Some(proxy.address())).await?;
    let sessions: SessionStore<String> = SessionStore::builder(store)
        .gathering(Gathering::OFF)
        .deadline(std::time::Duration::from_secs(2))
        .build()?;
    let id = sessions.create(&PAYLOAD.to_owned()).await?.id;
    let mut secrets = ctx.backend().secrets();
    secrets.extend([PAYLOAD.to_owned(), id.expose().to_owned()]);
    let mut said = String::new();
    for mode in [Mode::Refuse, Mode::Tear, Mode::BlackHole] {
        proxy.set(mode);
        if mode == Mode::Refuse {
            proxy.cut();
        }
        for _ in 0..2 {
            said.extend(sessions.load(&id).await.err().map(|error| everything_about(&error)));
            let updated = sessions.update(&id, &PAYLOAD.to_owned(), None).await;
            said.extend(updated.err().map(|error| everything_about(&error)));
        }
        said.extend(sessions.connect().await.err().map(|error| everything_about(&error)));
        let opened = ctx.backend().open(&namespace, Some(proxy.address()));
        match tokio::time::timeout(std::time::Duration::from_secs(2), opened).await {
            Ok(Err(error)) => said.push_str(&everything_about(&error)),
            Ok(Ok(store)) => said.push_str(&format!("{store:?}")),
            Err(_) => {}
        }
    }
    proxy.set(Mode::Pass);
    if said.is_empty() {
        return Err(Stop::Failed(
            "no call failed while connections were refused, torn and swallowed".to_owned(),
        ));
    }
    expect_silent(&said, &secrets, "an error about a connection")
}
