//! Tests of the API from the outside: the real router, and a real database for each test.

#[path = "../support/mod.rs"]
mod support;

mod all_errors;
mod asking;
mod batch;
mod chain;
mod codes;
mod custody;
mod evidence;
mod exports;
mod hangup;
mod harvest;
mod harvester;
mod hostile;
mod late;
mod lengths;
mod limits;
mod long;
mod matrix;
mod order;
mod party;
mod past;
mod permit;
mod posting;
mod proofs;
mod publish;
#[path = "../faults/random.rs"]
#[allow(dead_code, reason = "this binary takes what it needs")]
mod random;
mod reading;
mod reads;
mod register;
mod replaced;
mod seal;
mod threats;
mod timber;
mod together;
mod verify;
mod wired;
mod world;
