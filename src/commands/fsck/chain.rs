//! Recomputes one chain: each event's entry and hash, its leaf in the transparency log, its personal part.

use super::load::{EventRow, LeafRow, Loaded};
use super::report::{Code, Report};
use super::row::{Expected, compare};
use crate::evidence::chain::Hash;
use crate::evidence::chain::bytes::{
    ENTRY_LEN, Entry, Part, Salt, Secret, SubjectKind, commit, record, subject_ref,
};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use uuid::Uuid;

/// Events of which the personal part is missing, by the id of the missing row in `personal`.
pub(super) type Missing = HashMap<Uuid, Vec<(Uuid, i32)>>;

/// A partly checked chain: what the check of the next event needs to know about the events before it.
pub(super) struct Chain {
    subject: Uuid,
    kind: SubjectKind,
    /// The seq expected next.
    expected: i32,
    /// When the previous event was received.
    before: Option<DateTime<Utc>>,
    /// The hash of the previous event, as stored and as recomputed.
    prevs: Vec<Hash>,
    salt_fits: bool,
}

/// The parts of a stored leaf's entry from which an event's entry can be rebuilt.
struct EntryLinks {
    subject: Hash,
    prev: Hash,
}

impl EntryLinks {
    fn of(leaf: Option<&LeafRow>) -> Option<Self> {
        let bytes = <[u8; ENTRY_LEN]>::try_from(leaf?.entry.as_slice()).ok()?;
        let entry = Entry::from(bytes);
        Some(Self { subject: entry.subject(), prev: entry.prev() })
    }
}

impl Chain {
    /// The chain before its first event.
    pub(super) fn new(subject: Uuid, kind: SubjectKind) -> Self {
        Self { subject, kind, expected: 1, before: None, prevs: vec![Hash::ZERO], salt_fits: true }
    }

    /// Checks the next events of the chain, in order. An error is reported only for the event that has it: if
    /// the stored hash of an event is wrong, the next event may link either to the stored or to the
    /// recomputed hash.
    ///
    /// `salt` is the salt of the chain's ref; `None` if the subject's row is missing or its salt is invalid.
    pub(super) fn check(
        &mut self,
        report: &mut Report<'_>,
        loaded: &Loaded,
        salt: Option<[u8; 32]>,
        events: &[EventRow],
        missing: &mut Missing,
    ) {
        let own = salt.map(|salt| subject_ref(self.kind, self.subject, &Salt(salt)));
        for event in events {
            let leaf = loaded.leaves.get(&(self.subject, event.seq));
            let links = EntryLinks::of(leaf);
            if event.seq != self.expected {
                for gone in self.expected..event.seq.min(self.expected.saturating_add(1_000)) {
                    report.event(Code::EventMissing, self.subject, gone, "it is missing from its chain");
                }
                self.prevs = links.iter().map(|links| links.prev).collect();
            }
            self.expected = event.seq.saturating_add(1);
            let refs: Vec<Hash> = own.into_iter().chain(links.as_ref().map(|links| links.subject)).collect();
            let laid_out = lay_out(event, &refs, &self.prevs);
            if let Some((entry, ref_index)) = &laid_out {
                self.salt_fits &= *ref_index == 0 || own.is_none();
                self.compare_leaf(report, event, leaf, entry);
            } else if !self.prevs.is_empty() || leaf.is_some() {
                let detail = "its hash does not match its content, received_at and previous hash";
                report.event(Code::EventAltered, self.subject, event.seq, detail);
                if let (Some(entry), Some(_)) = (entry_of(event, &refs, &self.prevs), leaf) {
                    self.compare_leaf(report, event, leaf, &entry);
                }
            }
            if leaf.is_none() {
                let detail = "it is neither in the register nor in its queue";
                report.find(
                    Code::LeafMissing,
                    "event",
                    format_args!("{}/{}", self.subject, event.seq),
                    Some((self.subject, event.seq)),
                    detail,
                );
            }
            let recomputed = laid_out.map(|(entry, _)| entry).or_else(|| entry_of(event, &refs, &self.prevs));
            self.prevs = event.hash().into_iter().chain(recomputed.map(|entry| entry.link())).collect();
            let received = event.received();
            if let (Some(before), Some(received)) = (self.before, received)
                && received < before
            {
                let detail = "it was received before the previous event";
                report.event(Code::TimeFell, self.subject, event.seq, detail);
            }
            self.check_personal(report, loaded, event, missing);
            self.before = received.or(self.before);
        }
    }

