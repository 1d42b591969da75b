//! The types of all events, by the kind of the subject that has the chain.
//!
//! The words are hashed and stored; a word never changes its meaning. Each kind of subject has an enum of its
//! own, so that a `match` in the custody rules must handle every event type of a log, and no type of another
//! kind. [`EventType`] is for code that handles every kind, such as `fsck`. A new kind of subject gets a new
//! enum, and a new variant of [`EventType`].

use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::SubjectKind;

vocabulary! {
    /// What can happen to a log. `divided` and `derived` are reserved.
    #[schema(as = EventType)]
    pub enum LogEventType: "unknown-event-type" {
        /// Felled, measured and sealed: the first event of every log's chain.
        Harvested = "harvested",
        /// Put down at a place of storage.
        Stored = "stored",
        /// Put on a vehicle.
        Loaded = "loaded",
        /// The vehicle left.
        Departed = "departed",
        /// The vehicle came to its destination.
        Arrived = "arrived",
        /// Taken over at the destination.
        Received = "received",
        /// Offered to another organisation.
        Transferred = "transferred",
        /// The offer was taken.
        Accepted = "accepted",
        /// The offer was refused.
        Rejected = "rejected",
        /// The offer was taken back.
        Withdrawn = "withdrawn",
        /// Checked by an inspector.
        Inspected = "inspected",
        /// Stopped by an inspector until it is released.
        Detained = "detained",
        /// No longer stopped by an inspector.
        Released = "released",
        /// Sawn or otherwise used up.
        Processed = "processed",
        /// Left the country.
        Exported = "exported",
        /// Sold to someone outside the system.
        Sold = "sold",
        /// Not where it should be.
        Lost = "lost",
        /// Burnt, rotten or broken.
        Destroyed = "destroyed",
        /// Found again after a loss.
        Found = "found",
        /// A new seal in place of one that is damaged or void.
        SealReplaced = "seal_replaced",
        /// The seal on it was declared void.
        SealVoided = "seal_voided",
        /// An earlier event was wrong; this one states the correct values.
        Corrected = "corrected",
    }
}

vocabulary! {
    /// What can happen to a felling ticket.
    pub enum TicketEventType: "unknown-event-type" {
        /// Issued: the first event of every ticket's chain.
        Issued = "ticket_issued",
        /// A later day of felling or of removal.
        Extended = "ticket_extended",
        /// Nothing more may be felled under it.
        Cancelled = "ticket_cancelled",
        /// Nothing is felled under it, and its logs are stopped, until it is released.
        Held = "ticket_held",
        /// No longer held.
        Released = "ticket_released",
        /// Another contour.
        PlotReplaced = "ticket_plot_replaced",
    }
}

vocabulary! {
    /// What can happen to the seals of a batch.
    pub enum SealBatchEventType: "unknown-event-type" {
        /// Registered, or made: the first event of every batch's chain.
        Registered = "seals_registered",
        /// Given to another holder.
        Transferred = "seals_transferred",
        /// A seal became void.
        Voided = "seals_voided",
    }
}

vocabulary! {
    /// What can happen to an organisation.
    pub enum OrganizationEventType: "unknown-event-type" {
        /// Registered: the first event of every organisation's chain.
        Registered = "organization_registered",
        /// An API key was made.
        KeyMade = "key_made",
        /// An API key was revoked.
        KeyRevoked = "key_revoked",
        /// A marking key was recorded; only the operator's chain has such events.
        MarkingKeyKnown = "marking_key_known",
        /// A personal part that the organisation had recorded was erased.
        PersonalErased = "personal_erased",
        /// A parameter has a value from a day on; only the operator's chain has such events.
        ParameterSet = "parameter_set",
        /// A ban on felling or export was recorded; only the operator's chain has such events.
        BanSet = "ban_set",
        /// A ban was ended; only the operator's chain has such events.
        BanEnded = "ban_ended",
        /// The allowable cut of a forest owner in a year; only the operator's chain has such events.
        AllowableCutSet = "allowable_cut_set",
    }
}

/// The type of an event of any subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Of a log or a stack.
    Log(LogEventType),
    /// Of a felling ticket.
    Ticket(TicketEventType),
    /// Of a batch of seals.
    SealBatch(SealBatchEventType),
    /// Of an organisation.
    Organization(OrganizationEventType),
}

impl EventType {
    /// The event type `word` of chains of the kind `kind`; `None` if chains of this kind have no such type.
    #[must_use]
    pub fn parse(kind: SubjectKind, word: &str) -> Option<Self> {
        match kind {
            SubjectKind::Log => LogEventType::parse(word).ok().map(Self::Log),
            SubjectKind::FellingTicket => TicketEventType::parse(word).ok().map(Self::Ticket),
            SubjectKind::SealBatch => SealBatchEventType::parse(word).ok().map(Self::SealBatch),
            SubjectKind::Organization => OrganizationEventType::parse(word).ok().map(Self::Organization),
            SubjectKind::Finding | SubjectKind::Waybill => None,
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log(of) => of.as_str(),
            Self::Ticket(of) => of.as_str(),
            Self::SealBatch(of) => of.as_str(),
            Self::Organization(of) => of.as_str(),
        }
    }

    /// Whether this is the type that the first event of a chain has, and no later event.
    #[must_use]
    pub const fn begins_chain(self) -> bool {
        matches!(
            self,
            Self::Log(LogEventType::Harvested)
                | Self::Ticket(TicketEventType::Issued)
                | Self::SealBatch(SealBatchEventType::Registered)
                | Self::Organization(OrganizationEventType::Registered)
        )
    }
}

impl From<LogEventType> for EventType {
    fn from(of: LogEventType) -> Self {
        Self::Log(of)
    }
}

impl From<TicketEventType> for EventType {
    fn from(of: TicketEventType) -> Self {
        Self::Ticket(of)
    }
}

impl From<SealBatchEventType> for EventType {
    fn from(of: SealBatchEventType) -> Self {
        Self::SealBatch(of)
    }
}

impl From<OrganizationEventType> for EventType {
    fn from(of: OrganizationEventType) -> Self {
        Self::Organization(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_belongs_to_two_kinds() {
        let words = [
            LogEventType::WORDS,
            TicketEventType::WORDS,
            SealBatchEventType::WORDS,
            OrganizationEventType::WORDS,
        ]
        .concat();
        let distinct: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
        let kinds =
            [SubjectKind::Log, SubjectKind::FellingTicket, SubjectKind::SealBatch, SubjectKind::Organization];
        for word in words {
            let read: Vec<_> = kinds.iter().filter_map(|kind| EventType::parse(*kind, word)).collect();
            assert_eq!(read.iter().map(|of| of.as_str()).collect::<Vec<_>>(), [word]);
        }
    }
}
