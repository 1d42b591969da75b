//! (in work)

pub mod tolerance;
