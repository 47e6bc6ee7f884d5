//! G15: a database that refuses a write, and quotes the row.

use session_core::Error;
use session_core::contract::{Rotate, Touch, Write};

use super::contained::create;
use super::secrets::{everything_about, expect_silent};
use crate::Objection;
use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure, not_run};
use crate::fixture::Fixture;

pub(crate) const CASES: &[Case] = &[case!(G15, Single, an_error_about_a_refused_write_names_no_secret)];

/// The payload of every write here, behind [`Objection::WORD`].
const SECRET: &str = "payload-of-a-refused-write-8e21";

/// Nobody but the server's administrator wrote its rules, and they quote what they find.
async fn an_error_about_a_refused_write_names_no_secret(ctx: Ctx) -> Verdict {
    let mut tried = 0;
    for objection in Objection::ALL {
        let namespace = ctx.namespace();
        let fixture = Fixture::of(ctx.open(&namespace).await?);
        let refused = format!("{} {SECRET}", Objection::WORD);
        let old = fixture.create("old", &refused, 100).await?;
        let session = fixture.create("session", "p", 100).await?;
        if !ctx.subject().object(&namespace, objection).await? {
            continue;
        }
        tried += 1;
        let what = format!("an error about a write that is refused ({objection:?})");
        let mut errors = Vec::new();
        errors.extend(fixture.try_create(&fixture.key("new")?, &refused, 100).await.err());
        errors.extend(fixture.update(&session, &refused, 100, 0).await.err());
        errors.extend(fixture.touch(&old, 200, 0).await.err());
        if fixture.can.rotation {
            let to = fixture.key("rotated")?;
            let payload = Some(refused.as_str().into());
            let rotate = Rotate { payload, ..fixture.rotate_of(&session, &to, 100) };
            errors.extend(fixture.rotate(&rotate, 0).await.err());
        }
        ensure!(!errors.is_empty(), "{what}: there is none, as every write is done");
        errors.extend(in_a_batch(&fixture, &refused).await?);
        for error in &errors {
            expect_silent(&everything_about(error), &[SECRET.to_owned()], &what)?;
        }
        fixture.expect_live(&old, &refused, 0, "a session from before the database objected").await?;
        fixture.expect_live(&session, "p", 0, "a session whose every change was refused").await?;
    }
    match tried {
        0 if ctx.subject().durable() => {
            not_run("this backend offers no way to let the database object to a row")
        }
        0 => does_not_apply("this backend is not durable: nobody else has a say in what it takes"),
        _ => Ok(()),
    }
}

/// The errors of writes that travel together.
async fn in_a_batch(fixture: &Fixture, refused: &str) -> Verdict<Vec<Error>> {
    let (session, old) = (fixture.key("session")?, fixture.key("old")?);
    let writes = [
        create(fixture, "another", refused)?,
        Write::Update(fixture.update_of(&session, refused, 100)),
        Write::Touch(Touch { key: old, expires_at: fixture.until(200), expected: None }),
    ];
    Ok(match fixture.store.write_many(&writes, fixture.now(0)).await {
        Ok(outcomes) => outcomes.into_iter().filter_map(Result::err).collect(),
        Err(error) => vec![error],
    })
}
