//! The API as its users meet it: the real router, a real database, one each test.

#[path = "../support/mod.rs"]
mod support;

mod custody;
mod evidence;
mod harvest;
mod harvester;
mod matrix;
mod party;
mod permit;
mod reading;
mod register;
mod seal;
mod timber;
mod verify;
mod world;