    /// Called after the last event. Reports an error if the salt stored with the subject does not match the
    /// refs of the chain's events.
    pub(super) fn finish(&self, report: &mut Report<'_>) {
        if !self.salt_fits {
            let event = Some((self.subject, 1));
            let detail = "salt is not the one its events were recorded with";
            report.find(Code::StateDiffers, self.kind.name(), self.subject, event, detail);
        }
    }

    fn compare_leaf(&self, report: &mut Report<'_>, event: &EventRow, leaf: Option<&LeafRow>, entry: &Entry) {
        let Some(leaf) = leaf.filter(|leaf| leaf.entry != entry.as_bytes()) else { return };
        let at = (self.subject, event.seq);
        let (table, detail) = if leaf.queued {
            ("leaf_queue", "the entry in the register's queue is not this event's")
        } else {
            ("leaf", "the register's entry is not this event's")
        };
        report.find(Code::LeafDiffers, table, format_args!("{}/{}", at.0, at.1), Some(at), detail);
    }

    fn check_personal(
        &self,
        report: &mut Report<'_>,
        loaded: &Loaded,
        event: &EventRow,
        missing: &mut Missing,
    ) {
        let at = (self.subject, event.seq);
        let Some(id) = event.personal_id else {
            if event.personal_commitment.is_some() {
                let detail = "personal_id is missing, but the event has or had a personal part";
                report.event(Code::PersonalMissing, at.0, at.1, detail);
            }
            return;
        };
        let Some(personal) = loaded.personal.get(&id) else {
            missing.entry(id).or_default().push(at);
            return;
        };
        let commitment = event.personal_commitment.as_deref().and_then(Hash::from_slice);
        let recomputed = u32::try_from(event.seq).ok().zip(personal.secret.as_ref()).map(|(seq, secret)| {
            commit(Part::Personal, &secret.personal_salt(self.subject, seq), &personal.text)
        });
        if commitment.is_none() || commitment != recomputed {
            let detail = "text or secret do not match the commitment of the event";
            report.find(Code::PersonalDiffers, "personal", id, Some(at), detail);
        }
        // `created_at` is the server's time of the write request. The event was received at the same time,
        // unless the previous event of the chain has a later time, which the event then takes over.
        let created = event.received().filter(|received| self.before.is_none_or(|before| before < *received));
        let expected_row = [
            ("id", Expected::CheckedElsewhere),
            ("text", Expected::CheckedElsewhere),
            ("secret", Expected::CheckedElsewhere),
            ("organization_id", Expected::maybe(event.members().map(|members| members.organization))),
            ("created_at", created.map_or(Expected::CheckedElsewhere, Expected::Time)),
        ];
        compare(report, "personal", &id, Some(at), &expected_row, &personal.row);
    }
}

/// Rebuilds the event's entry with each possible ref of the subject (`refs`) and each possible hash of the
/// previous event (`prevs`), until the entry's hash is the stored one. Returns that entry and the index of
/// its ref.
fn lay_out(event: &EventRow, refs: &[Hash], prevs: &[Hash]) -> Option<(Entry, usize)> {
    let stored = event.hash()?;
    let (record, received) = (record_of(event)?, event.received()?);
    let seq = u32::try_from(event.seq).ok()?;
    refs.iter().enumerate().find_map(|(ref_index, subject)| {
        let entries = prevs.iter().map(|prev| Entry::new(*subject, seq, received, *prev, record));
        entries.into_iter().find(|entry| entry.link() == stored).map(|entry| (entry, ref_index))
    })
}

/// The entry built from the most probable values: the first of the possible refs of the subject (`refs`) and
/// the first of the possible hashes of the previous event (`prevs`). The stored hash is not compared.
fn entry_of(event: &EventRow, refs: &[Hash], prevs: &[Hash]) -> Option<Entry> {
    let seq = u32::try_from(event.seq).ok()?;
    Some(Entry::new(*refs.first()?, seq, event.received()?, *prevs.first()?, record_of(event)?))
}

/// The record hash computed from an event's parts.
fn record_of(event: &EventRow) -> Option<Hash> {
    let secret = Secret(event.secret.as_deref()?.try_into().ok()?);
    let public = commit(Part::Public, &secret.salt(Part::Public), event.public.as_deref()?);
    let business = commit(Part::Business, &secret.salt(Part::Business), event.business.as_deref()?);
    let personal = match &event.personal_commitment {
        Some(bytes) => Hash::from_slice(bytes)?,
        None => Hash::ZERO,
    };
    Some(record(public, business, personal))
}
