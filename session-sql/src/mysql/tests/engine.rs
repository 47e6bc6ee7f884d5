//! Engines that speak MySQL's protocol.

use session_core::contract::Create;
use session_core::contract::Write;
use session_core::{ErrorKind, Severity};

use super::{NOW, is, native, rows};
use crate::scripted::words::{create, key};
use crate::scripted::{Answer, Script};

fn shards(shards: &[&str]) -> Answer {
    Answer::Rows(shards.iter().map(|shard| vec![(*shard).into()]).collect())
}

fn created() -> Create {
    match create(1) {
        Write::Create(create) => create,
        other => panic!("{other:?} at {:?}", key(1)),
    }
}

#[tokio::test]
async fn an_engine_that_was_not_proven_is_refused_with_the_reason() {
    for (answers, name) in [
        (vec![is("8.0.11-TiDB-v7.5.1")], "TiDB"),
        (vec![is("8.0.30-Vitess"), shards(&["web/-80", "web/80-"])], "Vitess"),
    ] {
        let (script, native) = (Script::new(answers), native(true));
        let refused = native.look(&script).await.unwrap_err();
        assert!(refused.kind() == ErrorKind::InvalidInput && refused.to_string().contains(name), "{refused}");
        // It stays so, and nothing is written.
        let sent = script.count();
        let refused = native.create(&script, &created(), NOW).await.unwrap_err();
        assert!(refused.to_string().contains("unproven_engine(true)"), "{refused}");
        assert!(!refused.is_in_doubt() && script.count() == sent);
    }
}

#[tokio::test]
async fn it_is_taken_where_the_store_was_told_to_go_on() {
    let native = native(true).with_unproven(true);
    let script = Script::new([is("8.0.11-TiDB-v7.5.1"), Answer::Count(1)]);
    native.create(&script, &created(), NOW).await.unwrap();
}

#[tokio::test]
async fn vitess_with_one_shard_is_taken() {
    let native = native(true);
    native
        .look(&Script::new([is("8.0.30-Vitess"), shards(&["web/0", "shop/-80", "shop/80-"])]))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_doctor_names_the_engine_where_the_store_does_not_go_on() {
    let settings = |word: &str| vec![word.into(), word.into()];
    let server = vec![
        "8.0.11-TiDB-v7.5.1".into(),
        (16 << 20).into(),
        "STRICT_ALL_TABLES".into(),
        0.into(),
        "READ-COMMITTED".into(),
        1.into(),
        0.into(),
    ];
    let script = Script::new([
        is("8.0.11-TiDB-v7.5.1"),
        Answer::Rows(vec![server]),
        Answer::Rows(vec![settings("a")]),
        Answer::Rows(vec![settings("b")]),
        Answer::Rows(vec![settings("c")]),
        rows::<1>([]),
        rows::<1>([]),
    ]);
    let findings = native(true).diagnose(&script).await.unwrap();
    assert_eq!(findings[0].severity, Severity::Fault);
    assert!(findings[0].what.contains("TiDB, on which nothing was proven"), "{findings:?}");
}
