//! What was recorded cannot be changed unnoticed.

mod chain;
mod evidence;
