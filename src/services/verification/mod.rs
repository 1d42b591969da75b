//! The public check of a seal: what a buyer without an account is told.

pub mod answer;
pub mod kept;
pub mod lookup;
