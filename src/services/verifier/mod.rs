//! Verifies a file offline: an export, a proof, a receipt or a checkpoint.
//!
//! This needs no SQL, no HTTP and no network, but only the file, the keys that the user trusts, the
//! checkpoint seen last, and optionally a copy of the published register. Each check has a name and reports
//! the event at which it failed. `tests/verify_export.py` does the same checks without any code of this
//! crate, and a test compares its results with those of this module.

mod about;
mod chain;
mod checkpoint;
pub mod command;
mod complete;
mod decode;
pub mod export;
pub mod json;
pub mod mirror;
mod receipt;
pub mod report;

use crate::evidence::chain::bytes::{ENTRY_LEN, Entry};
use crate::evidence::tlog::tree::is_included;
use crate::evidence::tlog::{Checkpoint, Proof, VerifierKey};
pub use checkpoint::Memory;
use checkpoint::{FileClaims, NO_CHECKPOINT};
use export::{Event, Export};
use json::{FormatError, Json};
use mirror::Mirror;
use report::{Check, Kind, Report};

/// The trust anchors and other inputs of the user.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Trusted keys of the register. If empty, the file's own keys are used, and a file by any third party
    /// can pass.
    pub keys: Vec<VerifierKey>,
    /// Trusted keys of receipts. They never count for a checkpoint, and the register's keys never count for a
    /// receipt: which of these two fields contains a key decides its use, not the key's name.
    pub receipts: Vec<VerifierKey>,
    /// Trusted keys of witnesses; if empty, the file's own are used.
    pub witnesses: Vec<VerifierKey>,
    /// How many witnesses must have cosigned. `None`: all in `witnesses`; the file's quorum if that is empty.
    pub quorum: Option<usize>,
    /// The checkpoint seen last.
    pub memory: Memory,
    /// A copy of the register.
    pub register: Option<Mirror>,
    /// The seal in hand, as a number or as a marking code: the file must be about it.
    pub seal: Option<String>,
}

/// The result of verifying a file.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The checks.
    pub report: Report,
    /// The signed note of the file's checkpoint, to store in the memory.
    pub checkpoint: Option<Vec<u8>>,
}

/// Checks a file of any of the four kinds.
#[must_use]
pub fn verify(data: &[u8], trust: &Trust) -> Verified {
    let data = match decode::text(data) {
        Ok(data) => data,
        Err(error) => {
            let mut report = Report::new(Kind::Checkpoint);
            report.failed(Check::Format, error);
            return Verified { report, checkpoint: None };
        }
    };
    let data = data.as_ref();
    if data.starts_with(b"c2sp.org/tlog-proof@v1\n") {
        return proof(data, trust);
    }
    let first = data.iter().find(|byte| !b" \t\r\n".contains(byte));
    if let Some(what) = decode::foreign(data) {
        let mut report = Report::new(Kind::Checkpoint);
        let detail =
            "but not an export, a proof, a receipt or a checkpoint: save what the link downloads, unchanged";
        report.failed(Check::Format, format!("this is {what}, {detail}"));
        return Verified { report, checkpoint: None };
    }
    if first != Some(&b'{') {
        return checkpoint(data, trust);
    }
    match Json::read(data) {
        Ok(file) if file.member("format").is_some() && file.member("receipt").is_some() => {
            export(Err(FormatError::new("an export with a receipt in it: a file is one of them")), trust)
        }
        Ok(response) if response.member("receipt").is_some() => receipt::check(&response, trust),
        Ok(file) => export(Export::read(&file), trust),
        Err(error) => export(Err(error), trust),
    }
}

