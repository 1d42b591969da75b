//! Many requests, large requests, greedy clients.

mod hot_reads;
mod largest_batches;
mod limits;
