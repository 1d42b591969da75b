//! The public check of a seal, for buyers without an account: [`lookup`] reads the rows, [`verdict`] decides,
//! [`answer`] puts the verdict into words, in three languages.

pub mod answer;
pub mod cached_json;
pub mod lookup;
pub mod verdict;
