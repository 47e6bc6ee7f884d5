//! What a table of sessions does, said once more and by itself: the oracle of the model-based cases and of the
//! linearizability check. It shares no code with any store.
//!
//! Keys, payloads and principals are small numbers here; `world` gives them their real form.

use std::collections::BTreeMap;
use std::fmt;

use session_core::{Capabilities, ErrorKind};

pub(crate) type Key = u8;
pub(crate) type PrincipalNo = u8;
pub(crate) type PayloadNo = u32;

/// One operation with the time it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) now: i64,
    pub(crate) op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create {
        key: Key,
        payload: PayloadNo,
        expires_at: i64,
        principal: Option<PrincipalNo>,
    },
    Load {
        key: Key,
    },
    Update {
        key: Key,
        payload: PayloadNo,
        expires_at: i64,
        principal: Option<PrincipalNo>,
        expected: Option<i64>,
    },
    Touch {
        key: Key,
        expires_at: i64,
    },
    Destroy {
        key: Key,
        soft: bool,
    },
    Rotate {
        from: Key,
        to: Key,
        payload: Option<PayloadNo>,
        expires_at: i64,
        principal: Option<PrincipalNo>,
        expected: Option<i64>,
        soft: bool,
    },
    DestroyPrincipal {
        principal: PrincipalNo,
        except: Option<Key>,
        soft: bool,
    },
    Purge {
        limit: u32,
    },
    List {
        principal: Option<PrincipalNo>,
        after: Option<Key>,
        limit: u32,
    },
    Count {
        principal: Option<PrincipalNo>,
    },
    Clear,
    /// The keys are distinct.
    LoadMany {
        keys: Vec<Key>,
    },
    /// Creates, updates, touches and destroys of distinct keys.
    WriteMany {
        writes: Vec<Op>,
    },
    /// What a purge may do to one key, for histories that are checked key by key.
    PurgeKey {
        key: Key,
    },
    /// What a `DestroyPrincipal` does to one key, for histories that are checked key by key.
    DestroyKeyOf {
        principal: PrincipalNo,
        key: Key,
        soft: bool,
    },
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Created,
    KeyTaken,
    Found(Option<Seen>),
    Saved(i64),
    Rotated(i64),
    Stale,
    Gone,
    Bool(bool),
    Number(u64),
    Page(Vec<(Key, Seen)>),
    Each(Vec<Answer>),
    Refused(ErrorKind),
}

/// A live session as it is loaded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) payload: PayloadNo,
    pub(crate) expires_at: i64,
    pub(crate) created_at: Option<i64>,
    pub(crate) version: i64,
    pub(crate) principal: Option<PrincipalNo>,
}

