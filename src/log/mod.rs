//! (in work)

pub mod find;
pub mod row;
pub mod species;
pub mod store;
pub mod volume_table;
