//! The roles and legal kinds of organisations.

use super::bin::is_person;
use crate::base::vocabulary::vocabulary;

vocabulary! {
    /// A role of an organisation in the system. An organisation has at least one.
    pub enum Role: "unknown-role" {
        /// Registers organisations, registers seals and gives them to organisations.
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
    /// Legal kind of an organisation. The name of a sole trader or a farm is personal data.
    pub enum OrganizationKind: "unknown-organization-kind" {
        /// A legal entity.
        LegalEntity = "legal_entity",
        /// A sole trader.
        SoleTrader = "sole_trader",
        /// A farm.
        Farm = "farm",
        /// A person who fells firewood for own use. It has no role; the forest owner records for it.
        Individual = "individual",
    }
}

impl Role {
    /// Whether an organisation with this role may hold timber, seals and felling tickets.
    #[must_use]
    pub const fn holds_timber(self) -> bool {
        matches!(self, Self::Enterprise | Self::ForestOwner)
    }

    /// Whether the role supervises the others: registers them and their seals, or decides on their timber.
    #[must_use]
    pub const fn supervises(self) -> bool {
        matches!(self, Self::Operator | Self::Inspector)
    }
}

/// Whether one organisation may not have all of `roles`: it would supervise its own timber, or that which it carries.
#[must_use]
pub fn conflicting(roles: &[Role]) -> bool {
    let has_timber = |role: &Role| role.holds_timber() || *role == Role::Carrier;
    roles.iter().any(|role| role.supervises()) && roles.iter().any(has_timber)
}

impl OrganizationKind {
    /// The kind that decides what is disclosed of an organisation with this number. An IIN is a
    /// person's number, although earlier versions accepted it for a legal entity.
    #[must_use]
    pub fn known_by(self, number: Option<&str>) -> Self {
        if self == Self::LegalEntity && number.is_some_and(is_person) { Self::SoleTrader } else { self }
    }
}
