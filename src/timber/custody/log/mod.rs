//! The row of a log: found by its codes, read with what a caller may see of it, written with its state.

pub mod find;
pub mod row;
pub mod store;
