//! The built program under difficult conditions: its database fails under load, its peers are slow or
//! hostile, and user text is displayed in a real browser.

#[path = "../support/mod.rs"]
mod support;

mod accessible;
mod browser;
mod desk;
mod devtools;
mod outage;
mod peers;
mod reference;
mod wire;
