//! Strangers in the server's place: an error that says so, in time, and never a panic.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_core::ErrorKind;
use session_core::contract::Store as _;
use session_mssql::MssqlStore;

use crate::support::{Says, Stranger, trials};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_stranger_is_found_out, silence_ends_with_the_limit_of_a_login]
}

async fn a_stranger_is_found_out() {
    for says in [
        Says::AndGoes(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        Says::This(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        // An alert of TLS; Postgres' word that it does not encrypt, and its refusal; MySQL's greeting; SSH's.
        Says::This(b"\x15\x03\x03\0\x02\x02\x46"),
        Says::AndGoes(b"N"),
        Says::This(b"E\0\0\0\x1aSFATAL\0C08P01\0Mno\0\0"),
        Says::This(b"J\0\0\0\x0a8.0.36\0\x01\0\0\0aaaaaaaa\0\xff\xf7"),
        Says::This(b"SSH-2.0-OpenSSH_9.2\r\n"),
        // The longest packet that can be announced, with a token of the longest length.
        Says::This(b"\x04\x01\xff\xff\0\0\x01\0\xed\xff\xff\xff\xff"),
        Says::AndGoes(b""),
    ] {
        let stranger = Stranger::start(says).await;
        let store =
            MssqlStore::builder().url(stranger.url()).login_timeout(Duration::from_secs(2)).build().unwrap();
        let begun = Instant::now();
        let error = store.server_time().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(4), "{says:?}: {:?}", begun.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Backend), "{says:?}: {error:?}");
        assert!(!error.is_in_doubt(), "{says:?}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{says:?}: {error:?}");
        assert!(
            shown.contains("listens there") || shown.contains("cannot be reached"),
            "{says:?}: {error:?}"
        );
    }
}

async fn silence_ends_with_the_limit_of_a_login() {
    let stranger = Stranger::start(Says::Nothing).await;
    let store =
        MssqlStore::builder().url(stranger.url()).login_timeout(Duration::from_secs(1)).build().unwrap();
    let begun = Instant::now();
    let error = store.server_time().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(
        (error.kind(), error.is_unreachable(), error.is_in_doubt()),
        (ErrorKind::Unavailable, true, false)
    );
}
