//! The three languages of the pages: how the language of a response is chosen, how each language writes
//! numbers and dates, and the sentences of `locales/`.

mod lang;
pub mod text;

pub use lang::Lang;
