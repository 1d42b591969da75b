//! The public check of a seal, for buyers without an account.

pub mod answer;
pub mod kept;
pub mod lookup;
