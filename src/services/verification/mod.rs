//! The public check of a seal, for buyers without an account.

pub mod answer;
pub mod cached_json;
pub mod lookup;
