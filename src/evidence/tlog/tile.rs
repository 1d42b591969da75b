//! Tiles: the tree in files that never change (C2SP tlog-tiles).
//!
//! A tile holds 256 hashes of one row: row 0 has the leaves, row `r` the roots over full tiles of row `r -
//! 1`. The last tile of a row may be partial. The name of a partial tile contains its width, the number of
//! its hashes, so that a wider tile is another file. Entries are stored in bundles with the same numbering as
//! the tiles of row 0.

use super::tree::{Frontier, root_of};
use super::{MAX_SIZE, decimal};
use crate::evidence::chain::bytes::{ENTRY_LEN, Hash};
use std::fmt;

/// Levels of the tree in a tile.
pub const HEIGHT: u32 = 8;
/// Hashes, or entries, in a full tile.
pub const WIDTH: u16 = 256;
/// Highest row that a tree of [`MAX_SIZE`] leaves has.
const TOP_ROW: u8 = 7;
/// Bytes of an entry in a bundle: its length in two bytes, then the entry.
pub const BUNDLED: usize = 2 + ENTRY_LEN;

/// The row of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Entries of the leaves.
    Entries,
    /// Hashes of this row, 0 to 7.
    Hashes(u8),
}

/// One file of the tree: its row, its index in the row, and its width, the number of hashes or entries in it
/// (256 if it is full).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    row: Row,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile at this row and index with this width. `None` if the row is above 7, the width is not 1 to
    /// 256, or no tree of at most [`MAX_SIZE`] leaves has such an index.
    #[must_use]
    pub fn new(row: Row, index: u64, width: u16) -> Option<Self> {
        let level = match row {
            Row::Entries => 0,
            Row::Hashes(row) if row <= TOP_ROW => row,
            Row::Hashes(_) => return None,
        };
        let max_index = (MAX_SIZE >> (HEIGHT * u32::from(level))) / u64::from(WIDTH);
        ((1..=WIDTH).contains(&width) && index <= max_index).then_some(Self { row, index, width })
    }

    /// The tile that contains the hash or entry at `position` of a row, in a tree of `size` leaves; `None` if
    /// the row has no such position.
    #[must_use]
    pub fn holding(row: Row, position: u64, size: u64) -> Option<Self> {
        let width = u64::from(WIDTH);
        let count = match row {
            Row::Entries => size,
            Row::Hashes(row) if row <= TOP_ROW => size >> (HEIGHT * u32::from(row)),
            Row::Hashes(_) => 0,
        };
        if position >= count {
            return None;
        }
        let index = position / width;
        let used = (count - index * width).min(width);
        Self::new(row, index, u16::try_from(used).ok()?)
    }

    /// The partial tiles of a tree of `size` leaves, at most one for each row, entries first.
    #[must_use]
    pub fn edge(size: u64) -> Vec<Self> {
        let rows = std::iter::once(Row::Entries).chain((0..=TOP_ROW).map(Row::Hashes));
        rows.filter_map(|row| {
            let count = match row {
                Row::Entries => size,
                Row::Hashes(row) => size >> (HEIGHT * u32::from(row)),
            };
            Self::holding(row, count.checked_sub(1)?, size).filter(|tile| !tile.is_full())
        })
        .collect()
    }

    /// Whether a tree of `size` leaves has all hashes or entries of this tile.
    #[must_use]
    pub fn is_within(&self, size: u64) -> bool {
        let last = self.index * u64::from(WIDTH) + u64::from(self.width) - 1;
        Self::holding(self.row, last, size).is_some()
    }

    /// Its row.
    #[must_use]
    pub fn row(&self) -> Row {
        self.row
    }

    /// Its index in the row, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries the tile has, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether the tile is full: it has 256 hashes or entries.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The full tile with the same row and index.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: WIDTH, ..*self }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        let each = match self.row {
            Row::Entries => BUNDLED,
            Row::Hashes(_) => 32,
        };
        usize::from(self.width) * each
    }

    /// The folder of the partial tiles with this row and index, relative to the register's folder.
    #[must_use]
    pub fn partial_dir(&self) -> String {
        format!("{}.p", self.full())
    }

    /// Parses a path such as `tile/0/x001/x234/067.p/8`. `None` for any other text, including another
    /// spelling of a valid tile.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (row, rest) = rest.split_once('/')?;
        let row = match row {
            "entries" => Row::Entries,
            level => Row::Hashes(u8::try_from(decimal(level)?).ok()?),
        };
        let (digits, width) = match rest.split_once(".p/") {
            None => (rest, WIDTH),
            Some((digits, width)) => {
                (digits, u16::try_from(decimal(width)?).ok().filter(|width| (1..WIDTH).contains(width))?)
            }
        };
        let mut index = 0_u64;
        let mut elements = digits.split('/').peekable();
        while let Some(element) = elements.next() {
            let three = if elements.peek().is_some() { element.strip_prefix('x')? } else { element };
            if three.len() != 3 || !three.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(three.parse().ok()?)?;
        }
        // A path with leading groups of zeros would be a second spelling of the same tile, so it is refused.
        Self::new(row, index, width).filter(|tile| tile.to_string() == path)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Row::Entries => f.write_str("tile/entries/")?,
            Row::Hashes(row) => write!(f, "tile/{row}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut left = self.index / 1000;
        while left > 0 {
            groups.push(left % 1000);
            left /= 1000;
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() { write!(f, "{group:03}")? } else { write!(f, "x{group:03}/")? }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The hashes in a tile's bytes; `None` if the length is not a multiple of 32.
#[must_use]
pub fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// Adds an entry to a bundle: its length in two bytes, big-endian, then the entry.
pub fn bundle(bytes: &mut Vec<u8>, entry: &[u8; ENTRY_LEN]) {
    bytes.extend_from_slice(&LENGTH.to_be_bytes());
    bytes.extend_from_slice(entry);
}

const LENGTH: u16 = 0x0071;

/// The entries of a bundle; `None` unless each has its 113 bytes.
#[must_use]
pub fn entries(bytes: &[u8]) -> Option<Vec<[u8; ENTRY_LEN]>> {
    let (bundled, rest) = bytes.as_chunks::<BUNDLED>();
    let entry = |bundled: &[u8; BUNDLED]| {
        let entry = bundled.strip_prefix(LENGTH.to_be_bytes().as_slice())?;
        <[u8; ENTRY_LEN]>::try_from(entry).ok()
    };
    if rest.is_empty() { bundled.iter().map(entry).collect() } else { None }
}

/// Why a tree cannot be read from tiles.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// A tile cannot be fetched.
    #[error("{0}: {1}")]
    Fetch(Tile, E),
    /// The length of a tile does not match its name, or an entry of it has a wrong length.
    #[error("{0} is damaged")]
    Damaged(Tile),
    /// The tree has no such node.
    #[error("a tree of {size} leaves has no node {index} on level {level}")]
    Beyond {
        /// Level of the node.
        level: u32,
        /// Index of the node.
        index: u64,
        /// The tree's size.
        size: u64,
    },
}

/// A tree of known size that reads tiles when their nodes are needed. `fetch` gets a tile's bytes;
/// the last 16 tiles are cached, so one proof takes a handful of fetches.
pub struct TileReader<F> {
    size: u64,
    fetch: F,
    cached: Vec<(Tile, Vec<Hash>)>,
}

/// Maximum number of cached tiles: a proof needs at most two of each of the 8 rows.
const MAX_CACHED_TILES: usize = 16;

impl<E, F: FnMut(&Tile) -> Result<Vec<u8>, E>> TileReader<F> {
    /// Reads a tree of `size` leaves.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch, cached: Vec::new() }
    }

    /// The hash over the leaves `index·2^level … (index+1)·2^level - 1`.
    ///
    /// # Errors
    /// If the tree does not have them all, or a tile cannot be fetched or is damaged.
    pub fn node(&mut self, level: u32, index: u64) -> Result<Hash, ReadError<E>> {
        let beyond = ReadError::Beyond { level, index, size: self.size };
        let within = level % HEIGHT;
        let (Ok(row), Some(first)) = (u8::try_from(level / HEIGHT), index.checked_shl(within)) else {
            return Err(beyond);
        };
        if first >> within != index {
            return Err(beyond);
        }
        let last = first + ((1 << within) - 1);
        let Some(tile) = Tile::holding(Row::Hashes(row), last, self.size) else { return Err(beyond) };
        let from = usize::try_from(first % u64::from(WIDTH)).unwrap_or_default();
        let to = usize::try_from(last % u64::from(WIDTH)).unwrap_or_default();
        let hashes = self.tile(tile)?;
        hashes.get(from..=to).map(root_of).ok_or(ReadError::Damaged(tile))
    }

    /// A tile's hashes; their number is the width in its name.
    ///
    /// # Errors
    /// If it cannot be fetched or is damaged.
    pub fn tile(&mut self, tile: Tile) -> Result<&[Hash], ReadError<E>> {
        if let Some(at) = self.cached.iter().position(|(cached, _)| *cached == tile) {
            return Ok(&self.cached[at].1);
        }
        let bytes = (self.fetch)(&tile).map_err(|error| ReadError::Fetch(tile, error))?;
        let hashes =
            hashes(&bytes).filter(|_| bytes.len() == tile.byte_len()).ok_or(ReadError::Damaged(tile))?;
        if self.cached.len() == MAX_CACHED_TILES {
            self.cached.remove(0);
        }
        self.cached.push((tile, hashes));
        Ok(self.cached.last().map(|(_, hashes)| hashes.as_slice()).unwrap_or_default())
    }

    /// The root over all leaves, computed from the tiles at the right edge.
    ///
    /// # Errors
    /// As [`TileReader::node`].
    pub fn root(&mut self) -> Result<Hash, ReadError<E>> {
        Frontier::at(self.size, |level, index| self.node(level, index)).map(|edge| edge.root())
    }

    /// The proof that leaf `index` is in the tree.
    ///
    /// # Errors
    /// As [`super::tree::inclusion`].
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, super::tree::NoProof<ReadError<E>>> {
        super::tree::inclusion(index, self.size, |level, index| self.node(level, index))
    }

    /// The proof that the tree begins with its first `old` leaves.
    ///
    /// # Errors
    /// As [`super::tree::consistency`].
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, super::tree::NoProof<ReadError<E>>> {
        super::tree::consistency(old, self.size, |level, index| self.node(level, index))
    }
}

