//! HTTP, thin: what reaches us, who may, and how it is answered. Nothing else in the
//! house knows of it.

pub mod address;
pub mod app;
pub mod auth;
pub mod body;
pub mod events;
pub mod findings;
pub mod health;
pub mod kind;
pub mod layers;
pub mod limit;
pub mod logs;
pub mod metrics;
pub mod pages;
pub mod paging;
pub mod posting;
pub mod problem;
pub mod problem_pages;
pub mod rejection;
pub mod router;
pub mod server;
pub mod verify;
