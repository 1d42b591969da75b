//! The types of all events, by the kind of the subject that has the chain.
//!
//! The words are hashed and stored; a word never changes its meaning. Each kind of subject has an enum of its
//! own, so that a `match` in the custody rules must handle every event type of a log, and no type of another
//! kind. [`EventType`] is for code that handles every kind, such as `fsck`. A new kind of subject gets a new
//! enum, and a line in the list `subjects!`.

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
        /// Taken off a vehicle that has not left.
        Unloaded = "unloaded",
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
        /// Taken into custody by an inspector: another organisation holds it from now on.
        Seized = "seized",
        /// Taken from its owner: another organisation owns it from now on.
        Confiscated = "confiscated",
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
        /// It got another name, other roles, or both.
        Changed = "organization_changed",
        /// It may only read, and end what is under way.
        Suspended = "organization_suspended",
        /// Its suspension ended.
        Resumed = "organization_resumed",
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

vocabulary! {
    /// What can happen to a finding.
    pub enum FindingEventType: "unknown-event-type" {
        /// Explained or decided for the first time, or observed by an inspector: the first event of every finding's
        /// chain.
        Opened = "opened",
        /// The questioned organisation has explained it, or appealed.
        Explained = "explained",
        /// An inspector has decided.
        Decided = "decided",
        /// A newer version of the rule does not make it.
        Superseded = "superseded",
        /// More events show it.
        EvidenceAdded = "evidence_added",
    }
}

/// One line for each kind of subject that has chains: the variant of [`EventType`] with the enum of its types, the
/// kind, and the type that the first event of a chain has. The reserved kinds have no chains yet.
macro_rules! subjects {
    (
        reserved [$($reserved:ident),*];
        $( $(#[$doc:meta])* $variant:ident($types:ident) = $kind:ident, first $first:ident; )+
    ) => {
        /// The type of an event of any subject.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventType {
            $( $(#[$doc])* $variant($types), )+
        }

        impl EventType {
            /// The kinds of subjects that have chains, in the order of their numbers.
            pub const KINDS: &'static [SubjectKind] = &[$(SubjectKind::$kind),+];

            /// The words of each of these kinds.
            pub const WORDS: &'static [&'static [&'static str]] = &[$($types::WORDS),+];

            /// The event type `word` of chains of the kind `kind`; `None` if chains of this kind have no such type.
            #[must_use]
            pub fn parse(kind: SubjectKind, word: &str) -> Option<Self> {
                match kind {
                    $( SubjectKind::$kind => $types::parse(word).ok().map(Self::$variant), )+
                    $( SubjectKind::$reserved => None, )*
                }
            }

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant(of) => of.as_str(), )+ }
            }

            /// The kind of subject that has such events.
            #[must_use]
            pub const fn kind(self) -> SubjectKind {
                match self { $( Self::$variant(_) => SubjectKind::$kind, )+ }
            }

            /// Whether this is the type that the first event of a chain has, and no later event.
            #[must_use]
            pub const fn begins_chain(self) -> bool {
                matches!(self, $( Self::$variant($types::$first) )|+)
            }
        }

        $(
            impl From<$types> for EventType {
                fn from(of: $types) -> Self {
                    Self::$variant(of)
                }
            }
        )+
    };
}

subjects! {
    reserved [Waybill];
    /// Of a log or a stack.
    Log(LogEventType) = Log, first Harvested;
    /// Of a felling ticket.
    Ticket(TicketEventType) = FellingTicket, first Issued;
    /// Of a batch of seals.
    SealBatch(SealBatchEventType) = SealBatch, first Registered;
    /// Of an organisation.
    Organization(OrganizationEventType) = Organization, first Registered;
    /// Of a finding.
    Finding(FindingEventType) = Finding, first Opened;
}

impl EventType {
    /// The kind of subject that the member `subject` of a public part names; `None` if such subjects have no chains.
    #[must_use]
    pub fn subject_kind(word: &str) -> Option<SubjectKind> {
        match word {
            "stack" => Some(SubjectKind::Log),
            _ => SubjectKind::from_name(word).filter(|kind| Self::KINDS.contains(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_belongs_to_two_kinds() {
        let words = EventType::WORDS.concat();
        let distinct: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
        for word in words {
            let read: Vec<_> =
                EventType::KINDS.iter().filter_map(|kind| EventType::parse(*kind, word)).collect();
            assert_eq!(read.iter().map(|of| of.as_str()).collect::<Vec<_>>(), [word]);
        }
    }

    #[test]
    fn every_kind_is_named_in_its_events_and_begins_with_one_type() {
        for kind in SubjectKind::ALL {
            let named = EventType::subject_kind(kind.name());
            assert_eq!(named, EventType::KINDS.contains(kind).then_some(*kind));
        }
        assert_eq!(EventType::subject_kind("stack"), Some(SubjectKind::Log));
        for kind in EventType::KINDS {
            let types: Vec<_> =
                EventType::WORDS.concat().iter().filter_map(|word| EventType::parse(*kind, word)).collect();
            assert!(types.iter().all(|of| of.kind() == *kind));
            assert_eq!(types.iter().filter(|of| of.begins_chain()).count(), 1);
        }
    }
}
