//! G7: a table that does not hold every character.

use session_core::ErrorKind;
use session_core::contract::Rotate;

use super::contained::{create, expect_others_done};
use crate::case::{Case, Ctx, Verdict, case, does_not_apply, ensure_eq};
use crate::fixture::{Fixture, expect_refusal};

pub(crate) const CASES: &[Case] = &[case!(G7, Single, a_character_that_the_table_lacks_is_refused)];

/// In Latin-1, in Unicode's first plane, and beyond it.
const HELD: &str = "caf\u{e9}";
const LACKED: [&str; 2] = ["caf\u{e9} \u{6f22}", "\u{1f980}"];

/// It is never replaced by another one: the caller is told, and nothing was changed.
async fn a_character_that_the_table_lacks_is_refused(ctx: Ctx) -> Verdict {
    let Some(store) = ctx.open_narrow(&ctx.namespace()).await? else {
        return does_not_apply("no table that lacks a character can be made here");
    };
    let fixture = Fixture::of(store);
    for lacked in LACKED {
        fixture.store.clear().await?;
        let session = fixture.create("session", HELD, 100).await?;
        let other = fixture.key("other")?;
        let created = fixture.try_create(&other, lacked, 100).await;
        expect_refusal(created, ErrorKind::InvalidInput, "a create with a character that the table lacks")?;
        ensure_eq!(fixture.load(&other, 0).await?, None, "a session that could not be created");
        let updated = fixture.update(&session, lacked, 100, 0).await;
        expect_refusal(updated, ErrorKind::InvalidInput, "an update with a character that the table lacks")?;
        if fixture.can.rotation {
            let rotate = Rotate { payload: Some(lacked.into()), ..fixture.rotate_of(&session, &other, 100) };
            let rotated = fixture.rotate(&rotate, 0).await;
            let what = "a rotation with a character that the table lacks";
            expect_refusal(rotated, ErrorKind::InvalidInput, what)?;
            ensure_eq!(fixture.load(&other, 0).await?, None, "the new key after {what}");
        }
        fixture.expect_live(&session, HELD, 0, "a session that could not be changed").await?;
        let write = create(&fixture, "m", lacked)?;
        expect_others_done(&fixture, write, true).await?;
    }
    Ok(())
}
