//! `keys.json`: the keys of the register and its witnesses, and which witnesses have cosigned.
//!
//! The operator writes it and it is not signed: a third party should get the keys once from another
//! source and compare.

use crate::evidence::tlog::note::{Note, VerifierKey};
use serde::Serialize;

/// The content of `keys.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeysJson {
    /// `ormantrace/register/1`.
    pub format: &'static str,
    /// The register's name, the first line of its checkpoints.
    pub origin: String,
    /// Public keys that sign now; two during a key rotation.
    pub keys: Vec<String>,
    /// Public keys of the register's witnesses.
    pub witnesses: Vec<String>,
    /// How many of the witnesses should cosign a checkpoint.
    pub quorum: usize,
    /// Names of the witnesses that have cosigned the published checkpoint.
    pub witnessed_by: Vec<String>,
    /// Whether `witnessed_by` reaches the quorum.
    pub quorum_reached: bool,
    /// The same as a sentence.
    pub standing: String,
}

impl KeysJson {
    /// The state of the register, computed from the signature lines of its published checkpoint.
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
