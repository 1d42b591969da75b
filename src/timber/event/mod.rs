//! What events say: the closed vocabularies, the parts that are hashed, and who recorded them when.

pub mod act;
pub mod content;
pub mod words;
