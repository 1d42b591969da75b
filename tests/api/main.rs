//! Tests of the API from the outside: the real router, and a real database for each test.

#[path = "../support/mod.rs"]
mod support;

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
