//! The check that no later events of the chain were left off: reads every entry of the register.
//!
//! The register is read up to the newest of three checkpoints: the file's, that of the register's copy, and
//! the one seen last. If only the file's checkpoint counted, an old file would pass as complete.

use super::checkpoint::{FileClaims, parse_file, register_keys};
use super::export::{Event, FORMAT};
use super::mirror::{Mirror, MirrorError};
use super::report::{Check, Report};
use super::{Memory, Trust};
use crate::evidence::tlog::Checkpoint;

pub(super) fn check(
    report: &mut Report,
    trust: &Trust,
    claims: FileClaims<'_>,
    format: &str,
    until: Option<u64>,
    events: &[Event],
    checkpoint: Option<&Checkpoint>,
) {
    let (Some(mirror), Some(checkpoint), Some(subject)) =
        (&trust.register, checkpoint, events.first().map(|event| event.entry.subject()))
    else {
        let claim = until.map_or_else(String::new, |until| format!("; {}", claim(until)));
        return report.unchecked(
            Check::Complete,
            format!("whether later events were left off: give --register{claim}"),
        );
    };
    let copy = match copied(mirror, trust, claims) {
        Ok(copy) if copy.origin == checkpoint.origin => copy,
        Ok(copy) => {
            let other = format!("the register's copy is of another register: {}", copy.origin);
            return report.failed(Check::Complete, other);
        }
        Err(error) => return report.failed(Check::Complete, format!("the register's copy: {error}")),
    };
    let seen = match &trust.memory {
        Memory::Seen(note) => parse_file(note).ok().map(|(_, seen)| seen),
        Memory::None | Memory::Fresh => None,
    };
    let seen = seen.filter(|seen| seen.origin == checkpoint.origin);
    let trees: Vec<&Checkpoint> = [checkpoint, &copy].into_iter().chain(&seen).collect();
    let newest = trees.iter().map(|tree| tree.size).max().unwrap_or(0);
    let (mut index, mut last, mut last_in_file) = (0, 0, 0);
    let read = mirror.entries(&trees, |entry, _| {
        if entry.subject() == subject {
            last = last.max(entry.seq());
            if index < checkpoint.size {
                last_in_file = last_in_file.max(entry.seq());
            }
        }
        index += 1;
    });
    let older = if newest > checkpoint.size {
        format!("; counted to size {newest}: the file's checkpoint is older, of size {}", checkpoint.size)
    } else {
        String::new()
    };
    let shown = events.len() as u64;
    match read {
        Err(MirrorError::Read(_)) if copy.size < newest => report.failed(
            Check::Complete,
            format!(
                "the register's copy ends at size {}, a checkpoint of {newest} is known: renew the copy",
                copy.size
            ),
        ),
        Err(error) => report.failed(Check::Complete, error.to_string()),
        Ok(()) if last > shown => {
            let which = if last == shown + 1 {
                format!("event {last} is")
            } else {
                format!("events {}–{last} are", shown + 1)
            };
            let why = match until {
                Some(until) => claim(until),
                // The file shows fewer events than its own checkpoint includes. A complete file of this
                // format has `until` in that case. This file has none, so events were removed from it.
                None if last_in_file > shown && format == FORMAT => {
                    return report.failed_at(
                        Check::Complete,
                        events.len() + 1,
                        format!(
                            "the register has {last} events of this chain, the file shows {shown}{older}"
                        ),
                    );
                }
                None if last_in_file > shown => "the file does not say why".to_owned(),
                None => "the file is older".to_owned(),
            };
            report
                .incomplete(Check::Complete, format!("{which} in the register and not shown; {why}{older}"));
        }
        Ok(()) => {
            report.ok(Check::Complete, format!("the register has no later event of this chain{older}"));
        }
    }
}

fn claim(until: u64) -> String {
    format!("the file says its reader's access ended at {until}, which nothing proves")
}

/// The checkpoint of the register's copy. Its signature is verified with the keys that verify the file's
/// checkpoint; if there are no such keys, it is not verified.
fn copied(mirror: &Mirror, trust: &Trust, claims: FileClaims<'_>) -> Result<Checkpoint, String> {
    let note = mirror.checkpoint().map_err(|error| error.to_string())?;
    let (note, copy) = parse_file(&note)?;
    let (keys, source) = register_keys(trust, claims);
    if keys.is_empty() {
        return Ok(copy);
    }
    Checkpoint::open(&note, keys).map_err(|error| format!("{error} ({source})"))
}
