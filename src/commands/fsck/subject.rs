//! A subject as far as its chain was gone through: what is carried from page to page of one that is
//! longer than a page.
//!
//! Events are only added behind those that were read, so what was read stays true whatever is written
//! meanwhile. What changes (the subject's row and all that follows from its chain) is read with the
//! chain's last page, in the same snapshot, and compared then.

use super::chain::Chain;
use super::load::EventRow;
use super::{key, log, ticket};
use crate::evidence::chain::bytes::SubjectKind;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What the events add up to. Nothing of it grows with their number alone: see each.
pub(super) enum State {
    Log(Box<log::Fold>),
    Ticket(ticket::Changes),
    /// A batch's row follows from its first event; its seals are gone through by themselves.
    Batch,
    Organization(key::Keys),
    /// No program of ours keeps a row of them.
    None,
}

impl State {
    fn of(kind: SubjectKind) -> Self {
        match kind {
            SubjectKind::Log => Self::Log(Box::default()),
            SubjectKind::FellingTicket => Self::Ticket(ticket::Changes::default()),
            SubjectKind::SealBatch => Self::Batch,
            SubjectKind::Organization => Self::Organization(key::Keys::default()),
            SubjectKind::Finding | SubjectKind::Waybill => Self::None,
        }
    }
}

/// What is known of a subject once its row or its first event is.
pub(super) struct Known {
    pub kind: SubjectKind,
    pub chain: Chain,
    pub state: State,
}

impl Known {
    pub(super) fn new(subject: Uuid, kind: SubjectKind) -> Self {
        Self { kind, chain: Chain::new(subject, kind), state: State::of(kind) }
    }
}

/// The newest event that was read.
pub(super) struct Last {
    pub seq: i32,
    pub hash: Option<Vec<u8>>,
    pub received: Option<DateTime<Utc>>,
}

/// A subject.
pub(super) struct Subject {
    pub id: Uuid,
    /// Its first event and the newest one that was read; nothing before any was.
    pub first: Option<EventRow>,
    pub last: Option<Last>,
    pub known: Option<Known>,
}

impl Subject {
    /// Before its first event.
    pub(super) fn new(id: Uuid) -> Self {
        Self { id, first: None, last: None, known: None }
    }

    /// Remembers which events were read.
    pub(super) fn passed(&mut self, events: &[EventRow]) {
        if let (None, Some(first)) = (&self.first, events.first()) {
            self.first = Some(first.clone());
        }
        if let Some(last) = events.last() {
            let (seq, hash, received) = (last.seq, last.hash.clone(), last.received());
            self.last = Some(Last { seq, hash, received });
        }
    }

    /// The newest event that was read, as findings name it.
    pub(super) fn at(&self) -> Option<(Uuid, i32)> {
        self.last.as_ref().map(|last| (self.id, last.seq))
    }
}