/// A growing tree and its new tiles. It keeps the last tile of each row in memory, and returns the
/// tiles that have changed.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    edge: Frontier,
    rows: Vec<Vec<Hash>>,
    entries: Vec<u8>,
}

impl Builder {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves. `fetch` reads the last tile of each row.
    ///
    /// # Errors
    /// If a tile cannot be fetched or is damaged.
    pub fn resume<E>(
        size: u64,
        mut fetch: impl FnMut(&Tile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, ReadError<E>> {
        let mut builder = Self::new();
        for tile in Tile::edge(size) {
            let bytes = fetch(&tile).map_err(|error| ReadError::Fetch(tile, error))?;
            let damaged = || ReadError::Damaged(tile);
            match tile.row() {
                Row::Entries => {
                    entries(&bytes).filter(|_| bytes.len() == tile.byte_len()).ok_or_else(damaged)?;
                    builder.entries = bytes;
                }
                Row::Hashes(row) => {
                    builder.rows.resize(usize::from(row) + 1, Vec::new());
                    builder.rows[usize::from(row)] =
                        hashes(&bytes).filter(|_| bytes.len() == tile.byte_len()).ok_or_else(damaged)?;
                }
            }
        }
        builder.edge = TileReader::new(size, fetch).edge()?;
        Ok(builder)
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Appends an entry; calls `filled` with every tile that is now full.
    pub fn push(&mut self, entry: &[u8; ENTRY_LEN], mut filled: impl FnMut(Tile, Vec<u8>)) {
        let position = self.edge.size();
        bundle(&mut self.entries, entry);
        if self.entries.len() == usize::from(WIDTH) * BUNDLED
            && let Some(tile) = Tile::new(Row::Entries, position / u64::from(WIDTH), WIDTH)
        {
            filled(tile, std::mem::take(&mut self.entries));
        }
        let rows = &mut self.rows;
        self.edge.push_with(super::leaf_hash(entry), |level, hash| {
            if !level.is_multiple_of(HEIGHT) {
                return;
            }
            let row = usize::try_from(level / HEIGHT).unwrap_or_default();
            if rows.len() <= row {
                rows.resize(row + 1, Vec::new());
            }
            rows[row].push(hash);
            if rows[row].len() == usize::from(WIDTH)
                && let Ok(number) = u8::try_from(row)
                && let Some(tile) = Tile::new(Row::Hashes(number), position >> (HEIGHT + level), WIDTH)
            {
                filled(tile, bytes_of(&std::mem::take(&mut rows[row])));
            }
        });
    }

    /// The partial last tile of each row. These tiles and the full tiles that `push` has produced are the
    /// complete tree.
    #[must_use]
    pub fn unfilled(&self) -> Vec<(Tile, Vec<u8>)> {
        let content = |tile: Tile| match tile.row() {
            Row::Entries => (tile, self.entries.clone()),
            Row::Hashes(row) => {
                (tile, self.rows.get(usize::from(row)).map(|row| bytes_of(row)).unwrap_or_default())
            }
        };
        Tile::edge(self.size()).into_iter().map(content).collect()
    }
}

impl<E, F: FnMut(&Tile) -> Result<Vec<u8>, E>> TileReader<F> {
    /// The right edge, from which the tree can grow.
    ///
    /// # Errors
    /// As [`TileReader::node`].
    pub fn edge(&mut self) -> Result<Frontier, ReadError<E>> {
        Frontier::at(self.size, |level, index| self.node(level, index))
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{leaf_hash, naive};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(number: u64) -> [u8; ENTRY_LEN] {
        let mut entry = [1; ENTRY_LEN];
        entry[33..41].copy_from_slice(&number.to_be_bytes());
        entry
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        for (row, index, width, path) in [
            (Row::Hashes(0), 1_234_067, 8, "tile/0/x001/x234/067.p/8"),
            (Row::Hashes(0), 1_234_067, 256, "tile/0/x001/x234/067"),
            (Row::Hashes(1), 0, 17, "tile/1/000.p/17"),
            (Row::Hashes(7), 0, 127, "tile/7/000.p/127"),
            (Row::Entries, 999, 255, "tile/entries/999.p/255"),
            (Row::Entries, 1000, 256, "tile/entries/x001/000"),
        ] {
            let tile = Tile::new(row, index, width).unwrap();
            assert_eq!(tile.to_string(), path);
            assert_eq!(Tile::parse(path), Some(tile));
        }
        assert_eq!(Tile::new(Row::Hashes(0), 273, 112).unwrap().partial_dir(), "tile/0/273.p");
    }

    #[test]
    fn no_other_path_is_a_tile() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/0001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/8/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/08",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../../etc/passwd",
            "tile/0/000.p/1/..",
            "tile/0/x001/../000",
            "tile/entries/../0",
            "tile/0/٠٠١",
            "tile/0/000.p/1.p/2",
            "tile/data/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/7/001",
            "tile/0/ 00",
            "tile/0/+01",
            "tile/0//000",
            "tile/0/000\0",
        ] {
            assert_eq!(Tile::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let names: Vec<_> = Tile::edge(70_000).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
        );
        let names: Vec<_> = Tile::edge(256).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["tile/1/000.p/1"]);
        assert!(Tile::edge(0).is_empty());
        assert_eq!(Tile::holding(Row::Hashes(0), 255, 256).unwrap().to_string(), "tile/0/000");
        assert_eq!(Tile::holding(Row::Hashes(0), 256, 256), None);
        assert_eq!(Tile::holding(Row::Hashes(1), 255, 65_535), None);
    }

    #[test]
    fn bundles_hold_entries_of_one_length() {
        let mut bytes = Vec::new();
        bundle(&mut bytes, &entry(7));
        assert_eq!(bytes[..2], [0, 0x71]);
        bundle(&mut bytes, &entry(8));
        assert_eq!(entries(&bytes), Some(vec![entry(7), entry(8)]));
        assert_eq!(entries(&[]), Some(vec![]));
        assert_eq!(entries(&bytes[1..]), None);
        bytes[BUNDLED + 1] = 0x70;
        assert_eq!(entries(&bytes), None);
        assert_eq!(hashes(&[0; 33]), None);
    }

    /// A tree grown in steps, its files stored by name as in a folder.
    fn grown(steps: &[u64]) -> (Builder, BTreeMap<String, Vec<u8>>) {
        let mut files = BTreeMap::new();
        let mut builder = Builder::new();
        for step in steps {
            for _ in 0..*step {
                builder.push(&entry(builder.size()), |tile, bytes| {
                    files.insert(tile.to_string(), bytes);
                });
            }
            files.extend(builder.unfilled().into_iter().map(|(tile, bytes)| (tile.to_string(), bytes)));
        }
        (builder, files)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn tiles_carry_the_whole_tree(steps in prop::collection::vec(0_u64..700, 1..5), at in any::<prop::sample::Index>()) {
            let size: u64 = steps.iter().sum();
            let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&entry(n))).collect();
            let (builder, files) = grown(&steps);
            prop_assert_eq!(builder.size(), size);
            prop_assert_eq!(builder.root(), naive::root(&leaves));
            let fetch = |tile: &Tile| files.get(&tile.to_string()).cloned().ok_or("absent");
            let mut reader = TileReader::new(size, fetch);
            prop_assert_eq!(reader.root().unwrap(), builder.root());
            if size > 0 {
                let index = at.index(leaves.len());
                prop_assert_eq!(reader.inclusion(index as u64).unwrap(), naive::path(index, &leaves));
                prop_assert_eq!(reader.consistency(index as u64).unwrap(), naive::proof(index, &leaves));
            }
            prop_assert!(reader.node(0, size).is_err());
            prop_assert!(reader.node(63, u64::MAX).is_err());
            // Every name parses, and every length matches the name.
            for (name, bytes) in &files {
                prop_assert_eq!(Tile::parse(name).unwrap().byte_len(), bytes.len());
            }
            // A builder resumed from the files behaves as the original one.
            let mut resumed = Builder::resume(size, fetch).unwrap();
            let mut continued = builder;
            for _ in 0..300 {
                let next = entry(continued.size());
                let (mut a, mut b) = (Vec::new(), Vec::new());
                continued.push(&next, |tile, bytes| a.push((tile, bytes)));
                resumed.push(&next, |tile, bytes| b.push((tile, bytes)));
                prop_assert_eq!(a, b);
            }
            prop_assert_eq!(continued.root(), resumed.root());
            prop_assert_eq!(continued.unfilled(), resumed.unfilled());
        }

        #[test]
        fn any_tile_has_its_path(row in 0_u8..8, index in any::<u64>(), width in 1_u16..=256) {
            let row = if row == 7 { Row::Entries } else { Row::Hashes(row) };
            if let Some(tile) = Tile::new(row, index >> 20, width) {
                prop_assert_eq!(Tile::parse(&tile.to_string()), Some(tile));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(tile/)?[0-9xp./entries]{0,24}") {
            if let Some(tile) = Tile::parse(&text) {
                prop_assert_eq!(tile.to_string(), text);
            }
        }
    }

    #[test]
    fn damaged_tiles_are_named() {
        let (builder, mut files) = grown(&[300]);
        files.insert("tile/0/001.p/44".into(), vec![0; 31]);
        let fetch = |tile: &Tile| files.get(&tile.to_string()).cloned().ok_or("absent");
        let mut reader = TileReader::new(builder.size(), fetch);
        assert_eq!(reader.root().unwrap_err().to_string(), "tile/0/001.p/44 is damaged");
        assert_eq!(Builder::resume(300, fetch).unwrap_err().to_string(), "tile/0/001.p/44 is damaged");
        let mut further = TileReader::new(301, fetch);
        assert_eq!(further.root().unwrap_err().to_string(), "tile/0/001.p/45: absent");
    }
}
