//! Copying a register's folder while its publisher writes.
//!
//! The publisher writes tiles, then signs, then publishes. So the published checkpoint is read first, then
//! the signed one, and then the tiles of the two trees that these checkpoints sign. All of these tiles exist,
//! whatever the publisher adds meanwhile.

use super::Failure;
use super::manifest::RegisterState;
use super::sums::Progress;
use crate::base::config::shown;
use crate::evidence::tlog::tile::{Row, Tile, WIDTH};
use crate::evidence::tlog::{Checkpoint, Folder, Note};
use std::collections::BTreeSet;
use std::io;

/// Highest row of a tree.
const TOP_ROW: u8 = 7;

/// Copies the published files and the last signed checkpoint; `put` writes each under its name. Returns the
/// register's state, or `None` if the folder has no checkpoint.
///
/// # Errors
/// If a file cannot be read or written, or a checkpoint cannot be parsed.
pub fn copy(
    from: &Folder,
    mut put: impl FnMut(&str, &[u8]) -> Result<(), Failure>,
) -> Result<Option<RegisterState>, Failure> {
    let failed = |error: io::Error| Failure::File(shown(from.root()), error);
    let published = from.published().map_err(failed)?;
    let signed = from.signed().map_err(failed)?;
    let keys = from.keys().map_err(failed)?;
    let mut states = Vec::new();
    for bytes in [&published, &signed].into_iter().flatten() {
        states.push(parse(bytes).map_err(|what| failed(io::Error::new(io::ErrorKind::InvalidData, what)))?);
    }
    let tiles: BTreeSet<Tile> = states.iter().flat_map(|state| tiles(state.size)).collect();
    let mut progress = Progress::new("copying the register", tiles.len() as u64);
    for (tile, done) in tiles.iter().zip(0..) {
        let bytes = from
            .tile(tile)
            .map_err(|error| failed(io::Error::new(error.kind(), format!("{tile}: {error}"))))?;
        put(&tile.to_string(), &bytes)?;
        progress.at(done);
    }
    for (name, bytes) in [("state/checkpoint", signed), ("keys.json", keys), ("checkpoint", published)] {
        if let Some(bytes) = bytes {
            put(name, &bytes)?;
        }
    }
    Ok(states.into_iter().max_by_key(|state| state.size))
}

/// Origin and size of a checkpoint; its signatures are not checked.
pub fn parse(bytes: &[u8]) -> Result<RegisterState, String> {
    let note = Note::parse(bytes).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    Ok(RegisterState { origin: checkpoint.origin, size: checkpoint.size })
}

/// Every tile of a tree of `size` leaves.
fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    let rows = std::iter::once(Row::Entries).chain((0..=TOP_ROW).map(Row::Hashes));
    rows.flat_map(move |row| {
        (0..).step_by(usize::from(WIDTH)).map_while(move |first| Tile::holding(row, first, size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_these_tiles() {
        let names = |size| tiles(size).map(|tile| tile.to_string()).collect::<Vec<_>>();
        assert!(names(0).is_empty());
        assert_eq!(names(3), ["tile/entries/000.p/3", "tile/0/000.p/3"]);
        assert_eq!(
            names(257),
            ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]
        );
    }
}
