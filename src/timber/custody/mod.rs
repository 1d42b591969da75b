//! Chain of custody: what can happen to a log, what may follow what, how it is
//! recorded and how it is read.
//!
//! Every write locks the log's row, decides on its state, adds an event behind
//! its head and stores the new state, in one transaction. Plain events
//! of many postings share one ([`together`]); whatever is not plain has its own ([`record`]), with
//! round trips that do not grow with the number of logs: resolve, lock, append, save.

pub mod correct;
pub mod harvest;
pub mod history;
pub mod log;
pub mod record;
pub mod request;
pub mod search;
pub mod state;
pub mod table;
pub mod telling;
pub mod void;

#[cfg(test)]
mod tests;
