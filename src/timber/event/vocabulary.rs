//! The closed vocabularies of custody.

use crate::base::vocabulary::vocabulary;

vocabulary! {
    /// What can happen to a log. `divided` and `derived` are reserved.
    pub enum EventType: "unknown-event-type" {
        /// Felled, measured and sealed: the first event of every chain.
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
    /// Status of a log.
    pub enum Status: "unknown-status" {
        /// Where it was felled.
        AtFelling = "at_felling",
        /// At a place of storage.
        Stored = "stored",
        /// On a vehicle that has not left yet.
        Loaded = "loaded",
        /// On the road.
        InTransit = "in_transit",
        /// At the destination, not yet taken over.
        Arrived = "arrived",
        /// Taken over.
        Received = "received",
        /// Used up.
        Processed = "processed",
        /// Out of the country.
        Exported = "exported",
        /// Out of the system.
        Sold = "sold",
        /// Missing.
        Lost = "lost",
        /// Burnt, rotten or broken.
        Destroyed = "destroyed",
    }
}

impl Status {
    /// Whether the log is in circulation; a closed log should not be on offer.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::AtFelling
            | Self::Stored
            | Self::Loaded
            | Self::InTransit
            | Self::Arrived
            | Self::Received => true,
            Self::Processed | Self::Exported | Self::Sold | Self::Lost | Self::Destroyed => false,
        }
    }
}

vocabulary! {
    /// What a transfer hands over.
    pub enum TransferOf: "unknown-transfer" {
        /// Possession and ownership.
        Both = "both",
        /// Possession only.
        Possession = "possession",
        /// Ownership only.
        Ownership = "ownership",
    }
}

impl TransferOf {
    /// Whether the holder changes.
    #[must_use]
    pub fn moves_possession(self) -> bool {
        self != Self::Ownership
    }

    /// Whether the owner changes.
    #[must_use]
    pub fn moves_ownership(self) -> bool {
        self != Self::Possession
    }
}

vocabulary! {
    /// Kind of place where an event happened.
    pub enum PlaceKind: "unknown-place-kind" {
        /// A cutting area.
        FellingSite = "felling_site",
        /// A place of storage.
        Storage = "storage",
        /// A sawmill.
        Sawmill = "sawmill",
        /// A checkpoint on the road.
        Checkpoint = "checkpoint",
        /// A port.
        Port = "port",
        /// A customer's yard.
        Customer = "customer",
        /// Anything else.
        Other = "other",
    }
}

vocabulary! {
    /// Kind of document that goes with an event.
    pub enum DocumentKind: "unknown-document-kind" {
        /// Waybill.
        Waybill = "waybill",
        /// Contract.
        Contract = "contract",
        /// Act of acceptance, of loss, of destruction.
        Act = "act",
        /// Invoice.
        Invoice = "invoice",
        /// Customs declaration.
        Customs = "customs",
        /// Anything else.
        Other = "other",
    }
}

vocabulary! {
    /// Result of an inspection.
    #[schema(as = InspectionOutcome)]
    pub enum Outcome: "unknown-outcome" {
        /// The log is the one recorded.
        Match = "match",
        /// The log is not the one recorded.
        Mismatch = "mismatch",
        /// It bears no seal.
        SealMissing = "seal_missing",
        /// Its seal is damaged.
        SealDamaged = "seal_damaged",
    }
}

/// Type of the event on the operator's chain that records a marking key.
pub const MARKING_KEY_KNOWN: &str = "marking_key_known";
