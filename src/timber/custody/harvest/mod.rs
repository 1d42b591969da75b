//! A harvest: logs and stacks, felled under one ticket, measured and sealed, sent in one request. It creates
//! the logs; their chains of custody begin with it.

pub mod balance;
pub mod check;
pub mod locations;
pub mod record;
pub mod request;
pub mod view;
