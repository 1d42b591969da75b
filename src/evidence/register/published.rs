//! What the publisher has published, as a server reads it from the same disk to make proofs.
//!
//! The files are small and are read for each proof; what they say is worked out again only when they
//! have changed. A server without a publisher has none of them, and says that nothing is published.

use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::tile::ReadError;
use crate::evidence::tlog::tree::NoProof;
use crate::evidence::tlog::{Checkpoint, Folder, Note, Policy};
use serde::Deserialize;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The published register.
#[derive(Clone, Debug)]
pub struct Published {
    folder: Folder,
    kept: Arc<Mutex<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    checkpoint: Vec<u8>,
    keys: Vec<u8>,
    said: Arc<Said>,
}

/// What is published, all of one moment.
#[derive(Debug)]
pub struct Said {
    /// The signed checkpoint.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who signs, and which witnesses are asked.
    pub policy: Policy,
    /// How many of the witnesses have countersigned it.
    pub witnesses: usize,
}

/// Why nothing could be proven. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// A file cannot be read.
    #[error("the register's folder: {0}")]
    Io(#[from] io::Error),
    /// A file does not say what it should.
    #[error("the register's folder: {0}")]
    Damaged(String),
}

impl From<NoProof<ReadError<io::Error>>> for PublishedError {
    fn from(error: NoProof<ReadError<io::Error>>) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Published {
    /// What is published in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder, kept: Arc::default() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What is published now; nothing before the first time.
    ///
    /// # Errors
    /// If the files cannot be read, or do not go together.
    pub fn read(&self) -> Result<Option<Arc<Said>>, PublishedError> {
        // Between the two reads a key may be replaced; then they fit the second time.
        self.read_once().or_else(|_| self.read_once())
    }

    fn read_once(&self) -> Result<Option<Arc<Said>>, PublishedError> {
        let (Some(checkpoint), Some(keys)) = (self.folder.published()?, self.folder.keys()?) else {
            return Ok(None);
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && kept.checkpoint == checkpoint
            && kept.keys == keys
        {
            return Ok(Some(Arc::clone(&kept.said)));
        }
        let said = Arc::new(Said::parse(&checkpoint, &keys)?);
        *kept = Some(Kept { checkpoint, keys, said: Arc::clone(&said) });
        Ok(Some(said))
    }

    /// The proof that leaf `index` is in the published tree of `size` leaves.
    ///
    /// # Errors
    /// If the tree does not reach there, or its tiles cannot be read.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, PublishedError> {
        Ok(self.folder.tree(size).inclusion(index)?)
    }

    /// The proofs for several leaves, in order; tiles that they share are read once.
    ///
    /// # Errors
    /// As [`Published::inclusion`].
    pub fn inclusions(
        &self,
        indexes: impl IntoIterator<Item = u64>,
        size: u64,
    ) -> Result<Vec<Vec<Hash>>, PublishedError> {
        let mut tree = self.folder.tree(size);
        indexes.into_iter().map(|index| Ok(tree.inclusion(index)?)).collect()
    }

    /// The proof that the tree of `old` leaves is the beginning of the published one of `size`.
    ///
    /// # Errors
    /// If it is larger, or the tiles cannot be read.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, PublishedError> {
        Ok(self.folder.tree(size).consistency(old)?)
    }
}

impl Said {
    fn parse(checkpoint: &[u8], keys: &[u8]) -> Result<Self, PublishedError> {
        let damaged = |error: &dyn std::fmt::Display| PublishedError::Damaged(error.to_string());
        let policy = policy(keys).map_err(|error| damaged(&error))?;
        let note = Note::parse(checkpoint).map_err(|error| damaged(&error))?;
        let seen = policy.check(&note).map_err(|error| damaged(&error))?;
        Ok(Self { note, checkpoint: seen.checkpoint, policy, witnesses: seen.witnesses.len() })
    }
}

/// `keys.json` of the folder.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
    witnesses: Vec<String>,
    quorum: usize,
}

fn policy(json: &[u8]) -> Result<Policy, Box<dyn std::error::Error>> {
    let Keys { keys, witnesses, quorum } = serde_json::from_slice(json)?;
    let parsed = |keys: Vec<String>| keys.iter().map(|key| key.parse()).collect::<Result<_, _>>();
    Ok(Policy { registers: parsed(keys)?, witnesses: parsed(witnesses)?, quorum })
}
