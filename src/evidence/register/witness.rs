//! A witness: countersigns the checkpoints of registers it was told to watch, each only if
//! it is consistent with the one before (C2SP tlog-witness, tlog-cosignature).
//!
//! It remembers one checkpoint a register, on disk before it answers. Two histories of one register
//! cannot both get its signature, whatever the register's operator does. A checkpoint that is rightly
//! signed and does not follow from the remembered one is kept too: together they prove the fraud.

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

/// Longest request in bytes: 63 hashes and a checkpoint with many signatures.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Most hashes in a request, by the specification.
const MAX_PROOF: usize = 63;

/// Why a witness does not start. `Display` is the whole message.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The key cannot be used.
    #[error("The witness's key cannot be used: {0}.")]
    Key(io::Error),
    /// The key is a register's.
    #[error("{0} is no witness's key: those are made with `ormantrace key make --witness`.")]
    NoWitness(VerifierKey),
    /// A key to watch is a witness's.
    #[error("{0} is no register's key, but a witness's.")]
    NoRegister(VerifierKey),
    /// Another process witnesses here.
    #[error("The witness in {} is run by another process ({holder}).", shown(.dir))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who, as the lock file says.
        holder: String,
    },
    /// What was remembered is damaged.
    #[error("{} is damaged ({what}): bring it back from a copy; without its memory a witness is none.", shown(.file))]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The disk's own.
    #[error("The witness's folder cannot be used: {0}.")]
    Disk(#[from] io::Error),
}

/// What a witness answers to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: countersigned; the line, with its newline.
    Signed(String),
    /// 400: not the form of a request, or its old size is larger than the new.
    Malformed(&'static str),
    /// 403: no signature by a key of the register.
    Unsigned,
    /// 404: not a register that is watched.
    Unknown,
    /// 409: the remembered size is another, which is told, or the remembered root of that size is.
    Conflict(u64),
    /// 422: it does not follow from what is remembered.
    Inconsistent,
    /// 500: it cannot be remembered now, so it is not signed.
    Forgetful,
}

/// A witness.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    disk: Disk,
    signer: Signer,
    registers: Vec<VerifierKey>,
    clock: Clock,
    /// The last checkpoint of each register. Held while one is judged and written, so that two
    /// requests cannot both follow from the same one.
    seen: Mutex<BTreeMap<String, Checkpoint>>,
    _lock: Lock,
}

impl Witness {
    /// Opens the folder and what it remembers.
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
        if let Some(wrong) = registers.iter().find(|key| key.kind() != Kind::Text) {
            return Err(WitnessError::NoRegister(wrong.clone()));
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
            // Signed by a key of then, which may have been replaced since: only its form is checked.
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

    /// How many leaves of a register it has countersigned.
    #[must_use]
    pub fn size_of(&self, origin: &str) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(origin).map_or(0, |last| last.size)
    }

    /// Judges a request of tlog-witness, the body of `POST /add-checkpoint`. Waits for the disk.
    #[must_use]
    pub fn add_checkpoint(&self, request: &[u8]) -> Verdict {
        let (old, proof, note) = match parse(request) {
            Ok(parsed) => parsed,
            Err(what) => return Verdict::Malformed(what),
        };
        let Ok(claimed) = Checkpoint::parse(note.text()) else {
            return Verdict::Malformed("that is no checkpoint");
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
                // The same tree, and a proof where none belongs.
                return Verdict::Inconsistent;
            }
            self.keep_evidence(&new, root, &note);
            return if new.size == size { Verdict::Conflict(size) } else { Verdict::Inconsistent };
        }
        if let Err(error) = self.remember(&new, &note, &keys) {
            tracing::error!(%error, "a checkpoint cannot be remembered, and is not countersigned");
            return Verdict::Forgetful;
        }
        let line = self.signer.sign(note.text(), self.clock.now());
        tracing::debug!(origin = new.origin, size = new.size, "countersigned");
        seen.insert(new.origin.clone(), new);
        Verdict::Signed(format!("{line}\n"))
    }

    /// Only what the register's own keys have signed is kept: other lines are anybody's.
    fn remember(&self, new: &Checkpoint, note: &Note, keys: &[VerifierKey]) -> io::Result<()> {
        let own = note.only_by(keys);
        self.disk.put(&[(file_of(&self.dir, &new.origin), own.to_string().into_bytes())])
    }

    /// Keeps the newest checkpoint that is rightly signed and contradicts the remembered one.
    fn keep_evidence(&self, new: &Checkpoint, root: Hash, note: &Note) {
        tracing::warn!(
            origin = new.origin,
            size = new.size,
            root = %new.root,
            remembered = %root,
            "a signed checkpoint does not follow from the remembered one"
        );
        let file = file_of(&self.dir, &new.origin).with_extension("refused");
        if let Err(error) = self.disk.put(&[(file, note.to_string().into_bytes())]) {
            tracing::warn!(%error, "it cannot be kept as evidence");
        }
    }
}

/// Where the last checkpoint of a register is remembered; an origin may hold any character.
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
        _ => "that is no signed note",
    })?;
    Ok((old, proof, note))
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
