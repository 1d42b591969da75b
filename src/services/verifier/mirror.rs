//! A local copy of the published folder, read without any network request.

use crate::evidence::chain::bytes::{Entry, Hash};
use crate::evidence::tlog::tile::{self, ReadError, Row, TileReader, WIDTH};
use crate::evidence::tlog::tree::NoProof;
use crate::evidence::tlog::{Checkpoint, Frontier, Tile};
use std::io;
use std::path::{Path, PathBuf};

/// A folder with `checkpoint` and `tile/…`, as tlog-tiles lays them out.
#[derive(Clone, Debug)]
pub struct Mirror {
    folder: PathBuf,
}

/// Why a copy cannot be used for a check.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// A file is missing, unreadable or damaged.
    #[error("the register's copy: {0}")]
    Read(#[from] ReadError<io::Error>),
    /// An entry bundle does not contain as many entries as its file name states.
    #[error("the register's copy: {0} cannot be read")]
    Bundle(Tile),
    /// The root computed from the copy's entries is not the root in the checkpoint.
    #[error("the copy of the register is not what the checkpoint says")]
    OtherTree,
    /// The sizes are out of range for a consistency proof.
    #[error("the register's copy: {0}")]
    Beyond(String),
}

impl From<NoProof<ReadError<io::Error>>> for MirrorError {
    fn from(error: NoProof<ReadError<io::Error>>) -> Self {
        match error {
            NoProof::Node(error) => Self::Read(error),
            NoProof::OutOfRange { .. } => Self::Beyond(error.to_string()),
        }
    }
}

impl Mirror {
    /// The copy in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The bytes of the copy's checkpoint file; no signature is verified.
    ///
    /// # Errors
    /// An I/O error.
    pub fn checkpoint(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.folder.join("checkpoint"))
    }

    /// Computes, from the copy's tiles, the proof that the tree of `old` leaves is the beginning of the tree
    /// of `new` leaves.
    ///
    /// # Errors
    /// If `old` is larger than `new`, or a tile cannot be read.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, MirrorError> {
        Ok(self.reader(new).consistency(old)?)
    }

    /// Calls `see` with every entry of the largest checkpoint's tree, in order, and recomputes the root at
    /// the size of every checkpoint. If all roots agree, the smaller trees are beginnings of the largest.
    ///
    /// # Errors
    /// If a bundle is missing or damaged, or a root is not the checkpoint's.
    pub fn entries(
        &self,
        checkpoints: &[&Checkpoint],
        mut see: impl FnMut(&Entry, Hash),
    ) -> Result<(), MirrorError> {
        let size = checkpoints.iter().map(|checkpoint| checkpoint.size).max().unwrap_or(0);
        let agrees = |edge: &Frontier| {
            let here = |checkpoint: &&&Checkpoint| checkpoint.size == edge.size();
            checkpoints.iter().filter(here).all(|checkpoint| checkpoint.root == edge.root())
        };
        let mut edge = Frontier::new();
        let mut same = agrees(&edge);
        while let Some(bundle) = Tile::holding(Row::Entries, edge.size(), size) {
            let bytes = self.fetch(&bundle).map_err(|error| ReadError::Fetch(bundle, error))?;
            let entries =
                tile::entries(&bytes).filter(|entries| entries.len() == usize::from(bundle.width()));
            for entry in entries.ok_or(MirrorError::Bundle(bundle))? {
                let entry = Entry::from(entry);
                let leaf = entry.link();
                edge.push(leaf);
                same &= agrees(&edge);
                see(&entry, leaf);
            }
        }
        if same { Ok(()) } else { Err(MirrorError::OtherTree) }
    }

    fn reader(&self, size: u64) -> TileReader<impl FnMut(&Tile) -> io::Result<Vec<u8>>> {
        TileReader::new(size, |tile: &Tile| self.fetch(tile))
    }

    /// Reads a tile's bytes. If the file of this width is missing, a wider file of the same tile is read: it
    /// begins with the same bytes.
    fn fetch(&self, tile: &Tile) -> io::Result<Vec<u8>> {
        let mut found = std::fs::read(self.folder.join(tile.to_string()));
        for width in tile.width() + 1..=WIDTH {
            let Some(wider) = Tile::new(tile.row(), tile.index(), width) else { break };
            if !matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                break;
            }
            found = std::fs::read(self.folder.join(wider.to_string())).map(|mut bytes| {
                bytes.truncate(tile.byte_len());
                bytes
            });
        }
        found
    }
}
