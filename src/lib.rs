//! Ormantrace: the central server for marking and tracing timber.
//!
//! A folder is a noun of the forest: its types, its rules and its SQL live
//! together. [`http`] is thin and nothing else knows of it.

pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod custody;
pub mod db;
pub mod demo;
pub mod demo_keys;
pub mod erase;
pub mod error;
pub mod event;
pub mod finding;
pub mod fsck;
pub mod geo;
pub mod harvest;
pub mod http;
pub mod i18n;
pub mod idempotency;
pub mod ids;
pub mod input;
pub mod ledger;
pub mod log;
pub mod net;
pub mod page;
pub mod party;
pub mod permit;
pub mod read;
pub mod region;
pub mod register;
pub mod seal;
pub mod serve;
pub mod telemetry;
pub mod token;
pub mod units;
pub mod verifier;
pub mod verify;
pub mod vocabulary;
