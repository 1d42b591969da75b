//! Who takes part: organisations, their roles and their keys.
//!
//! An organisation is registered once, by the operator, as the first event of its own chain. Its BIN and
//! name are in the personal part of that event, because a sole trader's are a person's.

pub mod bin;
pub mod bootstrap;
pub mod erasure;
pub(crate) mod head;
pub mod key;
pub mod key_record;
pub mod organization;
pub mod reader;
pub mod role;