/// What a table holds for a key, live or dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    payload: PayloadNo,
    expires_at: i64,
    created_at: i64,
    version: i64,
    principal: Option<PrincipalNo>,
    destroyed: bool,
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
        if let Some(refusal) = self.refusal(&call.op) {
            return vec![(Answer::Refused(refusal), table.clone())];
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
            Op::DestroyKeyOf { principal, key, soft } => {
                return self.end_of(table, *principal, &[*key], *soft, now, |ended| Answer::Bool(ended == 1));
            }
            Op::LoadMany { keys } => {
                Answer::Each(keys.iter().map(|key| Answer::Found(self.see(table, *key, now))).collect())
            }
            Op::WriteMany { writes } => {
                Answer::Each(writes.iter().map(|write| self.write(&mut after, write, now)).collect())
            }
            Op::Load { key } => Answer::Found(self.see(table, *key, now)),
            Op::Rotate { from, to, payload, expires_at, principal, expected, soft } => {
                match after.rows.get(from).filter(|row| row.is_live(now)).cloned() {
                    None => Answer::Gone,
                    Some(old) if expected.is_some_and(|expected| expected != old.version) => Answer::Stale,
                    Some(_) if after.rows.contains_key(to) => Answer::KeyTaken,
                    Some(old) => {
                        after.end(*from, *soft, now);
                        let version = old.version + self.step();
                        let row = Row {
                            payload: payload.unwrap_or(old.payload),
                            expires_at: *expires_at,
                            created_at: old.created_at,
                            version,
                            principal: *principal,
                            destroyed: false,
                        };
                        after.rows.insert(*to, row);
                        Answer::Rotated(version)
                    }
                }
            }
            Op::DestroyPrincipal { principal, except, soft } => {
                let keys: Vec<Key> = table.rows.keys().copied().filter(|key| Some(*key) != *except).collect();
                return self.end_of(table, *principal, &keys, *soft, now, |ended| {
                    Answer::Number(u64::try_from(ended).unwrap_or(u64::MAX))
                });
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
                let live = table.rows.values().filter(passes).count();
                Answer::Number(u64::try_from(live).unwrap_or(u64::MAX))
            }
            Op::Clear => {
                after.rows.clear();
                Answer::Number(u64::try_from(table.rows.len()).unwrap_or(u64::MAX))
            }
            write => self.write(&mut after, write, now),
        };
        let answers = if self.capabilities.told_versions {
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
                    destroyed: false,
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
                    row.expires_at = *expires_at;
                    row.principal = *principal;
                    row.version += self.step();
                    Answer::Saved(row.version)
                }
                _ => Answer::Gone,
            },
            Op::Touch { key, expires_at } => match table.rows.get_mut(key) {
                Some(row) if row.is_live(now) => {
                    row.expires_at = *expires_at;
                    Answer::Bool(true)
                }
                _ => Answer::Bool(false),
            },
            Op::Destroy { key, soft } => Answer::Bool(table.end(*key, *soft, now)),
            other => unreachable!("{other:?} is no write"),
        }
    }

    /// What is asked for and cannot be had.
    fn refusal(&self, op: &Op) -> Option<ErrorKind> {
        let can = &self.capabilities;
        let unsupported = match op {
            Op::Create { principal, .. } => principal.is_some() && !can.principals,
            Op::Update { principal, expected, .. } => {
                principal.is_some() && !can.principals || expected.is_some() && !can.versions
            }
            Op::Destroy { soft, .. } => *soft && !can.tombstones,
            Op::Rotate { principal, expected, soft, .. } => {
                !can.rotation
                    || principal.is_some() && !can.principals
                    || expected.is_some() && !can.versions
                    || *soft && !can.tombstones
            }
            Op::DestroyPrincipal { soft, .. } => !can.principals || *soft && !can.tombstones,
            Op::List { principal, .. } | Op::Count { principal } => principal.is_some() && !can.principals,
            _ => false,
        };
        if unsupported {
            return Some(ErrorKind::Unsupported);
        }
        matches!(op, Op::Rotate { from, to, .. } if from == to).then_some(ErrorKind::InvalidInput)
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

    /// Ends those of these sessions that are a principal's. Without hard ends the rows may also stay, all of
    /// them, empty and expired, for the next purge.
    fn end_of(
        &self,
        table: &Table,
        principal: PrincipalNo,
        keys: &[Key],
        soft: bool,
        now: i64,
        answer: impl Fn(usize) -> Answer,
    ) -> Vec<(Answer, Table)> {
        let theirs = |key: &&Key| table.rows.get(key).is_some_and(|row| row.principal == Some(principal));
        let mut after = table.clone();
        let ended: Vec<Key> =
            keys.iter().filter(theirs).copied().filter(|key| after.end(*key, soft, now)).collect();
        let mut states = vec![(answer(ended.len()), after)];
        if !soft && !self.capabilities.hard_ends && !ended.is_empty() {
            let mut emptied = table.clone();
            for (_, row) in emptied.rows.iter_mut().filter(|(key, _)| ended.contains(key)) {
                (row.destroyed, row.expires_at, row.principal) = (true, i64::MIN, None);
            }
            states.push((answer(ended.len()), emptied));
        }
        states
    }

    /// How far an update counts the version up.
    fn step(&self) -> i64 {
        i64::from(self.capabilities.versions)
    }
}

impl Table {
    fn end(&mut self, key: Key, soft: bool, now: i64) -> bool {
        match self.rows.get_mut(&key) {
            Some(row) if row.is_live(now) => {
                if soft {
                    row.destroyed = true;
                } else {
                    self.rows.remove(&key);
                }
                true
            }
            _ => false,
        }
    }

