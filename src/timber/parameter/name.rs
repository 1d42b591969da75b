//! The parameters: their names, units, defaults and bounds.

use crate::base::vocabulary::vocabulary;
use rust_decimal::Decimal;

vocabulary! {
    /// A parameter.
    pub enum ParameterName: "unknown-parameter" {
        /// For how many days an inspector may hold a felling ticket at once.
        TicketHoldDays = "ticket-hold-days",
        /// Which share of a ticket's logs its holder may annul.
        AnnulledLogs = "annulled-logs",
        /// Which volume of a ticket its holder may annul.
        AnnulledVolume = "annulled-volume",
        /// From which volume on a return to a ticket line is a warning.
        ReturnedVolume = "returned-volume",
        /// From which share of the line on it is a warning.
        ReturnedShare = "returned-share",
        /// After how many earlier returns on the ticket it is a warning.
        ReturnedTimes = "returned-times",
        /// How many times volume or share make it serious.
        ReturnedSerious = "returned-serious",
        /// From which distance on a later position forbids the reversal of a loading, departure or arrival.
        ReversalDistance = "reversal-distance",
    }
}

/// What a parameter means, and which values it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it limits, in one sentence.
    pub about: &'static str,
    /// The unit of its values; empty for a plain number.
    pub unit: &'static str,
    /// The value where none was set.
    pub default: Decimal,
    /// The lowest value that may be set.
    pub min: Decimal,
    /// The highest value that may be set.
    pub max: Decimal,
}

/// A definition with these values, each divided by 10 to the power of `scale`.
const fn definition(
    (about, unit): (&'static str, &'static str),
    scale: u32,
    default: u32,
    (min, max): (u32, u32),
) -> Definition {
    Definition {
        about,
        unit,
        default: Decimal::from_parts(default, 0, 0, false, scale),
        min: Decimal::from_parts(min, 0, 0, false, scale),
        max: Decimal::from_parts(max, 0, 0, false, scale),
    }
}

impl ParameterName {
    /// Its definition.
    #[must_use]
    pub const fn definition(self) -> Definition {
        match self {
            Self::TicketHoldDays => {
                let about = "Days for which an inspector may hold a felling ticket at once";
                definition((about, "days"), 0, 10, (1, 10))
            }
            Self::AnnulledLogs => {
                let about = "Share of a ticket's logs that its holder may annul without an inspector, but at least one log";
                definition((about, "%"), 1, 10, (0, 100))
            }
            Self::AnnulledVolume => {
                let about = "Volume of a ticket's logs that its holder may annul without an inspector";
                definition((about, "m³"), 2, 100, (0, 1_000))
            }
            Self::ReturnedVolume => {
                let about = "Volume from which on a correction that gives it back is a warning";
                definition((about, "m³"), 2, 100, (1, 10_000))
            }
            Self::ReturnedShare => {
                let about =
                    "Share of a ticket line from which on a correction that gives it back is a warning";
                definition((about, "%"), 1, 20, (1, 1_000))
            }
            Self::ReturnedTimes => {
                let about = "Number of earlier corrections of a ticket that gave volume back, after which the next is a warning";
                definition((about, ""), 0, 5, (1, 1_000))
            }
            Self::ReturnedSerious => {
                let about = "How many times the volume or share of a warning makes a returned volume serious";
                definition((about, ""), 0, 5, (2, 100))
            }
            Self::ReversalDistance => {
                let about = "Distance of a later position after which only an inspector reverses a loading, departure or arrival";
                definition((about, "m"), 0, 1_000, (100, 100_000))
            }
        }
    }
}
