//! Ormantrace: the central server for marking and tracing timber.
//!
//! Each folder is one noun of the domain, with its types, its rules and its SQL. [`http`] is a thin
//! layer, and no other module depends on it.

pub mod base;
pub mod commands;
pub mod db;
pub mod evidence;
pub mod http;
pub mod net;
pub mod services;
pub mod timber;
