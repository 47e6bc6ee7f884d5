//! G7: payload fidelity.

use std::fmt;
use std::num::NonZeroU32;

use session_core::contract::{Create, Created, Payload, Rotate, Write, Written};
use session_core::{ErrorKind, Gathering, Sessions, Updated, Version};

use crate::case::{Case, Ctx, Verdict, case, ensure, ensure_eq, failed};
use crate::fixture::Fixture;
use crate::plain::Plain as _;
use crate::rng::Rng;
use crate::wrap::Watched;

pub(crate) const CASES: &[Case] = &[
    case!(G7, Single, payloads_come_back_byte_for_byte),
    case!(G7, Single, a_raw_nul_is_kept_or_refused),
    case!(G7, Single, large_payloads_are_kept_whole),
    case!(G7, Model, random_text_comes_back_byte_for_byte),
    case!(G7, Single, too_large_data_is_refused_before_any_io),
];

fn peculiar_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "   ",
        "a ",
        " a",
        "a\n",
        "\r\n",
        "\n\r\n",
        "\t",
        "null",
        "{}",
        "0",
        "\"\"",
        r#"{"nul":"\u0000","bell":"\u0007"}"#,
        r#"{"surrogates":"\ud83e\udd80"}"#,
        "{\"crab\":\"\u{1f980}\",\"last\":\"\u{10ffff}\"}",
        "e\u{301} is not \u{e9}",
        "\u{feff}with a byte order mark",
        "\u{fffd}\u{fffe}\u{ffff}",
        "\u{1}\u{2}\u{7f}\u{80}\u{9f}",
        "\u{2028}\u{2029}\u{200b}\u{200d}\u{202e}",
        r"\ \\ \n \x00 \u0000 \0 %s %d $1 ? :name @p1 ${x}",
        r#"' '' " "" ` `` [ ] -- /* */ # ; '; DROP TABLE sessions; --"#,
        "<script>&amp;</script>",
        "x'00ff'",
        "\\x00ff",
        "ſ ß ẞ ı İ ﬁ Ａ か゛",
        "{ \"spaces\" :  1.0, \"spaces\": 1e400, \"big\": 12345678901234567890123 }",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    // One character of every 256 of all planes, and all of Latin.
    texts.push((1..0x250).filter_map(char::from_u32).collect());
    texts.push((0x250..0x11_0000).step_by(251).filter_map(char::from_u32).collect());
    texts
}

