//! The application under test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use session_store::web::{self, Session};
use tower_http::catch_panic::CatchPanicLayer;

use super::Gates;

/// What a session holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) user: Option<String>,
    pub(crate) remember: bool,
    pub(crate) count: u64,
    pub(crate) parts: BTreeMap<String, u64>,
}

pub(crate) fn router(gates: Gates) -> Router {
    Router::new()
        .route("/", get(read))
        .route("/static", get(|| async { "the same for everybody" }))
        .route("/read-twice", get(read_twice))
        .route("/count", get(count))
        .route("/read-and-count", get(read_and_count))
        .route("/part/{name}", get(part))
        .route("/count-at-once", get(count_at_once))
        .route("/forgets-a-change", get(forgets_a_change))
        .route("/sign-in/{name}", get(sign_in))
        .route("/remember/{remember}", get(remember))
        .route("/sign-out", get(sign_out))
        .route("/sign-out-elsewhere", get(sign_out_elsewhere))
        .route("/sign-out-everywhere", get(sign_out_everywhere))
        .route("/sign-out-device/{token}", get(sign_out_device))
        .route("/devices", get(devices))
        .route("/fails", get(fails))
        .route("/panics", get(panics))
        .route("/streams", get(streams))
        .route("/signs-in-too-late", get(signs_in_too_late))
        .route("/socket", get(socket))
        .route("/slow-count", get(slow_count))
        .route("/slow-read", get(slow_read))
        .route("/counts-later", get(counts_later))
        .route("/never-answers", get(never_answers))
        .route("/headers", get(headers))
        .route("/wants-a-number/{number}", get(wants_a_number).layer(middleware::from_fn(counting)))
        .with_state(gates)
        .layer(CatchPanicLayer::new())
}

async fn read(session: Session<Visit>) -> web::Result<String> {
    Ok(session.get().await?.and_then(|visit| visit.user).unwrap_or_else(|| "nobody".to_owned()))
}

async fn read_twice(session: Session<Visit>) -> web::Result<String> {
    let other = session.clone();
    session.get().await?;
    session.info().await?;
    read(other).await
}

async fn count(session: Session<Visit>) -> web::Result<String> {
    let count = session.modify(|visit| {
        visit.count += 1;
        visit.count
    });
    Ok(count.await?.to_string())
}

async fn read_and_count(session: Session<Visit>) -> web::Result<String> {
    session.get().await?;
    count(session).await
}

/// Eight clones of the session read and count at once.
async fn count_at_once(session: Session<Visit>) -> web::Result<String> {
    let counts = (0..8).map(|_| read_and_count(session.clone()));
    futures_util::future::try_join_all(counts).await?;
    Ok(session.get().await?.unwrap_or_default().count.to_string())
}

/// Begins a change, and makes another while that is polled no more.
async fn forgets_a_change(session: Session<Visit>) -> web::Result<String> {
    session.get().await?;
    let mut forgotten = Box::pin(count(session.clone()));
    tokio::select! {
        biased;
        _ = &mut forgotten => {}
        () = std::future::ready(()) => {}
    }
    count(session).await
}

async fn part(session: Session<Visit>, Path(name): Path<String>) -> web::Result<()> {
    session.modify(|visit| *visit.parts.entry(name.clone()).or_default() += 1).await
}

async fn sign_in(session: Session<Visit>, Path(name): Path<String>) -> web::Result<()> {
    session.sign_in(|visit| visit.user = Some(name.clone())).await
}

async fn remember(session: Session<Visit>, Path(remember): Path<bool>) -> web::Result<()> {
    session.modify(|visit| visit.remember = remember).await
}

async fn sign_out(session: Session<Visit>) -> web::Result<String> {
    Ok(session.sign_out().await?.to_string())
}

async fn sign_out_elsewhere(session: Session<Visit>) -> web::Result<String> {
    Ok(session.sign_out_elsewhere().await?.to_string())
}

async fn sign_out_everywhere(session: Session<Visit>) -> web::Result<String> {
    Ok(session.sign_out_everywhere().await?.to_string())
}

