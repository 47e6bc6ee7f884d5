//! G15: secrets stay secret.

use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::contract::{Create, Store, Update, Write};
use session_core::{Error, Gathering, KeyFormat, SessionId, SessionKey, Sessions, Timestamp, Version};

use crate::capture::Capture;
use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, failed, not_run};
use crate::fixture::Fixture;
use crate::forms::{find_stored, find_told};
use crate::network::Mode;
use crate::plain::Plain as _;
use crate::proxy::Proxy;

pub(crate) const CASES: &[Case] = &[
    case!(G15, Single, no_id_is_in_the_database),
    case!(G15, Single, no_secret_is_printed_or_traced),
    case!(G15, Single, an_error_about_a_row_names_no_secret),
    case!(G15, Fault, an_error_about_a_connection_names_no_secret).waits(),
];

/// Occurs in every payload of these cases, and nowhere else.
const PAYLOAD: &str = "payload-b7f1d1c8";
const PRINCIPAL: &str = "principal-5ac0d2e1";

async fn no_id_is_in_the_database(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    if store.key_format() == KeyFormat::Plain {
        return does_not_apply("this table holds plain ids, so that others can read it");
    }
    let can = store.capabilities();
    let sessions: Sessions<String> = Sessions::builder(store).gathering(Gathering::OFF).build()?;
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
    let Some(dump) = ctx.subject().raw_dump(&namespace).await? else {
        return unseen(&ctx, "this backend offers no dump of what it holds");
    };
    let shows = find_stored(&dump, &[PAYLOAD.to_owned()]).is_some();
    ensure!(shows, "the dump does not even hold the payloads: it shows nothing");
    let ids: Vec<String> = ids.iter().map(|id| id.expose().to_owned()).collect();
    ensure!(find_stored(&dump, &ids).is_none(), "an id stands in the database in clear");
    Ok(())
}

/// Ends a case that needs to see what the database holds.
pub(super) fn unseen<T>(ctx: &Ctx, why: &str) -> Verdict<T> {
    if ctx.subject().durable() {
        return not_run(why);
    }
    does_not_apply("this backend is not durable: it keeps nothing that anybody else could read")
}

