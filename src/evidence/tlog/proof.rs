//! Inclusion proof of one record, as a text that can be checked offline (C2SP tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64          (here the 113 bytes of the entry, so that the text is self-contained)
//! index 73894
//! base64                (the inclusion proof, a hash a line)
//!
//! the checkpoint
//! ```

use super::checkpoint::{Checkpoint, CheckpointError, Policy, VerifiedCheckpoint};
use super::note::{Note, NoteError};
use super::{MAX_SIZE, decimal, from_base64, to_base64, tree};
use crate::evidence::chain::bytes::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

const FIRST: &str = "c2sp.org/tlog-proof@v1";
/// Maximum number of hashes in a proof: no tree has more levels.
pub const MAX_HASHES: usize = 63;

/// A parsed inclusion proof, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Additional bytes that are not signed; this crate puts the entry here.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf, from 0.
    pub index: u64,
    /// The hashes of the proof, from the leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The checkpoint that it proves inclusion in.
    pub checkpoint: Note,
}

/// Why a proof is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not in the format of a proof.
    #[error("not a proof: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not accepted.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// The root computed from the record and the hashes is not the checkpoint's root.
    #[error("the record is not number {index} of the register at size {size}")]
    NotIncluded {
        /// The index that it claims.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
}

impl From<NoteError> for ProofError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}

impl Proof {
    /// Parses a received proof.
    ///
    /// # Errors
    /// If it is not exactly in the format.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed;
        if bytes.len() > super::note::MAX_LENGTH {
            return Err(malformed("it is longer than a million bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(malformed("no empty line ends the hashes"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST) {
            return Err(malformed("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next();
        let extra = match line.and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(extra) => {
                line = lines.next();
                Some(STANDARD.decode(extra).map_err(|_| malformed("its extra data is not base64"))?)
            }
        };
        let index = line
            .and_then(|line| line.strip_prefix("index "))
            .and_then(decimal)
            .filter(|index| *index < MAX_SIZE)
            .ok_or(malformed("it names no index"))?;
        let hashes = lines
            .map(from_base64)
            .take(MAX_HASHES + 1)
            .collect::<Option<Vec<_>>>()
            .filter(|hashes| hashes.len() <= MAX_HASHES)
            .ok_or(malformed("its hashes are not at most 63 of 32 bytes"))?;
        let checkpoint = Note::parse(note.as_bytes())?;
        Checkpoint::parse(checkpoint.text())?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// Verifies that the leaf is at this index in the tree of a checkpoint that `policy` accepts.
    ///
    /// # Errors
    /// If the leaf is not there, or `policy` does not accept the checkpoint. Too few witnesses are not an
    /// error: see [`VerifiedCheckpoint::quorum`].
    pub fn verify(&self, leaf: Hash, policy: &Policy) -> Result<VerifiedCheckpoint, ProofError> {
        let seen = policy.check(&self.checkpoint)?;
        let (size, root) = (seen.checkpoint.size, seen.checkpoint.root);
        if tree::is_included(leaf, self.index, size, root, &self.hashes) {
            Ok(seen)
        } else {
            Err(ProofError::NotIncluded { index: self.index, size })
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", to_base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
