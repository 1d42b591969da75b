//! The desk: pages for the people who do the work, behind a sign-in.
//!
//! Each page is a file of one noun. It reads a form or a query (`values`), calls the function that serves the
//! API's endpoint, and shows the result in the one frame (`layout`), with the one form kit (`form`) and the one
//! table kit (`table`). No rule is repeated here: who may see and record what is decided by the functions that are
//! called. Pages work without script, and a session's requests have the rights of its key at that moment
//! ([`session`]).

mod browser;
pub mod checks;
pub mod codes;
mod event_form;
mod form;
pub mod holds;
pub mod home;
mod layout;
pub mod log;
pub mod logs;
mod recording;
pub mod search;
pub mod session;
pub mod sessions;
pub mod sign_in;
mod table;
mod timeline;
mod values;
mod words;

pub use layout::{Frame, error_page};
