//! What each role may read and do, and what no other party may learn.

mod matrix;
mod past_parties;
mod threats;
