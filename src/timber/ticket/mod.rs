//! Felling tickets (лесорубочный билет): who may fell what, where, when, and how much of it is marked.
//!
//! A ticket is a subject with its own chain: issued, extended, cancelled. A harvest adds no event to that
//! chain, because all writers would queue for one row. It locks the ticket's lines exclusively, then the
//! ticket's row shared; this order is part of the lock order of the crate.
//!
//! Lock order of a ticket that is issued or extended: the ticket's row, the issuer's row (shared, `FOR KEY SHARE`),
//! the issuer's allowable cuts by id. The operator, who sets a cut, locks the rows of both organisations by id, and
//! then the cut.

pub mod ban;
pub mod change;
pub mod content;
pub mod cut;
pub mod harvest;
pub mod issue;
pub mod lock;
pub mod read;
pub mod site;
pub mod vocabulary;

pub use harvest::{
    LineChange, LockedLine, NO_COMMERCIAL_WOOD, TicketForHarvest, add_marked, lock_for_harvest,
};
pub use lock::{LockedTicket, TicketHold};
pub use read::{TicketView, view};
