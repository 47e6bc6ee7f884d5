//! The database is away, or holds what cannot be read.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use session_store::contract::Update;
use session_store::web::{SessionLayer, WhileAway};
use session_store::{ErrorKind, Event, SessionId, Unreadable, Updated};

use crate::stores;
use crate::support::{Site, Visitor, on_every_store, plain};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_nobody_is_signed_out() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        let cookies = visitor.cookies();
        site.tap.turn_off(true);
        for path in ["/", "/count", "/sign-in/ben", "/sign-out", "/sign-out-everywhere", "/devices"] {
            let answer = visitor.visit(path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!((answer.header(RETRY_AFTER), answer.set_cookie()), (vec!["5"], vec![]), "{path}");
            assert_eq!(answer.header(CACHE_CONTROL), ["no-store"]);
            assert!(!answer.text.contains("connection"), "{}", answer.text);
        }
        // What needs no session goes on, also for somebody who has none.
        assert_eq!(visitor.see("/static").await, "the same for everybody");
        assert_eq!(site.visitor().see("/").await, "nobody");
        assert_eq!(visitor.cookies(), cookies);
        site.tap.turn_off(false);
        back(&mut visitor).await;
        assert_eq!(visitor.see("/").await, "ann");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_takes_visitors_for_nobody_meanwhile() {
    for opened in stores::all().await {
        let site = Site::serve(&opened, plain, |sessions, router| {
            let builder = SessionLayer::builder(sessions).while_away(WhileAway::Nobody);
            router.layer(builder.build().unwrap())
        });
        let site = site.await;
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        site.tap.turn_off(true);
        let answer = visitor.visit("/").await;
        assert_eq!(
            (answer.status, answer.text.as_str(), answer.set_cookie()),
            (StatusCode::OK, "nobody", vec![])
        );
        for path in ["/count", "/sign-in/ben", "/sign-out"] {
            let answer = visitor.visit(path).await;
            assert_eq!(
                (answer.status, answer.set_cookie()),
                (StatusCode::SERVICE_UNAVAILABLE, vec![]),
                "{path}"
            );
        }
        site.tap.turn_off(false);
        let until = Instant::now() + Duration::from_secs(20);
        while visitor.see("/").await != "ann" {
            assert!(Instant::now() < until, "not back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_harms_nobody() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        site.clock.advance(crate::support::DAY / 2);
        let late = visitor.clone();
        let late = tokio::spawn(async move { late.ask("/slow-count").await });
        site.gates.arrived().await;
        site.tap.turn_off(true);
        site.gates.open();
        // It was counted. Whether the session is still there cannot be seen, so the cookie stays as it is.
        let answer = late.await.unwrap();
        assert_eq!((answer.status, answer.text.as_str(), answer.set_cookie()), (StatusCode::OK, "1", vec![]));
        site.tap.turn_off(false);
        back(&mut visitor).await;
        assert_eq!(visitor.see("/count").await, "2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_cannot_be_read_are_no_session_and_are_replaced() {
    for unreadable in [Unreadable::Error, Unreadable::NoSession] {
        for path in ["/sign-in/ann", "/count"] {
            for opened in stores::all().await {
                let errors: Arc<Mutex<Vec<ErrorKind>>> = Arc::default();
                let heard = Arc::clone(&errors);
                let observer = move |event: &Event<'_>| {
                    if let Event::Error { error } = event {
                        heard.lock().unwrap().push(error.kind());
                    }
                };
                let site =
                    Site::open(&opened, |builder| builder.unreadable(unreadable).observer(observer)).await;
                let mut visitor = site.visitor();
                visitor.see("/count").await;
                let old = visitor.cookies();
                spoil(&site, &old).await;

                let answer = visitor.visit("/").await;
                assert_eq!((answer.text.as_str(), answer.set_cookie()), ("nobody", vec![]));
                assert_eq!(*errors.lock().unwrap(), [ErrorKind::Corrupt]);
                visitor.see(path).await;
                assert_ne!(visitor.cookies(), old);
                assert_eq!(visitor.see("/count").await, if path == "/count" { "2" } else { "1" });
                assert_eq!(site.live().await, 1, "the old one is dead");
            }
        }
    }
}

/// The server itself goes away: connections break, and no new one comes to be.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_signs_nobody_out() {
    use session_store::{PostgresStore, TableName};
    let Some((relay, url)) = Relay::before_postgres().await else {
        stores::not_run("a Postgres that stops, as SESSION_STORE_POSTGRES_URL is not set, or names no port");
        return;
    };
    let table = TableName::new("session_store_test_stopped").unwrap();
    let store = PostgresStore::builder().url(url).table(table).build().unwrap();
    store.create_table().await.unwrap();
    let opened = stores::Opened::new("postgres behind a relay", Arc::new(store));
    let site = Site::open(&opened, plain).await;
    let mut visitor = site.visitor();
    visitor.see("/sign-in/ann").await;
    let cookies = visitor.cookies();
    relay.stop(true);
    for _ in 0..3 {
        for path in ["/", "/count", "/sign-out"] {
            let answer = visitor.visit(path).await;
            assert_eq!(
                (answer.status, answer.set_cookie()),
                (StatusCode::SERVICE_UNAVAILABLE, vec![]),
                "{path}"
            );
            assert_eq!(answer.header(RETRY_AFTER), ["5"]);
        }
    }
    relay.stop(false);
    back(&mut visitor).await;
    assert_eq!((visitor.see("/").await, visitor.cookies()), ("ann".to_owned(), cookies));
}

/// Stands between the program and a server.
#[cfg(feature = "postgres")]
struct Relay(tokio::sync::watch::Sender<bool>);

#[cfg(feature = "postgres")]
impl Relay {
    /// Before the server that the environment names, and the URL by which it is reached through here.
    async fn before_postgres() -> Option<(Relay, String)> {
        let url = std::env::var("SESSION_STORE_POSTGRES_URL").ok()?;
        let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
        let server = authority.rsplit('@').next()?.to_owned();
        server.rsplit_once(':')?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url.replacen(&server, &listener.local_addr().unwrap().to_string(), 1);
        let (sender, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut stopped) = (server.clone(), stopped.clone());
                tokio::spawn(async move {
                    if *stopped.borrow() {
                        return;
                    }
                    let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => {}
                    }
                });
            }
        });
        Some((Relay(sender), url))
    }

    fn stop(&self, is_stopped: bool) {
        self.0.send(is_stopped).unwrap();
    }
}

/// Puts text into the session's row that is no `Visit`.
async fn spoil(site: &Site, cookies: &str) {
    let id = SessionId::new(cookies.split_once('=').unwrap().1).unwrap();
    let update = Update {
        key: site.sessions.key(&id).unwrap(),
        payload: "[\"of another release\"]".into(),
        expires_at: None,
        principal: None,
        expected: None,
    };
    let now = site.sessions.now().await.unwrap();
    assert!(matches!(site.tap.store().update(&update, now).await.unwrap(), Updated::Saved(_)));
}

/// Waits until the store has found out that the database is back.
async fn back(visitor: &mut Visitor) {
    let until = Instant::now() + Duration::from_secs(20);
    while visitor.visit("/").await.status != StatusCode::OK {
        assert!(Instant::now() < until, "not back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
