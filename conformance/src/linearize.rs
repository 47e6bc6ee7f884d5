//! Decides whether a concurrent history can be explained by one sequential order.
//!
//! The algorithm is Wing and Gong's search with Lowe's memory of the configurations that were tried: an operation
//! may come next if it was called before every other one that is still to come had returned. A configuration is the
//! set of operations that are done and the state they led to.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// One call as it was observed.
#[derive(Clone, Debug)]
pub(crate) struct Observed<C, A> {
    pub(crate) call: C,
    /// What the caller was told; `None` if he was told nothing, or nothing that matters here.
    pub(crate) answer: Option<A>,
    /// The instant of the call.
    pub(crate) called: u64,
    /// The instant of the return; `None` if the call may have taken effect at any later time, or never.
    pub(crate) returned: Option<u64>,
}

/// The most operations in a history: the set of those that are done is a `u128`.
pub(crate) const MAX: usize = 128;

/// The most configurations to try: a few seconds. The histories of the suite need some hundreds.
const BUDGET: usize = 50_000;

/// What is known of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Explanation {
    /// This order explains it, as positions in the history. Calls that did not return may be missing.
    Order(Vec<usize>),
    /// None does. The longest order that explains a part of it.
    Impossible(Vec<usize>),
    /// There are too many possibilities to try.
    Undecided,
}

/// Every answer that is right for a call in a state, with the state that it leads to.
type Spec<'a, C, A, S> = dyn Fn(&S, &C) -> Vec<(A, S)> + 'a;

/// Looks for an order that explains the history.
pub(crate) fn explain<C, A: PartialEq, S: Clone + Eq + Hash>(
    history: &[Observed<C, A>],
    initial: S,
    apply: &Spec<'_, C, A, S>,
) -> Explanation {
    assert!(history.len() <= MAX, "a history has at most {MAX} operations");
    let mut search = Search { history, apply, tried: HashSet::new(), order: Vec::new(), longest: Vec::new() };
    if search.from(0, initial) {
        Explanation::Order(search.order)
    } else if search.tried.len() >= BUDGET {
        Explanation::Undecided
    } else {
        Explanation::Impossible(search.longest)
    }
}