/// Everything that an error tells, to people and to programs.
pub(super) fn everything_about(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

pub(super) fn expect_silent(text: &str, secrets: &[String], what: &str) -> Verdict {
    ensure!(secrets.iter().all(|secret| !secret.is_empty()), "a secret is empty");
    match find_told(text, secrets) {
        Some(found) => failed(format!("{what} tells a secret {found}")),
        None => Ok(()),
    }
}

/// What one run of the case alone has.
struct Own {
    payload: String,
    principal: String,
    id: String,
}

/// Everything that a handle does, with what it prints about itself; the payload and the ids are to be found nowhere.
async fn everything_said(ctx: &Ctx, own: &Own, secrets: &mut Vec<String>) -> Verdict<String> {
    let Own { payload: data, principal, .. } = own;
    let store = ctx.store().await?;
    let can = store.capabilities();
    let mut builder = Sessions::<String>::builder(store.clone()).gathering(Gathering::OFF).payload_limit(200);
    if can.principals {
        let principal = principal.clone();
        builder = builder.principal(move |_| Some(principal.clone()));
    }
    let sessions = builder.build()?;
    let mut printed = format!("{store:?} {sessions:?}");
    let new = sessions.create(data).await?;
    let mut ids = vec![new.id.clone()];
    printed.push_str(&format!("{new:?} {:?} {:?}", new.id, sessions.key(&new.id)?));
    sessions.update(&new.id, data, None).await?;
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
    let key = sessions.key(&current)?;
    if let Some(record) = store.find(&key, Timestamp::MIN).await? {
        printed.push_str(&format!("{record:?}"));
    }
    in_batches(&store, &key, own).await?;
    if let Err(error) = sessions.update(&current, &data.repeat(100), None).await {
        printed.push_str(&everything_about(&error));
    }
    sessions.destroy(&current).await?;
    sessions.count(None).await?;
    if can.principals {
        sessions.create(data).await?;
        sessions.list(Some(principal), None, NonZeroU32::MIN).await?;
        sessions.count(Some(principal)).await?;
        sessions.destroy_principal(principal).await?;
        sessions.forget_principal(principal).await?;
    }
    secrets.extend(ids.iter().map(|id| id.expose().to_owned()));
    Ok(printed)
}

/// What the many-key forms send.
async fn in_batches(store: &Arc<dyn Store>, key: &SessionKey, own: &Own) -> Verdict {
    let fixture = Fixture::of(Arc::clone(store));
    let writes = [
        Write::Update(Update {
            expires_at: Some(Timestamp::NEVER),
            ..fixture.update_of(key, &own.payload, 0)
        }),
        Write::Create(Create {
            key: fixture.key(&own.id)?,
            payload: own.payload.as_str().into(),
            expires_at: Timestamp::NEVER,
            principal: None,
            version: Version::FIRST,
        }),
    ];
    for outcome in store.write_many(&writes, fixture.now(0)).await? {
        outcome?;
    }
    for found in store.find_many(&[key.clone(), fixture.key(&own.id)?], fixture.now(0)).await? {
        ensure!(found?.is_some(), "a session that a batch wrote is not there");
    }
    Ok(())
}

async fn no_secret_is_printed_or_traced(ctx: Ctx) -> Verdict {
    let capture = Capture::start(ctx.subject());
    tracing::trace!(target: "conformance", "a mark of the suite's own");
    log::trace!(target: "conformance", "a mark of the suite's own");
    let mut secrets = ctx.subject().secrets();
    // What other cases tell meanwhile is heard too, and is not this one's.
    let unique = crate::Namespace::unique();
    let [payload, principal, id] = [PAYLOAD, PRINCIPAL, "id-77c0a4be"].map(|what| format!("{what}-{unique}"));
    let own = Own { payload, principal, id };
    secrets.extend([own.payload.clone(), own.id.clone()]);
    let printed = everything_said(&ctx, &own, &mut secrets).await?;
    expect_silent(&printed, &secrets, "what is printed")?;
    let heard = capture.heard();
    for (text, way) in [(&heard.traced, "traced"), (&heard.logged, "logged")] {
        ensure!(text.contains("a mark of the suite's own"), "what is {way} cannot be captured");
    }
    secrets.push(own.principal.clone());
    expect_silent(&heard.traced, &secrets, "what is traced")?;
    expect_silent(&heard.logged, &secrets, "what is logged")?;
    expect_silent(&heard.told, &secrets, "what the client library's instrumentation is told")
}

/// Errors that stem from what a session's row holds.
async fn an_error_about_a_row_names_no_secret(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    let sessions: Sessions<u64> = Sessions::builder(store.clone()).gathering(Gathering::OFF).build()?;
    let id = SessionId::random()?;
    let key = sessions.key(&id)?;
    let create = session_core::contract::Create {
        key: key.clone(),
        payload: format!("\"{PAYLOAD}").into(),
        expires_at: session_core::Timestamp::NEVER,
        principal: None,
        version: Version::FIRST,
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
    if ctx.subject().corrupt(&namespace, &key).await? {
        let fixture = Fixture::of(store.clone());
        said.extend(fixture.load(&key, 0).await.err().map(|error| everything_about(&error)));
        for listed in sessions.list(None, None, NonZeroU32::MIN).await? {
            said.extend(listed.session.err().map(|error| everything_about(&error)));
        }
    }
    // The database itself complains of what it cannot take.
    let huge = format!("{PAYLOAD}\0{PAYLOAD}");
    let update = session_core::contract::Update {
        key,
        payload: huge.into(),
        expires_at: Some(session_core::Timestamp::NEVER),
        principal: None,
        expected: None,
    };
    let refused = store.update(&update, session_core::Timestamp::from_millis(0)).await;
    said.extend(refused.err().map(|error| everything_about(&error)));
    expect_silent(&said, &secrets, "an error")
}

/// Errors that stem from the connection: refused, cut, and without an answer.
async fn an_error_about_a_connection_names_no_secret(ctx: Ctx) -> Verdict {
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let namespace = ctx.namespace();
    ctx.open(&namespace).await?;
    let proxy = Proxy::start(server).await?;
    let store = ctx.open_via(&namespace, Some(proxy.address())).await?;
    let sessions: Sessions<String> = Sessions::builder(store)
        .gathering(Gathering::OFF)
        .deadline(std::time::Duration::from_secs(2))
        .build()?;
    let id = sessions.create(&PAYLOAD.to_owned()).await?.id;
    let mut secrets = ctx.subject().secrets();
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
        let opened = ctx.subject().open(&namespace, Some(proxy.address()));
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
