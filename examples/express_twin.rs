//! The twin of `interop/app.js`: the same routes over the same table of sessions, in Rust. A browser that signed in on
//! one is signed in on the other.
//!
//! Usage: `DATABASE_URL=… express_twin PORT LAYOUT [--create-table]`. LAYOUT is `connect-typeorm` or
//! `connect-mssql-v2`. The URL is `sqlite:PATH`, `postgres://…`, `mysql://…`, or an ADO.NET connection string. It prints
//! `listening on 127.0.0.1:PORT` when it takes requests; port 0 takes a free one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use session_store::express::{Cookie, ExpressLayer, ExpressSession, RequestSession, SameSite, Secrets};
use session_store::session_mssql::ConnectMssqlV2;

use session_store::contract::Store;
use session_store::{ConnectTypeorm, MssqlStore, MysqlStore, PostgresStore, SqliteStore};

const SECRET: &str = "keyboard cat";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, layout, flags @ ..] = arguments.as_slice() else {
        return Err("usage: DATABASE_URL=... express_twin PORT LAYOUT [--create-table]".into());
    };
    let url = std::env::var("DATABASE_URL")?;
    let table = open(&url, layout, flags.iter().any(|flag| flag == "--create-table")).await?;
    let sessions = ExpressSession::store(table).cleanup_limit(2).build()?;
    let cookie = Cookie::default().with_max_age(Some(HOUR)).with_same_site(SameSite::Lax);
    let layer = ExpressLayer::new(sessions, Secrets::new([SECRET])?).with_cookie(cookie)?;

    let app = Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/count", post(count))
        .route("/logout", post(logout))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// The table that the Node store uses.
async fn open(url: &str, layout: &str, create_table: bool) -> session_store::Result<Arc<dyn Store>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match (layout, scheme) {
        ("connect-typeorm", "sqlite") => {
            let store =
                SqliteStore::builder().url(url).connect_typeorm(ConnectTypeorm::new()).connect().await?;
            if create_table {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
        ("connect-typeorm", "postgres") => {
            let store =
                PostgresStore::builder().url(url).connect_typeorm(ConnectTypeorm::new()).connect().await?;
            if create_table {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
        ("connect-typeorm", "mysql") => {
            let store =
                MysqlStore::builder().url(url).connect_typeorm(ConnectTypeorm::new()).connect().await?;
            if create_table {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
        // An ADO.NET connection string is no URL.
        ("connect-typeorm", _) if url.contains(';') => {
            let store =
                MssqlStore::builder().url(url).connect_typeorm(ConnectTypeorm::new()).connect().await?;
            if create_table {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
        ("connect-mssql-v2", _) => {
            let store =
                MssqlStore::builder().url(url).connect_mssql_v2(ConnectMssqlV2::new()).connect().await?;
            if create_table {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
        _ => Err(session_store::Error::invalid_input("no table of this layout in a database of this kind")),
    }
}

/// What both applications answer.
#[derive(Default, Serialize)]
struct State {
    user: Option<String>,
    count: u64,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    note: Option<String>,
}

async fn login(
    Extension(session): Extension<RequestSession>,
    Query(login): Query<Login>,
) -> Result<Json<State>, Failure> {
    session.destroy().await?;
    let members = session.write(|data| {
        data.insert("user", &login.user)?;
        data.insert("count", &0)?;
        data.insert("note", &login.note)
    });
    members.await??;
    me(Extension(session)).await
}

async fn me(Extension(session): Extension<RequestSession>) -> Result<Json<State>, Failure> {
    Ok(Json(State {
        user: session.get("user").await?,
        count: session.get("count").await?.unwrap_or_default(),
        note: session.get("note").await?.flatten(),
    }))
}

async fn count(Extension(session): Extension<RequestSession>) -> Result<Response, Failure> {
    let state = me(Extension(session.clone())).await?;
    if state.user.is_none() {
        return Ok((StatusCode::UNAUTHORIZED, state).into_response());
    }
    session.insert("count", &(state.count + 1)).await?;
    me(Extension(session)).await.map(IntoResponse::into_response)
}

async fn logout(Extension(session): Extension<RequestSession>) -> Result<Json<State>, Failure> {
    session.destroy().await?;
    Ok(Json(State::default()))
}

/// A session that could not be read is no reason to take somebody for signed out.
struct Failure(session_store::web::Error);

impl<E: Into<session_store::web::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("{}", self.0);
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
