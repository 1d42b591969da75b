//! What is refused, in which order, and where each error is.

mod all_errors;
mod hostile;
mod lengths;
mod order;
mod unknown_parameters;
