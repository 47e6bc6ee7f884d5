//! The words of a statement.

use std::ops::Range;

/// A word, a sign, a name with its colon, or a text between quotes.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) at: Range<usize>,
    /// In how many parentheses it stands. A parenthesis stands outside itself.
    pub(super) depth: usize,
}

impl Token<'_> {
    /// Whether it is this keyword or sign.
    pub(super) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }
}

const SIGNS: [&str; 8] = ["<=>", "<=", ">=", "<>", "!=", "||", "::", "->"];

/// Takes a statement apart.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            '\'' | '"' | '`' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            ':' if rest[1..].starts_with(|next: char| next.is_ascii_lowercase()) => {
                1 + name_length(&rest[1..])
            }
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if is_part_of_a_word(first) => rest.find(|next| !is_part_of_a_word(next)).unwrap_or(rest.len()),
            _ => {
                SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(first.len_utf8(), |sign| sign.len())
            }
        };
        if first == ')' {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token { text: &rest[..length], at: at..at + length, depth });
        if first == '(' {
            depth += 1;
        }
        at += length;
    }
    tokens
}

fn is_part_of_a_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_' || sign == '@'
}

/// The length of a name and of what says that it stands for a list.
fn name_length(text: &str) -> usize {
    let name = text.find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_')).unwrap_or(text.len());
    let digits = |rest: &str| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    match text[name..].strip_prefix(['*', '.']).map(digits) {
        Some(digits) if digits > 0 => name + 1 + digits,
        _ => name,
    }
}

/// The name of a statement's table, in its quotes.
pub(super) fn table(text: &str) -> Option<&str> {
    let tokens = tokens(text);
    let follows = |pair: &&[Token<'_>]| pair[0].is_any(&["FROM", "INTO", "UPDATE", "JOIN"]);
    let of = |token: &Token<'_>| &text[token.at.clone()];
    tokens.windows(2).filter(follows).map(|pair| of(&pair[1])).find(|name| name.starts_with(['"', '`']))
}

/// A statement, or a part of one, without its table's name and the sizes of its lists.
pub(super) fn normalised(text: &str, table: Option<&str>) -> String {
    let tokens = tokens(text);
    let (mut out, mut end) = (String::new(), 0);
    for token in &tokens {
        if token.at.start > end {
            out.push(' ');
        }
        end = token.at.end;
        match token.text {
            name if Some(name) == table => out.push('t'),
            name if name.starts_with(':') => {
                let stem = name.split(['*', '.']).next().unwrap_or(name);
                out.push_str(stem);
                out.push_str(match name[stem.len()..].chars().next() {
                    Some('*') => "*n",
                    Some('.') => ".i",
                    _ => "",
                });
            }
            other => out.push_str(other),
        }
    }
    let mut groups: Vec<&str> = out.split("), ").collect();
    groups.dedup();
    groups.join("), ")
}
