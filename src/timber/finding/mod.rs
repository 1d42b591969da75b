//! Findings: suspicious records, for an inspector. Rules produce them; they refuse nothing.

pub mod record;
pub mod rules;
pub mod store;
