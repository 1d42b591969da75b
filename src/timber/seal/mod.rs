//! Seals: the number for people, the marking code for scanners, the signatures
//! of codes, the label that shows number and code, and the stock of each holder.

pub mod batch;
pub mod code;
mod column;
pub mod gs1;
pub mod label;
pub mod marking_code;
pub mod marking_key;
pub mod number;
pub mod record;
pub mod replace;
mod scan;
pub mod signing;
pub mod stock;
pub mod transfer;
pub mod view;
mod written;

pub use code::{Code, SealName};
pub use gs1::Gtin;
pub use marking_code::{CodeError, Identification, MarkingCode};
pub use number::{SealNumber, SealRange};
pub use stock::{SealRow, SealStatus, VoidReason};
