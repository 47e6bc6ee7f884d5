//! Strangers in the server's place, and servers that lie: an error that says so, in time, and never a panic.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_core::ErrorKind;
use session_core::contract::Store;
use session_diesel::MysqlStore;

use crate::support::stranger::Stranger;
use crate::support::trial;

pub(super) fn trials() -> Vec<Trial> {
    vec![trial("mysql::hostile::a_stranger_is_found_out", None, a_stranger_is_found_out)]
}

async fn a_stranger_is_found_out() {
    for stranger in [
        Stranger::greeting(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
        Stranger::greeting(b"HTTP/1.1 408 Request Timeout\r\n\r\n").that_stays(),
        Stranger::greeting(b"SSH-2.0-OpenSSH_9.2\r\n").that_stays(),
        Stranger::greeting(b"\x15\x03\x03\0\x02\x02\x46"),
        // The X protocol's notice; an error before the greeting; a greeting of an old protocol; one that is cut off.
        Stranger::greeting(b"\x05\0\0\0\x0b\x08\x05\x1a\0"),
        Stranger::greeting(b"\x17\0\0\0\xff\x69\x04Host 'x' is not allow"),
        Stranger::greeting(b"\x05\0\0\0\x095.0\0"),
        Stranger::greeting(b"\x4a\0\0\0\x0a8.0.36\0\x01\0"),
        // The longest packet that can be announced, and nothing in it.
        Stranger::greeting(b"\xff\xff\xff\0").that_stays(),
        // A web server waits for the client, as does any that never speaks.
        Stranger::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").that_stays(),
        Stranger::greeting(b""),
        Stranger::greeting(b"").that_stays(),
    ] {
        let url = format!("mysql://ann:hunter2@127.0.0.1:{}/app", stranger.start().await);
        let store = MysqlStore::builder().url(url).login_timeout(Duration::from_secs(2)).build().unwrap();
        let begun = Instant::now();
        let error = store.server_time().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(4), "{stranger:?}: {:?}", begun.elapsed());
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Backend),
            "{stranger:?}: {error:?}"
        );
        assert!(!error.is_in_doubt(), "{stranger:?}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{stranger:?}: {error:?}");
    }
}
