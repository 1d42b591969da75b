//! Logs and stacks: their codes, rows, species and volumes, and what a reader may see of them.

pub mod find;
pub mod row;
pub mod species;
pub mod store;
pub mod volume_table;
