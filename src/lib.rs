//! Ormantrace: the central server for marking and tracing timber.
//!
//! Eight groups; imports run one way, held by `tests/architecture.rs`:
//! `commands → http → services → timber → evidence → db → base`, and `net` next to `db`.
//! - [`commands`]: what the program can be asked to do;
//! - [`http`]: every URL, one file a noun, and the pages;
//! - [`services`]: what needs several nouns: the public check, exports, batched reads, the verifier;
//! - [`timber`]: the domain, a folder a noun: its types, its rules and its SQL;
//! - [`evidence`]: the chain of events, the transparency log, repeated writes;
//! - [`db`]: PostgreSQL, given or private;
//! - [`net`]: the accept loop and a small HTTPS client;
//! - [`base`]: errors, ids, time, settings, quantities, input, languages.

pub mod base;
pub mod commands;
pub mod db;
pub mod evidence;
pub mod http;
pub mod net;
pub mod services;
pub mod timber;
