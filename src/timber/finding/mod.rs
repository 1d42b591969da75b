//! Findings: suspicious records, for an inspector. Rules produce them. No request is refused because of a
//! finding.
//!
//! There is one finding per rule, subject and key: more evidence for the same raises its count. Its sentence is made
//! from its figures in the language of the reader. Severity, score and rank are those of its making and never change,
//! so a list in the order of rank has no gaps while it is read.

pub mod chain;
pub mod content;
pub mod decide;
pub mod draft;
pub mod inputs;
pub mod message;
pub mod observe;
pub mod overdue;
pub mod photo;
pub mod read;
pub mod registry;
pub mod report;
pub mod row;
pub mod rules;
pub mod write;
