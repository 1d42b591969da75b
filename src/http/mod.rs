//! HTTP, thin: what reaches us, who may, and how it is answered. Nothing else in the
//! house knows of it.

pub mod address;
pub mod app;
pub mod asked;
pub mod auth;
pub mod body;
pub mod conditional;
pub mod custody_events;
pub mod described;
pub mod events;
pub mod felling_tickets;
pub mod findings;
pub mod harvests;
pub mod health;
pub mod keys;
pub mod kind;
pub mod layers;
pub mod limit;
pub mod logs;
pub mod metrics;
pub mod organizations;
pub mod pages;
pub mod paging;
pub mod posting;
pub mod problem;
pub mod problem_pages;
pub mod proofs;
pub mod reference;
pub mod register;
pub mod rejection;
pub mod router;
pub mod seal_batches;
pub mod seal_moves;
pub mod seals;
pub mod server;
pub mod verify;
