//! Surveillance: the rules that need more than one event.
//!
//! The engine reads the leaves of the register in their order and folds them. It keeps a small window of
//! state for each log, ticket, seal, batch, person and organisation ([`window`]), and judges the windows that
//! a leaf touches again, in the order in which events are claimed to have happened. So a late event adds the
//! findings that it reveals and withdraws those that it explains. The fold ([`engine`]) is pure: it knows
//! neither the database nor the clock, so that a test folds a year of events in memory. [`runner`] runs it on
//! the database, exactly once for each leaf, and `replay` runs a new version of the rules over all leaves.

pub mod checks;
pub mod engine;
pub mod finding;
mod journey;
mod judge;
pub mod leaf;
mod organization;
mod person;
pub mod postgres;
pub mod replay;
pub mod runner;
mod seal;
pub mod threshold;
mod ticket;
pub mod window;