async fn sign_out_device(session: Session<Visit>, Path(token): Path<String>) -> web::Result<String> {
    Ok(session.sign_out_device(&token).await?.to_string())
}

/// A line for each: whether it is here, its token, its count.
async fn devices(session: Session<Visit>) -> web::Result<String> {
    let devices = session.devices().await?;
    let line = |device: &web::Device<Visit>| {
        format!("{} {} {}\n", device.is_here(), device.token(), device.data().count)
    };
    Ok(devices.iter().map(line).collect())
}

async fn fails(session: Session<Visit>) -> web::Result<StatusCode> {
    count(session).await?;
    Ok(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn panics(session: Session<Visit>) -> web::Result<()> {
    count(session).await?;
    panic!("the handler is broken");
}

/// Counts with each of three chunks, some time after the answer has begun, and sends the counts.
async fn streams(session: Session<Visit>) -> Response {
    let chunks = stream::unfold((session, 3), |(session, left)| async move {
        if left == 0 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let chunk = count(session.clone()).await.unwrap_or_else(|error| error.to_string());
        Some((Ok::<_, Infallible>(format!("{chunk}\n")), (session, left - 1)))
    });
    Response::new(Body::from_stream(chunks))
}

/// Tries to sign in while the body streams.
async fn signs_in_too_late(session: Session<Visit>) -> Response {
    let chunk = stream::once(async move {
        let outcome = session.sign_in(|visit| visit.user = Some("late".to_owned())).await;
        Ok::<_, Infallible>(outcome.map_or_else(|error| error.to_string(), |()| "signed in".to_owned()))
    });
    Response::new(Body::from_stream(chunk))
}

/// Answers `count` with the new count, `read` with the count that is stored, and `begin` with what comes of it.
async fn socket(session: Session<Visit>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| talk(socket, session)).into_response()
}

async fn talk(mut socket: WebSocket, session: Session<Visit>) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let answer = match text.as_str() {
            "count" => count(session.clone()).await,
            "read" => session.reload().await.map(|visit| visit.unwrap_or_default().count.to_string()),
            "renew" => session.renew().await.map(|renewed| renewed.to_string()),
            other => panic!("{other}"),
        };
        let answer = answer.unwrap_or_else(|error| error.to_string());
        if socket.send(Message::Text(answer.into())).await.is_err() {
            return;
        }
    }
}

/// Counts, and answers when it is let.
async fn slow_count(State(gates): State<Gates>, session: Session<Visit>) -> web::Result<String> {
    let count = count(session).await?;
    gates.pass().await;
    Ok(count)
}

/// Reads, and counts and answers when it is let.
async fn slow_read(State(gates): State<Gates>, session: Session<Visit>) -> web::Result<String> {
    session.get().await?;
    gates.pass().await;
    count(session).await
}

/// Answers at once, and counts in a task of its own when it is let.
async fn counts_later(State(gates): State<Gates>, session: Session<Visit>) {
    tokio::spawn(async move {
        gates.pass().await;
        _ = count(session).await;
        gates.arrive();
    });
}

/// As that, but the browser gets no answer until it goes.
async fn never_answers(State(gates): State<Gates>, session: Session<Visit>) {
    struct Gone(Gates);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.arrive();
        }
    }
    counts_later(State(gates.clone()), session).await;
    let _gone = Gone(gates);
    std::future::pending().await
}

/// Counts, and sets headers of its own that the layer sets, too.
async fn headers(session: Session<Visit>) -> web::Result<Response> {
    count(session).await?;
    let mut response = Response::new(Body::from("counted"));
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, HeaderValue::from_static("theme=dark; Path=/"));
    headers.append(SET_COOKIE, HeaderValue::from_static("lang=en; Path=/"));
    headers.append(VARY, HeaderValue::from_static("Accept-Language"));
    headers.append(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    Ok(response)
}

async fn wants_a_number(Path(number): Path<u64>) -> String {
    number.to_string()
}

/// Counts before the handler, whose extractors may refuse the request.
async fn counting(session: Session<Visit>, request: Request, next: Next) -> web::Result<Response> {
    count(session).await?;
    Ok(next.run(request).await)
}
