//! Reads the published register from the disk, so that a server can make proofs.
//!
//! The files are small and are read for each proof; they are parsed and verified again only when they
//! have changed. Without a publisher there are no files, and nothing is published.

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
    cached: Arc<Mutex<Option<CachedState>>>,
}

#[derive(Debug)]
struct CachedState {
    checkpoint: Vec<u8>,
    keys: Vec<u8>,
    state: Arc<PublishedState>,
}

/// The published checkpoint and the keys that verify it.
#[derive(Debug)]
pub struct PublishedState {
    /// The signed checkpoint.
    pub note: Note,
    /// Its content.
    pub checkpoint: Checkpoint,
    /// The register's keys, witnesses and quorum.
    pub policy: Policy,
    /// How many of the witnesses have cosigned the checkpoint.
    pub witnesses: usize,
}

/// Why no proof can be made. The message is written to the program's trace, and is not sent to clients.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// A file cannot be read.
    #[error("the register's folder: {0}")]
    Io(#[from] io::Error),
    /// A file is not valid, or a proof cannot be made from the tiles.
    #[error("the register's folder: {0}")]
    Damaged(String),
}

impl From<NoProof<ReadError<io::Error>>> for PublishedError {
    fn from(error: NoProof<ReadError<io::Error>>) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Published {
    /// The register in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder, cached: Arc::default() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The current state; `None` before the first publication.
    ///
    /// # Errors
    /// If the files cannot be read, or do not match each other.
    pub fn read(&self) -> Result<Option<Arc<PublishedState>>, PublishedError> {
        // A key may be replaced between the reads of the two files. The files then do not match, but they
        // match when they are read again.
        self.read_once().or_else(|_| self.read_once())
    }

    fn read_once(&self) -> Result<Option<Arc<PublishedState>>, PublishedError> {
        let (Some(checkpoint), Some(keys)) = (self.folder.published()?, self.folder.keys()?) else {
            return Ok(None);
        };
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*cached
            && cached.checkpoint == checkpoint
            && cached.keys == keys
        {
            return Ok(Some(Arc::clone(&cached.state)));
        }
        let state = Arc::new(PublishedState::parse(&checkpoint, &keys)?);
        *cached = Some(CachedState { checkpoint, keys, state: Arc::clone(&state) });
        Ok(Some(state))
    }

    /// The proof that leaf `index` is in the published tree of `size` leaves.
    ///
    /// # Errors
    /// If the tree has no such leaf, or its tiles cannot be read.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, PublishedError> {
        Ok(self.folder.tree(size).inclusion(index)?)
    }

    /// The proofs for several leaves, in order; recently read tiles are cached.
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
    /// If `old` is larger than `size`, or the tiles cannot be read.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, PublishedError> {
        Ok(self.folder.tree(size).consistency(old)?)
    }
}

impl PublishedState {
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
