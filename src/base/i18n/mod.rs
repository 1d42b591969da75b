//! The three languages: which one a visitor gets, how each writes numbers and dates, and the sentences
//! of `locales/`.

mod lang;
pub mod text;

pub use lang::Lang;
