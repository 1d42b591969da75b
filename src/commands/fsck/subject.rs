//! The state of a partly checked subject, which is carried over from page to page if its chain is longer than
//! a page.
//!
//! Events are only appended to a chain, so writes during the check do not invalidate what was read of it. The
//! subject's row and the other rows derived from the chain do change: they are read with the last page of the
//! chain, in the same snapshot, and compared then.

use super::chain::Chain;
use super::finding::Decisions;
use super::load::{EventRow, SubjectRow};
use super::log::Fold;
use super::organization::OrganizationCheck;
use super::row::Expected;
use super::seal::BatchCheck;
use super::sweep::Context;
use super::ticket::Changes;
use crate::evidence::chain::bytes::SubjectKind;
use crate::evidence::idempotency::operation::OperationKind;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The check of a subject of one kind: the state that the events read so far result in. How its size grows with the
/// number of events is documented at each type that implements this.
pub(super) trait KindCheck: Send + Sync {
    /// Applies the next events, which are the first ones of the chain if `is_first`.
    fn apply(&mut self, context: &mut Context<'_, '_, '_>, id: Uuid, events: &[EventRow], is_first: bool);

    /// Called after the last event, also if the subject has no row. `has_events` is `false` if it has no event.
    fn finish(
        &self,
        _context: &mut Context<'_, '_, '_>,
        _id: Uuid,
        _row: Option<&SubjectRow>,
        _has_events: bool,
    ) {
    }

    /// The expected values of the subject's row, except for its head; `None` if the events cannot be read. Also
    /// compares the other rows that belong to the subject.
    fn expected_row(
        self: Box<Self>,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>>;

    /// The personal parts of events after the first from which the row follows. They are read with the row, in one
    /// snapshot, because they may be erased.
    fn personal_parts(&self) -> &[Uuid] {
        &[]
    }

    /// The kinds of write requests that record such an event; empty if they leave no row in `operation`.
    fn write_requests(event: &EventRow) -> &'static [OperationKind]
    where
        Self: Sized;

    /// The fold of a log, from which its reversals are computed.
    fn as_log(&self) -> Option<&Fold> {
        None
    }
}

/// How subjects of one kind are checked.
pub(super) struct KindChecks {
    /// The check before the first event.
    begin: fn() -> Box<dyn KindCheck>,
    /// [`KindCheck::write_requests`].
    pub write_requests: fn(&EventRow) -> &'static [OperationKind],
}

impl KindChecks {
    /// The checks of a kind; `None` for a kind that has no subjects.
    pub(super) fn of(kind: SubjectKind) -> Option<Self> {
        Some(match kind {
            SubjectKind::Log => Self::with::<Fold>(),
            SubjectKind::FellingTicket => Self::with::<Changes>(),
            SubjectKind::SealBatch => Self::with::<BatchCheck>(),
            SubjectKind::Organization => Self::with::<OrganizationCheck>(),
            SubjectKind::Finding => Self::with::<Decisions>(),
            SubjectKind::Waybill => return None,
        })
    }

    fn with<T: KindCheck + Default + 'static>() -> Self {
        Self { begin: || Box::new(T::default()), write_requests: T::write_requests }
    }
}

/// The parts of a subject's check that depend on its kind. They exist once the kind is known from the
/// subject's row or from its first event.
pub(super) struct KindState {
    pub kind: SubjectKind,
    pub chain: Chain,
    /// `None` for a kind that has no subjects.
    pub check: Option<Box<dyn KindCheck>>,
}

impl KindState {
    pub(super) fn new(subject: Uuid, kind: SubjectKind) -> Self {
        let check = KindChecks::of(kind).map(|checks| (checks.begin)());
        Self { kind, chain: Chain::new(subject, kind), check }
    }
}

/// The newest event read so far.
pub(super) struct Last {
    pub seq: i32,
    pub hash: Option<Vec<u8>>,
    pub received: Option<DateTime<Utc>>,
}

/// A partly checked subject.
pub(super) struct Subject {
    pub id: Uuid,
    /// The subject's first event; `None` before any event was read.
    pub first: Option<EventRow>,
    /// The newest event read so far.
    pub last: Option<Last>,
    pub known: Option<KindState>,
}

impl Subject {
    /// The subject before its first event.
    pub(super) fn new(id: Uuid) -> Self {
        Self { id, first: None, last: None, known: None }
    }

    /// Records the first and the newest of the events read so far.
    pub(super) fn passed(&mut self, events: &[EventRow]) {
        if let (None, Some(first)) = (&self.first, events.first()) {
            self.first = Some(first.clone());
        }
        if let Some(last) = events.last() {
            let (seq, hash, received) = (last.seq, last.hash.clone(), last.received());
            self.last = Some(Last { seq, hash, received });
        }
    }

    /// The personal parts from which the subject's row follows.
    pub(super) fn personal_parts(&self) -> Vec<Uuid> {
        let mut parts: Vec<Uuid> = self.first.iter().filter_map(|first| first.personal_id).collect();
        if let Some(check) = self.known.as_ref().and_then(|known| known.check.as_ref()) {
            parts.extend(check.personal_parts());
        }
        parts
    }

    /// The newest event read so far, as fsck errors refer to it.
    pub(super) fn at(&self) -> Option<(Uuid, i32)> {
        self.last.as_ref().map(|last| (self.id, last.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::event::types::EventType;

    #[test]
    fn every_kind_with_chains_is_checked() {
        for kind in SubjectKind::ALL {
            assert_eq!(KindChecks::of(*kind).is_some(), EventType::KINDS.contains(kind), "{}", kind.name());
        }
    }
}
