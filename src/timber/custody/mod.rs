//! Chain of custody: the events that a log can have, which event may follow which state, how events are
//! recorded and how they are read.
//!
//! Every write locks the log's row, checks the request against its state, appends an event after the chain's
//! head and stores the new state, in one transaction. Batchable events of many requests share one transaction
//! ([`crate::services::group_commit`]). Every other request has its own transaction ([`record`]), with four
//! steps: resolve, lock, append, save. The number of its round trips does not grow with the number of logs.

pub mod check;
pub mod content;
pub mod correct;
pub mod departure;
pub mod harvest;
pub mod history;
pub mod history_query;
mod hold;
pub mod holdings;
mod inspector_only;
mod late;
pub mod log;
pub mod official;
pub mod own_case;
pub mod record;
pub mod request;
mod returned;
pub mod search;
pub mod state;
pub mod table;
pub mod ticket_hold;
pub mod void_seal;

#[cfg(test)]
mod tests;
