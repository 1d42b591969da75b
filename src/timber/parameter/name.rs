//! The parameters: their names, units, defaults and bounds.

use crate::base::vocabulary::vocabulary;
use rust_decimal::Decimal;

vocabulary! {
    /// A parameter.
    pub enum ParameterName: "unknown-parameter" {
        /// For how many days an inspector may hold a felling ticket at once.
        TicketHoldDays = "ticket-hold-days",
        /// Top diameter from which the bounds of thick logs apply to a declared volume.
        VolumeThickFromCm = "volume-thick-from-cm",
        /// Lowest declared volume, as a multiple of the volume of the cylinder with the log's top diameter and length.
        VolumeCylinderMin = "volume-cylinder-min",
        /// Highest declared volume of a thick log, as a multiple of the volume of this cylinder.
        VolumeThickCylinderMax = "volume-thick-cylinder-max",
        /// Highest declared volume of a log that is not thick, as a multiple of the volume of this cylinder.
        VolumeThinCylinderMax = "volume-thin-cylinder-max",
        /// Lowest declared volume, as a factor of the volume that GOST 2708-75 gives.
        VolumeTableMin = "volume-table-min",
        /// Factor of the volume that GOST 2708-75 gives, above which a declared volume is a finding.
        VolumeTableRemarkable = "volume-table-remarkable",
        /// How far a volume declared to be from GOST 2708-75 may be from a cell of it.
        VolumeCellPercent = "volume-cell-percent",
        /// Lowest volume declared to be from GOST 2708-75 for a log that our copy of it does not cover, as a factor of the cylinder.
        VolumeUncoveredMin = "volume-uncovered-min",
        /// Highest volume declared to be from GOST 2708-75 for a log that our copy of it does not cover, as a factor of the cylinder.
        VolumeUncoveredMax = "volume-uncovered-max",
        /// Lowest sum of a ticket's volumes declared to be from GOST 2708-75, as a factor of the sum of the table's.
        VolumeSumMin = "volume-sum-min",
        /// Number of a ticket's logs by GOST 2708-75 from which on their sums are compared.
        VolumeSumFromLogs = "volume-sum-from-logs",
        /// Lowest volume of a piece of a stack.
        StackPieceMinM3 = "stack-piece-min-m3",
        /// Highest volume of a piece of a stack.
        StackPieceMaxM3 = "stack-piece-max-m3",
        /// Volume of a piece above which a stack of commercial wood is a finding.
        CommercialPieceMaxM3 = "commercial-piece-max-m3",
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
            Self::VolumeThickFromCm => {
                let about = "Top diameter from which the bounds of thick logs apply to a declared volume";
                definition((about, "cm"), 0, 14, (1, 300))
            }
            Self::VolumeCylinderMin => {
                let about = "Lowest declared volume, as a factor of the cylinder of the log's top diameter and length";
                definition((about, ""), 2, 85, (10, 100))
            }
            Self::VolumeThickCylinderMax => {
                let about = "Highest declared volume of a thick log, as a factor of its cylinder";
                definition((about, ""), 2, 250, (100, 1000))
            }
            Self::VolumeThinCylinderMax => {
                let about = "Highest declared volume of a thinner log, as a factor of its cylinder";
                definition((about, ""), 2, 600, (100, 2000))
            }
            Self::VolumeTableMin => {
                let about = "Lowest declared volume, as a factor of the volume that GOST 2708-75 gives";
                definition((about, ""), 2, 75, (10, 100))
            }
            Self::VolumeTableRemarkable => {
                let about = "Factor of the volume that GOST 2708-75 gives, above which a declared volume is a finding";
                definition((about, ""), 2, 150, (100, 1000))
            }
            Self::VolumeCellPercent => {
                let about = "How far a volume declared to be from GOST 2708-75 may be from a cell of it";
                definition((about, "%"), 1, 100, (0, 500))
            }
            Self::VolumeUncoveredMin => {
                let about = "Lowest volume declared to be from GOST 2708-75 for a log that our copy of it does not cover, as a factor of the cylinder";
                definition((about, ""), 2, 100, (10, 100))
            }
            Self::VolumeUncoveredMax => {
                let about = "Highest volume declared to be from GOST 2708-75 for a log that our copy of it does not cover, as a factor of the cylinder";
                definition((about, ""), 2, 170, (100, 1000))
            }
            Self::VolumeSumMin => {
                let about = "Lowest sum of a ticket's volumes declared to be from GOST 2708-75, as a factor of the sum of the table's";
                definition((about, ""), 2, 97, (10, 100))
            }
            Self::VolumeSumFromLogs => {
                let about = "Number of a ticket's logs by GOST 2708-75 from which on their sums are compared";
                definition((about, "logs"), 0, 100, (1, 100_000))
            }
            Self::StackPieceMinM3 => {
                let about = "Lowest volume of a piece of a stack";
                definition((about, "m³"), 4, 5, (1, 10_000))
            }
            Self::StackPieceMaxM3 => {
                let about = "Highest volume of a piece of a stack";
                definition((about, "m³"), 4, 2000, (1, 100_000))
            }
            Self::CommercialPieceMaxM3 => {
                let about = "Volume of a piece above which a stack of commercial wood is a finding";
                definition((about, "m³"), 4, 1200, (1, 100_000))
            }
        }
    }
}
