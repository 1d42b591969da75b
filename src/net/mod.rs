//! The network layer below the HTTP routes: the accept loop of a server, and a small client.

pub mod client;
pub mod server;
