//! (in work)

pub mod species;
