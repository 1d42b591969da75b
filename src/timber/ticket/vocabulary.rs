//! The closed vocabularies of felling tickets.

use crate::base::vocabulary::vocabulary;

vocabulary! {
    /// What kind of felling a ticket permits.
    pub enum FellingKind: "unknown-felling-kind" {
        /// Main felling (главного пользования).
        Main = "main",
        /// Intermediate felling (промежуточного пользования).
        Intermediate = "intermediate",
        /// Sanitary felling.
        Sanitary = "sanitary",
        /// Anything else.
        Other = "other",
    }
}

vocabulary! {
    /// Whether a ticket is in force.
    pub enum TicketStatus: "unknown-ticket-status" {
        /// In force, within its dates.
        Open = "open",
        /// Cancelled by its issuer.
        Cancelled = "cancelled",
    }
}

vocabulary! {
    /// What a ban is on.
    pub enum BanKind: "unknown-ban-kind" {
        /// Felling: the days of felling tickets.
        Felling = "felling",
        /// Export: the days of `exported`.
        Export = "export",
    }
}
