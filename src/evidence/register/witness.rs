//! `ormantrace witness`: cosigns checkpoints of the configured registers. It cosigns a checkpoint only if it
//! is consistent with the last one of the same register (C2SP tlog-witness, tlog-cosignature).
//!
//! The witness stores one checkpoint per register, on disk before it responds. So two different histories of
//! one register cannot both get its signature, whatever the register's operator does. A checkpoint that is
//! validly signed but not consistent with the stored one is stored, too: the two checkpoints prove the fraud.

use crate::base::clock::Clock;
use crate::base::config::shown;
use crate::db::lock::{Denied, Lock};
use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::checkpoint::{Checkpoint, CheckpointError};
use crate::evidence::tlog::disk::Disk;
use crate::evidence::tlog::note::{Kind, Note, NoteError, Signer, VerifierKey};
use crate::evidence::tlog::tree::{empty_root, is_consistent};
use crate::evidence::tlog::{decimal, from_base64};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Maximum length of a request in bytes: 63 hashes and a checkpoint with many signatures.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Maximum number of hashes in a request, by the specification.
const MAX_PROOF: usize = 63;

/// Why a witness does not start. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The key cannot be used.
    #[error("The witness's key cannot be used: {0}.")]
    Key(io::Error),
    /// The key is a register's.
    #[error("{0} is not a witness's key: make one with `ormantrace key make --witness`.")]
    NoWitness(VerifierKey),
    /// A key to watch is a witness's.
    #[error("{0} is a witness's key, not a register's.")]
    NoRegister(VerifierKey),
    /// Another process runs the witness in this folder.
    #[error("The witness in {} is run by another process ({holder}).", shown(.dir))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The lock holder, from the lock file.
        holder: String,
    },
    /// A stored checkpoint is damaged.
    #[error(
        "{} is damaged ({what}): restore it from a copy; without it the witness might sign a second history.",
        shown(.file)
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Description of the damage.
        what: String,
    },
    /// An I/O error.
    #[error("The witness's folder cannot be used: {0}.")]
    Disk(#[from] io::Error),
}

/// The response of a witness to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: cosigned; the signature line, with its newline.
    Signed(String),
    /// 400: not in the format of a request, or the old size in it is larger than the new size.
    Malformed(&'static str),
    /// 403: no valid signature by a key of the register.
    Unsigned,
    /// 404: this witness does not watch the register.
    Unknown,
    /// 409: the request's old size is not the size that this witness has stored, or its root differs from the
    /// stored root at the same size. Contains the stored size.
    Conflict(u64),
    /// 422: not consistent with the stored checkpoint.
    Inconsistent,
    /// 500: the checkpoint cannot be stored now, so it is not cosigned.
    NotStored,
}

/// A witness.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    disk: Disk,
    signer: Signer,
    registers: Vec<VerifierKey>,
    clock: Clock,
    /// The last checkpoint of each register. The lock is held while a new checkpoint is checked and written,
    /// so that two requests cannot both extend the same checkpoint.
    seen: Mutex<BTreeMap<String, Checkpoint>>,
    _lock: Lock,
}

