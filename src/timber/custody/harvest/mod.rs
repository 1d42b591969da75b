//! A harvest: logs and stacks, felled under one ticket, measured and sealed, posted
//! together. It makes the logs; their custody begins with it.

pub mod balance;
pub mod record;
pub mod request;
