//! The register: one Merkle tree over all events, as the database keeps it.
//!
//! An event enters the queue in its own transaction ([`mod@crate::chain::append`]); the
//! [`sequencer`] numbers it afterwards, so that no write waits for another's place in the tree.
//! Until then its writer holds a [`receipt`].

pub mod backfill;
pub mod queue;
pub mod receipt;
pub mod sequencer;

use metrics::{describe_counter, describe_histogram};

pub use queue::Register;
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
