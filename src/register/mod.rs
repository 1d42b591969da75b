//! The register: one Merkle tree over all events, as the database keeps it.
//!
//! An event enters the queue in its own transaction ([`mod@crate::chain::append`]); whoever
//! numbers it does so afterwards, so that no write waits for another's place in the tree.

pub mod backfill;
