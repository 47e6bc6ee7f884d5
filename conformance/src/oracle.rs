//! What a table of sessions does, said once more and by itself: what is right in the model-based cases and in the
//! linearizability check. It shares no code with any store.

use std::collections::BTreeMap;

use session_core::{Capabilities, DestroyMode, ErrorKind, Fate};

use crate::spec::{Answer, Call, Key, Op, PayloadNo, PrincipalNo, Seen};

/// The payload without any text.
const NOTHING: PayloadNo = 1;

/// What a table holds for a key, live or dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    payload: PayloadNo,
    expires_at: i64,
    created_at: i64,
    version: i64,
    principal: Option<PrincipalNo>,
    end: Option<End>,
}

/// What ended the session of a row that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Destroyed,
    RotatedAway,
}

/// The state of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    rows: BTreeMap<Key, Row>,
}

/// What may be asked of the store at hand.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) capabilities: Capabilities,
    /// The keys in the order in which the store lists them.
    pub(crate) order: Vec<Key>,
}

impl Rules {
    /// Every answer that is right for this call in this state, each with the state that it leads to.
    pub(crate) fn apply(&self, table: &Table, call: &Call) -> Vec<(Answer, Table)> {
        let refusals = self.refusals(&call.op);
        if !refusals.is_empty() {
            return refusals.into_iter().map(|kind| (Answer::Refused(kind), table.clone())).collect();
        }
        let now = call.now;
        let mut after = table.clone();
        let answer = match &call.op {
            Op::Purge { limit } => return table.purges(now, *limit),
            Op::PurgeKey { key } => {
                let mut states = vec![(Answer::Bool(false), table.clone())];
                if after.rows.get(key).is_some_and(|row| row.expires_at <= now) {
                    after.rows.remove(key);
                    states.push((Answer::Bool(true), after));
                }
                return states;
            }
            Op::DestroyKeyOf { principal, key, created_before, mode } => {
                let answer = |destroyed| Answer::Bool(destroyed == 1);
                return self.end_of(table, (*principal, *created_before), &[*key], *mode, now, answer);
            }
            Op::ForgetKeyOf { principal, key } => {
                return self.forget_of(table, *principal, &[*key], now, |wiped| Answer::Bool(wiped == 1));
            }
            Op::LoadMany { loads } => {
                Answer::Each(loads.iter().map(|(key, known)| self.load(table, *key, *known, now)).collect())
            }
            Op::WriteMany { writes } => {
                Answer::Each(writes.iter().map(|write| self.write(&mut after, write, now)).collect())
            }
            Op::Load { key, known } => self.load(table, *key, *known, now),
            Op::Rotate { from, to, payload, expires_at, principal, expected, mode } => {
                match after.rows.get(from).filter(|row| row.is_live(now)).cloned() {
                    None => Answer::Gone,
                    Some(old) if expected.is_some_and(|expected| expected != old.version) => Answer::Stale,
                    Some(_) if after.rows.contains_key(to) => Answer::KeyTaken,
                    Some(old) => {
                        after.end(*from, End::RotatedAway, *mode, now);
                        let version = old.version + self.step();
                        let row = Row {
                            payload: payload.unwrap_or(old.payload),
                            expires_at: expires_at.unwrap_or(old.expires_at),
                            created_at: old.created_at,
                            version,
                            principal: *principal,
                            end: None,
                        };
                        after.rows.insert(*to, row);
                        Answer::Rotated(version)
                    }
                }
            }
            Op::Fate { key } => Answer::Fate(match table.rows.get(key) {
                None => Fate::Unknown,
                Some(Row { end: Some(End::RotatedAway), .. }) if self.capabilities.tells_rotation => {
                    Fate::RotatedAway
                }
                Some(Row { end: Some(_), .. }) => Fate::Destroyed,
                Some(row) if row.is_live(now) => Fate::Live,
                Some(_) => Fate::Expired,
            }),
            Op::DestroyPrincipal { principal, except, created_before, mode } => {
                let keys: Vec<Key> = table.rows.keys().copied().filter(|key| Some(*key) != *except).collect();
                let whose = (*principal, *created_before);
                return self
                    .end_of(table, whose, &keys, *mode, now, |destroyed| Answer::Number(count(destroyed)));
            }
            Op::ForgetPrincipal { principal } => {
                let keys: Vec<Key> = table.rows.keys().copied().collect();
                return self.forget_of(table, *principal, &keys, now, |wiped| Answer::Number(count(wiped)));
            }
            Op::List { principal, after: from, limit } => {
                let skip = from.map_or(0, |from| {
                    self.order.iter().position(|key| *key == from).map_or(0, |position| position + 1)
                });
                let live = self.order.iter().skip(skip).filter_map(|key| {
                    let seen = self.see(table, *key, now)?;
                    (principal.is_none() || seen.principal == *principal).then_some((*key, seen))
                });
                Answer::Page(live.take(usize::try_from(*limit).unwrap_or(usize::MAX)).collect())
            }
            Op::Count { principal } => {
                let passes =
                    |row: &&Row| row.is_live(now) && (principal.is_none() || row.principal == *principal);
                Answer::Number(count(table.rows.values().filter(passes).count()))
            }
            Op::Clear => {
                after.rows.clear();
                Answer::Number(count(table.rows.len()))
            }
            write => self.write(&mut after, write, now),
        };
        let answers = if self.capabilities.returns_new_version {
            vec![answer]
        } else {
            with_versions_left_open(&call.op, answer)
        };
        answers.into_iter().map(|answer| (answer, after.clone())).collect()
    }

