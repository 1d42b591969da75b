//! The domain of timber. Each noun has a folder with its types, its rules and its SQL.
//!
//! A folder may use only the folders before it in this order: [`wood`], [`event`], [`party`], [`parameter`],
//! [`finding`], then [`ticket`] and [`seal`], which do not use each other, then [`custody`].

pub mod custody;
pub mod event;
pub mod finding;
pub mod parameter;
pub mod party;
pub mod seal;
pub mod ticket;
pub mod wood;
