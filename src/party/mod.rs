//! (in work)

pub mod bin;
