//! What a batch of writes comes to: parts, each of one kind and of one statement.

use session_core::DestroyMode;
use session_core::contract::{Destroy, Write};
use session_sql::Statement;

use super::many::Many;

/// Writes that go together.
pub(super) struct Part<'a> {
    pub(super) kind: Kind,
    /// Where its writes stand in the batch.
    pub(super) places: Vec<usize>,
    pub(super) writes: Vec<&'a Write>,
}

/// Writes that one statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Update,
    Touch,
    Destroy(DestroyMode),
}

/// In the order in which the parts go.
const KINDS: [Kind; 6] = [
    Kind::Create,
    Kind::Update,
    Kind::Touch,
    Kind::Destroy(DestroyMode::Forget),
    Kind::Destroy(DestroyMode::Keep),
    Kind::Destroy(DestroyMode::Remove),
];

/// The parts of a batch. A write that is the only one of its kind is in none: the statement for one is the shorter one.
pub(super) fn parts(writes: &[Write]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for kind in KINDS {
        let (places, writes): (Vec<usize>, Vec<&Write>) =
            writes.iter().enumerate().filter(|(_, write)| Kind::of(write) == kind).unzip();
        if writes.len() > 1 {
            parts.push(Part { kind, places, writes });
        }
    }
    parts
}

impl Kind {
    fn of(write: &Write) -> Kind {
        match write {
            Write::Create(_) => Kind::Create,
            Write::Update(_) => Kind::Update,
            Write::Touch(_) => Kind::Touch,
            Write::Destroy(Destroy { mode, .. }) => Kind::Destroy(*mode),
        }
    }

    pub(super) fn statement(self, many: &Many) -> &Statement {
        match self {
            Kind::Create => &many.create,
            Kind::Update => &many.update,
            Kind::Touch => &many.touch,
            Kind::Destroy(mode) => many.destroy.of(mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use session_core::contract::Touch;
    use session_core::{SessionKey, Timestamp};

    use super::*;

    #[test]
    fn writes_of_one_kind_go_together_and_one_alone_goes_alone() {
        let key = |number: u8| SessionKey::from_digest([number; 32]);
        let touch =
            |number| Write::Touch(Touch { key: key(number), expires_at: Timestamp::NEVER, expected: None });
        let destroy = |number, mode| Write::Destroy(Destroy { key: key(number), mode });
        let writes = [
            destroy(1, DestroyMode::Forget),
            touch(2),
            destroy(3, DestroyMode::Remove),
            touch(4),
            destroy(5, DestroyMode::Forget),
        ];
        let parts: Vec<_> = parts(&writes).into_iter().map(|part| (part.kind, part.places)).collect();
        let forget = Kind::Destroy(DestroyMode::Forget);
        assert_eq!(parts, [(Kind::Touch, vec![1, 3]), (forget, vec![0, 4])]);
    }
}
