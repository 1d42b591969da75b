//! Turns records into evidence: the chain of each subject's events, the transparency log over all of them,
//! and write requests that are safe to repeat.

pub mod chain;
pub mod idempotency;
pub mod register;
pub mod tlog;
