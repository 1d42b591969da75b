//! The database: somebody's PostgreSQL, or a private one of our own.
//!
//! [`open`] returns it migrated and ready, with a pool that may read and add but not change
//! evidence, and [`Database::close`] leaves nothing running.

pub mod batching;
mod errors;
pub mod lock;
pub mod migrate;
mod open;
pub mod private;
pub mod programs;
pub mod roles;
mod scram;

pub use errors::{OpenError, is_down};
pub use migrate::Backfill;
pub use open::{Database, Mode, open, open_for_publisher, open_throw_away, ping, pool_options};
