//! Wood itself: species and kinds, the volume table of GOST 2708-75, the bounds of a declared volume, the
//! tolerance of a ticket's volume.

pub mod bounds;
pub mod species;
pub mod tolerance;
pub mod volume_table;
