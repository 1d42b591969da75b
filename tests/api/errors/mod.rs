//! Tests of refused requests: what is refused, in which order, and where each error is located.

mod all_errors;
mod hostile;
mod lengths;
mod order;
mod unknown_parameters;
