//! What the program can be asked to do.

pub mod cli;
pub mod demo;
pub mod demo_keys;
pub mod erase;
pub mod fsck;
pub mod serve;
