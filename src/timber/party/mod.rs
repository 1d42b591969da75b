//! The parties: organisations, their roles and their keys.
//!
//! The operator registers an organisation once, as the first event of its own chain. Its BIN and name are in
//! the personal part of that event, because those of a sole trader are personal data.

pub mod bin;
pub mod bootstrap;
pub mod change;
pub mod erasure;
pub(crate) mod head;
pub mod key;
pub mod key_record;
pub mod organization;
pub mod reader;
pub mod role;
pub mod session;
pub mod standing;
