//! The database: a given PostgreSQL server, or a private cluster that this program runs.
//!
//! [`open`] returns it migrated and ready, with a pool that may read and add but not change
//! evidence. [`Database::close`] stops every process that [`open`] started.

pub mod batching;
pub mod dump;
mod empty;
mod errors;
pub mod lock;
pub mod migrate;
mod open;
pub mod private;
pub mod programs;
pub mod roles;
mod scram;

pub use empty::{EmptyDatabase, open_empty};
pub use errors::{OpenError, is_down};
pub use migrate::Backfill;
pub use open::{
    Database, Mode, open, open_disposable, open_existing, open_for_publisher, ping, pool_options,
};
