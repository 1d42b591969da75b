//! Tests of what each role may read and do, and of what other organisations must not learn.

mod matrix;
mod past_parties;
mod threats;