async fn payloads_come_back_byte_for_byte(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let texts = peculiar_texts();
    for (number, text) in texts.iter().enumerate() {
        let key = fixture.create(&format!("created {number}"), text, 100).await?;
        fixture.expect_live(&key, text, 0, "a payload that was created").await?;
        let key = fixture.create(&format!("updated {number}"), "before", 100).await?;
        fixture.update(&key, text, 100, 0).await?;
        fixture.expect_live(&key, text, 0, "a payload that was updated").await?;
        ensure!(fixture.touch(&key, 200, 0).await?, "a live session cannot be touched");
        fixture.expect_live(&key, text, 0, "a payload after a touch").await?;
        if fixture.can.rotation {
            for payload in [None, Some(Payload::from(text.as_str()))] {
                let to = fixture.key(&format!("rotated {number} {}", payload.is_some()))?;
                let from = fixture.create(&format!("from {number} {}", payload.is_some()), text, 100).await?;
                let rotate = Rotate { payload, ..fixture.rotate_of(&from, &to, 100) };
                fixture.rotate(&rotate, 0).await?;
                fixture.expect_live(&to, text, 0, "a payload that was rotated").await?;
            }
        }
    }
    // The same through batches and listings.
    let mut writes = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        writes.push(Write::Create(Create {
            key: fixture.key(&format!("batch {number}"))?,
            payload: Payload::from(text.as_str()),
            expires_at: fixture.until(100),
            principal: None,
            version: Version::FIRST,
        }));
    }
    for outcome in fixture.store.write_many(&writes, fixture.now(0)).await? {
        ensure_eq!(outcome?, Written::Created(Created::Created), "creating in a batch");
    }
    let keys: Vec<_> = writes.iter().map(|write| write.key().clone()).collect();
    let loaded = fixture.store.find_many(&keys, fixture.now(0)).await?;
    for (text, record) in texts.iter().zip(loaded) {
        let payload = record?.map(|record| record.payload.as_str().to_owned());
        ensure_eq!(payload.as_ref(), Some(text), "a payload that was loaded in a batch");
    }
    // Each gets another one's, so that a cut at a wrong place shows.
    let changed: Vec<&String> = texts.iter().rev().collect();
    let updates: Vec<Write> = keys
        .iter()
        .zip(&changed)
        .map(|(key, text)| Write::Update(fixture.update_of(key, text, 100)))
        .collect();
    for outcome in fixture.store.write_many(&updates, fixture.now(0)).await? {
        ensure!(
            matches!(outcome?, Written::Updated(Updated::Saved(_))),
            "a live session cannot be updated in a batch"
        );
    }
    let everything = NonZeroU32::MAX;
    let listed = fixture
        .store
        .list(&session_core::contract::Filter::default(), None, everything, fixture.now(0))
        .await?;
    for entry in listed {
        let Some(number) = keys.iter().position(|key| *key == entry.key) else { continue };
        let what = "a payload that was updated in a batch, and listed";
        ensure_eq!(entry.record?.payload.as_str(), changed[number], "{what}");
    }
    Ok(())
}

/// Postgres' text cannot hold U+0000; then it must say so, and keep what was there.
async fn a_raw_nul_is_kept_or_refused(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    for (number, text) in ["\0", "before\0after", "end\0"].into_iter().enumerate() {
        let key = fixture.create(&format!("s {number}"), "before", 100).await?;
        match fixture.update(&key, text, 100, 0).await {
            Ok(_) => fixture.expect_live(&key, text, 0, "a payload with U+0000").await?,
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::TooLarge);
                ensure!(refused, "a payload with U+0000 is refused with the wrong kind of error: {error}");
                fixture.expect_live(&key, "before", 0, "after a payload that was refused").await?;
            }
        }
    }
    Ok(())
}

async fn large_payloads_are_kept_whole(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let mut rng = Rng::new(ctx.seed());
    let kib = 1024;
    // Around the limits of MySQL's text, of pages and packets; and the 5 MiB that are promised.
    let sizes = [
        255,
        256,
        2_000,
        4_000,
        4_001,
        8_000,
        8_001,
        16 * kib,
        64 * kib - 1,
        64 * kib,
        64 * kib + 1,
        kib * kib,
        5 * kib * kib,
    ];
    for size in sizes {
        for alphabet in ["abcdefghijklmnop", "é語🦀\"\\'"] {
            let text = filled(&mut rng, alphabet, size);
            let what = format!("a payload of {} bytes", text.len());
            let id = format!("{size} of {alphabet}");
            let key = fixture.create(&id, &text, 100).await?;
            expect_text(&fixture, &key, &text, &what).await?;
            let other = filled(&mut rng, alphabet, size);
            fixture.update(&key, &other, 100, 0).await?;
            expect_text(&fixture, &key, &other, &format!("{what} that was updated")).await?;
            if fixture.can.rotation {
                let to = fixture.key(&format!("{id}, rotated"))?;
                fixture.rotate(&fixture.rotate_of(&key, &to, 100), 0).await?;
                expect_text(&fixture, &to, &other, &format!("{what} that was rotated")).await?;
            }
            fixture.store.clear().await?;
        }
    }
    // Several in one batch.
    let text = filled(&mut rng, "abcdefgh", 600 * kib);
    let writes: Vec<Write> = (0..4)
        .map(|number| {
            Ok(Write::Create(Create {
                key: fixture.key(&format!("batch {number}"))?,
                payload: Payload::from(format!("{number}{text}")),
                expires_at: fixture.until(100),
                principal: None,
                version: Version::FIRST,
            }))
        })
        .collect::<Verdict<_>>()?;
    for outcome in fixture.store.write_many(&writes, fixture.now(0)).await? {
        outcome?;
    }
    for (number, write) in writes.iter().enumerate() {
        expect_text(&fixture, write.key(), &format!("{number}{text}"), "one of several in a batch").await?;
    }
    Ok(())
}

