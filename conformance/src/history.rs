//! Concurrent histories: recorded as they happen, taken apart by session, and explained or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use session_core::contract::Store;
use session_core::{Error, ErrorKind};

use crate::case::{Verdict, failed};
use crate::linearize::{Explanation, MAX, Observed, explain};
use crate::oracle::Table;
use crate::spec::{Answer, Call, Key, Op};
use crate::world::World;

type Entry = Observed<Call, Answer>;

/// The operations of a call, each with what it was told.
type Told = Vec<(Op, Result<Answer, Error>)>;

/// Writes down who asked for what, when, and what he was told.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Counts calls and returns: their order is all that matters.
    clock: AtomicU64,
    entries: Mutex<Vec<Entry>>,
}

impl History {
    /// Makes a call and writes it down, also if it is dropped before it returns.
    ///
    /// # Errors
    /// What the store answers. A call that certainly did nothing is not written down; one that may have done
    /// something is, as one without a return.
    pub(crate) async fn call(&self, world: &World, store: &dyn Store, call: Call) -> Result<(), Error> {
        let called = self.clock.fetch_add(1, Ordering::SeqCst);
        let mut open = Open { history: self, world, call: &call, called, closed: false };
        let outcome: Result<Told, Error> = match &call.op {
            Op::LoadMany { loads } => world.load_many(store, loads, call.now).await.map(|answers| {
                loads.iter().map(|(key, known)| Op::Load { key: *key, known: *known }).zip(answers).collect()
            }),
            Op::WriteMany { writes } => world
                .write_many(store, writes, call.now)
                .await
                .map(|answers| writes.iter().cloned().zip(answers).collect()),
            single => world.call(store, &call).await.map(|answer| vec![(single.clone(), Ok(answer))]),
        };
        open.closed = true;
        let returned = self.clock.fetch_add(1, Ordering::SeqCst);
        match outcome {
            Ok(answers) => {
                let mut first_error = None;
                for (op, answer) in answers {
                    match answer {
                        Ok(answer) => {
                            self.returned(world, Call { now: call.now, op }, answer, called, returned);
                        }
                        Err(error) => {
                            if error.is_in_doubt() {
                                self.lost(world, &Call { now: call.now, op }, called);
                            }
                            first_error.get_or_insert(error);
                        }
                    }
                }
                first_error.map_or(Ok(()), Err)
            }
            Err(error) => {
                if error.is_in_doubt() {
                    self.lost(world, &call, called);
                }
                Err(error)
            }
        }
    }

    fn returned(&self, world: &World, call: Call, answer: Answer, called: u64, returned: u64) {
        let now = call.now;
        let add = |op, answer| {
            self.push(Entry { call: Call { now, op }, answer, called, returned: Some(returned) });
        };
        match (&call.op, answer) {
            // A refusal is no matter of order.
            (_, Answer::Refused(_)) => {}
            (Op::List { .. }, Answer::Page(page)) => {
                // Whoever lists everything has loaded every session, at one time or another.
                let mut page: BTreeMap<Key, _> = page.into_iter().collect();
                for key in world.key_numbers() {
                    add(
                        Op::Load { key, known: None },
                        Some(page.remove(&key).map_or(Answer::Gone, Answer::Found)),
                    );
                }
            }
            (op, answer) => match split(op, world) {
                Some(ops) => ops.into_iter().for_each(|op| add(op, None)),
                None => add(call.op, Some(answer)),
            },
        }
    }

    /// A call whose outcome nobody was told.
    fn lost(&self, world: &World, call: &Call, called: u64) {
        let ops = match &call.op {
            Op::Load { .. } | Op::LoadMany { .. } | Op::Fate { .. } | Op::List { .. } | Op::Count { .. } => {
                return;
            }
            Op::WriteMany { writes } => writes.clone(),
            op => split(op, world).unwrap_or_else(|| vec![op.clone()]),
        };
        for op in ops {
            self.push(Entry { call: Call { now: call.now, op }, answer: None, called, returned: None });
        }
    }

