//! What a row may hold: texts that are no UTF-16, on a test server that speaks the protocol, and every length.

use std::num::NonZeroU32;

use libtest_mimic::Trial;
use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, Row, SqlDataType, TerminalError};
use session_core::contract::{Create, Filter, Listed, Load, Store};
use session_core::{ErrorKind, KeyFormat, SessionKey, Timestamp};
use session_mssql::MssqlStore;

use crate::support::{self, Mock, NOW, Proxy, create, drop_table, load, on_a_server, trials, update};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = trials![
        a_payload_that_is_no_utf16_is_an_entry_of_its_own_and_the_listing_goes_on,
        an_id_that_is_no_utf16_is_an_entry_of_its_own,
        a_server_that_has_texts_in_another_encoding_says_why_a_listing_fails,
        a_load_of_a_payload_that_is_no_utf16_is_corrupt_and_the_next_load_is_not,
    ];
    trials.extend(on_a_server![
        payloads_around_the_edges_of_packets_are_kept_whole,
        five_mebibytes_of_astral_characters_are_kept_whole,
        every_number_comes_back,
    ]);
    trials
}

/// Half a character, between whole ones.
const HALF: [u16; 3] = [0x61, 0xD83E, 0x62];

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn text(units: &[u16]) -> ColumnValue {
    ColumnValue::NVarCharMax(vec![units.to_vec()])
}

fn bytes(units: &[u16]) -> ColumnValue {
    ColumnValue::VarBinaryMax(vec![units.iter().flat_map(|unit| unit.to_le_bytes()).collect()])
}

fn row(key: ColumnValue, payload: ColumnValue, principal: ColumnValue) -> Row {
    let [expires_at, created_at, version] = [i64::MAX, 0, 1].map(ColumnValue::BigInt);
    Row::new(vec![payload, expires_at, created_at, version, principal, key])
}

/// An answer to a listing, with texts as they are, or as their bytes.
fn listing(key: SqlDataType, texts: SqlDataType, rows: Vec<Row>) -> QueryResponse {
    let number = SqlDataType::BigInt;
    let columns = [texts, number, number, number, texts, key];
    QueryResponse::new(columns.map(|column| ColumnDefinition::new("c", column)).to_vec(), rows)
}

async fn list(store: &MssqlStore) -> session_core::Result<Vec<Listed>> {
    store.list(&Filter::default(), None, NonZeroU32::MAX, NOW).await
}

/// A store that reaches one server after the other, and what it reaches: a server that has `first` for every listing,
/// and one that has `second` where the texts are asked for as bytes.
async fn store(
    first: QueryResponse,
    second: QueryResponse,
    format: KeyFormat,
) -> (MssqlStore, [Mock; 2], Proxy) {
    let mocks = [Mock::start().await, Mock::start().await];
    mocks[0].answer("SELECT TOP (@P1)", first).await;
    mocks[1].answer("THROW 50000", second).await;
    let proxy = Proxy::to_each(mocks.iter().map(Mock::address).collect()).await;
    let options = MssqlStore::builder().url(proxy.url()).pool_size(1).key_format(format);
    (options.build().unwrap(), mocks, proxy)
}

fn digest(number: u8) -> ColumnValue {
    ColumnValue::VarBinaryMax(vec![vec![number; 32]])
}

async fn a_payload_that_is_no_utf16_is_an_entry_of_its_own_and_the_listing_goes_on() {
    let binary = SqlDataType::VarBinaryMax;
    let (ann, whole) = (units("Ann"), units("{\"\u{1f980}\":1}"));
    let first = listing(
        binary,
        SqlDataType::NVarCharMax,
        vec![row(digest(1), text(&whole), text(&ann)), row(digest(2), text(&HALF), text(&ann))],
    );
    let second = listing(
        binary,
        binary,
        vec![
            row(digest(1), bytes(&whole), bytes(&ann)),
            row(digest(2), bytes(&HALF), bytes(&ann)),
            row(digest(3), bytes(&whole), bytes(&HALF)),
            row(digest(4), ColumnValue::VarBinaryMax(vec![vec![0x61, 0, 0x62]]), bytes(&ann)),
            row(digest(5), bytes(&whole), bytes(&ann)),
        ],
    );
    let (store, mocks, _proxy) = store(first, second, KeyFormat::Hashed).await;
    let listed = list(&store).await.unwrap();
    let keys: Vec<SessionKey> = listed.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(keys, [1, 2, 3, 4, 5].map(|number| SessionKey::from_digest([number; 32])));
    for (number, entry) in (1..).zip(&listed) {
        match (&entry.record, number) {
            (Ok(record), 1 | 5) => {
                assert_eq!(record.payload.as_str(), "{\"\u{1f980}\":1}");
                assert_eq!(record.principal.as_ref().unwrap().as_str(), "Ann");
            }
            (Err(error), 2..=4) => assert_eq!(error.kind(), ErrorKind::Corrupt, "row {number}: {error}"),
            (record, _) => panic!("row {number} is {record:?}"),
        }
    }
    // The connection that tiberius could not read on was not used again.
    for mock in mocks {
        assert_eq!(mock.connections().await, 1);
    }
}

