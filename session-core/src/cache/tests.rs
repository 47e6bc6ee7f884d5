//! What a cache makes of the database's answers, whatever happens between a question and its answer.

use super::*;
use crate::{KeyFormat, SessionId};

fn key(name: &str) -> SessionKey {
    SessionId::new(name).unwrap().key(KeyFormat::Hashed).unwrap()
}

fn record(payload: &str, version: i64) -> Loaded {
    Loaded::Record(Record {
        payload: payload.into(),
        expires_at: Timestamp::NEVER,
        created_at: None,
        version: Version::new(version),
        principal: Principal::of("ann"),
    })
}

fn cache() -> Cache<String> {
    Cache::new(CacheSize::sessions(10))
}

fn text(payload: &Payload) -> Result<String> {
    Ok(payload.as_str().to_owned())
}

fn read(cache: &Cache<String>, loaded: Loaded) -> String {
    let (value, _) = cache.answer(cache.ask(key("id")), loaded, text).unwrap().unwrap();
    (*value).clone()
}

const UNCHANGED: Loaded = Loaded::Unchanged { expires_at: Timestamp::NEVER };

#[test]
fn an_unchanged_session_is_the_one_that_was_asked_for() {
    let cache = cache();
    read(&cache, record("old", 1));
    let asked = cache.ask(key("id"));
    assert_eq!(asked.load.known, Some(Version::new(1)));
    // Somebody else reads a newer one before the answer is there.
    read(&cache, record("new", 2));
    let (value, info) = cache.answer(asked, UNCHANGED, text).unwrap().unwrap();
    assert_eq!((value.as_str(), info.version), ("old", Version::new(1)));
    assert_eq!(cache.ask(key("id")).load.known, Some(Version::new(2)));
}

#[test]
fn a_load_that_an_end_overtakes_keeps_nothing() {
    let ends: [fn(&Cache<String>); 3] = [
        |cache| cache.forget(&key("id")),
        |cache| cache.forget_principal(&Principal::of("ann").unwrap(), None),
        Cache::forget_all,
    ];
    for end in ends {
        let cache = cache();
        let asked = cache.ask(key("id"));
        end(&cache);
        assert!(cache.answer(asked, record("ended", 1), text).unwrap().is_some());
        assert_eq!(cache.ask(key("id")).load.known, None);
    }
}

#[test]
fn what_cannot_be_read_is_not_kept() {
    let cache = cache();
    read(&cache, record("old", 1));
    let asked = cache.ask(key("id"));
    cache.answer(asked, record("new", 2), |_| Err(Error::corrupt("unreadable"))).unwrap_err();
    assert_eq!(cache.ask(key("id")).load.known, None);
}

#[test]
fn an_answer_to_another_question_is_an_error() {
    let cache = cache();
    let error = cache.answer(cache.ask(key("id")), UNCHANGED, text).unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false));
}

#[test]
fn a_session_without_a_version_is_not_kept() {
    let cache = cache();
    read(&cache, record("any", 0));
    assert_eq!(cache.ask(key("id")).load.known, None);
}
