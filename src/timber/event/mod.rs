//! The content of events: the closed vocabularies, the parts that are hashed, and the common fields (who
//! recorded the event, with which key, when).

pub mod actor;
pub mod content;
pub mod vocabulary;
