//! The application: what its sessions hold, and its routes. No line of it knows a cookie: the layer does.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Form, Json, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use session_store::web::{self, SessionLayer};
use session_store::{Error, Sessions, TimeToLive, Timestamp};

use crate::page::{self, Device, Home};

const TIME_TO_LIVE: Duration = Duration::from_secs(7 * 86_400);

/// What a session holds.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Visit {
    user: Option<String>,
    browser: String,
    /// What each of two tabs counted.
    tabs: [u64; 2],
}

type Session = web::Session<Visit>;

/// Opens the store and makes its table if there is none.
pub(crate) async fn open(database: &str) -> Result<Sessions<Visit>, Error> {
    let store = session_store::open(database).await?;
    let sessions = Sessions::builder(store)
        .time_to_live(TimeToLive::fixed(TIME_TO_LIVE)?)
        .principal(|visit: &Visit| visit.user.clone())
        .cleanup_limit(10)
        .build()?;
    sessions.connect().await?;
    Ok(sessions)
}

pub(crate) fn router(sessions: Sessions<Visit>) -> Result<Router, Error> {
    let backend = sessions.backend().backend();
    // The demo runs on http://127.0.0.1. An application behind https leaves this option out.
    let layer = SessionLayer::builder(sessions).insecure_for_development().build()?;
    Ok(Router::new()
        .route("/", get(home))
        .route("/state", get(state))
        .route("/count", post(count))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/sign-out-device", post(sign_out_device))
        .route("/sign-out-elsewhere", post(sign_out_elsewhere))
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .with_state(backend)
        .layer(layer))
}

/// Which of the two tabs it is: the first one, unless its address says `?tab=2`.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Tab {
    tab: u8,
}

impl Tab {
    fn index(self) -> usize {
        usize::from(self.tab == 2)
    }

    /// The page in this tab again.
    fn page(self) -> Redirect {
        Redirect::to(if self.index() == 1 { "/?tab=2" } else { "/" })
    }
}

async fn home(
    session: Session,
    Query(tab): Query<Tab>,
    State(backend): State<&'static str>,
) -> Result<Html<String>, Failure> {
    let visit = session.get().await?.unwrap_or_default();
    let devices = if visit.user.is_some() { devices(&session).await? } else { Vec::new() };
    let home = Home { user: visit.user.as_deref(), tabs: visit.tabs, tab: tab.index(), devices, backend };
    Ok(Html(page::home(&home).into_string()))
}

/// What each tab counted, for a page that shows it without being loaded again.
async fn state(session: Session) -> Result<Json<[u64; 2]>, Failure> {
    Ok(Json(session.get().await?.unwrap_or_default().tabs))
}

/// Counts in one tab's part of the session. However many requests of both tabs cross, none is lost.
async fn count(session: Session, Form(tab): Form<Tab>) -> Result<Redirect, Failure> {
    session.modify(|visit| visit.tabs[tab.index()] += 1).await?;
    Ok(tab.page())
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
}

/// What the visitor counted stays, and the id changes in the same step. Requests that are under way with the old id
/// sign nobody out.
async fn sign_in(
    session: Session,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, Failure> {
    let user = form.name.trim();
    if user.is_empty() || user.chars().count() > 40 {
        return Ok((StatusCode::BAD_REQUEST, "please give a name of 1 to 40 letters").into_response());
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let browser = browser(agent);
    let sign_in = session.sign_in(|visit| {
        visit.user = Some(user.to_owned());
        visit.browser.clone_from(&browser);
    });
    sign_in.await?;
    Ok(Redirect::to("/").into_response())
}

async fn sign_out(session: Session) -> Result<Redirect, Failure> {
    session.sign_out().await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct SignOutDevice {
    token: String,
}

async fn sign_out_device(session: Session, Form(form): Form<SignOutDevice>) -> Result<Redirect, Failure> {
    session.sign_out_device(&form.token).await?;
    Ok(Redirect::to("/"))
}

async fn sign_out_elsewhere(session: Session) -> Result<Redirect, Failure> {
    session.sign_out_elsewhere().await?;
    Ok(Redirect::to("/"))
}

async fn sign_out_everywhere(session: Session) -> Result<Redirect, Failure> {
    session.sign_out_everywhere().await?;
    Ok(Redirect::to("/"))
}

async fn devices(session: &Session) -> Result<Vec<Device>, Failure> {
    let now = Timestamp::from(SystemTime::now());
    let devices = session.devices().await?;
    let show = |device: &web::Device<Visit>| Device {
        token: device.token(),
        is_here: device.is_here(),
        browser: device.data().browser.clone(),
        created: device.info().created_at.map(|created_at| now.saturating_since(created_at)),
        expires: device.info().expires_at.saturating_since(now),
    };
    Ok(devices.iter().map(show).collect())
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

/// An error of the session, as a page. The details go to the log, not to the visitor.
struct Failure(web::Error);

impl From<web::Error> for Failure {
    fn from(error: web::Error) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    /// The layer's own answer, status and `Retry-After` included, with a page for its body.
    fn into_response(self) -> Response {
        let (mut head, _) = self.0.response::<axum::body::Body>().into_parts();
        if head.status.is_server_error() {
            eprintln!("demo: {}", crate::in_full(&self.0));
        }
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let is_over = matches!(self.0, web::Error::Ended);
        Response::from_parts(head, page::failure(is_over).into_string().into())
    }
}
