//! HTTP: routes, permissions, request parsing, responses. The domain modules (seals, logs,
//! custody and so on) do not depend on it.

pub mod api;
pub mod core;
pub mod desk;
pub mod pages;
pub mod router;
pub mod witness;
