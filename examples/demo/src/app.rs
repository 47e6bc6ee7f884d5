//! The application: what its sessions hold, and its routes.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use session_store::{Error, Session, SessionId, SessionStore, TimeToLive, Timestamp};
use tokio::task::JoinSet;

use crate::page::{self, Device};

const COOKIE: &str = "session";
const TIME_TO_LIVE: Duration = Duration::from_secs(7 * 86_400);
const PARALLEL: u32 = 20;

/// What a session holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Visit {
    user: String,
    browser: String,
    count: u64,
}

pub(crate) type Sessions = SessionStore<Visit>;

/// Opens the store and makes its table if there is none.
pub(crate) async fn open(database: &str) -> Result<Sessions, Error> {
    let store = session_store::open(database).await?;
    let sessions = SessionStore::builder(store)
        .time_to_live(TimeToLive::fixed(TIME_TO_LIVE)?)
        .principal(|visit: &Visit| Some(visit.user.clone()))
        .cleanup_limit(10)
        .build()?;
    sessions.connect().await?;
    Ok(sessions)
}

pub(crate) fn router(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", post(sign_in))
        .route("/count", post(count))
        .route("/count-in-parallel", post(count_in_parallel))
        .route("/sign-out", post(sign_out))
        .route("/sign-out-elsewhere", post(sign_out_elsewhere))
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .with_state(sessions)
}

async fn home(State(sessions): State<Sessions>, jar: CookieJar) -> Result<Response, Failure> {
    let Some(mut session) = current(&sessions, &jar).await? else {
        return Ok(Html(page::sign_in().into_string()).into_response());
    };
    // Being seen renews the session; the list shows when that was.
    sessions.refresh(&mut session).await?;
    let devices = devices(&sessions, &session).await?;
    let page = page::home(&session.data.user, session.data.count, &devices, sessions.backend().backend());
    Ok(Html(page.into_string()).into_response())
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
}

async fn sign_in(
    State(sessions): State<Sessions>,
    jar: CookieJar,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, Failure> {
    let user = form.name.trim();
    if user.is_empty() || user.len() > 40 {
        return Ok((StatusCode::BAD_REQUEST, "please give a name of 1 to 40 letters").into_response());
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let visit = Visit { user: user.to_owned(), browser: browser(agent), count: 0 };
    // A new id at every sign-in: one that somebody planted in this browser is worth nothing.
    if let Some(old) = id(&jar) {
        sessions.destroy(&old).await?;
    }
    let new = sessions.create(&visit).await?;
    let cookie = Cookie::build((COOKIE, new.id.expose().to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .permanent();
    Ok((jar.add(cookie), Redirect::to("/")).into_response())
}

async fn count(State(sessions): State<Sessions>, jar: CookieJar) -> Result<Redirect, Failure> {
    if let Some(id) = id(&jar) {
        sessions.modify(&id, |visit| visit.count += 1).await?;
    }
    Ok(Redirect::to("/"))
}

/// Counts from many tasks at once: none of the increments is lost.
async fn count_in_parallel(State(sessions): State<Sessions>, jar: CookieJar) -> Result<Redirect, Failure> {
    if let Some(id) = id(&jar) {
        let mut tasks = JoinSet::new();
        for _ in 0..PARALLEL {
            let (sessions, id) = (sessions.clone(), id.clone());
            tasks.spawn(async move { sessions.modify(&id, |visit| visit.count += 1).await.map(|_| ()) });
        }
        tasks.join_all().await.into_iter().collect::<Result<(), Error>>()?;
    }
    Ok(Redirect::to("/"))
}

async fn sign_out(
    State(sessions): State<Sessions>,
    jar: CookieJar,
) -> Result<(CookieJar, Redirect), Failure> {
    if let Some(id) = id(&jar) {
        sessions.destroy(&id).await?;
    }
    Ok((jar.remove(Cookie::build(COOKIE).path("/")), Redirect::to("/")))
}

async fn sign_out_elsewhere(State(sessions): State<Sessions>, jar: CookieJar) -> Result<Redirect, Failure> {
    if let Some(session) = current(&sessions, &jar).await? {
        sessions.destroy_others(&session.data.user, session.id()).await?;
    }
    Ok(Redirect::to("/"))
}

async fn sign_out_everywhere(
    State(sessions): State<Sessions>,
    jar: CookieJar,
) -> Result<(CookieJar, Redirect), Failure> {
    if let Some(session) = current(&sessions, &jar).await? {
        sessions.destroy_principal(&session.data.user).await?;
    }
    Ok((jar.remove(Cookie::build(COOKIE).path("/")), Redirect::to("/")))
}

/// The id in the cookie. One that cannot be an id is as good as none.
fn id(jar: &CookieJar) -> Option<SessionId> {
    SessionId::new(jar.get(COOKIE)?.value()).ok()
}

async fn current(sessions: &Sessions, jar: &CookieJar) -> Result<Option<Session<Visit>>, Failure> {
    match id(jar) {
        Some(id) => Ok(sessions.load(&id).await?),
        None => Ok(None),
    }
}

async fn devices(sessions: &Sessions, here: &Session<Visit>) -> Result<Vec<Device>, Failure> {
    let page = NonZeroU32::MIN.saturating_add(99);
    let here_key = sessions.key(here.id())?;
    let now = Timestamp::from(SystemTime::now());
    let mut devices = Vec::new();
    let mut after = None;
    loop {
        let listed = sessions.list(Some(&here.data.user), after.as_ref(), page).await?;
        let Some(last) = listed.last() else { break };
        after = Some(last.key.clone());
        for entry in listed {
            // A session that cannot be read is not shown; signing out everywhere ends it all the same.
            let Ok(session) = entry.session else { continue };
            devices.push(Device {
                is_here: entry.key == here_key,
                browser: session.data.browser,
                created: session.meta.created_at.map(|created_at| now.saturating_since(created_at)),
                seen: now.saturating_since(session.meta.expires_at.saturating_sub(TIME_TO_LIVE)),
                expires: session.meta.expires_at.saturating_since(now),
            });
        }
    }
    devices.sort_by_key(|device| (!device.is_here, device.seen));
    Ok(devices)
}

/// The browser's and the system's names, as far as its `User-Agent` gives them away.
fn browser(agent: &str) -> String {
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = find(&[
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = find(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}

/// An error of the store, as a page. The details go to the log, not to the visitor.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("demo: {}", crate::in_full(&self.0));
        let status = if self.0.is_transient() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, Html(page::failure().into_string())).into_response()
    }
}
