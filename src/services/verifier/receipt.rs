//! The checks of a receipt: that the server has promised exactly these events, and, with a copy of the
//! register, that the register has them.

use super::checkpoint::{self, FileClaims, NO_CHECKPOINT};
use super::json::{FormatError, Json};
use super::report::{Check, Kind, Report};
use super::{Trust, Verified};
use crate::base::units::utc_text;
use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::tree::root_of;
use crate::evidence::tlog::{Note, VerifierKey, decimal, from_base64};
use chrono::{DateTime, TimeDelta};
use std::collections::HashSet;

struct Receipt {
    note: Note,
    name: String,
    /// The time by which the events should be in the register, as text for people.
    due: String,
    count: u64,
    root: Hash,
    leaves: Vec<Hash>,
}

pub(super) fn check(response: &Json, trust: &Trust) -> Verified {
    let mut report = Report::new(Kind::Receipt);
    let receipt = match read(response) {
        Ok(receipt) => receipt,
        Err(error) => {
            report.failed(Check::Format, error.0);
            return Verified { report, checkpoint: None };
        }
    };
    let Receipt { note, name, due, count, root, leaves } = receipt;
    report.ok(Check::Format, format!("receipt/1 of {} events, due in the register at {due}", leaves.len()));

    let keys: Vec<VerifierKey> = trust.keys.iter().filter(|key| key.name() == name).cloned().collect();
    if trust.keys.is_empty() {
        report.unchecked(Check::Receipt, "no key to check the signature with: give --trust");
    } else if let Err(error) = note.verify(&keys) {
        report.failed(Check::Receipt, error.to_string());
    } else {
        report.trusted = true;
        report.ok(Check::Receipt, format!("{name}, signed by your key"));
    }
    let promised = u64::try_from(leaves.len()) == Ok(count) && root_of(&leaves) == root;
    if promised {
        report.ok(Check::Leaves, format!("{count} promised"));
    } else {
        report.failed(Check::Leaves, "the receipt is of other events");
    }
    promised_included(&mut report, trust, &leaves);
    Verified { report, checkpoint: None }
}

fn read(response: &Json) -> Result<Receipt, FormatError> {
    let receipt = response.member("receipt").ok_or_else(|| FormatError::new("no receipt"))?;
    let text = receipt.member("note").ok_or_else(|| FormatError::new("no note"))?.text()?;
    let note = Note::parse(text.as_bytes()).map_err(|error| FormatError(error.to_string()))?;
    let lines: Vec<&str> = note.text().split('\n').collect();
    let [name, "receipt/1", received_at, count, root, "within 60", ""] = lines.as_slice() else {
        return Err(FormatError::new("the note is no receipt"));
    };
    let at = DateTime::parse_from_rfc3339(received_at).ok().map(|at| at.to_utc());
    let at = at.filter(|at| utc_text(*at) == *received_at);
    let (Some(at), Some(count), Some(root)) = (at, decimal(count), from_base64(root)) else {
        return Err(FormatError::new("the note is no receipt"));
    };
    let due = at.checked_add_signed(TimeDelta::seconds(60));
    let leaves = match receipt.member("leaves") {
        Some(leaves) => leaves.hashes()?,
        None => listed(response).iter().map(hash_of).collect::<Result<_, _>>()?,
    };
    let name = (*name).to_owned();
    let due = due.map_or_else(|| "no time that a calendar has".to_owned(), utc_text);
    Ok(Receipt { note, name, due, count, root, leaves })
}

/// The events listed in the response: those of a harvest, or of a custody event.
fn listed(response: &Json) -> &[Json] {
    let lists = ["logs", "events"].into_iter().filter_map(|name| response.member(name)?.list().ok());
    lists.into_iter().next().unwrap_or_default()
}

fn hash_of(item: &Json) -> Result<Hash, FormatError> {
    item.member("hash").ok_or_else(|| FormatError::new("an event without its hash"))?.hash()
}

/// Checks that every promised event is in the user's copy of the register.
fn promised_included(report: &mut Report, trust: &Trust, leaves: &[Hash]) {
    let Some(mirror) = &trust.register else {
        return report.unchecked(Check::Inclusion, "whether they are in the register: give --register");
    };
    let note = match mirror.checkpoint() {
        Ok(note) => note,
        Err(error) => return report.failed(Check::Inclusion, format!("the register's copy: {error}")),
    };
    // If all given keys are for receipts, the signature of the copy's checkpoint is not checked.
    let is_register = |key: &&VerifierKey| !key.name().ends_with("/receipts");
    let keys = trust.keys.iter().filter(is_register).cloned().collect();
    let register_trust = Trust { keys, ..trust.clone() };
    let trusted = report.trusted;
    let checkpoint = checkpoint::check(report, &register_trust, &note, FileClaims::default());
    report.trusted = trusted;
    let Some(checkpoint) = checkpoint else { return report.unchecked(Check::Inclusion, NO_CHECKPOINT) };
    let mut missing: HashSet<Hash> = leaves.iter().copied().collect();
    if let Err(error) = mirror.entries(&checkpoint, |_, leaf| {
        missing.remove(&leaf);
    }) {
        return report.failed(Check::Inclusion, error.to_string());
    }
    let errors = (1..).zip(leaves).filter(|(_, leaf)| missing.contains(leaf));
    let errors = errors.map(|(at, _)| (at, "promised, and not in the register".to_owned())).collect();
    report.failed_each(Check::Inclusion, errors, format!("all in the register of size {}", checkpoint.size));
}
