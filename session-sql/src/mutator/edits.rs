//! What can be broken in a statement.

use std::ops::Range;

use super::tokens::{Token, tokens};
use crate::Dialect;

/// A part of a statement, and what takes its place.
#[derive(Debug)]
pub(super) struct Edit {
    at: Range<usize>,
    with: String,
}

impl Edit {
    /// The broken statement.
    pub(super) fn applied(&self, template: &str) -> String {
        let (before, after) = (&template[..self.at.start], &template[self.at.end..]);
        let before = if self.with.is_empty() { before.trim_end() } else { before };
        format!("{before}{}{after}", self.with)
    }

    /// What is done, for people.
    pub(super) fn what(&self, template: &str) -> String {
        let old = &template[self.at.clone()];
        match (old, self.with.as_str()) {
            ("", new) => format!("adds {}", new.trim()),
            (old, "") => format!("without {}", old.trim().trim_start_matches(", ")),
            (old, new) => format!("{new} in place of {old}"),
        }
    }
}

/// Where a predicate, an item or an order ends.
const ENDS: [&str; 20] = [
    "AND",
    "OR",
    "WHERE",
    "GROUP",
    "ORDER",
    "LIMIT",
    "FOR",
    "RETURNING",
    "ON",
    "UNION",
    "SET",
    "DO",
    "JOIN",
    "LEFT",
    "CROSS",
    "STRAIGHT_JOIN",
    "THEN",
    "WHEN",
    "ELSE",
    "END",
];

/// Every fault of a statement. Several may come to the same.
pub(super) fn of(dialect: Dialect, template: &str) -> Vec<Edit> {
    let tokens = tokens(template);
    let mut edits = Edits { text: template, tokens: &tokens, found: Vec::new() };
    let assignments = edits.set_lists();
    for index in 0..tokens.len() {
        if !assignments.contains(&index) {
            edits.comparison(index);
        }
        edits.predicate(index, dialect);
        edits.test(index);
        edits.lock(index);
        edits.order(index);
        edits.limit(index);
        edits.conflict(index);
        edits.choice(index);
        edits.sum(index);
        edits.hint(index);
    }
    edits.found
}

struct Edits<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    found: Vec<Edit>,
}

