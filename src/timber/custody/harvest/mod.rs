//! A harvest: one request that records logs and stacks which were felled under one ticket, measured and
//! sealed. It creates the logs, and is the first event of their chains of custody.

pub mod balance;
pub mod check;
pub mod locations;
pub mod record;
pub mod request;
pub mod view;
