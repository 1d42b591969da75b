//! Wood itself: species and kinds, customs codes, the volume table of GOST 2708-75, the bounds of a declared volume,
//! the tolerance of a ticket's volume.

pub mod bounds;
pub mod hs;
pub mod species;
pub mod tolerance;
pub mod volume_table;
