//! Rebuilds the lists of seals that the events of a batch commit to, from rows of `seal` and `seal_move`.
//!
//! A batch may have a million seals and as many events, so its events are not kept in memory: the events that
//! a page of seals refers to are read with that page, and all events once more at the end. Memory holds one
//! bit for each event that was confirmed, and one digest for each list that is begun but not complete.

use super::load::PublicMembers;
use super::report::{Code, Report};
use crate::timber::event::types::{EventType, SealBatchEventType};
use crate::timber::seal::SealNumber;
use crate::timber::seal::record::{BatchChange, ListDigest};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A list of seals, built from the rows, to be compared with the list that an event commits to by its digest.
#[derive(Default)]
struct List {
    digest: ListDigest,
    count: u32,
    first: Option<String>,
    last: Option<String>,
}

impl List {
    fn add(&mut self, number: &str, identification: Option<&str>) {
        match identification {
            Some(identification) => self.digest.add_seal(number, identification),
            None => self.digest.add_number(number),
        }
        self.count += 1;
        self.first.get_or_insert_with(|| number.to_owned());
        self.last = Some(number.to_owned());
    }

    fn is(&self, done: &BatchChange) -> bool {
        done.quantity == Some(self.count)
            && done.first == self.first
            && done.last == self.last
            && done.digest == Some(hex::encode(self.digest.clone().finish()))
    }
}

/// A set of events of one chain: one bit per event.
#[derive(Default)]
struct SeqSet(BTreeMap<i32, u64>);

impl SeqSet {
    fn set(&mut self, seq: i32) {
        *self.0.entry(seq.div_euclid(64)).or_default() |= 1 << seq.rem_euclid(64);
    }

    fn has(&self, seq: i32) -> bool {
        self.0.get(&seq.div_euclid(64)).is_some_and(|bits| bits & 1 << seq.rem_euclid(64) != 0)
    }
}

/// A batch of which some seals were read, in the order of their numbers.
#[derive(Default)]
pub(super) struct Batch {
    /// The content of the batch's first event; `None` if there is no such event or it cannot be read.
    pub first: Option<BatchChange>,
    /// Lists of which some seals were read and others not yet, by the seq of the event that commits to the
    /// list. While seals are read in the order of their numbers, each transfer that has seals both before and
    /// after the current number has such a list.
    open: BTreeMap<i32, List>,
    /// Events that the rows confirm: events with a complete list, and voiding events to which a seal's moves
    /// refer.
    confirmed: SeqSet,
}

impl Batch {
    /// The batch before its first seal.
    pub(super) fn new(first: Option<BatchChange>) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds a seal to the list of an event. The list is dropped once it matches the event.
    pub(super) fn list(&mut self, seq: i32, done: &BatchChange, number: &str, identification: Option<&str>) {
        let list = self.open.entry(seq).or_default();
        list.add(number, identification);
        // A seal that is added after the list was dropped begins a new list. That list stays open, so
        // `finish` reports it.
        if done.quantity == Some(list.count) && list.is(done) && !self.confirmed.has(seq) {
            self.confirmed.set(seq);
            self.open.remove(&seq);
        }
    }

    /// Records that a seal's moves refer to the voiding event `seq`.
    pub(super) fn voided(&mut self, seq: i32) {
        self.confirmed.set(seq);
    }

    /// Compares an event with the seals, once all seals of the batch were read.
    pub(super) fn finish(&self, report: &mut Report<'_>, id: Uuid, event: &BatchEvent) {
        let Some((what, done)) = &event.change else {
            report.event(Code::EventUnreadable, id, event.seq, "its parts cannot be read");
            return;
        };
        let (seq, at) = (event.seq, Some((id, event.seq)));
        let is_complete = self.confirmed.has(seq) && !self.open.contains_key(&seq);
        match what {
            SealBatchEventType::Registered if seq == 1 && !is_complete => {
                let detail =
                    "number, identification or batch of its seals are not those that were registered";
                report.find(Code::StateDiffers, "seal", format!("of batch {id}"), at, detail);
            }
            SealBatchEventType::Transferred if !is_complete => {
                let detail = "the seals that have this move are not those that the event transferred";
                report.find(Code::StateDiffers, "seal_move", format!("of batch {id} {seq}"), at, detail);
            }
            SealBatchEventType::Voided if !is_complete => {
                let number = done.number.as_ref().map_or("", SealNumber::as_str);
                let detail = "the event voids this seal";
                report.find(Code::RowMissing, "seal_move", format!("{number}/{seq}"), at, detail);
            }
            _ => {}
        }
    }
}

