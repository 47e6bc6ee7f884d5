//! The words of the model: operations on a table of sessions, and what a caller is told.
//!
//! Keys, payloads and principals are small numbers here; `world` gives them their real form, and `oracle` says what is
//! right.

use std::fmt;

use session_core::{DestroyMode, ErrorKind, Fate};

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
        known: Option<i64>,
    },
    Update {
        key: Key,
        payload: PayloadNo,
        expires_at: Option<i64>,
        principal: Option<PrincipalNo>,
        expected: Option<i64>,
    },
    Touch {
        key: Key,
        expires_at: i64,
        expected: Option<i64>,
    },
    Destroy {
        key: Key,
        mode: DestroyMode,
    },
    Rotate {
        from: Key,
        to: Key,
        payload: Option<PayloadNo>,
        expires_at: Option<i64>,
        principal: Option<PrincipalNo>,
        expected: Option<i64>,
        mode: DestroyMode,
    },
    Fate {
        key: Key,
    },
    DestroyPrincipal {
        principal: PrincipalNo,
        except: Option<Key>,
        created_before: Option<i64>,
        mode: DestroyMode,
    },
    ForgetPrincipal {
        principal: PrincipalNo,
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
    /// Distinct keys, each with the version that the caller knows.
    LoadMany {
        loads: Vec<(Key, Option<i64>)>,
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
        created_before: Option<i64>,
        mode: DestroyMode,
    },
    /// What a `ForgetPrincipal` does to one key, for histories that are checked key by key.
    ForgetKeyOf {
        principal: PrincipalNo,
        key: Key,
    },
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Created,
    KeyTaken,
    Found(Seen),
    /// The session has the version that the caller knows, and expires then.
    Unchanged(i64),
    Saved(i64),
    Moved,
    Rotated(i64),
    Stale,
    Gone,
    Fate(Fate),
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
            Op::Load { key, known } => write!(f, "load key {key}{}", knowing(*known)),
            Op::Update { key, payload, expires_at, principal, expected } => {
                let (until, of) = (until(*expires_at), of(*principal));
                write!(f, "update key {key} to payload {payload} {until}{of}{}", expecting(*expected))
            }
            Op::Touch { key, expires_at, expected } => {
                write!(f, "touch key {key} until {expires_at}{}", expecting(*expected))
            }
            Op::Destroy { key, mode } => write!(f, "destroy key {key}, {mode:?}"),
            Op::Rotate { from, to, payload, expires_at, principal, expected, mode } => {
                write!(f, "rotate key {from} to {to} ")?;
                match payload {
                    Some(payload) => write!(f, "with payload {payload}")?,
                    None => write!(f, "with its payload")?,
                }
                let (until, of) = (until(*expires_at), of(*principal));
                write!(f, " {until}{of}{}, {mode:?}", expecting(*expected))
            }
            Op::Fate { key } => write!(f, "fate of key {key}"),
            Op::DestroyPrincipal { principal, except, created_before, mode } => {
                write!(f, "destroy all{}{}, {mode:?}", of(Some(*principal)), before(*created_before))?;
                except.map_or(Ok(()), |except| write!(f, ", but key {except}"))
            }
            Op::ForgetPrincipal { principal } => write!(f, "forget all{}", of(Some(*principal))),
            Op::Purge { limit } => write!(f, "purge up to {limit}"),
            Op::List { principal, after, limit } => {
                write!(f, "list up to {limit}{}", of(*principal))?;
                after.map_or(Ok(()), |after| write!(f, " after key {after}"))
            }
            Op::Count { principal } => write!(f, "count all{}", of(*principal)),
            Op::Clear => write!(f, "clear"),
            Op::LoadMany { loads } => {
                let loads: Vec<String> =
                    loads.iter().map(|(key, known)| format!("{key}{}", knowing(*known))).collect();
                write!(f, "load in one batch keys {}", loads.join("; "))
            }
            Op::WriteMany { writes } => {
                let writes: Vec<String> = writes.iter().map(Op::to_string).collect();
                write!(f, "in one batch: {}", writes.join("; "))
            }
            Op::PurgeKey { key } => write!(f, "purge, as far as key {key} is concerned"),
            Op::DestroyKeyOf { principal, key, created_before, mode } => {
                let (of, before) = (of(Some(*principal)), before(*created_before));
                write!(f, "destroy all{of}{before}, {mode:?}, as far as key {key} is concerned")
            }
            Op::ForgetKeyOf { principal, key } => {
                write!(f, "forget all{}, as far as key {key} is concerned", of(Some(*principal)))
            }
        }
    }
}

fn of(principal: Option<PrincipalNo>) -> String {
    principal.map_or_else(String::new, |principal| format!(" of principal {principal}"))
}

fn until(expires_at: Option<i64>) -> String {
    expires_at.map_or_else(|| "with its expiry".to_owned(), |time| format!("until {time}"))
}

fn before(created_before: Option<i64>) -> String {
    created_before.map_or_else(String::new, |time| format!(" created before {time}"))
}

fn knowing(known: Option<i64>) -> String {
    known.map_or_else(String::new, |version| format!(" knowing v{version}"))
}

fn expecting(expected: Option<i64>) -> String {
    expected.map_or_else(String::new, |version| format!(" expecting v{version}"))
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
