//! The state of a partly checked subject, which is carried over from page to page if its chain is longer than
//! a page.
//!
//! Events are only appended to a chain, so writes during the check do not invalidate what was read of it. The
//! subject's row and the other rows derived from the chain do change: they are read with the last page of the
//! chain, in the same snapshot, and compared then.

use super::chain::Chain;
use super::load::EventRow;
use super::{log, organization, ticket};
use crate::evidence::chain::bytes::SubjectKind;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The result of the events so far. How its size grows with the number of events is documented at the types
/// in the variants.
pub(super) enum State {
    Log(Box<log::Fold>),
    Ticket(ticket::Changes),
    /// The row of a batch follows from its first event; a separate pass checks its seals.
    Batch,
    Organization(organization::Fold),
    /// For a kind of subject that has no table of its own.
    None,
}

impl State {
    fn of(kind: SubjectKind) -> Self {
        match kind {
            SubjectKind::Log => Self::Log(Box::default()),
            SubjectKind::FellingTicket => Self::Ticket(ticket::Changes::default()),
            SubjectKind::SealBatch => Self::Batch,
            SubjectKind::Organization => Self::Organization(organization::Fold::default()),
            SubjectKind::Finding | SubjectKind::Waybill => Self::None,
        }
    }
}

/// The parts of a subject's check that depend on its kind. They exist once the kind is known from the
/// subject's row or from its first event.
pub(super) struct KindState {
    pub kind: SubjectKind,
    pub chain: Chain,
    pub state: State,
}

impl KindState {
    pub(super) fn new(subject: Uuid, kind: SubjectKind) -> Self {
        Self { kind, chain: Chain::new(subject, kind), state: State::of(kind) }
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
        if let Some(KindState { state: State::Organization(fold), .. }) = &self.known {
            parts.extend(fold.personal_parts());
        }
        parts
    }

    /// The newest event read so far, as fsck errors refer to it.
    pub(super) fn at(&self) -> Option<(Uuid, i32)> {
        self.last.as_ref().map(|last| (self.id, last.seq))
    }
}
