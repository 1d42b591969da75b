//! The domain: one folder for each noun, with its types, its rules and its SQL.
//!
//! Each folder uses only those before it: [`wood`], [`event`], [`party`], [`finding`], then [`ticket`] and
//! [`seal`], which do not use each other, then [`custody`].

pub mod custody;
pub mod event;
pub mod finding;
pub mod party;
pub mod seal;
pub mod ticket;
pub mod wood;
