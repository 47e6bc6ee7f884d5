//! G15: what a destroyed session leaves in the table.

use session_core::contract::{Destroy, DestroyPrincipal, Payload, Rotate, Rotated, Write, Written};
use session_core::{DestroyMode, Principal, SessionKey};

use super::secrets::unseen;
use crate::Namespace;
use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::Fixture;
use crate::forms::find_stored;
use crate::plain::Plain as _;

pub(crate) const CASES: &[Case] = &[
    case!(G15, Single, nothing_of_a_forgotten_session_is_in_any_row),
    case!(G15, Single, a_kept_session_stays_for_analysis_until_the_purge),
    case!(G15, Single, each_destroy_of_a_batch_has_a_mode_of_its_own),
    case!(G15, Single, nothing_of_a_forgotten_principal_is_in_any_row),
];

/// A table whose rows can be read behind the store's back.
struct Rows {
    ctx: Ctx,
    namespace: Namespace,
    fixture: Fixture,
}

/// A session whose payload, and whose principal if the table holds any, occur nowhere else.
struct Marked {
    key: SessionKey,
    payload: String,
    principal: Option<Principal>,
}

impl Rows {
    async fn new(ctx: &Ctx) -> Verdict<Rows> {
        let namespace = ctx.namespace();
        let fixture = Fixture::of(ctx.open(&namespace).await?);
        if ctx.subject().raw_rows(&namespace).await?.is_none() {
            return unseen(ctx, "this backend offers no view of its rows");
        }
        let rows = Rows { ctx: ctx.clone(), namespace, fixture };
        // What is looked for would be found.
        let bystander = rows.create("bystander").await?;
        rows.expect(&bystander, true, "a live session").await?;
        Ok(rows)
    }

    /// Makes a session of a principal of its own.
    async fn create(&self, name: &str) -> Verdict<Marked> {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        self.create_for(&name, &format!("principal-{name}-c41f")).await
    }

    async fn create_for(&self, name: &str, principal: &str) -> Verdict<Marked> {
        let principal = self.fixture.principal(principal)?;
        let payload = format!("payload-{name}-7e02");
        let whose = principal.as_ref().map(Principal::as_str);
        let key = self.fixture.create_for(whose, name, &payload, 100).await?;
        Ok(Marked { key, payload, principal })
    }

    /// Whether payload and principal of a session are in the rows.
    async fn expect(&self, session: &Marked, is_there: bool, what: &str) -> Verdict {
        let Some(rows) = self.ctx.subject().raw_rows(&self.namespace).await? else {
            return failed("the rows cannot be read any more");
        };
        let principal = session.principal.as_ref().map(|principal| principal.as_str().to_owned());
        let columns = [("payload", Some(session.payload.clone())), ("principal", principal)];
        for (column, text) in columns.into_iter().filter_map(|(column, text)| Some((column, text?))) {
            let found = find_stored(&rows, &[text]).is_some();
            ensure_eq!(found, is_there, "whether the {column} is in the table, {what}");
        }
        Ok(())
    }

    /// Destroys a session of each kind, with this mode, and gives each a name.
    async fn destroy_in_every_way(&self, mode: DestroyMode) -> Verdict<Vec<(String, Marked)>> {
        let (store, now) = (&self.fixture.store, self.fixture.now(0));
        let mut destroyed = Vec::new();

        let single = self.create("single").await?;
        ensure!(self.fixture.destroy(&single.key, mode, 0).await?, "a live session cannot be destroyed");
        destroyed.push((format!("destroyed {mode:?}"), single));

        let touched = self.create("touched").await?;
        self.fixture.touch(&touched.key, 200, 0).await?;
        self.fixture.update(&touched.key, &touched.payload, 200, 0).await?;
        let touched = Marked { principal: None, ..touched };
        ensure!(self.fixture.destroy(&touched.key, mode, 0).await?, "a live session cannot be destroyed");
        destroyed.push((format!("updated, and destroyed {mode:?}"), touched));

        let batch = [self.create("batched one").await?, self.create("batched two").await?];
        let writes = batch.each_ref().map(|marked| Write::Destroy(Destroy { key: marked.key.clone(), mode }));
        for outcome in store.write_many(&writes, now).await? {
            ensure_eq!(outcome?, Written::Destroyed(true), "a destroy in a batch");
        }
        destroyed.extend(batch.map(|marked| (format!("destroyed {mode:?} in a batch"), marked)));

        if self.fixture.can.rotation {
            let old = self.create("rotated").await?;
            let to = self.fixture.key("rotated to")?;
            let payload = Some(Payload::from("another payload"));
            let rotate = Rotate { mode, payload, ..self.fixture.rotate_of(&old.key, &to, 100) };
            let rotated = self.fixture.rotate(&rotate, 0).await?;
            ensure!(matches!(rotated, Rotated::Rotated(_)), "a rotation of a live session: {rotated:?}");
            destroyed.push((format!("rotated away {mode:?}"), old));
        }
        if self.fixture.can.principals {
            for except in [None, Some(self.fixture.key("nobody's")?)] {
                let theirs =
                    self.create_for(&format!("theirs {}", except.is_some()), "principal-both").await?;
                let Some(principal) = theirs.principal.clone() else { return Ok(destroyed) };
                store.destroy_all_of(&principal, except.as_ref(), mode, now).await?;
                destroyed.push((format!("destroyed {mode:?} by its principal"), theirs));
            }
            if self.fixture.can.created_at {
                let theirs = self.create("old enough").await?;
                let Some(principal) = theirs.principal.clone() else { return Ok(destroyed) };
                let created_before = Some(self.fixture.now(1));
                let bounded = DestroyPrincipal { principal, except: None, created_before, mode };
                ensure_eq!(store.destroy_principal(&bounded, now).await?, 1, "the sessions created before");
                destroyed.push((format!("destroyed {mode:?} by its principal, within a bound"), theirs));
            }
        }
        Ok(destroyed)
    }
}

