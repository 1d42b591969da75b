//! Modules that every other group uses. They contain no SQL statement, no axum and no rule of the domain.

pub mod as_text;
pub mod check_digit;
pub mod clock;
pub mod config;
pub mod country;
pub mod error;
pub mod geo;
pub mod i18n;
pub mod ids;
pub mod input;
mod number_text;
pub mod percent;
pub mod personal_number;
pub mod region;
pub mod shares;
pub mod telemetry;
pub mod token;
pub mod units;
pub mod vocabulary;
