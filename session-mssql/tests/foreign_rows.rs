//! Rows that no store of this crate wrote, on a test server that speaks the protocol: texts that are no UTF-16.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "other tests use the rest of it")]
mod support;

use std::num::NonZeroU32;

use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, Row, SqlDataType, TerminalError};
use session_core::{ErrorKind, Filter, KeyFormat, Listed, SessionKey, Store, Timestamp};
use session_mssql::MssqlStore;
use support::{Mock, Proxy};

const NOW: Timestamp = Timestamp::from_millis(0);
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
    Row::new(vec![key, payload, expires_at, created_at, version, principal])
}

/// An answer to a listing, with texts as they are, or as their bytes.
fn listing(key: SqlDataType, texts: SqlDataType, rows: Vec<Row>) -> QueryResponse {
    let number = SqlDataType::BigInt;
    let columns = [key, texts, number, number, number, texts];
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
    mocks[0].answer("SELECT TOP (@P2)", first).await;
    mocks[1].answer("THROW 50000", second).await;
    let proxy = Proxy::to_each(mocks.iter().map(Mock::address).collect()).await;
    let options = MssqlStore::builder().ado_string(&proxy.ado_string()).pool_size(1).key_format(format);
    (options.build().unwrap(), mocks, proxy)
}

fn digest(number: u8) -> ColumnValue {
    ColumnValue::VarBinaryMax(vec![vec![number; 32]])
}

#[tokio::test]
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

#[tokio::test]
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

#[tokio::test]
async fn a_server_that_has_texts_in_another_encoding_says_why_a_listing_fails() {
    let text_type = SqlDataType::NVarCharMax;
    let first = listing(SqlDataType::VarBinaryMax, text_type, vec![row(digest(1), text(&HALF), text(&HALF))]);
    let refused = TerminalError::new(50_000, 16, "the bytes of a text are not UTF-16 here");
    let (store, _mocks, _proxy) = store(first, QueryResponse::error_only(refused), KeyFormat::Hashed).await;
    let error = list(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Corrupt, false), "{error}");
}

#[tokio::test]
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
    let store = MssqlStore::builder().ado_string(&proxy.ado_string()).pool_size(1).build().unwrap();
    let key = SessionKey::from_digest([1; 32]);
    let error = store.load(&key, NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Corrupt, false), "{error}");
    let record = store.load(&key, NOW).await.unwrap().unwrap();
    assert_eq!(record.payload.as_str(), "{}");
}
