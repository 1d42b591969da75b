//! The register: one Merkle tree over all events, signed by its publisher, seen by witnesses.
//!
//! The tree's own bytes are [`crate::ledger`]'s. Here is what reads the database, calls others and
//! runs. An event enters the queue in its own transaction ([`mod@crate::chain::append`]); whoever
//! numbers it does so afterwards, so that no write waits for another's place in the tree.
//! - [`backfill`]: events from before the register get their leaves;
//! - [`lookup`], [`export`]: proofs and whole histories under what is [`published`];
//! - [`publish`]: takes new leaves, keeps its own copy of the tree, signs and publishes;
//! - [`witness`]: countersigns somebody's checkpoints, each consistent with the one before.

pub mod backfill;
pub mod client;
pub mod countersign;
pub mod export;
pub mod keeper;
pub mod leaves;
pub mod lookup;
pub mod publish;
pub mod published;
pub mod statement;
pub mod witness;
