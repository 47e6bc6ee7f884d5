//! G2: create never overwrites.

use session_core::{Create, Created, Payload, SessionId, Timestamp};

use crate::Guarantee::G2;
use crate::Kind::Single;
use crate::case::{Case, Ctx, Verdict, ensure_eq};

pub(crate) const CASES: &[Case] =
    &[Case::new(G2, Single, "a_live_key_is_taken", |ctx| Box::pin(a_live_key_is_taken(ctx)))];

async fn a_live_key_is_taken(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    let now = Timestamp::from_millis(1_700_000_000_000);
    let create = Create {
        key: SessionId::new("a")?.key(store.key_format())?,
        payload: Payload::from("{}"),
        expires_at: Timestamp::from_millis(1_700_000_060_000),
        principal: None,
    };
    ensure_eq!(store.create(&create, now).await?, Created::Created, "the first create");
    ensure_eq!(store.create(&create, now).await?, Created::KeyTaken, "the second create");
    Ok(())
}
