//! HTTP, thin: what reaches us, who may, and how it is answered.
//!
//! [`router`] uses [`pages`] and [`api`], a file a noun; both use [`core`]. [`witness`] is a server of its own.

pub mod api;
pub mod core;
pub mod pages;
pub mod router;
pub mod witness;
