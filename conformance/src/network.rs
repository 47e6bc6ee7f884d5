//! What a network does with connections and bytes.

use std::time::Duration;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// They arrive so much later, in each direction. A new connection takes a round trip, and so does each question.
    Delay(Duration),
    /// None pass; connections stay open, and new ones are accepted and get no answer. Bytes that wait go on when
    /// that is over, as with a server that was stopped.
    BlackHole,
    /// New connections are closed at once; the present ones are not affected.
    Refuse,
    /// A web server answers new connections in the server's place, at once or when it is spoken to, and closes them.
    Stranger,
    /// Half of the next piece from the server passes, then its connection is cut.
    Tear,
}

/// What the network is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) mode: Mode,
    /// Connections made before the last cut are cut.
    pub(crate) cuts: u64,
    /// Those made before the network last forgot its connections are forgotten.
    pub(crate) forgets: u64,
    /// How long a connection may rest before it is closed.
    pub(crate) idle: Option<Duration>,
}
