//! Findings: suspicious records, for an inspector. Rules produce them; they refuse nothing.

pub mod read;
pub mod rules;
pub mod write;
