//! The register: one Merkle tree over all events, signed by its publisher, cosigned by witnesses.
//!
//! Formats and proofs are in [`crate::evidence::tlog`]. This folder has the parts that read the database,
//! send requests or run as processes. An event enters the queue in its own transaction
//! ([`mod@crate::evidence::chain::append`]); the sequencer numbers it afterwards, so that concurrent writes
//! do not wait for each other's leaf indexes.
//! - [`queue`]: the lag of the sequencer, and when writes are refused because of it;
//! - [`sequencer`]: gives events their leaf indexes;
//! - [`receipt`]: signed promises to the client that its events will be in the register;
//! - [`backfill`]: leaves for events from before the register existed;
//! - [`published`]: the published files, read for proofs and exports;
//! - [`publish`]: reads new leaves, keeps its own copy of the tree, signs and publishes;
//! - [`witness`]: cosigns checkpoints of registers, each only if consistent with the one before.

pub mod backfill;
pub mod keys_json;
pub mod leaves;
pub mod publish;
pub mod published;
pub mod queue;
pub mod receipt;
pub mod sequencer;
pub mod tree_writer;
pub mod witness;
pub mod witness_client;

use metrics::{describe_counter, describe_histogram};

pub use queue::Queue;
pub use receipt::{Receipt, Receipted};
pub use sequencer::Sequencer;

/// Describes the register's metrics to the recorder.
pub(crate) fn describe_figures() {
    describe_histogram!(sequencer::ROUND, "Seconds that a round of the sequencer took.");
    describe_histogram!(
        sequencer::WAITED,
        "Seconds that the oldest leaf of a round had waited in the queue."
    );
    describe_counter!(sequencer::LEAVES, "Leaves that this process has sequenced.");
    describe_counter!(sequencer::FAILURES, "Rounds of the sequencer that failed.");
}
