//! Who takes part: organisations, their roles and their keys.

pub mod bin;
pub mod key;
pub mod role;
