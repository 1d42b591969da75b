//! HTTP, thin: what reaches us, who may, and how it is answered. Nothing else in the
//! house knows of it.

pub mod address;
pub mod body;
pub mod health;
pub mod kind;
pub mod layers;
pub mod limit;
pub mod metrics;
pub mod problem;
pub mod problem_pages;
pub mod rejection;
pub mod server;
