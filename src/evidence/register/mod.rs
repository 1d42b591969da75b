//! The register: one Merkle tree over all events, signed by its publisher, seen by witnesses.
//!
//! The tree's own bytes are [`crate::evidence::tlog`]'s. Here is what reads the database, calls others and
//! runs. An event enters the queue in its own transaction ([`mod@crate::evidence::chain::append`]); the
//! sequencer numbers it afterwards, so that no write waits for another's place in the tree.
//! - [`queue`]: how far that is behind, and what follows from it;
//! - [`sequencer`]: gives events their places;
//! - [`receipt`]: what a writer holds until then;
//! - [`backfill`]: events from before the register get their leaves;
//! - [`lookup`], [`export`]: proofs and whole histories under what is [`published`];
//! - [`publish`]: takes new leaves, keeps its own copy of the tree, signs and publishes;
//! - [`witness`]: countersigns somebody's checkpoints, each consistent with the one before.

pub mod backfill;
pub mod countersign;
pub mod keeper;
pub mod leaves;
pub mod publish;
pub mod published;
pub mod queue;
pub mod receipt;
pub mod sequencer;
pub mod statement;
pub mod witness;

use metrics::{describe_counter, describe_histogram};

pub use queue::Queue;
pub use receipt::{Receipt, Receipted};
pub use sequencer::Sequencer;

/// Says to the recorder what the register's figures are.
pub(crate) fn describe_figures() {
    describe_histogram!(sequencer::ROUND, "Seconds that a round of the sequencer took.");
    describe_histogram!(
        sequencer::WAITED,
        "Seconds that the oldest leaf of a round had waited for its place."
    );
    describe_counter!(sequencer::LEAVES, "Leaves to which this process gave their places.");
    describe_counter!(sequencer::FAILURES, "Attempts at a round that failed.");
}
