//! Compares a backup with a register that still exists elsewhere, and finds the records that only that
//! register has.

use super::manifest::RegisterState;
use super::{Failure, register};
use crate::evidence::chain::bytes::{ENTRY_LEN, Entry, SubjectKind};
use crate::evidence::register::published::Published;
use crate::evidence::tlog::tile::{Row, Tile, WIDTH, entries};
use crate::evidence::tlog::{Checkpoint, Folder, Note, VerifierKey};
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A register's folder with a valid checkpoint.
#[derive(Debug)]
pub struct Elsewhere {
    /// The folder.
    pub folder: Folder,
    /// Its newest signed checkpoint.
    pub state: RegisterState,
    /// Whether the folder is the publisher's own folder, and not a copy of the published files alone.
    pub is_publishers: bool,
    /// The public keys; one of them must have signed the checkpoints of this register.
    pub keys: Vec<VerifierKey>,
}

impl Elsewhere {
    /// Reads the newest checkpoint in `dir`. It must name the register `origin`, if that is known. One of
    /// `keys` must have signed it, or one of the keys that the folder names, because the register's key may
    /// have been replaced after the backup.
    ///
    /// # Errors
    /// If there is no valid checkpoint.
    pub fn read(dir: &Path, origin: Option<&str>, mut keys: Vec<VerifierKey>) -> Result<Self, Failure> {
        let refused = |what: String| Failure::Register { dir: dir.to_path_buf(), what };
        let folder = Folder::new(dir);
        if let Ok(Some(state)) = Published::new(folder.clone()).read() {
            keys.extend(state.policy.registers.iter().cloned());
        }
        let published = folder.published().map_err(|error| refused(error.to_string()))?;
        let signed = folder.signed().map_err(|error| refused(error.to_string()))?;
        let is_publishers = signed.is_some();
        let mut newest: Option<RegisterState> = None;
        for bytes in [published, signed].into_iter().flatten() {
            let state = register::parse(&bytes).map_err(&refused)?;
            if let Some(origin) = origin.filter(|origin| *origin != state.origin) {
                return Err(refused(format!("it is of {}, the backup of {origin}", state.origin)));
            }
            let note = Note::parse(&bytes).map_err(|error| refused(error.to_string()))?;
            Checkpoint::open(&note, &keys).map_err(|error| refused(error.to_string()))?;
            if newest.as_ref().is_none_or(|newest| newest.size < state.size) {
                newest = Some(state);
            }
        }
        let state = newest.ok_or_else(|| refused("it has no checkpoint".to_owned()))?;
        Ok(Self { folder, state, is_publishers, keys })
    }
}

/// The records that were published and are not in the backup.
#[derive(Debug)]
pub struct Loss {
    /// The old register.
    pub old: RegisterState,
    /// Number of leaves in the backup. This is also the index of the first lost leaf.
    pub from: u64,
    /// Where the old folder is now.
    pub kept: PathBuf,
    /// The folder of the new register.
    pub folder: PathBuf,
    /// The key of the new register.
    pub new_key: VerifierKey,
    /// The lost records, as far as the entries of their leaves can be read.
    pub records: Vec<Lost>,
}

/// A lost leaf.
#[derive(Debug)]
pub struct Lost {
    index: u64,
    received_at: Option<DateTime<Utc>>,
    seq: u64,
    subject: Subject,
}

#[derive(Debug)]
enum Subject {
    Known {
        kind: &'static str,
        id: Uuid,
        seal: Option<String>,
    },
    /// The backup has no event of the subject.
    Unknown,
    /// The event itself is in the backup; only its leaf is lost.
    InBackup,
}

