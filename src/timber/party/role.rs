//! What an organisation may be.

use crate::base::vocabulary::vocabulary;

vocabulary! {
    /// What an organisation does in the system; one or more.
    pub enum Role: "unknown-role" {
        /// Registers organisations, registers and allots seals.
        Operator = "operator",
        /// Issues felling tickets.
        ForestOwner = "forest_owner",
        /// Harvests, trades, saws.
        Enterprise = "enterprise",
        /// Moves loads.
        Carrier = "carrier",
        /// Reads every history, records inspections.
        Inspector = "inspector",
    }
}

vocabulary! {
    /// What an organisation is in law. A sole trader's or a farm's name is a person's.
    pub enum OrganizationKind: "unknown-organization-kind" {
        /// A legal entity.
        LegalEntity = "legal_entity",
        /// A sole trader.
        SoleTrader = "sole_trader",
        /// A farm.
        Farm = "farm",
    }
}
