//! (in work)

pub mod record;
pub mod rules;
pub mod store;
