//! The tree writer: opens the publisher's copy of the tree in its folder, extends, signs and publishes it.
//!
//! Every extension writes first the tiles, then the signed checkpoint in `state/`, then (after the
//! witnesses) the published checkpoint; each is synced to disk before the next is written. So after a
//! crash at any point, every signed checkpoint can be proved from the tiles, and no two different
//! checkpoints of one size are signed. Tiles beyond the last signed checkpoint are drafts that may be
//! overwritten.

use crate::base::clock::Clock;
use crate::base::config::shown;
use crate::evidence::chain::bytes::ENTRY_LEN;
use crate::evidence::tlog::checkpoint::{Checkpoint, CheckpointError};
use crate::evidence::tlog::folder::SwapError;
use crate::evidence::tlog::note::{Kind, Note, NoteError, Signer, VerifierKey};
use crate::evidence::tlog::tile::{Builder, Tile};
use crate::evidence::tlog::{Folder, Frontier};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The keys that sign a register, all of one name: one, or several during a key rotation.
#[derive(Debug)]
pub struct Keys(Vec<Signer>);

/// Why the register in the folder is not extended. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum TreeWriterError {
    /// The keys cannot sign one register.
    #[error("All keys of a register must have one name and be made without --witness: {0}.")]
    Keys(String),
    /// The folder has a published checkpoint, but no last signed checkpoint.
    #[error(
        "{} has a published checkpoint but no state/checkpoint: restore the folder from a copy. Starting again \
         would create a second history.", shown(.0)
    )]
    Forgotten(PathBuf),
    /// The last signed checkpoint is of another register, or not signed by any of the keys.
    #[error(
        "The last checkpoint in {} is not signed by this key ({error}): give the old key too until both keys have \
         signed.", shown(.dir)
    )]
    NotOurs {
        /// The folder.
        dir: PathBuf,
        /// Why the checkpoint is not accepted.
        error: CheckpointError,
    },
    /// A tile or checkpoint is damaged, or they do not match.
    #[error("The register in {} is damaged ({what}): restore the folder from a copy.", shown(.dir))]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// Description of the damage.
        what: String,
    },
    /// Another publisher has signed in the folder meanwhile.
    #[error("Another publisher has signed in {}. Only one may, so this one stops.", shown(.0))]
    Overtaken(PathBuf),
    /// An I/O error; a retry may succeed.
    #[error("The register's folder cannot be written: {0}.")]
    Disk(#[from] io::Error),
}

impl TreeWriterError {
    /// Whether a retry may help: the disk was full, or had a temporary error.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

impl Keys {
    /// Checks the keys of a register.
    ///
    /// # Errors
    /// If there is none, their names differ, or one is a witness's.
    pub fn new(keys: Vec<Signer>) -> Result<Self, TreeWriterError> {
        let Some(first) = keys.first() else {
            return Err(TreeWriterError::Keys("no key is given".to_owned()));
        };
        let name = first.verifier().name();
        let other =
            keys.iter().find(|key| key.verifier().name() != name || key.verifier().kind() != Kind::Text);
        match other {
            Some(other) => Err(TreeWriterError::Keys(format!(
                "{} does not match {}",
                other.verifier(),
                first.verifier()
            ))),
            None => Ok(Self(keys)),
        }
    }

    /// The register's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.first().map(|key| key.verifier().name()).unwrap_or_default()
    }

    /// Their public keys.
    pub fn verifiers(&self) -> impl Iterator<Item = &VerifierKey> {
        self.0.iter().map(Signer::verifier)
    }

    fn sign(&self, text: String, clock: &Clock) -> Result<Note, NoteError> {
        Note::sign(text, &self.0.iter().collect::<Vec<_>>(), clock.now())
    }
}

/// A register's folder, opened for writing.
#[derive(Debug)]
pub struct TreeWriter {
    folder: Folder,
    keys: Arc<Keys>,
    clock: Clock,
    builder: Builder,
    note: Note,
    signed: Vec<u8>,
    filled: Vec<Tile>,
}

