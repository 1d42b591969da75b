//! `keys.json`: who signs the register, who witnesses it, and how it stands with them.
//!
//! It is told by the operator and signed by nobody: a stranger gets the keys once from somewhere
//! else, and compares.

use crate::evidence::tlog::note::{Note, VerifierKey};
use serde::Serialize;

/// What the operator says of its register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// `ormantrace/register/1`.
    pub format: &'static str,
    /// The register's name, the first line of its checkpoints.
    pub origin: String,
    /// Public keys that sign now; while one is replaced, two.
    pub keys: Vec<String>,
    /// Public keys of the witnesses that are asked for their signature.
    pub witnesses: Vec<String>,
    /// How many of them a checkpoint should have.
    pub quorum: usize,
    /// Names of those that have countersigned the published checkpoint.
    pub witnessed_by: Vec<String>,
    /// Whether those are enough.
    pub quorum_reached: bool,
    /// The same in words.
    pub standing: String,
}

impl Statement {
    /// How the register stands, by what is under its published checkpoint.
    #[must_use]
    pub fn new<'a>(
        origin: &str,
        keys: impl IntoIterator<Item = &'a VerifierKey>,
        witnesses: &[&VerifierKey],
        quorum: usize,
        published: &Note,
    ) -> Self {
        let signed = |key: &VerifierKey| published.signatures().iter().any(|line| line.is_by(key));
        let witnessed_by: Vec<String> =
            witnesses.iter().filter(|key| signed(key)).map(|key| key.name().to_owned()).collect();
        let reached = witnessed_by.len() >= quorum;
        let too_few = if reached { String::new() } else { format!("; {quorum} are asked for") };
        Self {
            format: "ormantrace/register/1",
            origin: origin.to_owned(),
            keys: keys.into_iter().map(ToString::to_string).collect(),
            witnesses: witnesses.iter().map(ToString::to_string).collect(),
            quorum,
            standing: format!("signed, witnessed by {} of {}{too_few}", witnessed_by.len(), witnesses.len()),
            quorum_reached: reached,
            witnessed_by,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}