    fn push(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Checks that one sequential order explains what was seen of each session, from an empty table on.
    pub(crate) fn check(&self, world: &World) -> Verdict {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for mut part in by_session(&entries) {
            if part.len() > MAX {
                return failed(format!("the suite recorded {} operations of one session", part.len()));
            }
            part.sort_by_key(|entry| entry.called);
            let explanation = explain(&part, Table::default(), &|table, call| world.rules.apply(table, call));
            if let Explanation::Impossible(longest) = explanation {
                return failed(describe(&part, &longest));
            }
            // Too many possibilities to decide: this part proves nothing, and accuses nobody.
        }
        Ok(())
    }
}

/// A call under way. Dropped, it is lost.
struct Open<'a> {
    history: &'a History,
    world: &'a World,
    call: &'a Call,
    called: u64,
    closed: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.history.lost(self.world, self.call, self.called);
        }
    }
}

/// What an operation on several sessions is for each of them.
fn split(op: &Op, world: &World) -> Option<Vec<Op>> {
    match op {
        Op::Purge { .. } => Some(world.key_numbers().map(|key| Op::PurgeKey { key }).collect()),
        Op::DestroyPrincipal { principal, except, created_before, mode } => Some(
            world
                .key_numbers()
                .filter(|key| Some(*key) != *except)
                .map(|key| Op::DestroyKeyOf {
                    principal: *principal,
                    key,
                    created_before: *created_before,
                    mode: *mode,
                })
                .collect(),
        ),
        Op::ForgetPrincipal { principal } => {
            Some(world.key_numbers().map(|key| Op::ForgetKeyOf { principal: *principal, key }).collect())
        }
        _ => None,
    }
}

/// The parts of a history that have nothing to do with each other: keys belong together if one was rotated to the
/// other.
fn by_session(entries: &[Entry]) -> Vec<Vec<Entry>> {
    let mut group: BTreeMap<Key, Key> = BTreeMap::new();
    for entry in entries {
        let (key, other) = keys_of(&entry.call.op);
        let (group_of_key, group_of_other) =
            (*group.entry(key).or_insert(key), *group.entry(other).or_insert(other));
        group
            .values_mut()
            .filter(|member| **member == group_of_other)
            .for_each(|member| *member = group_of_key);
    }
    let mut parts: BTreeMap<Key, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        parts.entry(group[&keys_of(&entry.call.op).0]).or_default().push(entry.clone());
    }
    parts.into_values().collect()
}

fn keys_of(op: &Op) -> (Key, Key) {
    match op {
        Op::Create { key, .. }
        | Op::Load { key, .. }
        | Op::Update { key, .. }
        | Op::Touch { key, .. }
        | Op::Destroy { key, .. }
        | Op::Fate { key }
        | Op::PurgeKey { key }
        | Op::ForgetKeyOf { key, .. }
        | Op::DestroyKeyOf { key, .. } => (*key, *key),
        Op::Rotate { from, to, .. } => (*from, *to),
        other => unreachable!("{other} was taken apart"),
    }
}

fn describe(part: &[Entry], longest: &[usize]) -> String {
    let mut text =
        "no sequential order explains this history (call and return are numbered as they happened):\n"
            .to_owned();
    for entry in part {
        let returned = entry.returned.map_or_else(|| "?".to_owned(), |at| at.to_string());
        let _ = write!(text, "  [{:>4} to {returned:>4}] {}", entry.called, entry.call);
        let _ = match (&entry.answer, entry.returned) {
            (Some(answer), _) => writeln!(text, " -> {answer:?}"),
            (None, Some(_)) => writeln!(text),
            (None, None) => writeln!(text, " -> nobody was told"),
        };
    }
    let order: Vec<String> = longest.iter().map(|at| part[*at].called.to_string()).collect();
    let _ = write!(text, "  the longest order that explains a part of it: {}", order.join(", "));
    text
}

/// Whether an error may come of nothing but other callers.
pub(crate) fn is_contention(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && !error.is_in_doubt()
}
