//! Findings: suspicious records, for an inspector. Rules produce them. No request is refused because of a
//! finding.

pub mod read;
pub mod rules;
pub mod write;