/// Compares without printing megabytes.
async fn expect_text(fixture: &Fixture, key: &session_core::SessionKey, text: &str, what: &str) -> Verdict {
    let Some(loaded) = fixture.payload(key, 0).await? else {
        return failed(format!("{what}: it cannot be loaded"));
    };
    ensure_eq!(loaded.len(), text.len(), "{what}: the length in bytes");
    if loaded == text {
        return Ok(());
    }
    if let Some(at) = loaded.bytes().zip(text.bytes()).position(|(came, sent)| came != sent) {
        return failed(format!("{what}: it differs from byte {at} on"));
    }
    Ok(())
}

/// Text of at most so many bytes, and nearly so many: a random block again and again, each time with its number.
fn filled(rng: &mut Rng, alphabet: &str, bytes: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let block: String = (0..500).map(|_| *rng.pick(&alphabet)).collect();
    let mut text = String::with_capacity(bytes);
    let blocks = (0_u64..).map(|number| format!("{number} {block}"));
    for block in blocks {
        if text.len() + block.len() > bytes {
            break;
        }
        text.push_str(&block);
    }
    let rest = block.chars().cycle();
    for next in rest {
        if text.len() + next.len_utf8() > bytes {
            break;
        }
        text.push(next);
    }
    text
}

async fn random_text_comes_back_byte_for_byte(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let mut rng = Rng::new(ctx.seed());
    let key = fixture.create("s", "", 100).await?;
    for _ in 0..ctx.cases() {
        let length = rng.below(300);
        let text: String = (0..length)
            .filter_map(|_| {
                let range = *rng.pick(&[0x80_u64, 0x800, 0x1_0000, 0x11_0000]);
                u32::try_from(1 + rng.below(range - 1)).ok().and_then(char::from_u32)
            })
            .collect();
        fixture.update(&key, &text, 100, 0).await?;
        fixture.expect_live(&key, &text, 0, "random text").await?;
    }
    Ok(())
}

async fn too_large_data_is_refused_before_any_io(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let (watched, watch) = Watched::new(store);
    let sessions: Sessions<String> =
        Sessions::builder(watched).gathering(Gathering::OFF).payload_limit(1000).build()?;
    // In JSON the text has two quotes more.
    let (fits, over) = ("x".repeat(998), "x".repeat(999));
    let id = sessions.create(&fits).await?.id;
    let before = watch.calls();
    expect_too_large(sessions.create(&over).await)?;
    expect_too_large(sessions.update(&id, &over, None).await)?;
    expect_too_large(sessions.set(&id, &over).await)?;
    if sessions.capabilities().rotation {
        expect_too_large(sessions.rotate_with(&id, &over, None).await)?;
    }
    ensure_eq!(watch.calls(), before, "the calls that reached the backend");
    if sessions.capabilities().versions {
        expect_too_large(sessions.modify(&id, |data| data.push('y')).await)?;
    }
    let session = sessions.load(&id).await?;
    ensure_eq!(session.map(|session| session.data), Some(fits), "the data after writes that were refused");
    ensure_eq!(sessions.count(None).await?, 1, "the sessions after creates that were refused");
    ensure!(sessions.destroy(&id).await?, "a live session cannot be destroyed");
    Ok(())
}

fn expect_too_large<R: fmt::Debug>(came: session_core::Result<R>) -> Verdict {
    crate::fixture::expect_refusal(came, ErrorKind::TooLarge, "data over the limit")
}
