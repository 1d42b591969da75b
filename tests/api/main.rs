//! Tests of the API from the outside: the real router, and a real database for each test.
//!
//! Tests of one kind of object of the API are in a file with its name, such as `harvests`. Tests of a
//! property of all kinds are in the folders `rights`, `errors`, `writes`, `load`, `integrity` and `real`.

#[path = "../support/mod.rs"]
mod support;

mod bans;
mod custody_events;
mod departures;
mod desk;
mod errors;
mod exports;
mod felling_tickets;
mod findings;
mod harvests;
mod histories;
mod holds;
mod integrity;
mod late_events;
mod load;
mod long_histories;
mod marking_codes;
mod organization_changes;
mod organizations;
mod own_use;
mod parameters;
mod plots;
mod proofs;
mod publish;
#[path = "../support/random.rs"]
#[allow(dead_code, reason = "this binary takes what it needs")]
mod random;
mod real;
mod register;
mod reports;
mod rights;
mod seal_replacement;
mod seals;
mod slips;
#[path = "../support/stored_logs.rs"]
mod stored_logs;
mod surveillance;
mod verify;
mod volumes;
#[path = "../support/wired.rs"]
mod wired;
#[path = "../support/world.rs"]
mod world;
mod writes;
