//! Each write is done once or not at all.

mod group_commit;
mod hangup;
mod idempotency;