    /// The operations that also come in batches.
    fn write(&self, table: &mut Table, op: &Op, now: i64) -> Answer {
        match op {
            Op::Create { key, payload, expires_at, principal } => {
                if table.rows.contains_key(key) {
                    return Answer::KeyTaken;
                }
                let row = Row {
                    payload: *payload,
                    expires_at: *expires_at,
                    created_at: now,
                    version: self.step(),
                    principal: *principal,
                    end: None,
                };
                table.rows.insert(*key, row);
                Answer::Created
            }
            Op::Update { key, payload, expires_at, principal, expected } => match table.rows.get_mut(key) {
                Some(row) if row.is_live(now) => {
                    if expected.is_some_and(|expected| expected != row.version) {
                        return Answer::Stale;
                    }
                    row.payload = *payload;
                    row.expires_at = expires_at.unwrap_or(row.expires_at);
                    row.principal = *principal;
                    row.version += self.step();
                    Answer::Saved(row.version)
                }
                _ => Answer::Gone,
            },
            Op::Touch { key, expires_at, expected } => match table.rows.get_mut(key) {
                Some(row) if row.is_live(now) => {
                    if expected.is_some_and(|expected| expected != row.version) {
                        return Answer::Stale;
                    }
                    row.expires_at = *expires_at;
                    Answer::Moved
                }
                _ => Answer::Gone,
            },
            Op::Destroy { key, mode } => Answer::Bool(table.end(*key, End::Destroyed, *mode, now)),
            other => unreachable!("{other:?} is no write"),
        }
    }

    /// Why a call is refused; one of these, if it is for more than one reason.
    fn refusals(&self, op: &Op) -> Vec<ErrorKind> {
        let can = &self.capabilities;
        let leaves_a_row = |mode: &DestroyMode| *mode != DestroyMode::Remove && !can.tombstones;
        let unsupported = match op {
            Op::Create { principal, .. } => principal.is_some() && !can.principals,
            Op::Load { known, .. } => known.is_some() && !can.versions,
            Op::Update { principal, expected, .. } => {
                principal.is_some() && !can.principals || expected.is_some() && !can.versions
            }
            Op::Touch { expected, .. } => expected.is_some() && !can.versions,
            Op::Destroy { mode, .. } => leaves_a_row(mode),
            Op::Rotate { principal, expected, mode, .. } => {
                !can.rotation
                    || principal.is_some() && !can.principals
                    || expected.is_some() && !can.versions
                    || leaves_a_row(mode)
            }
            Op::DestroyPrincipal { created_before, mode, .. } => {
                !can.principals || leaves_a_row(mode) || created_before.is_some() && !can.created_at
            }
            Op::ForgetPrincipal { .. } => !can.principals,
            Op::List { principal, .. } | Op::Count { principal } => principal.is_some() && !can.principals,
            _ => false,
        };
        let invalid = matches!(op, Op::Rotate { from, to, .. } if from == to);
        let kinds = [(unsupported, ErrorKind::Unsupported), (invalid, ErrorKind::InvalidInput)];
        kinds.into_iter().filter_map(|(applies, kind)| applies.then_some(kind)).collect()
    }

