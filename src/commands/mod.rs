//! The commands of the program.

pub mod backup;
pub mod cli;
mod configuration;
pub mod demo;
pub mod demo_keys;
pub mod erase;
pub mod fsck;
pub mod publisher;
pub mod rulebook;
pub mod serve;
