//! Checks the transparency log: its leaves have no gaps, and the published files are built from them.

use super::Failure;
use super::report::{Code, Report};
use super::snapshot::Reader;
use crate::evidence::chain::bytes::ENTRY_LEN;
use crate::evidence::register::published;
use crate::evidence::tlog::tile::{BUNDLED, Builder, Row, WIDTH};
use crate::evidence::tlog::{Checkpoint, Folder, Note, Tile, VerifierKey};
use sqlx::PgConnection;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use uuid::Uuid;

/// Longest run of missing leaves that is reported leaf by leaf. A longer run is reported as one error, and
/// ends the comparison with the published files.
const MAX_REPORTED_GAP: i64 = 10_000;

/// A published transparency log to compare with.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its folder.
    pub folder: PathBuf,
    /// The published checkpoint must be signed by one of these keys. If the list is empty, it must be signed
    /// by one of the keys that the folder names.
    pub keys: Vec<VerifierKey>,
}

/// Checks the leaves, and compares the published files with them.
pub(super) async fn check(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    published: Option<&Published>,
) -> Result<(), Failure> {
    let mut files = match published {
        Some(published) => Files::open(published, report)
            .map_err(|error| Failure::Published(published.folder.display().to_string(), error))?,
        None => None,
    };
    let (mut after, mut next) = (i64::MIN, 0_i64);
    loop {
        reader.begin().await?;
        let size = size(reader.db, report).await?;
        let leaves = sqlx::query!(
            r#"SELECT index AS "index!", entry AS "entry?", subject_id AS "subject?", seq AS "seq?" FROM leaf
               WHERE index > $1 ORDER BY index LIMIT $2"#,
            after,
            reader.rows
        )
        .fetch_all(&mut *reader.db)
        .await?;
        reader.end().await?;
        let Some(last) = leaves.last() else {
            if size.is_some_and(|size| size != next) {
                let detail = format!("size is {}, leaf indexes end before {next}", size.unwrap_or_default());
                report.find(Code::LeafGap, "register", "size", None, detail);
            }
            break;
        };
        after = last.index;
        let count = leaves.len();
        for leaf in leaves {
            let at = leaf.subject.zip(leaf.seq);
            if leaf.index < next {
                report.find(Code::LeafUnexplained, "leaf", leaf.index, at, "leaf indexes begin with 0");
                continue;
            }
            if size.is_some_and(|size| leaf.index >= size) {
                let detail = "its index is beyond the register's size";
                report.find(Code::LeafUnexplained, "leaf", leaf.index, at, detail);
            }
            if leaf.index - next > MAX_REPORTED_GAP {
                let detail = format!("there are no leaves from here to {}", leaf.index);
                report.find(Code::LeafGap, "leaf", next, None, detail);
                (next, files) = (leaf.index, None);
            }
            while next < leaf.index {
                report.find(Code::LeafGap, "leaf", next, None, "there is no leaf with this index");
                if let Some(files) = &mut files {
                    files.pass(report, next);
                }
                next += 1;
            }
            next += 1;
            let entry = leaf.entry.and_then(|entry| <[u8; ENTRY_LEN]>::try_from(entry).ok());
            if entry.is_none() {
                report.find(Code::LeafDiffers, "leaf", leaf.index, at, "it has no entry of 113 bytes");
            }
            if let Some(files) = &mut files {
                files.add(report, at, &entry.unwrap_or([0; ENTRY_LEN]));
            }
        }
        report.progress("leaves", count, size.unwrap_or_default().unsigned_abs());
    }
    strays(reader, report).await?;
    if let Some(files) = files {
        files.finish(report, next);
    }
    Ok(())
}

