//! The parameters: their names, units, defaults and bounds.

use crate::base::vocabulary::vocabulary;
use rust_decimal::Decimal;

vocabulary! {
    /// A parameter.
    pub enum ParameterName: "unknown-parameter" {
        /// For how many days an inspector may hold a felling ticket at once.
        TicketHoldDays = "ticket-hold-days",
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
        }
    }
}
