//! Reading untrusted requests: JSON, CSV and query strings, through one interface.
//!
//! Promises:
//! - all field errors of a request at once, each with its location, code and sentence,
//! - numbers reach their parser digit by digit as they were written, and never as `f64`,
//! - unknown fields, duplicate fields, NUL characters and wrong types are refused, never ignored,
//! - work and memory are bounded by the size of the body, whatever it contains.
//!
//! [`Document::parse`], [`Document::query`] and [`Table::document`] each make a [`Document`]; input
//! that cannot become one is [`Malformed`] (400). A type that implements [`Read`] is then read from it,
//! and all field errors are collected (422). A request type is declared once, with `input!`; a domain
//! type is added with one line, `parse_text!(SealNumber)` or `parse_number!(Volume)`.
//!
//! ```text
//! input! {
//!     /// One load of seals.
//!     pub struct Delivery {
//!         /// The new holder.
//!         pub holder_bin: Bin,
//!         /// The seals, in the order of their numbers.
//!         pub seals: Vec<NewSeal> [1..=10_000],
//!         /// A remark.
//!         pub note: Option<Note>,
//!     }
//!     => Delivery::check;
//! }
//! ```

mod canonical;
mod encoding;
mod errors;
mod json;
mod macros;
mod number;
mod query;
mod read;
mod sheet;
mod table;
#[cfg(test)]
mod tests;
mod tree;

pub use canonical::lower_uuids;
pub use errors::{Errors, MAX_FIELD_ERRORS, Malformed, RequestErrors};
pub use read::{
    Bounded, Fields, ParseNumber, ParseText, Read, did_you_mean, no_rule, read_number, read_text,
};
pub use sheet::{Sheet, csv_safe};
pub use table::{Layout, Table};
pub use tree::{Document, Items, Members, Node};

/// The name of a field as sent: without the `r#` of a Rust keyword.
#[doc(hidden)]
#[must_use]
pub const fn field_name(ident: &'static str) -> &'static str {
    match ident.as_bytes() {
        [b'r', b'#', ..] => ident.split_at(2).1,
        _ => ident,
    }
}

pub(crate) use macros::{input, open_fields, parse_number, parse_text, read_field, read_struct, whole};
