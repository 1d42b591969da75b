//! The parts that all endpoints share: the application's state, authentication, bodies, limits, problems,
//! writes.

pub mod address;
pub mod app;
pub mod asked;
pub mod auth;
pub mod body;
pub mod conditional;
pub mod described;
pub mod health;
pub mod kind;
pub mod layers;
pub mod limit;
pub mod metrics;
pub mod paging;
pub mod posting;
pub mod problem;
pub mod rejection;
pub mod sized;
pub mod together;
