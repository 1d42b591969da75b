//! The figures of a finding, from which its sentence is made. They are stored as canonical JSON, so that their
//! digest can be recomputed from the row.

use crate::evidence::chain::canonical;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    /// A whole number.
    Number(i64),
    /// A decimal in its shortest form, a time, or a word.
    Text(String),
}

/// The figures of a finding by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, Figure>);

impl Inputs {
    /// Adds a decimal, a time or a word.
    pub fn set(&mut self, name: &str, value: impl Display) {
        self.0.insert(name.to_owned(), Figure::Text(value.to_string()));
    }

    /// Adds a whole number.
    pub fn set_number(&mut self, name: &str, value: i64) {
        self.0.insert(name.to_owned(), Figure::Number(value));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The figures in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.0.iter().map(|(name, figure)| (name.as_str(), figure))
    }

    /// The canonical text (RFC 8785).
    #[must_use]
    pub fn to_text(&self) -> String {
        canonical::text(&self.0)
    }

    /// Reads a stored text; a text that cannot be read has no figures.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}