impl Witness {
    /// Opens the folder and reads the stored checkpoints.
    ///
    /// # Errors
    /// See [`WitnessError`].
    pub fn open(
        dir: &Path,
        disk: Disk,
        signer: Signer,
        registers: Vec<VerifierKey>,
        clock: Clock,
    ) -> Result<Self, WitnessError> {
        if signer.verifier().kind() != Kind::Cosignature {
            return Err(WitnessError::NoWitness(signer.verifier().clone()));
        }
        if let Some(key) = registers.iter().find(|key| key.kind() != Kind::Text) {
            return Err(WitnessError::NoRegister(key.clone()));
        }
        disk.make_dir(dir)?;
        let lock = Lock::take(&dir.join("lock")).map_err(|denied| match denied {
            Denied::Held(holder) => WitnessError::InUse { dir: dir.to_path_buf(), holder },
            Denied::Io(error) => WitnessError::Disk(error),
        })?;
        let mut seen = BTreeMap::new();
        for origin in registers.iter().map(VerifierKey::name) {
            let file = file_of(dir, origin);
            let bytes = match std::fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            // Only the format is checked, because the key that signed the stored checkpoint may have been
            // replaced since.
            let read = Note::parse(&bytes)
                .map_err(CheckpointError::from)
                .and_then(|note| Checkpoint::parse(note.text()))
                .map_err(|error| error.to_string())
                .and_then(|last| {
                    if last.origin == origin { Ok(last) } else { Err(format!("it is of {}", last.origin)) }
                });
            let last = read.map_err(|what| WitnessError::Damaged { file, what })?;
            seen.insert(origin.to_owned(), last);
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            disk,
            signer,
            registers,
            clock,
            seen: Mutex::new(seen),
            _lock: lock,
        })
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// The size of the last checkpoint of the register `origin` that this witness has cosigned; 0 if there is
    /// none.
    #[must_use]
    pub fn size_of(&self, origin: &str) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(origin).map_or(0, |last| last.size)
    }

    /// Processes a request of tlog-witness, the body of `POST /add-checkpoint`. Blocks on disk I/O.
    #[must_use]
    pub fn add_checkpoint(&self, request: &[u8]) -> Verdict {
        let (old, proof, note) = match parse(request) {
            Ok(parsed) => parsed,
            Err(what) => return Verdict::Malformed(what),
        };
        let Ok(claimed) = Checkpoint::parse(note.text()) else {
            return Verdict::Malformed("not a checkpoint");
        };
        let keys: Vec<VerifierKey> =
            self.registers.iter().filter(|key| key.name() == claimed.origin).cloned().collect();
        if keys.is_empty() {
            return Verdict::Unknown;
        }
        let Ok(new) = Checkpoint::open(&note, &keys) else { return Verdict::Unsigned };
        if old > new.size {
            return Verdict::Malformed("the old size is larger than the new");
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, root) = seen.get(&new.origin).map_or((0, empty_root()), |last| (last.size, last.root));
        if old != size {
            return Verdict::Conflict(size);
        }
        if !is_consistent(size, root, new.size, new.root, &proof) {
            if new.size == size && root == new.root {
                // The tree in the request is the stored one, so the proof has to be empty, but it is not.
                return Verdict::Inconsistent;
            }
            self.store_evidence(&new, root, &note);
            return if new.size == size { Verdict::Conflict(size) } else { Verdict::Inconsistent };
        }
        if let Err(error) = self.store_checkpoint(&new, &note, &keys) {
            tracing::error!(%error, "a checkpoint cannot be stored, so it is not cosigned");
            return Verdict::NotStored;
        }
        let line = self.signer.sign(note.text(), self.clock.now());
        tracing::debug!(origin = new.origin, size = new.size, "cosigned");
        seen.insert(new.origin.clone(), new);
        Verdict::Signed(format!("{line}\n"))
    }

    /// Stores the checkpoint with only the signature lines of the register's own keys, because any client can
    /// add other lines.
    fn store_checkpoint(&self, new: &Checkpoint, note: &Note, keys: &[VerifierKey]) -> io::Result<()> {
        let note = note.only_by(keys);
        self.disk.put(&[(file_of(&self.dir, &new.origin), note.to_string().into_bytes())])
    }

    /// Stores the newest checkpoint that is validly signed and contradicts the stored one.
    fn store_evidence(&self, new: &Checkpoint, root: Hash, note: &Note) {
        tracing::warn!(
            origin = new.origin,
            size = new.size,
            root = %new.root,
            remembered = %root,
            "a signed checkpoint is not consistent with the stored one"
        );
        let file = file_of(&self.dir, &new.origin).with_extension("refused");
        if let Err(error) = self.disk.put(&[(file, note.to_string().into_bytes())]) {
            tracing::warn!(%error, "the inconsistent checkpoint cannot be stored as evidence");
        }
    }
}

/// The file of a register's last checkpoint. Its name is a hash, because an origin may have any character.
fn file_of(dir: &Path, origin: &str) -> PathBuf {
    dir.join(hex::encode(Sha256::digest(origin.as_bytes())))
}

/// Old size, proof and checkpoint of a request.
fn parse(request: &[u8]) -> Result<(u64, Vec<Hash>, Note), &'static str> {
    let text = std::str::from_utf8(request).map_err(|_| "not UTF-8")?;
    let (head, note) = text.split_once("\n\n").ok_or("no empty line before the checkpoint")?;
    let mut lines = head.split('\n');
    let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
    let old = old.ok_or("the first line is not `old` and a size")?;
    let proof = lines
        .take(MAX_PROOF + 1)
        .map(from_base64)
        .collect::<Option<Vec<_>>>()
        .filter(|proof| proof.len() <= MAX_PROOF)
        .ok_or("the proof is not at most 63 hashes")?;
    let note = Note::parse(note.as_bytes()).map_err(|error| match error {
        NoteError::Malformed(what) => what,
        _ => "not a signed note",
    })?;
    Ok((old, proof, note))
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
