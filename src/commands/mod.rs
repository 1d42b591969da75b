//! The commands of the program.

pub mod cli;
pub mod demo;
pub mod demo_keys;
pub mod erase;
pub mod fsck;
pub mod serve;
