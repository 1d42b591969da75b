//! The database: somebody's PostgreSQL, or a private one of our own.
//!
//! [`open`] returns it migrated and ready, with a pool that may read and add but not change
//! evidence, and [`Database::close`] leaves nothing running.

pub mod cluster;
pub mod erase;
pub mod folder;
pub mod lock;
pub mod migrate;
mod open;
pub mod postmaster;
pub mod programs;
pub mod roles;
mod scram;
mod trouble;
mod tx;

pub use open::{Database, Mode, OpenError, open, open_for_publisher, open_throw_away, pool_options};
pub use trouble::{is_down, is_retryable};
pub use tx::{Leaves, Tx};