impl Edits<'_> {
    fn is(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.is(word))
    }

    fn are(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is(index + offset, word))
    }

    /// The first token from `from` on that stands outside of `depth` or is one of these words at it.
    fn end(&self, from: usize, depth: usize, words: &[&str]) -> usize {
        let ends = |token: &Token<'_>| {
            token.depth < depth || (token.depth == depth && (token.is(",") || token.is_any(words)))
        };
        // A closing parenthesis of this depth's own stands one further out.
        let position = self.tokens[from..].iter().position(ends);
        position.map_or(self.tokens.len(), |offset| from + offset)
    }

    fn bytes(&self, tokens: Range<usize>) -> Range<usize> {
        self.tokens[tokens.start].at.start..self.tokens[tokens.end - 1].at.end
    }

    fn replace(&mut self, tokens: Range<usize>, with: &str) {
        if !tokens.is_empty() {
            let at = self.bytes(tokens);
            if self.text[at.clone()] != *with {
                self.found.push(Edit { at, with: with.to_owned() });
            }
        }
    }

    fn text_of(&self, tokens: Range<usize>) -> &str {
        if tokens.is_empty() { "" } else { &self.text[self.bytes(tokens)] }
    }

    /// Leaves out each item of each list of assignments, or lets the only one assign nothing. Gives the places of the signs
    /// that assign.
    fn set_lists(&mut self) -> Vec<usize> {
        let mut signs = Vec::new();
        for index in 0..self.tokens.len() {
            let begins =
                self.is(index, "SET") || (index > 1 && self.are(index - 2, &["DUPLICATE", "KEY", "UPDATE"]));
            // `DO UPDATE SET` begins at its SET.
            if !begins || self.is(index + 1, "SESSION") {
                continue;
            }
            let depth = self.tokens[index].depth;
            let mut items = Vec::new();
            let mut from = index + 1;
            loop {
                let end = self.end(from, depth, &["WHERE", "RETURNING", "FROM"]);
                items.push(from..end);
                if !self.is(end, ",") || self.tokens[end].depth < depth {
                    break;
                }
                from = end + 1;
            }
            for (number, item) in items.iter().enumerate() {
                let sign = item.clone().find(|at| self.is(*at, "=") && self.tokens[*at].depth == depth);
                signs.extend(sign);
                let at = match (number, items.len()) {
                    (_, 1) => {
                        if let Some(sign) = sign {
                            let column = self.text_of(item.start..sign).to_owned();
                            self.replace(sign + 1..item.end, &column);
                        }
                        continue;
                    }
                    // With the comma behind it, and the blank.
                    (0, _) => self.tokens[item.start].at.start..self.tokens[items[1].start].at.start,
                    // With the comma before it.
                    _ => self.tokens[item.start - 1].at.start..self.tokens[item.end - 1].at.end,
                };
                if number == 0 {
                    // What is left out at the front must not take the blank before it along.
                    let next = items[1].clone();
                    let end = self.tokens[next.start].at.end;
                    let with = self.text[self.tokens[next.start].at.clone()].to_owned();
                    self.found.push(Edit { at: at.start..end, with });
                } else {
                    self.found.push(Edit { at, with: String::new() });
                }
            }
        }
        signs
    }

    fn comparison(&mut self, index: usize) {
        let others: &[&str] = match self.tokens[index].text {
            "=" | "<=>" => &["<>"],
            "<>" | "!=" => &["="],
            "<" => &["<=", ">"],
            "<=" => &["<", ">"],
            ">" => &[">=", "<"],
            ">=" => &[">", "<"],
            _ => &[],
        };
        for other in others {
            self.replace(index..index + 1, other);
        }
    }

    /// Each operand of AND and of WHERE becomes true, each of OR false.
    fn predicate(&mut self, index: usize, dialect: Dialect) {
        let (truth, lie) = if dialect == Dialect::Mssql { ("1 = 1", "1 = 0") } else { ("TRUE", "FALSE") };
        let token = &self.tokens[index];
        let depth = token.depth;
        let joins =
            self.is(index, "ON") && !self.is(index + 1, "CONFLICT") && !self.is(index + 1, "DUPLICATE");
        if joins || token.is_any(&["WHERE", "AND"]) {
            let end = self.end(index + 1, depth, &ENDS);
            self.replace(index + 1..end, truth);
        } else if token.is("OR") {
            let end = self.end(index + 1, depth, &ENDS);
            self.replace(index + 1..end, lie);
        } else if token.is("(") || token.is_any(&["WHEN"]) {
            // The first operand.
            let depth = if token.is("(") { depth + 1 } else { depth };
            let end = self.end(index + 1, depth, &ENDS);
            if self.tokens.get(end).is_some_and(|next| next.depth == depth) {
                if self.is(end, "AND") {
                    self.replace(index + 1..end, truth);
                } else if self.is(end, "OR") {
                    self.replace(index + 1..end, lie);
                }
            }
        }
    }

    fn test(&mut self, index: usize) {
        if !self.is(index, "IS") {
            return;
        }
        let negated = self.is(index + 1, "NOT");
        let what = index + 1 + usize::from(negated);
        if self.tokens.get(what).is_some_and(|token| token.is_any(&["TRUE", "FALSE"])) {
            self.replace(index..what + 1, "");
        } else if negated {
            self.replace(index..index + 2, "IS");
        } else {
            self.replace(index..index + 1, "IS NOT");
        }
    }

    fn lock(&mut self, index: usize) {
        if self.are(index, &["SKIP", "LOCKED"]) {
            self.replace(index..index + 2, "");
        }
        let strength = [&["FOR", "UPDATE"][..], &["FOR", "NO", "KEY", "UPDATE"], &["FOR", "SHARE"]];
        if let Some(words) = strength.into_iter().find(|words| self.are(index, words)) {
            let mut end = index + words.len();
            if self.is(end, "OF") {
                end += 2;
            }
            if self.are(end, &["SKIP", "LOCKED"]) {
                end += 2;
            }
            self.replace(index..end, "");
        }
    }

    fn order(&mut self, index: usize) {
        if self.are(index, &["ORDER", "BY"]) {
            let depth = self.tokens[index].depth;
            let item = self.end(index + 2, depth, &ENDS);
            self.found.push(Edit {
                at: self.tokens[item - 1].at.end..self.tokens[item - 1].at.end,
                with: " DESC".to_owned(),
            });
            let mut end = item;
            while self.is(end, ",") && self.tokens[end].depth == depth {
                end = self.end(end + 1, depth, &ENDS);
            }
            self.replace(index..end, "");
        }
    }

    fn limit(&mut self, index: usize) {
        if self.is(index, "LIMIT") {
            let end = self.end(index + 1, self.tokens[index].depth, &ENDS);
            self.replace(index..end, "");
        }
    }

    fn conflict(&mut self, index: usize) {
        if self.are(index, &["ON", "CONFLICT"])
            && let Some(nothing) = (index..self.tokens.len()).find(|at| self.are(*at, &["DO", "NOTHING"]))
        {
            self.replace(index..nothing + 2, "");
            // The second column is the payload.
            let begin = self.tokens.iter().position(|token| token.is("INTO")).unwrap_or(0);
            let comma = (begin..self.tokens.len()).find(|at| self.is(*at, ","));
            if let Some(column) = comma.map(|comma| self.text_of(comma + 1..comma + 2).to_owned()) {
                self.replace(nothing..nothing + 2, &format!("DO UPDATE SET {column} = excluded.{column}"));
            }
        }
    }

    fn choice(&mut self, index: usize) {
        let depth = self.tokens[index].depth;
        let called = |name: &str| self.is(index, name) && self.is(index + 1, "(");
        if called("COALESCE") || called("IF") {
            let mut sides = Vec::new();
            let mut from = index + 2;
            loop {
                let end = self.end(from, depth + 1, &[]);
                sides.push(from..end);
                if !self.is(end, ",") {
                    break;
                }
                from = end + 1;
            }
            let skipped = usize::from(self.is(index, "IF"));
            let close = sides.last().map_or(index, |side| side.end);
            for side in sides.into_iter().skip(skipped) {
                let with = format!("({})", self.text_of(side));
                self.replace(index..close + 1, &with);
            }
        } else if self.is(index, "CASE") {
            let find = |word: &str| {
                (index..self.tokens.len()).find(|at| self.is(*at, word) && self.tokens[*at].depth == depth)
            };
            if let (Some(then), Some(other), Some(end)) = (find("THEN"), find("ELSE"), find("END")) {
                for side in [then + 1..other, other + 1..end] {
                    let with = format!("({})", self.text_of(side));
                    self.replace(index..end + 1, &with);
                }
            }
        }
    }

    fn sum(&mut self, index: usize) {
        if self.is(index, "+") && (self.is(index + 1, "1") || self.is(index + 1, "0")) {
            self.replace(index..index + 2, "");
        }
    }

    fn hint(&mut self, index: usize) {
        if self.are(index, &["FORCE", "INDEX", "("]) {
            let close = self.end(index + 3, self.tokens[index].depth + 1, &[]);
            self.replace(index..close + 1, "");
        }
        if self.is(index, "STRAIGHT_JOIN") {
            self.replace(index..index + 1, "JOIN");
        }
    }
}
