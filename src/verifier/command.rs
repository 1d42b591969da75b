//! `ormantrace verify`: the settings, the memory's file, the answer.

use super::report::Report;
use super::{Memory, Trust, Verified, mirror::Mirror, verify};
use crate::config::shown;
use crate::ledger::note::Kind;
use crate::ledger::{Checkpoint, Note, VerifierKey};
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `verify` can be told.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// An export, a proof, a receipt (the answer to a write) or a checkpoint
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The register's public key, or that of its receipts, from somewhere else than the file; several
    /// while a key is being replaced
    #[arg(long, value_name = "VKEY", value_parser = register_key)]
    trust: Vec<VerifierKey>,

    /// A witness's public key; without any, the file's own
    #[arg(long, value_name = "VKEY", value_parser = witness_key)]
    witness: Vec<VerifierKey>,

    /// How many witnesses must have countersigned [default: all that --witness names, or what the file says]
    #[arg(long, value_name = "NUMBER")]
    quorum: Option<usize>,

    /// Where the newest checkpoint seen is kept; what is checked must go on from it
    #[arg(long, value_name = "FILE", requires = "trust")]
    memory: Option<PathBuf>,

    /// A copy of the published register: for consistency with the memory, and for what a file leaves off
    #[arg(long, value_name = "FOLDER")]
    register: Option<PathBuf>,

    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no verdict, or not a good one. `Display` is the whole message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}.")]
    File(String, #[source] io::Error),
    /// The memory cannot be read or written.
    #[error("The memory {0} cannot be kept: {1}.")]
    Memory(String, #[source] io::Error),
    /// Standard output cannot be written to.
    #[error("{0}.")]
    Output(#[from] io::Error),
    /// A check failed; which, the answer has said.
    #[error("{0} is not valid.")]
    Invalid(String),
}

fn key(text: &str, kind: Kind, other: &str) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|error: crate::ledger::note::NoteError| error.to_string())?;
    if key.kind() == kind { Ok(key) } else { Err(other.to_owned()) }
}

/// A key that signs notes: a register's, or that of receipts.
pub(crate) fn register_key(text: &str) -> Result<VerifierKey, String> {
    key(text, Kind::Text, "this is a witness's key: it goes with --witness")
}

fn witness_key(text: &str) -> Result<VerifierKey, String> {
    key(text, Kind::Cosignature, "this is not a witness's key; a register's goes with --trust")
}

impl VerifyArgs {
    /// Checks the file, prints what was found, and remembers the checkpoint if everything held.
    ///
    /// # Errors
    /// A sentence; also where a check failed.
    pub fn run(self) -> Result<(), Failure> {
        let name = shown(&self.file);
        let data = std::fs::read(&self.file).map_err(|error| Failure::File(name.clone(), error))?;
        let memory = match &self.memory {
            None => Memory::None,
            Some(path) => recall(path).map_err(|error| Failure::Memory(shown(path), error))?,
        };
        let trust = Trust {
            keys: self.trust,
            witnesses: self.witness,
            quorum: self.quorum,
            memory,
            register: self.register.map(Mirror::new),
        };
        let Verified { report, checkpoint } = verify(&data, &trust);
        print(&report, self.json)?;
        if !report.holds() {
            return Err(Failure::Invalid(name));
        }
        match (self.memory, checkpoint) {
            (Some(path), Some(note)) if is_newer(&note, &trust.memory) => {
                keep(&path, &note).map_err(|error| Failure::Memory(shown(&path), error))
            }
            _ => Ok(()),
        }
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json { writeln!(out, "{}", report.to_json()) } else { write!(out, "{report}") }
}

fn recall(path: &Path) -> io::Result<Memory> {
    match std::fs::read(path) {
        Ok(note) => Ok(Memory::Seen(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::Fresh),
        Err(error) => Err(error),
    }
}

/// Whether a checkpoint goes beyond what is remembered. Both were read before.
fn is_newer(note: &[u8], memory: &Memory) -> bool {
    let size = |note: &[u8]| Some(Checkpoint::parse(Note::parse(note).ok()?.text()).ok()?.size);
    match memory {
        Memory::None => false,
        Memory::Fresh => true,
        Memory::Seen(seen) => size(note) > size(seen),
    }
}

/// Written beside its place and renamed: a memory is whole, old or new. Once this returns it lasts: a
/// checkpoint that was seen must not be forgotten with the power.
fn keep(path: &Path, note: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(note)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
