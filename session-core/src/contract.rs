//! What a backend's author needs: the trait to implement, and the words in which it speaks.
//!
//! An application needs none of this: see [`Sessions`](crate::Sessions).

pub use crate::cache::Cached;
pub use crate::checked::Checked;
pub use crate::gather::Gathered;
pub use crate::operation::{
    Create, Created, Destroy, DestroyPrincipal, Load, Loaded, Rotate, Rotated, Touch, Touched, Update, Write,
    Written,
};
pub use crate::record::{Filter, Listed, Payload, Record};
pub use crate::store::Store;
