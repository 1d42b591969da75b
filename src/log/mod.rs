//! (in work)

pub mod find;
pub mod species;
pub mod volume_table;
pub mod row;
