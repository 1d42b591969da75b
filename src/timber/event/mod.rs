//! The content of events: their types, the closed vocabularies, the parts that are hashed, and the common
//! fields (who recorded the event, with which key, when).

pub mod actor;
pub(in crate::timber) mod heads;
pub mod parts;
pub mod types;
pub mod vocabulary;
