//! Checkpoints: the size and root of a register, signed (C2SP tlog-checkpoint).

use super::note::{Kind, Note, NoteError, VerifierKey, is_name};
use super::{MAX_SIZE, decimal, from_base64, to_base64};
use crate::evidence::chain::bytes::Hash;
use chrono::{DateTime, Utc};
use std::fmt;

/// The content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The register's name.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root hash over the leaves.
    pub root: Hash,
    /// Lines after the first three (origin, size, root). This program writes no such lines, but preserves
    /// those that it reads.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or not validly signed.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// Not in the format of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Signed, but not by the register's key.
    #[error("the register itself has not signed it")]
    NotByRegister,
    /// The register keys that signed the note have other names than the checkpoint's origin.
    #[error("it is of the register {0}, whose key this is not")]
    OtherOrigin(String),
}

impl Checkpoint {
    /// A checkpoint without extensions.
    ///
    /// # Errors
    /// If the origin is not a valid register name here, or the size is above [`MAX_SIZE`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if !is_name(origin) {
            return Err(CheckpointError::Malformed("an origin is a name without spaces and +"));
        }
        if size > MAX_SIZE {
            return Err(CheckpointError::Malformed("its size is too large"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions: Vec::new() })
    }

    /// Parses a note's text.
    ///
    /// # Errors
    /// If it is not exactly in the format.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let mut lines = text.strip_suffix('\n').ok_or(malformed("its last line does not end"))?.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(malformed("it names no register"))?;
        let size = lines.next().and_then(decimal).ok_or(malformed("its second line is no size"))?;
        let root = lines.next().and_then(from_base64).ok_or(malformed("its third line is no root"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// The checkpoint in a note that one of `registers` has signed. Keys for cosignatures do not
    /// count: they belong to witnesses.
    ///
    /// # Errors
    /// If it is not a checkpoint, no key of the register has signed it, or one of its signatures by
    /// a known key is invalid.
    pub fn open(note: &Note, registers: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let verified = note.verify(registers)?;
        let checkpoint = Self::parse(note.text())?;
        let mut registers = verified.iter().filter(|signature| signature.key.kind() == Kind::Text).peekable();
        if registers.peek().is_none() {
            return Err(CheckpointError::NotByRegister);
        }
        if !registers.any(|signature| signature.key.name() == checkpoint.origin) {
            return Err(CheckpointError::OtherOrigin(checkpoint.origin));
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, to_base64(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The trusted keys for a register: its own, those of its witnesses, and how many witnesses must
/// have cosigned a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keys of the register; two during a key rotation. A signature by any one of them is enough.
    pub registers: Vec<VerifierKey>,
    /// Keys of the witnesses.
    pub witnesses: Vec<VerifierKey>,
    /// Number of cosignatures that are required.
    pub quorum: usize,
}

/// A checkpoint with verified signatures: the register's, and those of witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// Its content.
    pub checkpoint: Checkpoint,
    /// Names of the policy's witnesses that have cosigned the checkpoint, with the times of their
    /// cosignatures.
    pub witnesses: Vec<(String, DateTime<Utc>)>,
    /// Whether the policy's quorum is reached.
    pub quorum: bool,
}

impl Policy {
    /// Checks a checkpoint's signatures.
    ///
    /// # Errors
    /// If the register has not signed it, or a signature by a known key is invalid. Too few witnesses
    /// are not an error: see [`VerifiedCheckpoint::quorum`].
    pub fn check(&self, note: &Note) -> Result<VerifiedCheckpoint, CheckpointError> {
        let checkpoint = Checkpoint::open(note, &self.registers)?;
        let verified = match note.verify(&self.witnesses) {
            Err(NoteError::Unsigned) => Vec::new(),
            other => other?,
        };
        let witnesses: Vec<_> = verified
            .iter()
            .filter_map(|signature| Some((signature.key.name().to_owned(), signature.time?)))
            .collect();
        let quorum = witnesses.len() >= self.quorum;
        Ok(VerifiedCheckpoint { checkpoint, witnesses, quorum })
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
