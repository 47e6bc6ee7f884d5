//! Signing in with axum-login, its sessions in any database of ours, and every device of a user signed out at once.
//!
//! ```console
//! $ cargo run --example axum_login --features tower-sessions-0-14,sqlite-bundled -- sqlite:sessions.db
//! $ curl -c jar -d 'name=ann&password=correct horse' http://127.0.0.1:3000/sign-in
//! $ curl -b jar http://127.0.0.1:3000/devices
//! $ curl -b jar -X POST http://127.0.0.1:3000/sign-out-everywhere
//! ```
//!
//! Without an argument the sessions are in memory; a second one is the address to listen on.

#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "the tests include it")]

use std::convert::Infallible;
use std::num::NonZeroU32;

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_login::tower_sessions::cookie::time::Duration;
use axum_login::tower_sessions::{Expiry, SessionManagerLayer};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend};
use serde::Deserialize;
use session_store::tower_sessions::{TowerStore, axum_login_user};

/// Whoever knows the password of the only user.
#[derive(Clone)]
pub struct Users;

#[derive(Clone, Debug)]
pub struct User {
    name: String,
    password: String,
}

#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    /// A session ends when this changes. An application has a hash of the password here.
    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, given: Credentials) -> Result<Option<User>, Infallible> {
        let user = self.get_user(&given.name).await?;
        Ok(user.filter(|user| user.password == given.password))
    }

    async fn get_user(&self, name: &String) -> Result<Option<User>, Infallible> {
        let password = "correct horse".to_owned();
        Ok(["ann", "bob"].contains(&name.as_str()).then(|| User { name: name.clone(), password }))
    }
}

type Auth = axum_login::AuthSession<Users>;

/// The application, over sessions in a store.
pub fn router(sessions: TowerStore) -> Router {
    let layer = SessionManagerLayer::new(sessions.clone())
        .with_secure(false) // for http://localhost
        .with_expiry(Expiry::OnInactivity(Duration::days(7)));
    Router::new()
        .route("/", get(async |auth: Auth| auth.user.map_or("nobody".to_owned(), |user| user.name)))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(async |mut auth: Auth| auth.logout().await.map(drop).map_err(failed)))
        .route("/devices", get(devices))
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .with_state(sessions)
        .layer(AuthManagerLayerBuilder::new(Users, layer).build())
}

async fn sign_in(mut auth: Auth, Form(given): Form<Credentials>) -> Result<(), StatusCode> {
    let user = auth.authenticate(given).await.map_err(failed)?.ok_or(StatusCode::UNAUTHORIZED)?;
    auth.login(&user).await.map_err(failed)
}

/// When each session of the user ends, in milliseconds since 1970.
async fn devices(State(store): State<TowerStore>, auth: Auth) -> Result<Json<Vec<i64>>, StatusCode> {
    let user = auth.user.ok_or(StatusCode::UNAUTHORIZED)?;
    let page = store.sessions().list(Some(&user.name), None, NonZeroU32::MIN.saturating_add(99));
    let sessions = page.await.map_err(failed)?.into_iter().filter_map(|listed| listed.session.ok());
    Ok(Json(sessions.map(|session| session.info.expires_at.as_millis()).collect()))
}

async fn sign_out_everywhere(State(store): State<TowerStore>, auth: Auth) -> Result<String, StatusCode> {
    let user = auth.user.ok_or(StatusCode::UNAUTHORIZED)?;
    let ended = store.sessions().destroy_principal(&user.name).await.map_err(failed)?;
    Ok(format!("{ended} sessions ended"))
}

fn failed(error: impl std::fmt::Display) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// A store whose sessions belong to whom axum-login has signed in.
pub async fn store(url: &str) -> session_store::Result<TowerStore> {
    let database = session_store::open(url).await?;
    Ok(TowerStore::from(TowerStore::builder(database).principal(axum_login_user).build()?))
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests use the router alone")]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router(store(&url).await?)).await?;
    Ok(())
}