fn export(file: Result<Export, FormatError>, trust: &Trust) -> Verified {
    let mut report = Report::new(Kind::Export);
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            report.failed(Check::Format, error.0);
            return Verified { report, checkpoint: None };
        }
    };
    let mut events = Vec::with_capacity(file.events.len());
    for (at, event) in (1..).zip(file.events) {
        match event {
            Ok(event) => events.push(event),
            Err(error) => report.failed_at(Check::Format, at, error.0),
        }
    }
    if !report.holds() {
        return Verified { report, checkpoint: None };
    }
    let form = format!("{}, {} {}, {} events", file.format, file.kind.name(), file.id, events.len());
    report.ok(Check::Format, form);
    let claims = FileClaims {
        keys: &file.keys,
        witnesses: &file.witnesses,
        quorum: file.quorum,
        consistency: file.consistency.as_ref().map(|(from, proof)| (*from, proof.as_slice())),
    };
    let checkpoint = checkpoint::check(&mut report, trust, file.checkpoint.as_bytes(), claims);
    chain::check(&mut report, file.subject, &events);
    about::check(&mut report, trust, (file.kind, file.id), &events);
    included(&mut report, &events, checkpoint.as_ref());
    complete::check(&mut report, trust, claims, file.format, file.until, &events, checkpoint.as_ref());
    Verified { report, checkpoint: Some(file.checkpoint.into_bytes()) }
}

fn included(report: &mut Report, events: &[Event], checkpoint: Option<&Checkpoint>) {
    let Some(checkpoint) = checkpoint else {
        return report.unchecked(Check::Inclusion, NO_CHECKPOINT);
    };
    let mut errors = Vec::new();
    for (at, event) in (1..).zip(events) {
        match &event.proof {
            None => errors.push((at, "not yet in the register".to_owned())),
            Some((index, proof)) => {
                if !is_included(event.hash, *index, checkpoint.size, checkpoint.root, proof) {
                    errors.push((at, format!("not in the register at {index}")));
                }
            }
        }
    }
    report.failed_each(Check::Inclusion, errors, format!("{} in the register", events.len()));
}

fn proof(data: &[u8], trust: &Trust) -> Verified {
    let mut report = Report::new(Kind::Proof);
    let read = Proof::parse(data).map_err(|error| error.to_string()).and_then(|proof| {
        let entry = proof.extra.as_deref().and_then(|extra| <[u8; ENTRY_LEN]>::try_from(extra).ok());
        Ok((Entry::from(entry.ok_or("it does not carry the 113 bytes of an entry")?), proof))
    });
    let (entry, proof) = match read {
        Ok(read) => read,
        Err(error) => {
            report.failed(Check::Format, error);
            return Verified { report, checkpoint: None };
        }
    };
    report.ok(Check::Format, format!("tlog-proof of one entry, event {} of its chain", entry.seq()));
    let note = proof.checkpoint.to_string().into_bytes();
    let checkpoint = checkpoint::check(&mut report, trust, &note, FileClaims::default());
    if entry.is_known_version() {
        report.ok(Check::Entry, format!("of version 1, received at {}", received_at(&entry)));
    } else {
        report.failed(Check::Entry, "the entry is not of version 1");
    }
    about::of_proof(&mut report, trust);
    match checkpoint {
        None => report.unchecked(Check::Inclusion, NO_CHECKPOINT),
        Some(Checkpoint { size, root, .. }) => {
            if is_included(entry.link(), proof.index, size, root, &proof.hashes) {
                report.ok(Check::Inclusion, format!("in the register at {}", proof.index));
            } else {
                report.failed(Check::Inclusion, format!("not in the register at {}", proof.index));
            }
        }
    }
    Verified { report, checkpoint: Some(note) }
}

/// The time of receipt as text; as a number of µs if it is outside the calendar's range.
fn received_at(entry: &Entry) -> String {
    let micros = entry.received_at();
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros} µs"), crate::base::units::utc_text)
}

fn checkpoint(data: &[u8], trust: &Trust) -> Verified {
    let mut report = Report::new(Kind::Checkpoint);
    let checkpoint = checkpoint::check(&mut report, trust, data, FileClaims::default());
    about::without_text(&mut report, trust);
    Verified { report, checkpoint: checkpoint.map(|_| data.to_owned()) }
}
