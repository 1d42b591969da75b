//! The checks of a checkpoint: its signature, its cosignatures, and consistency with the checkpoint
//! seen last.

use super::report::{Check, Report};
use super::{Trust, decode};
use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::note::NoteError;
use crate::evidence::tlog::tree::is_consistent;
use crate::evidence::tlog::{Checkpoint, Note, VerifierKey};

/// The keys, quorum and proof in the file itself, used where the user has given none.
#[derive(Clone, Copy, Default)]
pub(super) struct FileClaims<'a> {
    pub keys: &'a [VerifierKey],
    pub witnesses: &'a [VerifierKey],
    pub quorum: usize,
    /// The size of an earlier tree, and the consistency proof from that tree to the checkpoint's tree.
    pub consistency: Option<(u64, &'a [Hash])>,
}

/// Adds the lines `checkpoint`, `witnesses` and `memory`. Returns the checkpoint if it can be parsed,
/// even if a check has failed, so that the other checks can use it.
pub(super) fn check(
    report: &mut Report,
    trust: &Trust,
    note: &[u8],
    claims: FileClaims<'_>,
) -> Option<Checkpoint> {
    let (note, checkpoint) = match parse(note) {
        Ok(parsed) => parsed,
        Err(error) => {
            report.failed(Check::Checkpoint, error);
            report.unchecked(Check::Witnesses, NO_CHECKPOINT);
            report.unchecked(Check::Memory, NO_CHECKPOINT);
            return None;
        }
    };
    signature(report, trust, &note, &checkpoint, claims);
    witnesses(report, trust, &note, claims);
    memory(report, trust, &checkpoint, claims);
    Some(checkpoint)
}

/// Parses a signed note and the checkpoint in it; verifies no signature.
pub(super) fn parse(note: &[u8]) -> Result<(Note, Checkpoint), String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    match Checkpoint::parse(note.text()) {
        Ok(checkpoint) => Ok((note, checkpoint)),
        Err(error) => Err(error.to_string()),
    }
}

/// As [`parse`], for a file of the user's own: the memory, or the checkpoint of a copy of the register, which
/// another program may have saved with a byte-order mark or in UTF-16.
pub(super) fn parse_file(file: &[u8]) -> Result<(Note, Checkpoint), String> {
    parse(&decode::text(file)?)
}

pub(super) const NO_CHECKPOINT: &str = "there is no checkpoint";

fn signature(
    report: &mut Report,
    trust: &Trust,
    note: &Note,
    checkpoint: &Checkpoint,
    claims: FileClaims<'_>,
) {
    let Checkpoint { origin, size, .. } = checkpoint;
    let (keys, source) = register_keys(trust, claims);
    if trust.keys.is_empty() && !trust.receipts.is_empty() {
        // The user gave keys of receipts, but no key of the register. The file's own keys are not used
        // instead, because any third party can sign a file with its own key.
        return report.failed(
            Check::Checkpoint,
            "no key of the register was given, only of its receipts: give --trust",
        );
    }
    if keys.is_empty() {
        return report
            .unchecked(Check::Checkpoint, format!("{origin} of size {size}; no key to check it with"));
    }
    match Checkpoint::open(note, keys) {
        Ok(_) => {
            report.trusted = !trust.keys.is_empty();
            report.ok(Check::Checkpoint, format!("{origin} of size {size}, signed by {source}"));
        }
        Err(error) => report.failed(Check::Checkpoint, format!("{error} ({source})")),
    }
}

/// The keys with which the signature of a checkpoint is verified, and where these keys are from.
pub(super) fn register_keys<'a>(
    trust: &'a Trust,
    claims: FileClaims<'a>,
) -> (&'a [VerifierKey], &'static str) {
    if trust.keys.is_empty() {
        (claims.keys, "a key from the file itself")
    } else {
        (&trust.keys, "your key")
    }
}

fn witnesses(report: &mut Report, trust: &Trust, note: &Note, claims: FileClaims<'_>) {
    let own = !trust.witnesses.is_empty();
    let witnesses = if own { trust.witnesses.as_slice() } else { claims.witnesses };
    let needed = trust.quorum.unwrap_or(if own { witnesses.len() } else { claims.quorum });
    let seen = match note.verify(witnesses) {
        Ok(seen) => seen.len(),
        Err(NoteError::Unsigned) => 0,
        Err(error) => return report.failed(Check::Witnesses, error.to_string()),
    };
    let found = format!("witnessed by {seen} of {}, {needed} needed", witnesses.len());
    if seen < needed {
        report.failed(Check::Witnesses, found);
    } else if witnesses.is_empty() {
        report.unchecked(Check::Witnesses, "no witnesses are named");
    } else {
        let source = if own { "" } else { "; their keys are from the file itself" };
        report.ok(Check::Witnesses, found + source);
    }
}

fn memory(report: &mut Report, trust: &Trust, checkpoint: &Checkpoint, claims: FileClaims<'_>) {
    let seen = match &trust.memory {
        Memory::None => return report.unchecked(Check::Memory, "no --memory was given"),
        Memory::Fresh => return report.ok(Check::Memory, "the first checkpoint seen"),
        Memory::Seen(bytes) => bytes,
    };
    let seen = match parse_file(seen) {
        Ok((_, seen)) => seen,
        Err(error) => return report.failed(Check::Memory, format!("the memory cannot be read: {error}")),
    };
    let size = seen.size;
    if seen.origin != checkpoint.origin {
        return report.failed(Check::Memory, format!("the memory is of another register: {}", seen.origin));
    }
    if size == checkpoint.size {
        return if seen.root == checkpoint.root {
            report.ok(Check::Memory, "the same checkpoint as seen last");
        } else {
            report
                .failed(Check::Memory, format!("two roots of size {size}: the register shows two histories"));
        };
    }
    let newer = checkpoint.size > size;
    let (old, new) = if newer { (&seen, checkpoint) } else { (checkpoint, &seen) };
    let proof = match (claims.consistency, &trust.register) {
        (Some((from, proof)), _) if newer && from == size => Ok(proof.to_vec()),
        (_, Some(mirror)) => mirror.consistency(old.size, new.size).map_err(|error| error.to_string()),
        // An old file has no proof to a checkpoint that was signed after it was made, so this is not an error
        // in the file. For a newer checkpoint it is: without a proof it cannot replace the one seen last.
        (_, None) if !newer => {
            let detail = format!(
                "you have seen a newer checkpoint, of size {size}; the file's is of size {}: give --register to \
                 see whether the register only grew",
                old.size
            );
            return report.incomplete(Check::Memory, detail);
        }
        _ => Err(format!(
            "no proof from size {} to {}: give --register, or export with ?since={}",
            old.size, new.size, old.size
        )),
    };
    match proof {
        Ok(proof) if is_consistent(old.size, old.root, new.size, new.root, &proof) => {
            report.ok(Check::Memory, format!("consistent with size {size}, seen last"));
        }
        Ok(_) => report.failed(
            Check::Memory,
            format!("not consistent with size {size}, seen last: history was rewritten"),
        ),
        Err(why) => report.failed(Check::Memory, why),
    }
}

/// The checkpoint seen last, as stored in the file given with `--memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// No memory is used.
    #[default]
    None,
    /// There is no checkpoint in the memory yet.
    Fresh,
    /// The signed note.
    Seen(Vec<u8>),
}
