//! Strangers in the server's place, and servers that lie: an error that says so, in time, and never a panic.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_core::contract::Store;
use session_core::{Error, ErrorKind};
use session_diesel::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::stranger::Stranger;
use crate::support::trial;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("postgres::hostile::a_row_of_fewer_fields_than_columns", None, || async {
            let error = of(|stream| async move { short_row(stream).await }).await;
            assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Backend, false), "{error}");
        }),
        trial("postgres::hostile::scram_without_an_end", None, || async {
            let begin = Instant::now();
            let error = of(|stream| async move { endless_scram(stream).await }).await;
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
            assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }),
        trial("postgres::hostile::a_stranger_is_found_out", None, a_stranger_is_found_out),
        trial("postgres::hostile::an_error_of_the_login_in_another_language", None, || async {
            let error = of(|mut stream: TcpStream| async move {
                startup(&mut stream).await;
                let fields = "SFATAL\0C28P01\0MPasswort-Authentifizierung fehlgeschlagen\0\0";
                stream.write_all(&message(b'E', fields.as_bytes())).await.unwrap();
                stream
            })
            .await;
            assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("28P01")), "{error}");
        }),
    ]
}

async fn a_stranger_is_found_out() {
    let http = Stranger::answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    for (stranger, says) in [
        (http, "it speaks HTTP"),
        (http.that_stays(), "it speaks HTTP"),
        (Stranger::greeting(b"SSH-2.0-OpenSSH_9.2\r\n").that_stays(), "it speaks SSH"),
        (Stranger::answering(b"\x15\x03\x03\0\x02\x02\x46"), "it speaks TLS"),
        (Stranger::greeting(b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0").that_stays(), "it speaks MySQL's protocol"),
        // Four gigabytes, and one, of what a server might say.
        (Stranger::answering(b"R\xff\xff\xff\xff").that_stays(), "no PostgreSQL server"),
        (Stranger::answering(b"S\x40\0\0\0").that_stays(), "no PostgreSQL server"),
        (Stranger::answering(b"+PONG\r\n").that_stays(), "no PostgreSQL server"),
        (Stranger::answering(b""), "cannot be reached"),
        (Stranger::answering(b"").that_stays(), "no login within"),
    ] {
        let port = stranger.start().await;
        for mode in ["disable", "require"] {
            let url = format!("postgres://ann:hunter2@127.0.0.1:{port}/app?sslmode={mode}");
            let store =
                PostgresStore::builder().url(url).login_timeout(Duration::from_secs(2)).build().unwrap();
            let begin = Instant::now();
            let error = store.server_time().await.unwrap_err();
            assert!(begin.elapsed() < Duration::from_secs(4), "{stranger:?}: {:?}", begin.elapsed());
            assert!(!error.is_in_doubt(), "{stranger:?}: {error:?}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{stranger:?}: {error:?}");
            let is_server_s = stranger.says.starts_with(b"S") && mode == "require";
            assert!(shown.contains(says) || is_server_s, "{stranger:?} {mode}: {error:?}");
        }
    }
}

/// What the first call of a store says, whose every connection is answered so.
async fn of<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Error
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = serve(stream);
            tokio::spawn(async move {
                // The socket stays open: whoever waits for more waits for good.
                let _open = served.await;
                tokio::time::sleep(Duration::from_secs(30)).await;
            });
        }
    });
    let url = format!("postgres://ann:hunter2@127.0.0.1:{port}/app?sslmode=disable");
    let store = PostgresStore::builder().url(url).build().unwrap();
    let call = tokio::time::timeout(Duration::from_secs(20), store.server_time());
    call.await.expect("an answer in time").unwrap_err()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

/// Reads the client's first message, which has no tag.
async fn startup(stream: &mut TcpStream) {
    let length = stream.read_u32().await.unwrap();
    let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut rest).await.unwrap();
}

/// Reads one message of the client.
async fn next(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let tag = stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    stream.read_exact(&mut body).await.ok()?;
    Some((tag, body))
}

/// Logs in, answers the first simple query as a server does, and any row after that with no field of its one column.
async fn short_row(mut stream: TcpStream) -> TcpStream {
    const COLUMN: &[u8] = b"\0\x01number\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\x01";

    let ready = message(b'Z', b"I");
    startup(&mut stream).await;
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await.unwrap();
    while let Some((tag, _)) = next(&mut stream).await {
        let answer = match tag {
            b'Q' => {
                let proof = [message(b'T', COLUMN), message(b'D', b"\0\x01\0\0\0\x03off")];
                [proof.concat(), message(b'C', b"SHOW\0"), ready.clone()].concat()
            }
            b'P' => message(b'1', b""),
            b'D' => [message(b't', b"\0\0"), message(b'T', COLUMN)].concat(),
            b'B' => message(b'2', b""),
            b'E' => [message(b'D', b"\0\0"), message(b'C', b"SELECT 1\0")].concat(),
            b'S' => ready.clone(),
            _ => continue,
        };
        stream.write_all(&answer).await.unwrap();
    }
    stream
}

/// Asks for SCRAM with as many iterations as a number can say: minutes of the client's time for one login.
async fn endless_scram(mut stream: TcpStream) -> TcpStream {
    startup(&mut stream).await;
    let ask = [&[0, 0, 0, 10], b"SCRAM-SHA-256\0\0".as_slice()].concat();
    stream.write_all(&message(b'R', &ask)).await.unwrap();
    let Some((_, first)) = next(&mut stream).await else { return stream };
    let text = String::from_utf8_lossy(&first).into_owned();
    let nonce = text.rsplit_once("r=").unwrap().1;
    let go_on = format!("r={nonce}ours,s=c2FsdHNhbHRzYWx0c2E=,i=4294967295");
    let go_on = [&[0, 0, 0, 11], go_on.as_bytes()].concat();
    stream.write_all(&message(b'R', &go_on)).await.unwrap();
    stream
}
