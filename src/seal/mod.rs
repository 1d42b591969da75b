//! Seals: the number a person reads, the marking code a scanner reads, who
//! signed the code, and the label that carries both.

pub mod code;
mod column;
pub mod gs1;
pub mod label;
pub mod marking_code;
pub mod number;
mod scan;
pub mod signing;

pub use code::Code;
pub use gs1::Gtin;
pub use marking_code::{CodeError, Identification, MarkingCode};
pub use number::{SealNumber, SealRange};