/// An event of a batch: its type and what was done to the seals, if it can be read.
pub(super) struct BatchEvent {
    pub batch: Uuid,
    pub seq: i32,
    pub change: Option<(SealBatchEventType, BatchChange)>,
}

impl BatchEvent {
    pub(super) fn read(batch: Uuid, seq: i32, public: Option<&str>, business: Option<&str>) -> Self {
        let named = serde_json::from_str::<PublicMembers>(public.unwrap_or_default()).ok();
        let event_type = match named.and_then(|named| named.event_type()) {
            Some(EventType::SealBatch(event_type)) => Some(event_type),
            _ => None,
        };
        let change = BatchChange::parse(business.unwrap_or_default()).ok();
        Self { batch, seq, change: event_type.zip(change) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(numbers: &[&str]) -> BatchChange {
        let mut list = List::default();
        for number in numbers {
            list.add(number, None);
        }
        BatchChange {
            quantity: Some(list.count),
            first: list.first.clone(),
            last: list.last.clone(),
            digest: Some(hex::encode(list.digest.finish())),
            ..BatchChange::default()
        }
    }

    fn is_complete(batch: &Batch, done: &BatchChange) -> bool {
        let mut found = Vec::new();
        let event = BatchEvent {
            batch: Uuid::nil(),
            seq: 2,
            change: Some((SealBatchEventType::Transferred, done.clone())),
        };
        batch.finish(&mut Report::new(&mut found), Uuid::nil(), &event);
        found.is_empty()
    }

    #[test]
    fn a_list_is_let_go_at_its_end_and_one_seal_more_is_not_overlooked() {
        let done = transfer(&["SE-00001", "SE-00004"]);
        let mut batch = Batch::default();
        batch.list(2, &done, "SE-00001", None);
        assert!(!is_complete(&batch, &done) && batch.open.len() == 1);
        batch.list(2, &done, "SE-00004", None);
        assert!(is_complete(&batch, &done) && batch.open.is_empty(), "the list is dropped");
        batch.list(2, &done, "SE-00007", None);
        assert!(!is_complete(&batch, &done), "one seal more");
        // If every seal is added twice, the second pass builds a matching list once more. The event still
        // counts as incomplete.
        let mut batch = Batch::default();
        for number in ["SE-00001", "SE-00004", "SE-00001", "SE-00004"] {
            batch.list(2, &done, number, None);
        }
        assert!(!is_complete(&batch, &done));
        // The event also counts as incomplete if a seal that does not belong to its list is added first.
        let one = transfer(&["SE-00004"]);
        let mut batch = Batch::default();
        batch.list(2, &one, "SE-00001", None);
        batch.list(2, &one, "SE-00004", None);
        assert!(!is_complete(&batch, &one));
    }

    #[test]
    fn marks_are_kept_for_every_seq_there_can_be() {
        let mut set = SeqSet::default();
        for seq in [i32::MIN, -65, -64, -1, 0, 1, 63, 64, i32::MAX] {
            assert!(!set.has(seq));
            set.set(seq);
            assert!(set.has(seq));
        }
        assert!(!set.has(2) && !set.has(-2));
        assert_eq!(
            (0..1_000_000)
                .fold(SeqSet::default(), |mut set, seq| {
                    set.set(seq);
                    set
                })
                .0
                .len(),
            15_625
        );
    }
}
