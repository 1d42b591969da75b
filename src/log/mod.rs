//! (in work)

pub mod species;
pub mod volume_table;
pub mod row;
