//! The closed vocabularies of custody. Its event types are in [`super::types`].

use crate::base::vocabulary::vocabulary;

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
        /// It never was: its record was made in error.
        Annulled = "annulled",
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
            Self::Processed | Self::Exported | Self::Sold | Self::Lost | Self::Destroyed | Self::Annulled => {
                false
            }
        }
    }
}

vocabulary! {
    /// The side that holds a ticket, which decides which logs the hold reaches and when it ends.
    pub enum HeldBy: "unknown-holder-of-hold" {
        /// The ticket's issuer: the logs that the ticket's holder still holds, for 72 hours.
        Issuer = "issuer",
        /// An inspector: all logs of the ticket, until it is released.
        Inspector = "inspector",
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
    /// The kind of a buyer outside the system.
    pub enum BuyerKind: "unknown-buyer-kind" {
        /// A person.
        Person = "person",
        /// An organisation.
        Organization = "organization",
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