    fn load(&self, table: &Table, key: Key, known: Option<i64>, now: i64) -> Answer {
        match self.see(table, key, now) {
            None => Answer::Gone,
            Some(seen) if known == Some(seen.version) => Answer::Unchanged(seen.expires_at),
            Some(seen) => Answer::Found(seen),
        }
    }

    fn see(&self, table: &Table, key: Key, now: i64) -> Option<Seen> {
        let row = table.rows.get(&key).filter(|row| row.is_live(now))?;
        Some(Seen {
            payload: row.payload,
            expires_at: row.expires_at,
            created_at: self.capabilities.created_at.then_some(row.created_at),
            version: row.version,
            principal: row.principal,
        })
    }

    /// Destroys those of these sessions that are a principal's, and old enough. Without
    /// [`removes_principal_rows`](Capabilities::removes_principal_rows) rows that are to go may also stay, all of them,
    /// empty and expired, for the next purge.
    fn end_of(
        &self,
        table: &Table,
        (principal, created_before): (PrincipalNo, Option<i64>),
        keys: &[Key],
        mode: DestroyMode,
        now: i64,
        answer: impl Fn(usize) -> Answer,
    ) -> Vec<(Answer, Table)> {
        let is_meant = |row: &Row| {
            row.principal == Some(principal) && created_before.is_none_or(|bound| row.created_at < bound)
        };
        let mut after = table.clone();
        let destroyed: Vec<Key> = keys
            .iter()
            .copied()
            .filter(|key| table.rows.get(key).is_some_and(is_meant))
            .filter(|key| after.end(*key, End::Destroyed, mode, now))
            .collect();
        let mut states = vec![(answer(destroyed.len()), after)];
        if mode == DestroyMode::Remove && !self.capabilities.removes_principal_rows && !destroyed.is_empty() {
            for end in [Some(End::Destroyed), None] {
                let mut emptied = table.clone();
                for (_, row) in emptied.rows.iter_mut().filter(|(key, _)| destroyed.contains(key)) {
                    (row.end, row.expires_at) = (end, i64::MIN);
                    row.wipe();
                }
                states.push((answer(destroyed.len()), emptied));
            }
        }
        states
    }

    /// Wipes those of these rows that are a principal's. One that has expired is what is left of it, in its next
    /// version, to a call with an earlier time, or expired since ever.
    fn forget_of(
        &self,
        table: &Table,
        principal: PrincipalNo,
        keys: &[Key],
        now: i64,
        answer: impl Fn(usize) -> Answer,
    ) -> Vec<(Answer, Table)> {
        let (mut wiped, mut after, mut for_ever) = (0, table.clone(), table.clone());
        for key in keys {
            if table.rows.get(key).is_none_or(|row| row.principal != Some(principal)) {
                continue;
            }
            wiped += 1;
            for (state, is_for_ever) in [(&mut after, false), (&mut for_ever, true)] {
                if !state.end(*key, End::Destroyed, self.forgets(), now)
                    && let Some(row) = state.rows.get_mut(key)
                {
                    row.wipe();
                    row.version += self.step();
                    if is_for_ever && row.end.is_none() {
                        row.expires_at = i64::MIN;
                    }
                }
            }
        }
        let mut states = vec![(answer(wiped), after)];
        if states[0].1 != for_ever {
            states.push((answer(wiped), for_ever));
        }
        states
    }

    /// How a session is destroyed that is to be forgotten.
    fn forgets(&self) -> DestroyMode {
        if self.capabilities.tombstones { DestroyMode::Forget } else { DestroyMode::Remove }
    }

    /// How far an update counts the version up.
    fn step(&self) -> i64 {
        i64::from(self.capabilities.versions)
    }
}

impl Table {
    fn end(&mut self, key: Key, why: End, mode: DestroyMode, now: i64) -> bool {
        let Some(row) = self.rows.get_mut(&key).filter(|row| row.is_live(now)) else { return false };
        row.end = Some(why);
        match mode {
            DestroyMode::Forget => row.wipe(),
            DestroyMode::Keep => {}
            DestroyMode::Remove => _ = self.rows.remove(&key),
        }
        true
    }

