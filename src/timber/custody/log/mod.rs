//! Table `log`: finds a log by its codes, reads it as far as a caller may see it, and stores its present
//! state.

pub mod find;
pub mod list;
pub mod read;
pub mod write;