struct Search<'a, C, A, S> {
    history: &'a [Observed<C, A>],
    apply: &'a Spec<'a, C, A, S>,
    tried: HashSet<(u128, S)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl<C, A: PartialEq, S: Clone + Eq + Hash> Search<'_, C, A, S> {
    fn from(&mut self, done: u128, state: S) -> bool {
        let to_come = || self.history.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let Some(first_return) = to_come().filter_map(|(_, op)| op.returned).min() else {
            // Whatever is left did not return, and need not have happened.
            return true;
        };
        if self.tried.len() >= BUDGET || !self.tried.insert((done, state.clone())) {
            return false;
        }
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        let candidates: Vec<usize> =
            to_come().filter(|(_, op)| op.called < first_return).map(|(at, _)| at).collect();
        for at in candidates {
            let op = &self.history[at];
            for (answer, next) in (self.apply)(&state, &op.call) {
                if op.answer.as_ref().is_some_and(|observed| *observed != answer) {
                    continue;
                }
                if op.returned.is_none() && next == state {
                    // It might as well not have happened.
                    continue;
                }
                self.order.push(at);
                if self.from(done | (1 << at), next) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: `Some` writes, `None` reads.
    type Register = Observed<Option<u8>, u8>;

    fn op(call: Option<u8>, answer: u8, called: u64, returned: u64) -> Register {
        Observed { call, answer: Some(answer), called, returned: Some(returned) }
    }

    fn lost(call: Option<u8>, called: u64) -> Register {
        Observed { call, answer: None, called, returned: None }
    }

    fn explain_register(history: &[Register]) -> Explanation {
        explain(history, 0_u8, &|state, call| match call {
            Some(value) => vec![(0, *value)],
            None => vec![(*state, *state)],
        })
    }

    fn is_explained(history: &[Register]) -> bool {
        match explain_register(history) {
            Explanation::Order(_) => true,
            Explanation::Impossible(_) => false,
            Explanation::Undecided => panic!("undecided"),
        }
    }

    const READ: Option<u8> = None;
    fn write(value: u8) -> Option<u8> {
        Some(value)
    }

    #[test]
    fn a_sequential_history_is_its_own_explanation() {
        let history = [op(write(1), 0, 0, 1), op(READ, 1, 2, 3), op(write(2), 0, 4, 5), op(READ, 2, 6, 7)];
        assert_eq!(explain_register(&history), Explanation::Order(vec![0, 1, 2, 3]));
    }

    #[test]
    fn an_empty_history_is_explained() {
        assert!(is_explained(&[]));
    }

    #[test]
    fn a_stale_read_is_not_explained() {
        let history = [op(write(1), 0, 0, 1), op(READ, 0, 2, 3)];
        assert_eq!(explain_register(&history), Explanation::Impossible(vec![0]));
    }

    #[test]
    fn a_read_beside_a_write_may_see_either_value() {
        for seen in [0, 1] {
            assert!(is_explained(&[op(write(1), 0, 0, 3), op(READ, seen, 1, 2)]));
        }
        assert!(!is_explained(&[op(write(1), 0, 0, 3), op(READ, 7, 1, 2)]));
    }

    #[test]
    fn reads_beside_a_write_cannot_go_back() {
        let forth = [op(write(1), 0, 0, 9), op(READ, 0, 1, 2), op(READ, 1, 3, 4)];
        assert!(is_explained(&forth));
        let back = [op(write(1), 0, 0, 9), op(READ, 1, 1, 2), op(READ, 0, 3, 4)];
        assert!(!is_explained(&back));
    }

    #[test]
    fn two_writes_may_be_taken_in_either_order_but_only_in_one() {
        let writes = [op(write(1), 0, 0, 5), op(write(2), 0, 0, 5)];
        let one_order = [writes.clone(), [op(READ, 1, 6, 7), op(READ, 1, 8, 9)]].concat();
        assert!(is_explained(&one_order));
        let both_orders = [writes, [op(READ, 1, 6, 7), op(READ, 2, 8, 9)]].concat();
        assert!(!is_explained(&both_orders));
    }

    #[test]
    fn a_call_without_an_answer_may_take_effect_late_once_or_never() {
        let late = [lost(write(1), 0), op(READ, 0, 1, 2), op(READ, 1, 3, 4)];
        assert!(is_explained(&late));
        let never = [lost(write(1), 0), op(READ, 0, 1, 2)];
        assert!(is_explained(&never));
        let twice = [lost(write(1), 0), op(READ, 1, 1, 2), op(write(2), 0, 3, 4), op(READ, 1, 5, 6)];
        assert!(!is_explained(&twice));
        let before_its_call = [op(READ, 1, 0, 1), lost(write(1), 2)];
        assert!(!is_explained(&before_its_call));
    }

    #[test]
    fn a_lost_increment_is_found() {
        // A counter whose answer is the value before.
        let counter = |state: &u8, (): &()| vec![(*state, state + 1)];
        let op = |answer, called, returned| Observed {
            call: (),
            answer: Some(answer),
            called,
            returned: Some(returned),
        };
        let good = [op(0, 0, 5), op(1, 0, 5), op(2, 6, 7)];
        assert!(matches!(explain(&good, 0, &counter), Explanation::Order(_)));
        let bad = [op(0, 0, 5), op(0, 0, 5), op(1, 6, 7)];
        assert!(matches!(explain(&bad, 0, &counter), Explanation::Impossible(_)));
    }

    #[test]
    fn a_hopeless_search_gives_up() {
        // A hundred concurrent writes, of which one in the middle must have come last.
        let mut history: Vec<Register> = (1..=100).map(|value| op(write(value), 0, 0, 1000)).collect();
        history.extend([op(READ, 42, 2000, 2001), op(READ, 43, 2002, 2003)]);
        assert_eq!(explain_register(&history), Explanation::Undecided);
    }
}