async fn nothing_of_a_forgotten_session_is_in_any_row(ctx: Ctx) -> Verdict {
    let rows = Rows::new(&ctx).await?;
    for mode in rows.fixture.modes().iter().filter(|mode| **mode != DestroyMode::Keep) {
        for (what, session) in rows.destroy_in_every_way(*mode).await? {
            rows.expect(&session, false, &format!("of a session {what}")).await?;
            ensure_eq!(rows.fixture.load(&session.key, 0).await?, None, "a session {what}");
        }
        rows.fixture.store.clear().await?;
    }
    Ok(())
}

async fn a_kept_session_stays_for_analysis_until_the_purge(ctx: Ctx) -> Verdict {
    let rows = Rows::new(&ctx).await?;
    if !rows.fixture.can.tombstones {
        return does_not_apply("this table keeps no rows of destroyed sessions");
    }
    let kept = rows.destroy_in_every_way(DestroyMode::Keep).await?;
    for (what, session) in &kept {
        rows.expect(session, true, &format!("of a session {what}")).await?;
    }
    rows.fixture.purge(1000, 500).await?;
    for (what, session) in &kept {
        rows.expect(session, false, &format!("of a session {what}, after the purge")).await?;
    }
    Ok(())
}

async fn each_destroy_of_a_batch_has_a_mode_of_its_own(ctx: Ctx) -> Verdict {
    let rows = Rows::new(&ctx).await?;
    if !rows.fixture.can.tombstones {
        return does_not_apply("this table keeps no rows of destroyed sessions");
    }
    let (fixture, modes) = (&rows.fixture, rows.fixture.modes());
    for turn in 0..modes.len() {
        // Each mode first once, and among writes of other kinds.
        let mut sessions = Vec::new();
        let mut writes = Vec::new();
        for number in 0..6 {
            let mode = modes[(turn + number) % modes.len()];
            let session = rows.create(&format!("turn {turn}, session {number}")).await?;
            writes.push(Write::Destroy(Destroy { key: session.key.clone(), mode }));
            sessions.push((mode, session));
            let beside = fixture.create(&format!("turn {turn}, beside {number}"), "p", 100).await?;
            writes.push(Write::Update(fixture.update_of(&beside, "q", 100)));
        }
        for (write, outcome) in writes.iter().zip(fixture.store.write_many(&writes, fixture.now(0)).await?) {
            let outcome = outcome?;
            let is_done = matches!(outcome, Written::Destroyed(true) | Written::Updated(_));
            ensure!(is_done, "{write:?} in a batch: {outcome:?}");
        }
        for (mode, session) in &sessions {
            let what = format!("of a session destroyed {mode:?} in a batch of all modes");
            rows.expect(session, *mode == DestroyMode::Keep, &what).await?;
            let created = fixture.try_create(&session.key, "another", 100).await?;
            let is_free = created == session_core::contract::Created::Created;
            ensure_eq!(is_free, *mode == DestroyMode::Remove, "whether the key is free, {what}");
        }
    }
    Ok(())
}

async fn nothing_of_a_forgotten_principal_is_in_any_row(ctx: Ctx) -> Verdict {
    let rows = Rows::new(&ctx).await?;
    let fixture = &rows.fixture;
    if !fixture.can.principals {
        return does_not_apply("this table holds no principals");
    }
    const ANN: &str = "principal-ann-90aa";
    let ann = Principal::new(ANN)?;
    let mut theirs = vec![rows.create_for("live", ANN).await?];
    let expired = rows.create_for("expired", ANN).await?;
    ensure!(fixture.touch(&expired.key, 0, -1).await?, "a live session cannot be touched");
    theirs.push(expired);
    if fixture.can.tombstones {
        let kept = rows.create_for("kept", ANN).await?;
        ensure!(
            fixture.destroy(&kept.key, DestroyMode::Keep, 0).await?,
            "a live session cannot be destroyed"
        );
        theirs.push(kept);
        let past = rows.create_for("kept and expired", ANN).await?;
        ensure!(fixture.touch(&past.key, 0, -1).await?, "a live session cannot be touched");
        ensure!(
            fixture.destroy(&past.key, DestroyMode::Keep, -1).await?,
            "a live session cannot be destroyed"
        );
        theirs.push(past);
        if fixture.can.rotation {
            let old = rows.create_for("rotated away", ANN).await?;
            let to = fixture.key("to")?;
            let rotate = Rotate {
                mode: DestroyMode::Keep,
                principal: Some(ann.clone()),
                ..fixture.rotate_of(&old.key, &to, 100)
            };
            fixture.rotate(&rotate, 0).await?;
            theirs.push(old);
        }
    }
    let bobs = rows.create("bob's").await?;
    for session in &theirs {
        rows.expect(session, true, "before its principal is forgotten").await?;
    }
    fixture.store.forget_principal(&ann, fixture.now(0)).await?;
    for session in &theirs {
        rows.expect(session, false, "after its principal was forgotten").await?;
    }
    rows.expect(&bobs, true, "of another principal").await?;
    Ok::<_, Stop>(())
}
