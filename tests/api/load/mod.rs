//! Many requests, large requests, and clients that demand too much.

mod hot_reads;
mod largest_batches;
mod limits;
