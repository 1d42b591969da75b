//! Felling tickets (лесорубочный билет): who may fell what, where, when, and how much of it is marked.
//!
//! A ticket is a subject with a chain of its own: issued, extended, cancelled. A harvest adds nothing to
//! that chain (every writer would queue for one row): it holds the ticket's row shared and its lines for
//! itself, in the order of the house: lines first, then the ticket.

pub mod change;
pub mod content;
pub mod harvest;
pub mod issue;
pub mod read;
pub mod words;

pub use harvest::{LockedLine, TicketForHarvest, add_marked, lock_for_harvest};
pub use read::{TicketView, view};
