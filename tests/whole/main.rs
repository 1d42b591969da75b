//! The built program in hard circumstances: its database is cut off under load, its peers are slow or
//! hostile, and what people wrote into it is opened in a real browser.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod devtools;
mod outage;
mod peers;
mod wire;
