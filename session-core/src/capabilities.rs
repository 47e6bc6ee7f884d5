//! What a backend can do, and how it wants to be called.

/// What a backend, or a table's layout, can do. A call for anything else returns
/// [`Unsupported`](crate::ErrorKind::Unsupported) and changes nothing.
///
/// ```
/// use session_core::Capabilities;
///
/// // A table without a column for the user.
/// let mut capabilities = Capabilities::ALL;
/// capabilities.principals = false;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Counts updates, so that an update can expect a version.
    pub versions: bool,
    /// Holds whom a session belongs to, so that listing, counting and destroying by principal work.
    pub principals: bool,
    /// Moves a session to another key in one atomic step.
    pub rotation: bool,
    /// Leaves the rows of destroyed sessions in the table ([`Forget`](crate::DestroyMode::Forget) and [`Keep`](crate::DestroyMode::Keep)).
    pub tombstones: bool,
    /// Holds when a session was created.
    pub created_at: bool,
    /// Holds every expiry exactly, to the millisecond and over the whole range of [`Timestamp`](crate::Timestamp). Otherwise a
    /// session never dies earlier than asked, and at most 4 ms later.
    pub exact_expiry: bool,
    /// Tells the new version of an update or rotation that expected none. Otherwise it may leave it open
    /// ([`Version::NONE`](crate::Version::NONE)).
    pub returns_new_version: bool,
    /// Removes rows at an end by principal with [`Remove`](crate::DestroyMode::Remove). Otherwise they may stay, empty, for the next
    /// purge.
    pub removes_principal_rows: bool,
    /// Tells a session that was rotated away from one that was destroyed, where the row stays. Otherwise
    /// [`fate`](crate::contract::Store::fate) calls both destroyed.
    pub tells_rotation: bool,
}

impl Capabilities {
    /// Everything that the contract knows.
    pub const ALL: Capabilities = Capabilities {
        versions: true,
        principals: true,
        rotation: true,
        tombstones: true,
        created_at: true,
        exact_expiry: true,
        returns_new_version: true,
        removes_principal_rows: true,
        tells_rotation: true,
    };
}

/// What a backend recommends for gathering concurrent calls into its many-key forms.
///
/// ```
/// use session_core::Gathering;
///
/// // A database far away, with connections to spare.
/// let gathering = Gathering { read_lanes: 4, write_lanes: 4, max_batch: 64, max_bytes: 1 << 20 };
/// assert_ne!(gathering, Gathering::OFF);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// How many loads or batches of loads may be under way at once; 0 sends every load on its own.
    pub read_lanes: usize,
    /// How many writes or batches of writes may be under way at once; 0 sends every write on its own.
    pub write_lanes: usize,
    /// The most operations in one batch.
    pub max_batch: usize,
    /// The most bytes of payload in one batch of writes; one larger write goes alone.
    pub max_bytes: usize,
}

impl Gathering {
    /// Every call goes to the backend on its own.
    pub const OFF: Gathering = Gathering { read_lanes: 0, write_lanes: 0, max_batch: 1, max_bytes: 0 };
}
