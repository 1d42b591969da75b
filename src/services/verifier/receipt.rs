//! The checks of a receipt: that the server has promised exactly these events, and, with a copy of the
//! register, that the register has them.

use super::checkpoint::{self, FileClaims, NO_CHECKPOINT};
use super::json::{FormatError, Json};
use super::report::{Check, Kind, Report};
use super::{Trust, Verified, about, decode};
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
    /// Hashes that the response lists; each must be one of the leaves.
    shown: Vec<Hash>,
}

/// Members that an export has, and that no response to a write has. A file with a receipt and one of these
/// members is refused, because it is neither an export nor a response.
const EXPORT_MEMBERS: [&str; 7] =
    ["format", "subject", "checkpoint", "keys", "policy", "consistency", "until"];

pub(super) fn check(response: &Json, trust: &Trust) -> Verified {
    let mut report = Report::new(Kind::Receipt);
    let receipt = match read(response) {
        Ok(receipt) => receipt,
        Err(error) => {
            report.failed(Check::Format, error.0);
            return Verified { report, checkpoint: None };
        }
    };
    let Receipt { note, name, due, count, root, leaves, shown } = receipt;
    report.ok(Check::Format, format!("receipt/1 of {} events, due in the register at {due}", leaves.len()));

    let keys: Vec<VerifierKey> = trust.receipts.iter().filter(|key| key.name() == name).cloned().collect();
    if trust.receipts.is_empty() && !trust.keys.is_empty() {
        report.failed(Check::Receipt, "no key of receipts was given, only of the register: give --receipts");
    } else if trust.receipts.is_empty() {
        report.unchecked(Check::Receipt, "no key to check the signature with: give --receipts");
    } else if let Err(error) = note.verify(&keys) {
        report.failed(Check::Receipt, error.to_string());
    } else {
        report.trusted = true;
        report.ok(Check::Receipt, format!("{name}, signed by your key"));
    }
    let promised = u64::try_from(leaves.len()) == Ok(count) && root_of(&leaves) == root;
    let promised = promised && shown.iter().all(|hash| leaves.contains(hash));
    if promised {
        report.ok(Check::Leaves, format!("{count} promised"));
    } else {
        report.failed(Check::Leaves, "the receipt is of other events");
    }
    about::of_receipt(&mut report, trust);
    promised_included(&mut report, trust, &leaves);
    Verified { report, checkpoint: None }
}

fn read(response: &Json) -> Result<Receipt, FormatError> {
    if let Some(name) = EXPORT_MEMBERS.into_iter().find(|name| response.member(name).is_some()) {
        return Err(FormatError(format!("no response with a receipt has the member {name}; an export has")));
    }
    if response.member("logs").is_some() && response.member("events").is_some() {
        return Err(FormatError::new("it lists both logs and events"));
    }
    let receipt = response.member("receipt").ok_or_else(|| FormatError::new("no receipt"))?;
    let receipt = receipt.members(&["note"], &["leaves"])?;
    let text = receipt.need("note")?.text()?;
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
    let listed = listed(response);
    let hashed = listed.iter().filter(|item| item.member("hash").is_some());
    let shown = hashed.map(hash_of).collect::<Result<Vec<_>, _>>()?;
    let leaves = match receipt.get("leaves") {
        Some(leaves) => leaves.hashes()?,
        None => listed.iter().map(hash_of).collect::<Result<_, _>>()?,
    };
    let name = (*name).to_owned();
    let due = due.map_or_else(|| "no time that a calendar has".to_owned(), utc_text);
    Ok(Receipt { note, name, due, count, root, leaves, shown })
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
    let note = mirror.checkpoint().map_err(|error| error.to_string());
    let note = match note.and_then(|note| Ok(decode::text(&note)?.into_owned())) {
        Ok(note) => note,
        Err(error) => return report.failed(Check::Inclusion, format!("the register's copy: {error}")),
    };
    // Without --trust, the signature of the copy's checkpoint is not verified: the user made the copy, and no
    // key of the register is known. Keys of receipts are left out, since without --trust they are an error here.
    let register_trust = Trust { receipts: Vec::new(), ..trust.clone() };
    let trusted = report.trusted;
    let checkpoint = checkpoint::check(report, &register_trust, &note, FileClaims::default());
    report.trusted = trusted;
    let Some(checkpoint) = checkpoint else { return report.unchecked(Check::Inclusion, NO_CHECKPOINT) };
    let mut missing: HashSet<Hash> = leaves.iter().copied().collect();
    if let Err(error) = mirror.entries(&[&checkpoint], |_, leaf| {
        missing.remove(&leaf);
    }) {
        return report.failed(Check::Inclusion, error.to_string());
    }
    let errors = (1..).zip(leaves).filter(|(_, leaf)| missing.contains(leaf));
    let errors = errors.map(|(at, _)| (at, "promised, and not in the register".to_owned())).collect();
    report.failed_each(Check::Inclusion, errors, format!("all in the register of size {}", checkpoint.size));
}