async fn an_id_that_is_no_utf16_is_an_entry_of_its_own() {
    let (text_type, binary) = (SqlDataType::NVarCharMax, SqlDataType::VarBinaryMax);
    let ann = units("Ann");
    let first = listing(text_type, text_type, vec![row(text(&HALF), text(&ann), text(&ann))]);
    let second = listing(
        binary,
        binary,
        vec![
            row(bytes(&HALF), bytes(&ann), bytes(&ann)),
            row(bytes(&units("an id")), bytes(&ann), bytes(&ann)),
        ],
    );
    let (store, _mocks, _proxy) = store(first, second, KeyFormat::Plain).await;
    let listed = list(&store).await.unwrap();
    assert_eq!(listed[0].key, SessionKey::from_text("a\u{fffd}b"));
    assert_eq!(listed[0].record.as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(listed[1].key, SessionKey::from_text("an id"));
    assert_eq!(listed[1].record.as_ref().unwrap().payload.as_str(), "Ann");
}

async fn a_server_that_has_texts_in_another_encoding_says_why_a_listing_fails() {
    let text_type = SqlDataType::NVarCharMax;
    let first = listing(SqlDataType::VarBinaryMax, text_type, vec![row(digest(1), text(&HALF), text(&HALF))]);
    let refused = TerminalError::new(50_000, 16, "the bytes of a text are not UTF-16 here");
    let (store, _mocks, _proxy) = store(first, QueryResponse::error_only(refused), KeyFormat::Hashed).await;
    let error = list(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Corrupt, false), "{error}");
}

async fn a_load_of_a_payload_that_is_no_utf16_is_corrupt_and_the_next_load_is_not() {
    let mocks = [Mock::start().await, Mock::start().await];
    let texts = SqlDataType::NVarCharMax;
    let number = SqlDataType::BigInt;
    let columns = [texts, number, number, number, texts];
    let answer = |payload: &[u16]| {
        let [expires_at, created_at, version] = [i64::MAX, 0, 1].map(ColumnValue::BigInt);
        let row =
            Row::new(vec![text(payload), expires_at, created_at, version, ColumnValue::NVarCharMaxNull]);
        QueryResponse::new(columns.map(|column| ColumnDefinition::new("c", column)).to_vec(), vec![row])
    };
    mocks[0].answer("SELECT ", answer(&HALF)).await;
    mocks[1].answer("SELECT ", answer(&units("{}"))).await;
    let proxy = Proxy::to_each(mocks.iter().map(Mock::address).collect()).await;
    let store = MssqlStore::builder().url(proxy.url()).pool_size(1).build().unwrap();
    let key = SessionKey::from_digest([1; 32]);
    let error = store.load(&Load::new(key.clone()), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Corrupt, false), "{error}");
    let record = store.load(&Load::new(key.clone()), NOW).await.unwrap().record().unwrap();
    assert_eq!(record.payload.as_str(), "{}");
}

/// A packet has 4,096 bytes with its header of 8; before the payload are the other parameters, and it is UTF-16.
async fn payloads_around_the_edges_of_packets_are_kept_whole(url: String) {
    let store = support::store(&url, KeyFormat::Hashed).await;
    let key = support::key("a", KeyFormat::Hashed);
    store.create(&create(&key, ""), NOW).await.unwrap();
    // Two packets of payloads, and both sides of where nvarchar(4000) ends.
    let lengths = (1500..2100).step_by(3).chain(3995..4005).chain(8180..8200);
    for length in lengths {
        let text: String = ('a'..='z').cycle().take(length).collect();
        store.update(&update(&key, text.as_str(), None), NOW).await.unwrap();
        assert_eq!(load(&store, &key).await.unwrap().payload.as_str(), text, "of {length} characters");
    }
    drop_table(&url, store.table()).await;
}

async fn five_mebibytes_of_astral_characters_are_kept_whole(url: String) {
    let store = support::store(&url, KeyFormat::Hashed).await;
    let text = "\u{1f980}\u{10ffff}aé€".repeat(5 * 1024 * 1024 / 14 + 1);
    let keys = ["a", "b"].map(|id| support::key(id, KeyFormat::Hashed));
    for key in &keys {
        store.create(&create(key, text.as_str()), NOW).await.unwrap();
    }
    for record in store.load_many(&keys.map(Load::new), NOW).await.unwrap() {
        assert!(record.unwrap().record().unwrap().payload.as_str() == text);
    }
    drop_table(&url, store.table()).await;
}

async fn every_number_comes_back(url: String) {
    let store = support::store(&url, KeyFormat::Hashed).await;
    let powers = (0..63).flat_map(|bit| {
        let power = 1_i64 << bit;
        [power - 1, power, power.saturating_add(1), -power - 1, -power]
    });
    let numbers: Vec<i64> = powers.chain([i64::MIN + 1, i64::MAX - 1, i64::MAX]).collect();
    let key = support::key("a", KeyFormat::Hashed);
    for (first, last) in numbers.iter().zip(numbers.iter().rev()) {
        let [created_at, expires_at] =
            [first.min(last), first.max(last)].map(|at| Timestamp::from_millis(*at));
        if created_at == expires_at {
            continue;
        }
        store.create(&Create { expires_at, ..create(&key, "") }, created_at).await.unwrap();
        let found = store.load(&Load::new(key.clone()), created_at).await.unwrap().record().unwrap();
        assert_eq!((found.created_at, found.expires_at), (Some(created_at), expires_at));
        store.clear().await.unwrap();
    }
    drop_table(&url, store.table()).await;
}