    /// A purge may choose which of the expired rows to remove, but not how many.
    fn purges(&self, now: i64, limit: u32) -> Vec<(Answer, Table)> {
        let expired: Vec<Key> =
            self.rows.iter().filter(|(_, row)| row.expires_at <= now).map(|(key, _)| *key).collect();
        let count = expired.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let answer = Answer::Number(u64::try_from(count).unwrap_or(u64::MAX));
        let mut chosen = Vec::new();
        choose(&expired, count, &mut Vec::new(), &mut chosen);
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
        !self.destroyed && now < self.expires_at
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", self.now, self.op)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Create { key, payload, expires_at, principal } => {
                write!(f, "create key {key} with payload {payload} until {expires_at}{}", of(*principal))
            }
            Op::Load { key } => write!(f, "load key {key}"),
            Op::Update { key, payload, expires_at, principal, expected } => {
                write!(f, "update key {key} to payload {payload} until {expires_at}{}", of(*principal))?;
                expecting(f, *expected)
            }
            Op::Touch { key, expires_at } => write!(f, "touch key {key} until {expires_at}"),
            Op::Destroy { key, soft } => write!(f, "destroy key {key} {}", mode(*soft)),
            Op::Rotate { from, to, payload, expires_at, principal, expected, soft } => {
                write!(f, "rotate key {from} to {to} ")?;
                match payload {
                    Some(payload) => write!(f, "with payload {payload}")?,
                    None => write!(f, "with its payload")?,
                }
                write!(f, " until {expires_at}{} {}", of(*principal), mode(*soft))?;
                expecting(f, *expected)
            }
            Op::DestroyPrincipal { principal, except, soft } => {
                write!(f, "destroy all{} {}", of(Some(*principal)), mode(*soft))?;
                except.map_or(Ok(()), |except| write!(f, " but key {except}"))
            }
            Op::Purge { limit } => write!(f, "purge up to {limit}"),
            Op::List { principal, after, limit } => {
                write!(f, "list up to {limit}{}", of(*principal))?;
                after.map_or(Ok(()), |after| write!(f, " after key {after}"))
            }
            Op::Count { principal } => write!(f, "count all{}", of(*principal)),
            Op::Clear => write!(f, "clear"),
            Op::LoadMany { keys } => write!(f, "load keys {keys:?} in one batch"),
            Op::WriteMany { writes } => {
                let writes: Vec<String> = writes.iter().map(Op::to_string).collect();
                write!(f, "in one batch: {}", writes.join("; "))
            }
            Op::PurgeKey { key } => write!(f, "purge, as far as key {key} is concerned"),
            Op::DestroyKeyOf { principal, key, soft } => {
                let of = of(Some(*principal));
                write!(f, "destroy all{of} {}, as far as key {key} is concerned", mode(*soft))
            }
        }
    }
}

fn of(principal: Option<PrincipalNo>) -> String {
    principal.map_or_else(String::new, |principal| format!(" of principal {principal}"))
}

fn mode(soft: bool) -> &'static str {
    if soft { "softly" } else { "hard" }
}

fn expecting(f: &mut fmt::Formatter<'_>, expected: Option<i64>) -> fmt::Result {
    expected.map_or(Ok(()), |expected| write!(f, " expecting v{expected}"))
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload {} v{} until {}", self.payload, self.version, self.expires_at)?;
        if let Some(created_at) = self.created_at {
            write!(f, " since {created_at}")?;
        }
        if let Some(principal) = self.principal {
            write!(f, " of principal {principal}")?;
        }
        Ok(())
    }
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

    #[test]
    fn a_session_is_dead_from_its_expiry_on() {
        let (rules, table) = (rules(), Table::default());
        let (answer, table) = run(&rules, &table, 0, create(0, 10)).remove(0);
        assert_eq!(answer, Answer::Created);
        assert!(matches!(run(&rules, &table, 9, Op::Load { key: 0 })[0].0, Answer::Found(Some(_))));
        assert_eq!(run(&rules, &table, 10, Op::Load { key: 0 })[0].0, Answer::Found(None));
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
        let destroy = Op::Destroy { key: 0, soft: true };
        assert_eq!(run(&rules, &Table::default(), 0, destroy)[0].0, Answer::Refused(ErrorKind::Unsupported));
    }
}