/// The size in the one row of table `register`. Errors of that row are reported once, although the row is
/// read with every page of leaves.
async fn size(db: &mut PgConnection, report: &mut Report<'_>) -> Result<Option<i64>, Failure> {
    let mut rows = sqlx::query!(r#"SELECT size AS "size?", complete AS "complete?" FROM register LIMIT 2"#)
        .fetch_all(db)
        .await?;
    if rows.len() > 1 {
        report.once(Code::RowUnexplained, "register", "one", "there is more than one row");
    }
    let row = rows.pop();
    if row.as_ref().is_none_or(|row| row.complete != Some(true)) {
        let detail = "complete is not set: events from before the register are not in it";
        report.once(Code::RegisterIncomplete, "register", "complete", detail);
    }
    let size = row.and_then(|row| row.size);
    if size.is_none() {
        report.once(Code::LeafGap, "register", "size", "there is no size");
    }
    Ok(size)
}

/// Reports queue rows without an event, and queue rows of events that already have a leaf.
async fn strays(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let strays = sqlx::query!(
        r#"SELECT q.id AS "id!", q.subject_id AS "subject?", q.seq AS "seq?", e.subject_id IS NOT NULL AS "event!"
           FROM leaf_queue q
           LEFT JOIN event e ON e.subject_id = q.subject_id AND e.seq = q.seq
           WHERE e.subject_id IS NULL
              OR EXISTS (SELECT FROM leaf f WHERE f.subject_id = q.subject_id AND f.seq = q.seq)"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    reader.end().await?;
    for stray in strays {
        let at = stray.subject.zip(stray.seq);
        let detail =
            if stray.event { "the event is in the register already" } else { "there is no such event" };
        report.find(Code::LeafUnexplained, "leaf_queue", stray.id, at, detail);
    }
    Ok(())
}

/// The published files, compared leaf by leaf.
struct Files {
    folder: Folder,
    size: u64,
    /// Signed checkpoints: the published one and the one to be published next.
    signed: Vec<Checkpoint>,
    builder: Builder,
    /// The events of the newest leaves, as many as a tile is wide.
    recent: VecDeque<Option<(Uuid, i32)>>,
}

impl Files {
    /// Reads the signed checkpoints; `None` if nothing was published yet.
    fn open(published: &Published, report: &mut Report<'_>) -> io::Result<Option<Self>> {
        let folder = Folder::new(&published.folder);
        let mut keys = published.keys.clone();
        if keys.is_empty() {
            match published::Published::new(folder.clone()).read() {
                Ok(state) => keys = state.map(|state| state.policy.registers.clone()).unwrap_or_default(),
                Err(error) => {
                    report.find(Code::SignatureInvalid, "published", "keys.json", None, error.to_string());
                }
            }
        }
        let mut signed = Vec::new();
        let mut size = None;
        for (name, bytes) in [("checkpoint", folder.published()?), ("state/checkpoint", folder.signed()?)] {
            let Some(bytes) = bytes else { continue };
            let opened = Note::parse(&bytes).map_err(|error| error.to_string()).and_then(|note| {
                let plain = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
                Ok((plain, Checkpoint::open(&note, &keys).err().map(|error| error.to_string())))
            });
            match opened {
                Ok((checkpoint, error)) => {
                    if let Some(error) = error {
                        report.find(Code::SignatureInvalid, "published", name, None, error);
                    }
                    size = size.or(Some(checkpoint.size));
                    signed.push(checkpoint);
                }
                Err(error) => report.find(Code::SignatureInvalid, "published", name, None, error),
            }
        }
        let Some(size) = size else { return Ok(None) };
        report.published(size);
        Ok(Some(Self { folder, size, signed, builder: Builder::new(), recent: VecDeque::new() }))
    }

    /// Adds the next leaf and compares the tiles that it fills, up to the published size.
    fn add(&mut self, report: &mut Report<'_>, at: Option<(Uuid, i32)>, entry: &[u8; ENTRY_LEN]) {
        self.compare_roots(report);
        self.recent.push_back(at);
        if self.recent.len() > usize::from(WIDTH) {
            self.recent.pop_front();
        }
        let mut filled = Vec::new();
        self.builder.push(entry, |tile, bytes| filled.push((tile, bytes)));
        if self.builder.size() <= self.size {
            for (tile, bytes) in filled {
                self.compare(report, tile, &bytes);
            }
        }
        if self.builder.size() == self.size {
            for (tile, bytes) in self.builder.unfilled() {
                self.compare(report, tile, &bytes);
            }
        }
    }

    /// Adds a leaf that the database has lost. The published entry is used in its place, so that the later
    /// leaves can be compared.
    fn pass(&mut self, report: &mut Report<'_>, index: i64) {
        let entry = u64::try_from(index).ok().and_then(|index| self.folder.entry(index, self.size).ok());
        self.add(report, None, &entry.unwrap_or([0; ENTRY_LEN]));
    }

    fn compare_roots(&self, report: &mut Report<'_>) {
        for checkpoint in self.signed.iter().filter(|signed| signed.size == self.builder.size()) {
            if checkpoint.root != self.builder.root() {
                let detail = "the signed root is not that of the leaves in the database";
                report.find(Code::RootDiffers, "published", checkpoint.size, None, detail);
            }
        }
    }

    /// Compares a published tile with one built from the leaves. If a leaf differs, its event is reported.
    fn compare(&self, report: &mut Report<'_>, tile: Tile, bytes: &[u8]) {
        let found = match self.folder.tile(&tile) {
            Ok(found) => found,
            Err(error) => return report.find(Code::TileDiffers, "published", tile, None, error.to_string()),
        };
        let first = tile.index() * u64::from(WIDTH);
        let each = if tile.row() == Row::Entries { BUNDLED } else { 32 };
        for (element, (found, made)) in found.chunks(each).zip(bytes.chunks(each)).enumerate() {
            if found == made {
                continue;
            }
            let detail = format!("element {element} does not match the leaves in the database");
            let leaf = matches!(tile.row(), Row::Entries | Row::Hashes(0));
            let back = usize::try_from(self.builder.size() - first).unwrap_or_default();
            let at = (self.recent.len() + element).checked_sub(back).filter(|_| leaf);
            let event = at.and_then(|at| self.recent.get(at).copied().flatten());
            report.find(Code::TileDiffers, "published", tile, event, detail);
        }
    }

    fn finish(self, report: &mut Report<'_>, leaves: i64) {
        self.compare_roots(report);
        let leaves = u64::try_from(leaves).unwrap_or_default();
        // If the database has lost leaves, both the published checkpoint and the one to be published next may
        // be larger than the database. Only the larger of the two is reported.
        let largest =
            self.signed.iter().filter(|signed| signed.size > leaves).max_by_key(|signed| signed.size);
        if let Some(checkpoint) = largest {
            let detail = format!("{} events were signed, the database has {leaves}", checkpoint.size);
            report.find(Code::PublishedLarger, "published", checkpoint.size, None, detail);
        }
    }
}
