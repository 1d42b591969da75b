//! Code shared by the test binaries; each uses a part of it.
#![allow(dead_code, reason = "every test binary takes what it needs")]

pub mod chain;
pub mod long_ticket;
pub mod pg;
pub mod process;
pub mod remains;
pub mod wire;
