//! The network below HTTP's routes: the accept loop of a server, and a small client.

pub mod client;
pub mod server;
