//! G13: separate tables.

use session_core::contract::Created;
use session_core::{ErrorKind, Principal, TableName};

use crate::Namespace;
use crate::case::{Case, Ctx, Verdict, case, ensure, ensure_eq, failed};
use crate::fixture::Fixture;
use crate::plain::Plain as _;
use crate::rng::Rng;

pub(crate) const CASES: &[Case] = &[
    case!(G13, Single, two_tables_never_see_each_other),
    case!(G13, Single, long_and_odd_table_names_are_kept_apart),
    case!(G13, Single, hostile_table_names_are_refused),
];

async fn two_tables_never_see_each_other(ctx: Ctx) -> Verdict {
    let (ours, theirs) = (Fixture::new(&ctx).await?, Fixture::new(&ctx).await?);
    let principal = if ours.can.principals { Some("ann") } else { None };
    let mut keys = Vec::new();
    for number in 0..5 {
        let id = format!("session {number}");
        keys.push(ours.create_for(principal, &id, "ours", 100).await?);
        theirs.create_for(principal, &id, "theirs", 100).await?;
    }
    theirs.create("expired", "theirs", 0).await?;
    // Everything that changes anything, on one of the two.
    ours.update(&keys[0], "changed", 100, 0).await?;
    ours.touch(&keys[1], 0, 0).await?;
    ours.destroy(&keys[2], ours.modes()[0], 0).await?;
    if ours.can.rotation {
        let to = ours.key("rotated")?;
        ours.rotate(&ours.rotate_of(&keys[3], &to, 100), 0).await?;
        ensure_eq!(theirs.load(&to, 0).await?, None, "a session that was rotated in another table");
    }
    ours.purge(100, 0).await?;
    if let Some(principal) = principal {
        let principal = Principal::new(principal)?;
        ours.store.destroy_all_of(&principal, None, ours.modes()[0], ours.now(0)).await?;
    }
    ours.store.clear().await?;
    ensure_eq!(ours.count(0).await?, 0, "the sessions of a table that was cleared");
    ensure_eq!(theirs.count(0).await?, 5, "the sessions of the other table");
    for key in &keys {
        theirs.expect_live(key, "theirs", 0, "a session of the other table").await?;
    }
    ensure_eq!(ours.try_create(&keys[0], "ours again", 100).await?, Created::Created, "a create");
    theirs.expect_live(&keys[0], "theirs", 0, "a session of the other table").await?;
    ensure_eq!(theirs.purge(100, 0).await?, 1, "the expired rows of the other table");
    Ok(())
}

/// Names of the greatest length that differ in their last letter alone, so that a name that is cut, for the table or
/// for one of its indexes, meets another.
async fn long_and_odd_table_names_are_kept_apart(ctx: Ctx) -> Verdict {
    let mut stem = format!("_Sessions_{}_", Namespace::unique());
    stem.push_str(&"x".repeat((TableName::MAX_LEN - 1).saturating_sub(stem.len())));
    let mut fixtures = Vec::new();
    for last in ["a", "b", "_", "1"] {
        let namespace = ctx.namespace_named(format!("{stem}{last}"));
        // Twice: the second time it is there already.
        ctx.open(&namespace).await?;
        fixtures.push((Fixture::of(ctx.open(&namespace).await?), last));
    }
    for (fixture, last) in &fixtures {
        fixture.create("s", &format!("of table {last}"), 100).await?;
    }
    for (fixture, last) in &fixtures {
        let key = fixture.key("s")?;
        fixture.expect_live(&key, &format!("of table {last}"), 0, "a table with a long name").await?;
        ensure_eq!(fixture.count(0).await?, 1, "the sessions of a table with a long name");
    }
    let findings = fixtures[0].0.store.diagnose().await?;
    for finding in findings {
        ensure!(
            finding.severity < session_core::Severity::Fault,
            "the diagnosis of a new table with a long name finds a fault: {}",
            finding.what
        );
    }
    Ok(())
}

/// Names that some database's quoting, cutting or folding would be needed for. None reaches a database: a
/// `TableName` is checked once, and drivers take nothing else.
async fn hostile_table_names_are_refused(ctx: Ctx) -> Verdict {
    let mut names: Vec<String> = [
        "",
        " ",
        ".",
        "..",
        "a.",
        ".a",
        "a..b",
        "a.b.c",
        "1",
        "1a",
        "a-b",
        "a b",
        " a",
        "a ",
        "a;b",
        "a'",
        "a\"",
        "a`",
        "a]",
        "[a]",
        "\"a\"",
        "`a`",
        "a\\",
        "a/b",
        "../a",
        "a%",
        "a$",
        "a#",
        "#a",
        "##a",
        "@a",
        "a@b",
        "a(b)",
        "a=b",
        "a,b",
        "a--",
        "--a",
        "/*a*/",
        "a\0",
        "a\n",
        "a\r\n",
        "a\t",
        "é",
        "ａ",
        "a\u{301}",
        "🦀",
        "ß",
        "İ",
        "a\u{200b}",
        "a.1",
        "1.a",
        "a. b",
        "a .b",
        "information_schema.",
        "pg_temp.a.b",
        "x'41'",
        "0x41",
        "a\u{a0}",
        "sessions; DROP TABLE users; --",
        "sessions\" (id int); --",
        "sessions] ; --",
        "a' OR '1'='1",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    names.push("x".repeat(TableName::MAX_LEN + 1));
    names.push(format!("a.{}", "x".repeat(TableName::MAX_LEN + 1)));
    names.push("é".repeat(24));
    let mut rng = Rng::new(ctx.seed());
    let hostile: Vec<char> = "'\"`[];-/*\\ \0\n%$#@!(){}<>=,?:~|&^+é🦀".chars().collect();
    while names.len() < 200 {
        let mut name: Vec<char> = "sessions".chars().collect();
        let at = usize::try_from(rng.below(9)).unwrap_or(0);
        name.insert(at, *rng.pick(&hostile));
        names.push(name.into_iter().collect());
    }
    for name in names {
        match TableName::new(&name) {
            Ok(_) => return failed(format!("{name:?} is accepted as a table's name")),
            Err(error) => {
                ensure_eq!(error.kind(), ErrorKind::InvalidInput, "the kind of error for {name:?}");
            }
        }
    }
    for name in ["a", "_", "Sessions_2", "web.sessions", "select.table", &"x".repeat(TableName::MAX_LEN)] {
        ensure!(TableName::new(name).is_ok(), "{name:?} is refused as a table's name");
    }
    Ok(())
}
