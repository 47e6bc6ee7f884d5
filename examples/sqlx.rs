//! An application that keeps its users with sqlx in SQLite, and its sessions in the same file, over the same pool: whoever
//! signs up has an account and a session, or neither.
//!
//! ```console
//! $ cargo run --example sqlx --features axum,sqlx-sqlite -- sqlite:shop.db
//! $ curl -c jar -b jar -X POST http://127.0.0.1:3000/sign-up/ann
//! $ curl -b jar http://127.0.0.1:3000/
//! ```
//!
//! A second argument is the address to listen on.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header::SET_COOKIE};
use axum::response::IntoResponse;
use axum::{Router, routing::get, routing::post};
use session_store::session_sqlx::{SqliteStore, sqlx};
use session_store::web::{Session, SessionLayer};
use session_store::{Sessions, web};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Visit {
    user: Option<String>,
}

#[derive(Clone)]
struct App {
    pool: sqlx::SqlitePool,
    store: SqliteStore,
    sessions: Sessions<Visit>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn home(session: Session<Visit>, State(app): State<App>) -> Result<String, web::Error> {
    let user = session.get().await?.and_then(|visit| visit.user);
    let users = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM users").fetch_one(&app.pool).await;
    Ok(format!("{}, one of {}\n", user.as_deref().unwrap_or("nobody"), users.unwrap_or_default()))
}

/// The user's row and the session, or neither.
async fn sign_up(State(app): State<App>, Path(name): Path<String>) -> impl IntoResponse {
    let signed_up: Result<_, Failure> = async {
        let transaction = app.store.begin(app.pool.acquire().await?).await?;
        let visit = Visit { user: Some(name.clone()) };
        let new = app.sessions.over(transaction.store())?.create(&visit).await?;
        sqlx::query("INSERT INTO users (name) VALUES (?)")
            .bind(&name)
            .execute(&mut *transaction.connection().await?)
            .await?;
        transaction.commit().await?;
        Ok(new.id)
    }
    .await;
    match signed_up {
        Ok(id) => {
            let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax", id.expose());
            (StatusCode::OK, [(SET_COOKIE, cookie)]).into_response()
        }
        // The name is taken.
        Err(_) => StatusCode::CONFLICT.into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).unwrap_or("sqlite:shop.db".to_owned());
    let address = std::env::args().nth(2).unwrap_or("127.0.0.1:3000".to_owned());
    let options: SqliteConnectOptions = url.parse()?;
    let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().test_before_acquire(false).connect_with(options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY)").execute(&pool).await?;
    let store = SqliteStore::builder().pool(pool.clone()).connect().await?;
    store.create_table().await?;
    let sessions = Sessions::builder(store.clone()).principal(|visit: &Visit| visit.user.clone()).build()?;
    let layer = SessionLayer::builder(sessions.clone()).insecure_for_development().build()?; // http, not https
    let app = Router::new().route("/", get(home)).route("/sign-up/{name}", post(sign_up)).layer(layer);
    let app = app.with_state(App { pool, store, sessions });
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
