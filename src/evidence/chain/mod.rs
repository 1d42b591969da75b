//! The chain: how one event of a subject is bound to the one before it.
//!
//! What this folder promises, with the bytes of `docs/CHAIN.md`:
//! - a third party can recompute every hash from what the API returned ([`bytes`]);
//! - the hashed text is exactly the text that is stored and returned ([`canonical`]);
//! - the value that links an event to the next is its RFC 6962 leaf hash;
//! - an event is only appended to a head that its writer holds under lock
//!   ([`mod@append`]), so a chain has no fork and no gap.

pub mod append;
pub mod bytes;
pub mod canonical;
pub mod disclosure;
pub mod history;
pub(crate) mod schema;
pub mod size;
pub mod subject;
pub mod tx;

pub use append::{Draft, LockedHead, NewHead, StoredHead, append};
pub use bytes::{Entry, Hash, Salt, SubjectKind};
pub use subject::Subject;
pub use tx::{Leaves, Tx};
