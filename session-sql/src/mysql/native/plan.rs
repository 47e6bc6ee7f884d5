//! What a batch of writes comes to: parts, each of one kind and of one statement, with the values of their writes.

use session_core::contract::Write;
use session_core::{DestroyMode, Timestamp};

use super::many::{Forms, insertable};
use super::statements::Statements;
use super::value::{key, principal};
use crate::mysql::server::Server;
use crate::mysql::sizes::{MAX_ROWS, fill};
use crate::{Named, Statement, Value};

/// Writes that go together.
pub(super) struct Part<'a> {
    /// Where its writes stand in the batch.
    pub(super) places: Vec<usize>,
    pub(super) writes: Vec<&'a Write>,
    pub(super) values: Values<'a>,
    pub(super) way: Way<'a>,
}

/// How the writes of a part go.
pub(super) enum Way<'a> {
    /// One by one: together they do not fit into a packet.
    Alone,
    /// New rows, which are all made or, if a key is taken, none.
    Create(&'a Statement),
    /// Changes of rows.
    Change {
        forms: &'a Forms,
        /// Locks the rows and reads their versions.
        lock: &'a Statement,
    },
}

/// The values of a part, column by column, filled up to the size of its statements. Columns that its statements do not
/// have are empty.
///
/// A key beyond the writes is the last one again, which is found at its first place: no value beyond the writes is ever
/// used.
pub(super) struct Values<'a> {
    pub(super) keys: Vec<Value<'a>>,
    expected: Vec<Value<'a>>,
    payloads: Vec<Value<'a>>,
    expiries: Vec<Value<'a>>,
    principals: Vec<Value<'a>>,
    versions: Vec<Value<'a>>,
    now: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Touch,
    Destroy(DestroyMode),
}

/// In the order in which the parts go.
const KINDS: [Kind; 6] = [
    Kind::Update,
    Kind::Touch,
    Kind::Destroy(DestroyMode::Forget),
    Kind::Destroy(DestroyMode::Keep),
    Kind::Destroy(DestroyMode::Remove),
    Kind::Create,
];

/// Cuts a batch into its parts.
pub(super) fn parts<'a>(
    statements: &'a Statements,
    server: Server,
    writes: &'a [Write],
    now: Timestamp,
) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for of in KINDS {
        let places: Vec<usize> = (0..writes.len()).filter(|&place| kind(&writes[place]) == of).collect();
        let mut left = places.as_slice();
        while !left.is_empty() {
            // Each piece of an insert has a fate of its own.
            let most = if of == Kind::Create { insertable(left.len()) } else { left.len().min(MAX_ROWS) };
            let (places, rest) = left.split_at(most);
            let writes: Vec<&Write> = places.iter().map(|&place| &writes[place]).collect();
            parts.push(part(statements, server, of, places.to_vec(), writes, now));
            left = rest;
        }
    }
    parts
}

fn kind(write: &Write) -> Kind {
    match write {
        Write::Create(_) => Kind::Create,
        Write::Update(_) => Kind::Update,
        Write::Touch(_) => Kind::Touch,
        Write::Destroy(destroy) => Kind::Destroy(destroy.mode),
    }
}

fn part<'a>(
    statements: &'a Statements,
    server: Server,
    kind: Kind,
    places: Vec<usize>,
    writes: Vec<&'a Write>,
    now: Timestamp,
) -> Part<'a> {
    let many = statements.many.of_size(writes.len());
    let change = |forms| (many.rows, Way::Change { forms, lock: &many.lock });
    let (size, way) = match kind {
        Kind::Create => (writes.len(), Way::Create(statements.many.create(writes.len()))),
        Kind::Update => change(&many.update),
        Kind::Touch => change(&many.touch),
        Kind::Destroy(DestroyMode::Forget) => change(&many.forget),
        Kind::Destroy(DestroyMode::Keep) => change(&many.keep),
        Kind::Destroy(DestroyMode::Remove) => change(&many.remove),
    };
    let fits = server.takes(writes.iter().map(|write| write.payload_len()).sum());
    let way = if fits { way } else { Way::Alone };
    Part { values: Values::new(&writes, size, now), places, writes, way }
}

impl<'a> Values<'a> {
    fn new(writes: &[&'a Write], size: usize, now: Timestamp) -> Values<'a> {
        let mut values = Values {
            keys: writes.iter().map(|write| key(write.key())).collect(),
            expected: Vec::new(),
            payloads: Vec::new(),
            expiries: Vec::new(),
            principals: Vec::new(),
            versions: Vec::new(),
            now,
        };
        for write in writes {
            match write {
                Write::Create(create) => {
                    values.payloads.push((&create.payload).into());
                    values.expiries.push(create.expires_at.into());
                    values.principals.push(principal(create.principal.as_ref()));
                    values.versions.push(create.version.into());
                }
                Write::Update(update) => {
                    values.expected.push(update.expected.into());
                    values.payloads.push((&update.payload).into());
                    values.expiries.push(update.expires_at.into());
                    values.principals.push(principal(update.principal.as_ref()));
                }
                Write::Touch(touch) => {
                    values.expected.push(touch.expected.into());
                    values.expiries.push(touch.expires_at.into());
                }
                Write::Destroy(_) => {}
            }
        }
        fill(&mut values.keys, size, None);
        fill(&mut values.expected, size, None);
        fill(&mut values.payloads, size, Some("".into()));
        fill(&mut values.expiries, size, None);
        fill(&mut values.principals, size, None);
        fill(&mut values.versions, size, None);
        values
    }

    /// As the statements of the part name them.
    pub(super) fn named(&self) -> Vec<Named<'_>> {
        self.named_with(&self.keys)
    }

    /// As a statement names them that only looks for keys.
    pub(super) fn keys_and_now(&self) -> [Named<'_>; 2] {
        [("keys", Value::List(&self.keys)), ("now", self.now.into())]
    }

    /// As [`named`](Values::named), with other keys.
    pub(super) fn named_with<'v>(&'v self, keys: &'v [Value<'v>]) -> Vec<Named<'v>> {
        let mut named = vec![("keys", Value::List(keys)), ("now", self.now.into())];
        let columns = [
            ("expected", &self.expected),
            ("payloads", &self.payloads),
            ("expiries", &self.expiries),
            ("principals", &self.principals),
            ("versions", &self.versions),
        ];
        named.extend(
            columns
                .iter()
                .filter(|(_, list)| !list.is_empty())
                .map(|(name, list)| (*name, Value::List(list))),
        );
        named
    }
}
