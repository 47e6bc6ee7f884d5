//! What a handler changed is kept, whatever it does then.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use axum::http::StatusCode;
use axum::http::header::COOKIE;
use session_store::web::Error;

use crate::support::{Site, Visitor, on_every_store, plain};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_kept_when_the_handler_answers_500_or_panics() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        for (path, then) in [("/fails", "3"), ("/panics", "5")] {
            let answer = visitor.visit(path).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(visitor.see("/count").await, then, "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_even_if_the_handler_answers_500_or_panics() {
    on_every_store(plain, async |site: Site| {
        for path in ["/fails", "/panics"] {
            let mut visitor = site.visitor();
            assert_eq!(visitor.visit(path).await.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(visitor.see("/count").await, "2", "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_kept_while_the_body_streams() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        assert_eq!(visitor.see("/streams").await, "2\n3\n4\n");
        assert_eq!(visitor.see("/count").await, "5");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cannot_be_begun_when_the_answer_has_gone_out() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let too_late = Error::TooLate.to_string();
        assert_eq!(visitor.see("/streams").await, format!("{too_late}\n").repeat(3));
        assert_eq!(visitor.see("/signs-in-too-late").await, too_late);
        assert_eq!((visitor.cookies(), site.live().await), (String::new(), 0));

        // Nor can one get another id.
        visitor.see("/count").await;
        assert_eq!(visitor.see("/signs-in-too-late").await, too_late);
        assert_eq!(visitor.see("/").await, "nobody");
        assert_eq!((visitor.see("/count").await.as_str(), site.live().await), ("2", 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_changes_the_session_and_sees_what_others_change() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        let mut socket = Socket::connect(&site, &visitor).await;
        assert_eq!(socket.say("count").await, "2");
        assert_eq!(visitor.see("/count").await, "3");
        assert_eq!(socket.say("read").await, "3");
        assert_eq!(socket.say("count").await, "4");
        assert_eq!(socket.say("renew").await, "true");
        assert_eq!(visitor.see("/count").await, "5");

        // Signed out elsewhere: logout wins.
        visitor.see("/sign-out").await;
        assert_eq!(socket.say("count").await, Error::Ended.to_string());
        assert_eq!((socket.say("read").await.as_str(), socket.say("renew").await.as_str()), ("0", "false"));
        assert_eq!(site.live().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_of_somebody_without_a_session_cannot_begin_one() {
    on_every_store(plain, async |site: Site| {
        let mut socket = Socket::connect(&site, &site.visitor()).await;
        assert_eq!(socket.say("count").await, Error::TooLate.to_string());
        assert_eq!((socket.say("read").await, site.live().await), ("0".to_owned(), 0));
    })
    .await;
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn connect(site: &Site, visitor: &Visitor) -> Socket {
        let mut request = format!("ws://{}/socket", site.address).into_client_request().unwrap();
        if let Some(cookies) = visitor.browser.header() {
            request.headers_mut().insert(COOKIE, cookies);
        }
        Socket(connect_async(request).await.unwrap().0)
    }

    async fn say(&mut self, text: &str) -> String {
        self.0.send(Message::text(text)).await.unwrap();
        self.0.next().await.unwrap().unwrap().into_text().unwrap().to_string()
    }
}
