//! The row of a log: looked up by the log's codes, read with the access of a caller, written with its state.

pub mod find;
pub mod read;
pub mod write;
