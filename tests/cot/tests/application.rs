//! cot's session middleware forwards `save`, `load` and `delete` of a store alone: with the option for that, sessions are made,
//! kept over a restart and ended; without it, nothing seems to work that does not.

use std::path::PathBuf;

use cot::Body;
use cot::http::header::{COOKIE, SET_COOKIE};
use cot::http::{Request, StatusCode};
use cot::test::Client;
use cot_application::Shop;
use session_store::SessionId;
use session_store::tower_sessions::{TowerStore, field};

/// A database file, which goes with its guard.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        File(std::env::temp_dir().join(format!("session-store-cot-{name}-{}.db", std::process::id())))
    }

    /// The store, as each start of the application opens it.
    async fn open(&self) -> TowerStore {
        let store = session_store::open(&format!("sqlite:{}", self.0.display())).await.unwrap();
        TowerStore::from(TowerStore::builder(store).principal(field("user")).build().unwrap())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// A browser with one cookie, which outlives the application.
#[derive(Default)]
struct Browser {
    cookie: String,
}

impl Browser {
    async fn visit(&mut self, shop: &mut Client, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header(COOKIE, &self.cookie).body(Body::empty()).unwrap();
        let answer = shop.request(request).await.unwrap();
        if let Some(set) = answer.headers().get(SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        let status = answer.status();
        let text = answer.into_body().into_bytes().await.unwrap();
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    async fn see(&mut self, shop: &mut Client, path: &str) -> String {
        let (status, text) = self.visit(shop, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        text
    }

    fn id(&self) -> SessionId {
        SessionId::new(self.cookie.split_once('=').unwrap().1.to_owned()).unwrap()
    }
}

#[tokio::test]
async fn sessions_are_made_kept_over_a_restart_and_ended() {
    let file = File::new("kept");
    let store = file.open().await.creates_on_save(true);
    let mut shop = Client::new(Shop(store.clone())).await;
    let mut ann = Browser::default();
    assert_eq!(ann.see(&mut shop, "/").await, "nobody has []");
    assert_eq!((ann.cookie.as_str(), store.sessions().count(None).await.unwrap()), ("", 0));
    ann.see(&mut shop, "/add/apple").await;
    let guest = ann.id();
    ann.see(&mut shop, "/sign-in/ann").await;
    assert_ne!(ann.id(), guest);
    assert!(store.sessions().load(&guest).await.unwrap().is_none(), "the old id is worth nothing");
    ann.see(&mut shop, "/add/pear").await;
    assert_eq!(ann.see(&mut shop, "/").await, r#"ann has ["apple", "pear"]"#);
    assert_eq!(store.sessions().count(Some("ann")).await.unwrap(), 1);

    // Another start of the application, over the same table.
    drop((shop, store));
    let store = file.open().await.creates_on_save(true);
    let mut shop = Client::new(Shop(store.clone())).await;
    assert_eq!(ann.see(&mut shop, "/").await, r#"ann has ["apple", "pear"]"#);

    // Another process writes, and this one's next save keeps it.
    let id = ann.id();
    let elsewhere = store.sessions().modify(&id, |values| {
        values.values_mut().insert("elsewhere".to_owned(), true.into());
    });
    elsewhere.await.unwrap().unwrap();
    ann.see(&mut shop, "/add/plum").await;
    let data = store.sessions().load(&id).await.unwrap().unwrap().data;
    assert!(data.get("elsewhere").is_some() && data.get("things").unwrap().as_array().unwrap().len() == 3);

    ann.see(&mut shop, "/sign-out").await;
    let mut thief = Browser { cookie: format!("id={}", id.expose()) };
    assert_eq!(thief.see(&mut shop, "/").await, "nobody has []");
    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn everybody_is_signed_out_everywhere() {
    let file = File::new("everywhere");
    let store = file.open().await.creates_on_save(true);
    let mut shop = Client::new(Shop(store.clone())).await;
    let (mut laptop, mut phone) = (Browser::default(), Browser::default());
    for browser in [&mut laptop, &mut phone] {
        browser.see(&mut shop, "/sign-in/ann").await;
    }
    assert_eq!(store.sessions().destroy_principal("ann").await.unwrap(), 2);
    for browser in [&mut laptop, &mut phone] {
        assert_eq!(browser.see(&mut shop, "/").await, "nobody has []");
    }
}

#[tokio::test]
async fn without_the_option_a_new_session_is_an_error_and_no_silent_loss() {
    let file = File::new("strict");
    let store = file.open().await;
    let mut shop = Client::new(Shop(store.clone())).await;
    let mut browser = Browser::default();
    let (status, _) = browser.visit(&mut shop, "/add/apple").await;
    assert_eq!((status, browser.cookie.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, ""));
    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
}
