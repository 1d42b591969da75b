//! The network layer below the HTTP routes: the accept loop of a server, and a small client.

pub mod client;
mod connections;
pub mod files;
pub mod pace;
pub mod server;
