//! The private cluster in the data directory: its folder, its process, its start and stop.

pub mod cluster;
pub mod folder;
pub mod postmaster;
