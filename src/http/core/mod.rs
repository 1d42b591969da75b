//! The parts that all endpoints share: the application's state, authentication, bodies, limits, problems,
//! writes.

pub mod accept;
pub mod address;
pub mod app;
pub mod auth;
pub mod block_limit;
pub mod body;
pub mod cookie;
pub mod daily;
pub mod etag;
pub mod health;
pub mod layers;
pub mod limit;
pub mod metrics;
pub mod openapi_common;
pub mod openapi_document;
pub mod openapi_examples;
pub mod paging;
pub mod place;
pub mod problem;
pub mod problem_type;
pub mod query;
pub mod rejection;
pub mod response;
mod response_memory;
pub mod share;
pub mod write;
pub mod write_queue;
