//! The endpoints of the API, one file for each resource.

pub mod allowable_cuts;
pub mod bans;
pub mod custody_events;
pub mod events;
pub mod felling_tickets;
pub mod finding_decisions;
pub mod findings;
pub mod harvests;
pub mod keys;
pub mod logs;
pub mod observations;
pub mod organization_changes;
pub mod organizations;
pub mod parameters;
pub mod photos;
pub mod proofs;
pub mod reference;
pub mod register;
pub mod reports;
pub mod seal_batches;
pub mod seal_moves;
pub mod seals;
pub mod ticket_changes;
pub mod verify;