impl TreeWriter {
    /// Opens the folder. Signs the empty tree if nothing was ever signed there; signs the last checkpoint
    /// again if these keys are not exactly those that signed it. The caller holds the folder's lock.
    ///
    /// # Errors
    /// See [`TreeWriterError`].
    pub fn open(folder: Folder, keys: Arc<Keys>, clock: Clock) -> Result<Self, TreeWriterError> {
        let dir = || folder.root().to_path_buf();
        let damaged = |what: String| TreeWriterError::Damaged { dir: dir(), what };
        let signed = folder.signed()?;
        let Some(bytes) = signed else {
            if folder.published()?.is_some() {
                return Err(TreeWriterError::Forgotten(dir()));
            }
            let builder = Builder::new();
            let note = sign(&keys, &clock, &builder).map_err(|error| damaged(error.to_string()))?;
            swap(&folder, None, &note)?;
            let signed = note.to_string().into_bytes();
            return Ok(Self { folder, keys, clock, builder, note, signed, filled: Vec::new() });
        };
        let verifiers: Vec<VerifierKey> = keys.verifiers().cloned().collect();
        let not_ours = |error: CheckpointError| TreeWriterError::NotOurs { dir: dir(), error };
        let note = Note::parse(&bytes).map_err(|error| damaged(format!("state/checkpoint: {error}")))?;
        let last = Checkpoint::open(&note, &verifiers).map_err(not_ours)?;
        let builder = Builder::resume(last.size, |tile| folder.tile(tile))
            .map_err(|error| damaged(error.to_string()))?;
        if builder.root() != last.root {
            return Err(damaged(format!(
                "its tiles have another root than was signed at size {}",
                last.size
            )));
        }
        if let Some(published) = folder.published()? {
            let published = Note::parse(&published)
                .map_err(CheckpointError::from)
                .and_then(|note| Checkpoint::parse(note.text()))
                .map_err(|error| damaged(format!("checkpoint: {error}")))?;
            if published.size > last.size {
                return Err(damaged(format!(
                    "size {} is published, and {} was signed last",
                    published.size, last.size
                )));
            }
        }
        let mut writer = Self { folder, keys, clock, builder, note, signed: bytes, filled: Vec::new() };
        let again =
            writer.keys.sign(writer.note.text().to_owned(), &writer.clock).map_err(CheckpointError::from);
        let again = again
            .map_err(|error| TreeWriterError::NotOurs { dir: writer.folder.root().to_path_buf(), error })?;
        if again != writer.note {
            writer.replace(again)?;
        }
        Ok(writer)
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.builder.size()
    }

    /// Root over them.
    #[must_use]
    pub fn root(&self) -> crate::evidence::chain::Hash {
        self.builder.root()
    }

    /// The last signed checkpoint, without cosignatures.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Appends entries and signs the larger tree: after this, [`TreeWriter::note`] is the new checkpoint.
    /// After an error, open the folder again: only the disk shows which files were written.
    ///
    /// # Errors
    /// See [`TreeWriterError`].
    pub fn extend(&mut self, entries: &[[u8; ENTRY_LEN]]) -> Result<(), TreeWriterError> {
        let present = Tile::edge(self.size());
        let mut next = self.builder.clone();
        let mut tiles = Vec::new();
        for entry in entries {
            next.push(entry, |tile, bytes| tiles.push((tile, bytes)));
        }
        let filled: Vec<Tile> = tiles.iter().map(|(tile, _)| *tile).collect();
        tiles.extend(next.unfilled().into_iter().filter(|(tile, _)| !present.contains(tile)));
        self.folder.write_tiles(tiles)?;
        let note = sign(&self.keys, &self.clock, &next).map_err(|error| TreeWriterError::Damaged {
            dir: self.folder.root().to_path_buf(),
            what: error.to_string(),
        })?;
        self.replace(note)?;
        self.builder = next;
        self.filled.extend(filled);
        Ok(())
    }

    fn replace(&mut self, note: Note) -> Result<(), TreeWriterError> {
        swap(&self.folder, Some(&self.signed), &note)?;
        self.signed = note.to_string().into_bytes();
        self.note = note;
        Ok(())
    }

    /// Publishes a checkpoint, which is [`TreeWriter::note`] with cosignatures, and then removes the partial
    /// tiles that this checkpoint makes obsolete.
    ///
    /// # Errors
    /// An I/O error.
    pub fn publish(&mut self, note: &Note) -> Result<(), TreeWriterError> {
        self.folder.publish(note)?;
        Ok(self.folder.remove_partials(&std::mem::take(&mut self.filled))?)
    }

    /// The leaf hashes of one tile, for comparison with the database.
    ///
    /// # Errors
    /// If the tile is missing or damaged.
    pub fn leaf_hashes(&self, tile: Tile) -> Result<Vec<crate::evidence::chain::Hash>, TreeWriterError> {
        let damaged = |what: String| TreeWriterError::Damaged { dir: self.folder.root().to_path_buf(), what };
        let bytes = self.folder.tile(&tile).map_err(|error| damaged(format!("{tile}: {error}")))?;
        crate::evidence::tlog::tile::hashes(&bytes).ok_or_else(|| damaged(format!("{tile} holds no hashes")))
    }

    /// The right edge of the tree of the first `size` leaves, from the tiles.
    ///
    /// # Errors
    /// If a tile is missing or damaged.
    pub fn edge_at(&self, size: u64) -> Result<Frontier, TreeWriterError> {
        let damaged = |what: String| TreeWriterError::Damaged { dir: self.folder.root().to_path_buf(), what };
        self.folder.tree(size).edge().map_err(|error| damaged(error.to_string()))
    }
}

fn sign(keys: &Keys, clock: &Clock, tree: &Builder) -> Result<Note, CheckpointError> {
    let text = Checkpoint::new(keys.origin(), tree.size(), tree.root())?.to_string();
    Ok(keys.sign(text, clock)?)
}

fn swap(folder: &Folder, expected: Option<&[u8]>, note: &Note) -> Result<(), TreeWriterError> {
    folder.swap_signed(expected, note).map_err(|error| match error {
        SwapError::Changed => TreeWriterError::Overtaken(folder.root().to_path_buf()),
        SwapError::Io(error) => TreeWriterError::Disk(error),
    })
}

#[cfg(test)]
#[path = "tree_writer_tests.rs"]
mod tests;
