//! The API as its users meet it: the real router, a real database, one each test.

#[path = "../support/mod.rs"]
mod support;

mod party;
mod permit;
mod custody;
mod harvest;
mod world;
