//! Whatever an insider alters directly in the database, `fsck` finds it and names the event.
//!
//! A small but complete world is recorded through the API, sequenced and published. Then the owner of the
//! tables, with triggers and constraints disabled, alters one thing at a time.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/world.rs"]
#[allow(dead_code, reason = "every test binary takes what it needs")]
mod world;

mod beside;
mod columns;
mod guards;
mod insider;
mod long;
mod marking_key;
mod program;
mod public;
mod rows;
mod scene;
mod ways;