    /// A purge may choose which of the expired rows to remove, but not how many.
    fn purges(&self, now: i64, limit: u32) -> Vec<(Answer, Table)> {
        let expired: Vec<Key> =
            self.rows.iter().filter(|(_, row)| row.expires_at <= now).map(|(key, _)| *key).collect();
        let most = expired.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let answer = Answer::Number(count(most));
        let mut chosen = Vec::new();
        choose(&expired, most, &mut Vec::new(), &mut chosen);
        chosen
            .into_iter()
            .map(|keys| {
                let mut after = self.clone();
                after.rows.retain(|key, _| !keys.contains(key));
                (answer.clone(), after)
            })
            .collect()
    }
}

/// The answer, and the same with the new version left open for what expected none.
fn with_versions_left_open(op: &Op, answer: Answer) -> Vec<Answer> {
    const OPEN: i64 = 0;
    match (op, answer) {
        (Op::Update { expected: None, .. }, Answer::Saved(version)) if version != OPEN => {
            vec![Answer::Saved(version), Answer::Saved(OPEN)]
        }
        (Op::Rotate { expected: None, .. }, Answer::Rotated(version)) if version != OPEN => {
            vec![Answer::Rotated(version), Answer::Rotated(OPEN)]
        }
        (Op::WriteMany { writes }, Answer::Each(answers)) => {
            let mut all = vec![Vec::with_capacity(answers.len())];
            for (write, answer) in writes.iter().zip(answers) {
                let choices = with_versions_left_open(write, answer);
                all = all
                    .iter()
                    .flat_map(|chosen| {
                        choices.iter().map(|choice| [&chosen[..], std::slice::from_ref(choice)].concat())
                    })
                    .collect();
            }
            all.into_iter().map(Answer::Each).collect()
        }
        (_, answer) => vec![answer],
    }
}

/// All ways to choose `count` of `from`.
fn choose(from: &[Key], count: usize, chosen: &mut Vec<Key>, all: &mut Vec<Vec<Key>>) {
    if count == 0 {
        all.push(chosen.clone());
        return;
    }
    for (position, key) in from.iter().enumerate() {
        chosen.push(*key);
        choose(&from[position + 1..], count - 1, chosen, all);
        chosen.pop();
    }
}

impl Row {
    fn is_live(&self, now: i64) -> bool {
        self.end.is_none() && now < self.expires_at
    }

    fn wipe(&mut self) {
        (self.payload, self.principal) = (NOTHING, None);
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { capabilities: Capabilities::ALL, order: vec![0, 1, 2] }
    }

    fn run(rules: &Rules, table: &Table, now: i64, op: Op) -> Vec<(Answer, Table)> {
        rules.apply(table, &Call { now, op })
    }

    fn create(key: Key, expires_at: i64) -> Op {
        Op::Create { key, payload: 1, expires_at, principal: None }
    }

    fn load(key: Key) -> Op {
        Op::Load { key, known: None }
    }

    #[test]
    fn a_session_is_dead_from_its_expiry_on() {
        let (rules, table) = (rules(), Table::default());
        let (answer, table) = run(&rules, &table, 0, create(0, 10)).remove(0);
        assert_eq!(answer, Answer::Created);
        assert!(matches!(run(&rules, &table, 9, load(0))[0].0, Answer::Found(_)));
        assert_eq!(run(&rules, &table, 10, load(0))[0].0, Answer::Gone);
        assert_eq!(run(&rules, &table, 10, create(0, 20))[0].0, Answer::KeyTaken);
    }

    #[test]
    fn a_purge_may_choose_any_of_the_expired_rows() {
        let rules = rules();
        let mut table = Table::default();
        for key in 0..3 {
            table = run(&rules, &table, 0, create(key, 5)).remove(0).1;
        }
        let purges = run(&rules, &table, 5, Op::Purge { limit: 2 });
        assert_eq!(purges.len(), 3);
        assert!(purges.iter().all(|(answer, after)| *answer == Answer::Number(2) && after.rows.len() == 1));
        assert_eq!(run(&rules, &table, 4, Op::Purge { limit: 2 }), [(Answer::Number(0), table)]);
    }

    #[test]
    fn what_is_not_among_the_capabilities_is_refused() {
        let mut rules = rules();
        rules.capabilities.tombstones = false;
        let destroy = Op::Destroy { key: 0, mode: DestroyMode::Keep };
        assert_eq!(run(&rules, &Table::default(), 0, destroy)[0].0, Answer::Refused(ErrorKind::Unsupported));
    }
}
