//! `ormantrace verify`: options, the memory file (the newest checkpoint seen), the output.

use super::report::{Report, Verdict};
use super::{Memory, Trust, Verified, checkpoint, mirror::Mirror, verify};
use crate::base::config::shown;
use crate::evidence::tlog::VerifierKey;
use crate::evidence::tlog::disk::Disk;
use crate::evidence::tlog::note::{Kind, NoteError};
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Options of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// An export, a proof, a receipt (the response to a write) or a checkpoint
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Public key of the register, from a source other than the file; separate several with commas, while a
    /// key is being replaced
    #[arg(long, value_name = "VKEY", value_delimiter = ',', value_parser = register_key)]
    trust: Vec<VerifierKey>,

    /// Public key of the register's receipts, used for receipts only; a receipt needs no other key; separate
    /// several with commas
    #[arg(long, value_name = "VKEY", value_delimiter = ',', value_parser = receipt_key)]
    receipts: Vec<VerifierKey>,

    /// The seal in hand, by its number or marking code: the export must be of the log that has it now
    #[arg(long, value_name = "SEAL")]
    seal: Option<String>,

    /// Public key of a witness; separate several with commas [default: the keys in the file]
    #[arg(long, value_name = "VKEY", value_delimiter = ',', value_parser = witness_key)]
    witness: Vec<VerifierKey>,

    /// How many witnesses must have cosigned [default: all given with --witness, or the file's quorum]
    #[arg(long, value_name = "NUMBER")]
    quorum: Option<usize>,

    /// File that stores the newest checkpoint seen; a new checkpoint must be consistent with it
    #[arg(long, value_name = "FILE", requires = "trust")]
    memory: Option<PathBuf>,

    /// A copy of the published register: to check consistency with the memory, and completeness of a file
    #[arg(long, value_name = "FOLDER")]
    register: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The reason why there is no result, or why the file is not valid. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}.")]
    File(String, #[source] io::Error),
    /// The memory cannot be read or written.
    #[error("The memory {0} cannot be read or written: {1}.")]
    Memory(String, #[source] io::Error),
    /// Standard output cannot be written to.
    #[error("{0}.")]
    Output(#[from] io::Error),
    /// A check failed; the printed report shows which.
    #[error("{0} is not valid.")]
    Invalid(String),
    /// No check failed, but the register has later events, which the file does not show, or may have.
    #[error("{0} is valid as far as it goes; each line INCOMPLETE names what is not shown.")]
    Incomplete(String),
}

fn key(text: &str, kind: Kind, other: &str) -> Result<VerifierKey, String> {
    let key = any_key(text)?;
    if key.kind() == kind { Ok(key) } else { Err(other.to_owned()) }
}

fn register_key(text: &str) -> Result<VerifierKey, String> {
    key(text, Kind::Text, "this is a witness's key: give it with --witness")
}

/// A key that signs receipts.
pub(crate) fn receipt_key(text: &str) -> Result<VerifierKey, String> {
    key(text, Kind::Text, "this is a witness's key; a receipt is signed by the server's receipt key")
}

/// A key of any kind, without the blanks or the end of line that come with a key when it is copied.
pub(crate) fn any_key(text: &str) -> Result<VerifierKey, String> {
    text.trim().parse().map_err(|error: NoteError| error.to_string())
}

fn witness_key(text: &str) -> Result<VerifierKey, String> {
    key(text, Kind::Cosignature, "this is not a witness's key; give a register's key with --trust")
}

impl VerifyArgs {
    /// Checks the file, prints the report, and stores the checkpoint in the memory if no check failed.
    ///
    /// # Errors
    /// A message for the user, also if a check failed.
    pub fn run(self) -> Result<(), Failure> {
        let name = shown(&self.file);
        let data = std::fs::read(&self.file).map_err(|error| Failure::File(name.clone(), error))?;
        let memory = match &self.memory {
            None => Memory::None,
            Some(path) => load_memory(path).map_err(|error| Failure::Memory(shown(path), error))?,
        };
        let trust = Trust {
            keys: self.trust,
            receipts: self.receipts,
            seal: self.seal,
            witnesses: distinct(self.witness),
            quorum: self.quorum,
            memory,
            register: self.register.map(Mirror::new),
        };
        let Verified { report, checkpoint } = verify(&data, &trust);
        print(&report, self.json)?;
        let verdict = report.verdict();
        if verdict == Verdict::Invalid {
            return Err(Failure::Invalid(name));
        }
        if let (Some(path), Some(note)) = (self.memory, checkpoint)
            && is_newer(&note, &trust.memory)
        {
            store_memory(&Disk::system(), &path, note)
                .map_err(|error| Failure::Memory(shown(&path), error))?;
        }
        if verdict == Verdict::Incomplete { Err(Failure::Incomplete(name)) } else { Ok(()) }
    }
}

/// Each key once: a witness that is named twice counts once.
fn distinct(keys: Vec<VerifierKey>) -> Vec<VerifierKey> {
    keys.into_iter().fold(Vec::new(), |mut distinct, key| {
        if !distinct.contains(&key) {
            distinct.push(key);
        }
        distinct
    })
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json { writeln!(out, "{}", report.to_json()) } else { write!(out, "{report}") }
}

fn load_memory(path: &Path) -> io::Result<Memory> {
    match std::fs::read(path) {
        Ok(note) => Ok(Memory::Seen(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::Fresh),
        Err(error) => Err(error),
    }
}

/// Whether the checkpoint in `note` is larger than the one in the memory. Parsing cannot fail here, because
/// the checks have parsed both already.
fn is_newer(note: &[u8], memory: &Memory) -> bool {
    let size = |note: &[u8]| Some(checkpoint::parse_file(note).ok()?.1.size);
    match memory {
        Memory::None => false,
        Memory::Fresh => true,
        Memory::Seen(seen) => size(note) > size(seen),
    }
}

/// Stores the checkpoint in the memory file. The file is synced to disk, because a power cut must not lose a
/// checkpoint that was seen. If storing is interrupted, the file has its old content or its new.
fn store_memory(disk: &Disk, path: &Path, note: Vec<u8>) -> io::Result<()> {
    disk.put(&[(path.to_path_buf(), note)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tlog::disk::Call;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const OLD: &[u8] = b"a checkpoint of 745 events\n";
    const NEW: &[u8] = b"a checkpoint of 1045 events, which goes on from it\n";

    /// Stores a checkpoint once for each file-system call N. In run N, call N and all later calls fail; in
    /// the last run no call fails. After each run the memory contains the complete old checkpoint or the
    /// complete new one; if storing has succeeded, the new one.
    #[test]
    fn a_memory_that_is_cut_off_is_whole() {
        for (dies_at, call) in [
            Some(Call::Create),
            Some(Call::Write),
            Some(Call::Sync),
            Some(Call::Rename),
            Some(Call::SyncDir),
            None,
        ]
        .into_iter()
        .enumerate()
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("seen");
            store_memory(&Disk::system(), &path, OLD.to_vec()).unwrap();
            let count = Arc::new(AtomicUsize::new(0));
            let disk = Disk::gated(move |reached, _| {
                let n = count.fetch_add(1, Ordering::SeqCst);
                assert!(n != dies_at || call == Some(reached), "call {n} is {reached:?}, not {call:?}");
                if n < dies_at { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            });
            let stored = store_memory(&disk, &path, NEW.to_vec());
            assert_eq!(stored.is_ok(), call.is_none(), "{call:?}: {stored:?}");
            let content = if matches!(call, None | Some(Call::SyncDir)) { NEW } else { OLD };
            assert_eq!(load_memory(&path).unwrap(), Memory::Seen(content.to_vec()), "{call:?}");
            // Leftover files do not prevent the next write.
            store_memory(&Disk::system(), &path, NEW.to_vec()).unwrap();
            assert_eq!(load_memory(&path).unwrap(), Memory::Seen(NEW.to_vec()));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{call:?}");
        }
    }

    #[test]
    fn the_first_memory_lasts_with_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auditor/seen");
        let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
        let recorded = Arc::clone(&calls);
        let disk = Disk::gated(move |call, _| {
            recorded.lock().unwrap().push(call);
            Ok(())
        });
        assert_eq!(load_memory(&path).unwrap(), Memory::Fresh);
        store_memory(&disk, &path, OLD.to_vec()).unwrap();
        use Call::{Create, MakeDir, Rename, Sync, SyncDir, Write};
        assert_eq!(*calls.lock().unwrap(), [MakeDir, Create, Write, Sync, Rename, SyncDir, SyncDir]);
        assert_eq!(load_memory(&path).unwrap(), Memory::Seen(OLD.to_vec()));
    }
}
