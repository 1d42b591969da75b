//! Ormantrace: the central server for marking and tracing timber.
//!
//! [`timber`] is the domain: one folder for each noun, with its types, its rules and its SQL. [`http`] is a
//! thin layer; only [`commands`] depends on it. `tests/architecture.rs` checks which module may import which.

pub mod base;
pub mod commands;
pub mod db;
pub mod evidence;
pub mod http;
pub mod net;
pub mod services;
pub mod timber;