/// Finds the events of the leaves from index `from` on, as far as the restored database knows the subjects of
/// these events.
///
/// # Errors
/// Errors from the database.
pub async fn find(
    db: &mut PgConnection,
    folder: &Folder,
    from: u64,
    size: u64,
) -> Result<Vec<Lost>, Failure> {
    let mut lost = Vec::new();
    let mut first = from;
    while let Some(bundle) = Tile::holding(Row::Entries, first, size) {
        let start = bundle.index() * u64::from(WIDTH);
        let read = folder.tile(&bundle).ok().and_then(|bytes| entries(&bytes));
        if read.is_none() {
            tracing::warn!(file = %bundle, "the entries of lost records cannot be read");
        }
        let indexed = (start..).zip(read.unwrap_or_default());
        lost.extend(indexed.filter(|(index, _)| *index >= from));
        first = start + u64::from(WIDTH);
    }
    let all: Vec<Vec<u8>> = lost.iter().map(|(_, entry)| entry.to_vec()).collect();
    let queued = sqlx::query_scalar!("SELECT entry FROM leaf_queue WHERE entry = ANY($1)", &all);
    let queued: HashSet<Vec<u8>> = queued.fetch_all(&mut *db).await?.into_iter().collect();
    let refs: Vec<Vec<u8>> = lost.iter().map(|(_, entry)| Entry::from(*entry).subject().0.to_vec()).collect();
    let known = sqlx::query!(
        r#"SELECT s.subject_ref AS "subject_ref!", s.subject_id AS "subject_id!", e.subject_kind AS "kind!",
                  l.seal_number AS "seal?"
           FROM (SELECT substring(entry FROM 2 FOR 32) AS subject_ref, subject_id FROM leaf
                 WHERE substring(entry FROM 2 FOR 32) = ANY($1)
                 UNION
                 SELECT substring(entry FROM 2 FOR 32), subject_id FROM leaf_queue
                 WHERE substring(entry FROM 2 FOR 32) = ANY($1)) s
           JOIN event e ON e.subject_id = s.subject_id AND e.seq = 1
           LEFT JOIN log l ON l.id = s.subject_id"#,
        &refs
    )
    .fetch_all(db)
    .await?;
    let known: HashMap<Vec<u8>, _> = known.into_iter().map(|row| (row.subject_ref.clone(), row)).collect();
    let subject = |entry: &[u8; ENTRY_LEN]| {
        if queued.contains(entry.as_slice()) {
            return Subject::InBackup;
        }
        let row = known.get(Entry::from(*entry).subject().0.as_slice());
        let kind = row.and_then(|row| SubjectKind::from_byte(u8::try_from(row.kind).ok()?));
        match (row, kind) {
            (Some(row), Some(kind)) => {
                Subject::Known { kind: kind.name(), id: row.subject_id, seal: row.seal.clone() }
            }
            _ => Subject::Unknown,
        }
    };
    let record = |(index, entry): &(u64, [u8; ENTRY_LEN])| {
        let read = Entry::from(*entry);
        Lost {
            index: *index,
            received_at: DateTime::from_timestamp_micros(read.received_at()),
            seq: read.seq(),
            subject: subject(entry),
        }
    };
    Ok(lost.iter().map(record).collect())
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegisterState { origin, size } = &self.old;
        writeln!(f, "Lost: leaves {} to {} of the register {origin}.", self.from, size - 1)?;
        for record in &self.records {
            writeln!(f, "{record}")?;
        }
        let unread = size - self.from - self.records.len() as u64;
        if unread > 0 {
            writeln!(f, "The entries of {unread} more cannot be read.")?;
        }
        writeln!(
            f,
            "The old register is kept in {}. Publish the size {}, from which on its records are lost.",
            self.kept.display(),
            self.from
        )?;
        writeln!(
            f,
            "A new register has begun in {folder}; if that is not the folder `register` of the data directory, start \
             `serve` and `publish` with --register-dir {folder}.",
            folder = self.folder.display()
        )?;
        write!(f, "Publish its key, and give it to the witnesses: {}", self.new_key)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost {}", self.index)?;
        if let Some(at) = self.received_at {
            write!(f, " received {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))?;
        }
        write!(f, " event {} of ", self.seq)?;
        match &self.subject {
            Subject::Known { kind, id, seal: None } => write!(f, "{kind} {id}"),
            Subject::Known { kind, id, seal: Some(seal) } => write!(f, "{kind} {id}, seal {seal}"),
            Subject::Unknown => f.write_str("a subject that is not in the backup"),
            Subject::InBackup => f.write_str("a subject in the backup, which has the event without its leaf"),
        }
    }
}
