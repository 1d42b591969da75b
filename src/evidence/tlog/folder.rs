//! A register's folder: the published files, and the state that its publisher must never lose.
//!
//! ```text
//! REGISTER/
//!   checkpoint          the published checkpoint, with the cosignatures of witnesses
//!   keys.json           keys of the register and its witnesses, and which witnesses have cosigned
//!   tile/               the tree and the entries (C2SP tlog-tiles)
//!   state/checkpoint    the last signed checkpoint, written before it is published
//!   state/lock          locked by the only publisher
//! ```
//! Everything except `state/` may be served to the public as static files.

use super::disk::Disk;
use super::note::Note;
use super::tile::{Row, Tile, TileReader, WIDTH, entries};
use crate::evidence::chain::bytes::ENTRY_LEN;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A register's folder. Reading needs no lock: every file is replaced atomically.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    disk: Disk,
}

/// Why the last signed checkpoint was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The last signed checkpoint is not the expected one: another publisher signs in this folder, too.
    #[error("another publisher has signed in this folder")]
    Changed,
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Folder {
    /// The folder at `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::on(root, Disk::system())
    }

    /// The folder at `root` of a disk.
    #[must_use]
    pub fn on(root: impl Into<PathBuf>, disk: Disk) -> Self {
        Self { root: root.into(), disk }
    }

    /// Its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that the publisher locks, so that only one runs at a time.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("state/lock")
    }

    /// Creates and syncs the folder of the lock file.
    ///
    /// # Errors
    /// An I/O error.
    pub fn make_state(&self) -> io::Result<()> {
        self.disk.make_dir(&self.root.join("state"))
    }

    /// The published checkpoint's bytes; `None` before the first.
    ///
    /// # Errors
    /// An I/O error.
    pub fn published(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.root.join("checkpoint"))
    }

    /// The last signed checkpoint's bytes; `None` before the first.
    ///
    /// # Errors
    /// An I/O error.
    pub fn signed(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.root.join("state/checkpoint"))
    }

    /// `keys.json`; `None` before the first publication.
    ///
    /// # Errors
    /// An I/O error.
    pub fn keys(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.root.join("keys.json"))
    }

    /// A tile's bytes. If a partial tile has been replaced by the full one, this returns the beginning
    /// of the full one.
    ///
    /// # Errors
    /// `NotFound` if it does not exist, `InvalidData` if its length does not match its name.
    pub fn tile(&self, tile: &Tile) -> io::Result<Vec<u8>> {
        let mut bytes = match fs::read(self.root.join(tile.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !tile.is_full() => {
                let mut bytes = Vec::with_capacity(tile.byte_len());
                let full = File::open(self.root.join(tile.full().to_string()))?;
                full.take(tile.byte_len() as u64).read_to_end(&mut bytes)?;
                bytes
            }
            other => other?,
        };
        if bytes.len() != tile.byte_len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its length does not match its name"));
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// The tree of `size` leaves, read from the tiles.
    #[must_use]
    pub fn tree(&self, size: u64) -> TileReader<impl FnMut(&Tile) -> io::Result<Vec<u8>>> {
        TileReader::new(size, |tile: &Tile| self.tile(tile))
    }

    /// Entry `index` of the tree of `size` leaves.
    ///
    /// # Errors
    /// `NotFound` if `index` is not in the tree or the bundle is missing, `InvalidData` if it is damaged.
    pub fn entry(&self, index: u64, size: u64) -> io::Result<[u8; ENTRY_LEN]> {
        let bundle = Tile::holding(Row::Entries, index, size).ok_or(io::ErrorKind::NotFound)?;
        let entries = entries(&self.tile(&bundle)?);
        let position = usize::try_from(index % u64::from(WIDTH)).unwrap_or_default();
        let found = entries.and_then(|entries| entries.get(position).copied());
        found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{bundle} is damaged")))
    }

    /// Writes tiles and syncs them before it returns.
    ///
    /// # Errors
    /// An I/O error.
    pub fn write_tiles(&self, tiles: Vec<(Tile, Vec<u8>)>) -> io::Result<()> {
        let files: Vec<_> =
            tiles.into_iter().map(|(tile, bytes)| (self.root.join(tile.to_string()), bytes)).collect();
        self.disk.put(&files)
    }

    /// Replaces the last signed checkpoint, if it is still `expected`.
    ///
    /// # Errors
    /// If it is another checkpoint, or an I/O error.
    pub fn swap_signed(&self, expected: Option<&[u8]>, new: &Note) -> Result<(), SwapError> {
        if self.signed()?.as_deref() != expected {
            return Err(SwapError::Changed);
        }
        Ok(self.disk.put(&[(self.root.join("state/checkpoint"), new.to_string().into_bytes())])?)
    }

    /// Publishes a checkpoint.
    ///
    /// # Errors
    /// An I/O error.
    pub fn publish(&self, note: &Note) -> io::Result<()> {
        self.disk.put(&[(self.root.join("checkpoint"), note.to_string().into_bytes())])
    }

    /// Publishes `keys.json`.
    ///
    /// # Errors
    /// An I/O error.
    pub fn publish_keys(&self, json: Vec<u8>) -> io::Result<()> {
        self.disk.put(&[(self.root.join("keys.json"), json)])
    }

    /// Removes the partial tiles of tiles that are now full; [`Folder::tile`] then reads a partial tile from
    /// the full one. Call this after a checkpoint that includes the full tiles is published.
    ///
    /// # Errors
    /// An I/O error.
    pub fn remove_partials(&self, full: &[Tile]) -> io::Result<()> {
        full.iter().try_for_each(|tile| self.disk.remove_dir(&self.root.join(tile.partial_dir())))
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
