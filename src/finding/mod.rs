//! (in work)

pub mod rules;
pub mod store;
