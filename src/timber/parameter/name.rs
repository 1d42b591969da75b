//! The parameters: their names, units, defaults and bounds.

use crate::base::vocabulary::vocabulary;
use rust_decimal::Decimal;

vocabulary! {
    /// A parameter.
    pub enum ParameterName: "unknown-parameter" {
        /// For how many days an inspector may hold a felling ticket at once.
        TicketHoldDays = "ticket-hold-days",
        /// For how many hours the issuer's hold of a felling ticket lasts.
        IssuersHoldHours = "issuers-hold-hours",
        /// In how many days the issuer may hold a felling ticket once.
        IssuersHoldIntervalDays = "issuers-hold-interval-days",
        /// After how many hours a record is late (L23).
        LateEntryHours = "late-entry-hours",
        /// After how many days a late record is a warning (L23).
        LateEntryWarningDays = "late-entry-warning-days",
        /// For how many hours an organisation may correct its own event.
        CorrectionHours = "correction-hours",
        /// The first share of a ticket line that is found (L6).
        LineFirstPercent = "line-first-percent",
        /// The second share of a ticket line that is found (L6).
        LineSecondPercent = "line-second-percent",
        /// Whether an export states its country and HS code.
        ExportSpecified = "export-specified",
        /// The largest plot of a felling ticket.
        PlotMaxHa = "plot-max-ha",
        /// By how many percent a ticket's area may differ from that of its plot.
        AreaDifferencePercent = "area-difference-percent",
        /// Which share of the smaller plot two tickets may share.
        PlotOverlapPercent = "plot-overlap-percent",
        /// By which share the issuer may enlarge a plot after the first harvest.
        PlotGrowthPercent = "plot-growth-percent",
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
        /// Top diameter from which firewood or brushwood is a saw log (L13), if it is long enough.
        SawLogFromCm = "saw-log-from-cm",
        /// Length above which firewood or brushwood is a saw log (L13), if it is thick enough.
        SawLogAboveM = "saw-log-above-m",
        /// How many days after the first day of felling a ticket may be received.
        TicketReceiptDays = "ticket-receipt-days",
        /// Above which volume a ticket without an allowable cut is a warning.
        UncutVolume = "uncut-volume",
        /// Up to how many metres the accuracy that a position states excuses it.
        PositionAccuracyMax = "position-accuracy-max",
        /// For how many days buyers' reports are kept that no inspector has opened.
        CitizenReportDays = "citizen-report-days",
        /// How many buyers' reports about one code are stored in 24 hours.
        CitizenReportsPerCode = "citizen-reports-per-code",
        /// In how many days an appeal against a decision on a finding must be answered.
        AppealAnswerDays = "appeal-answer-days",
        /// The fastest that a lorry travels from place to place.
        JourneyKmh = "journey-kmh",
        /// Distance that two positions may be apart although the log did not move.
        JourneySlackKm = "journey-slack-km",
        /// Distance across each region between the regions of two events.
        JourneyRegionKm = "journey-region-km",
        /// Minutes by which a device's clock may be wrong.
        ClockDriftMinutes = "clock-drift-minutes",
        /// A claimed time is confirmed if the record was received within this many minutes.
        ClockConfirmedMinutes = "clock-confirmed-minutes",
        /// Difference of diameter from which a seal seen again is on another log.
        SeenAgainDiameterCm = "seen-again-diameter-cm",
        /// Difference of length from which a seal seen again is on another log.
        SeenAgainLengthM = "seen-again-length-m",
        /// Hours after a log was used up in which its code may still be checked.
        ClosedSeenHours = "closed-seen-hours",
        /// Days after the term from which a removal or felling is serious.
        RemovalSeriousDays = "removal-serious-days",
        /// Number of logs of a person and month from which measures are judged.
        DigitsMinLogs = "digits-min-logs",
        /// Share of logs with a round diameter, beyond that of the diameters beside it, that is a preference.
        DigitsExcess = "digits-excess",
        /// Share of logs that repeat series of five logs, from which measures are copied.
        RepeatsShare = "repeats-share",
        /// Seals that a crew under one responsible person can hammer in an hour.
        SealsPerHour = "seals-per-hour",
        /// Logs marked between 22:00 and 04:00 that make a night of marking.
        NightSeals = "night-seals",
        /// Nights of marking of a person and month from which there is a finding.
        NightsAMonth = "nights-a-month",
        /// Distance to the middle of a yard within which a log is marked at the yard.
        YardMetres = "yard-metres",
        /// Logs of a person and month marked at a yard from which there is a finding.
        YardSeals = "yard-seals",
        /// Volume below zero from which a stock is judged.
        StockBelowM3 = "stock-below-m3",
        /// Hours for which a stock may be below zero, because acceptances are recorded late.
        StockGraceHours = "stock-grace-hours",
        /// Corrections of a month that give volume back, from which they are judged.
        GivenBackCount = "given-back-count",
        /// Checks of a closed or void code on one day from which there is a notice.
        ChecksClosed = "checks-closed",
        /// Checks of any code on one day from which there is a notice.
        ChecksBurst = "checks-burst",
        /// Blocks of addresses from which a code with so many checks must be checked.
        ChecksBlocks = "checks-blocks",
        /// Share of a month's harvested volume that corrections give back on balance, from which there is a finding.
        GivenBackShare = "given-back-share",
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
            Self::IssuersHoldHours => {
                let about = "Hours after which the issuer's hold of a felling ticket ends by itself";
                definition((about, "hours"), 0, 72, (1, 240))
            }
            Self::IssuersHoldIntervalDays => {
                let about = "Days in which the issuer may hold a felling ticket once";
                definition((about, "days"), 0, 30, (1, 365))
            }
            Self::LateEntryHours => {
                let about = "Hours between an event and its receipt from which the record is late (L23)";
                definition((about, "hours"), 0, 72, (1, 720))
            }
            Self::LateEntryWarningDays => {
                let about =
                    "Days between an event and its receipt from which a late record is a warning (L23)";
                definition((about, "days"), 0, 30, (1, 365))
            }
            Self::CorrectionHours => {
                let about = "Hours after receipt within which the recorder may correct its event";
                definition((about, "hours"), 0, 72, (1, 720))
            }
            Self::LineFirstPercent => {
                let about =
                    "Share of a ticket line's permitted volume that is found when it is first reached (L6)";
                definition((about, "%"), 0, 80, (1, 100))
            }
            Self::LineSecondPercent => {
                let about =
                    "Second share of a ticket line's permitted volume that is found, above the first (L6)";
                definition((about, "%"), 0, 95, (1, 100))
            }
            Self::ExportSpecified => {
                let about = "Whether `exported` needs a country and an HS code: 1 yes; 0 no, with a finding";
                definition((about, ""), 0, 0, (0, 1))
            }
            Self::PlotMaxHa => {
                let about = "The largest plot that a felling ticket may have";
                definition((about, "ha"), 0, 500, (1, 100_000))
            }
            Self::AreaDifferencePercent => {
                let about =
                    "Share by which a ticket's area may differ from that of its plot without a finding";
                definition((about, "%"), 0, 10, (1, 100))
            }
            Self::PlotOverlapPercent => {
                let about =
                    "Share of the smaller plot that the plots of two tickets may share without a finding";
                definition((about, "%"), 0, 5, (1, 100))
            }
            Self::PlotGrowthPercent => {
                let about = "Share by which a ticket's issuer may enlarge its plot after the first harvest";
                definition((about, "%"), 0, 10, (0, 100))
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
            Self::CitizenReportDays => {
                let about = "Days for which buyers' reports are kept that no inspector has opened";
                definition((about, "days"), 0, 180, (1, 180))
            }
            Self::CitizenReportsPerCode => {
                let about = "Buyers' reports about one code that are stored in 24 hours";
                definition((about, "reports"), 0, 10, (1, 100))
            }
            Self::AppealAnswerDays => {
                let about = "Days in which an appeal against a decision on a finding must be answered";
                definition((about, "days"), 0, 15, (1, 60))
            }
            Self::CommercialPieceMaxM3 => {
                let about = "Volume of a piece above which a stack of commercial wood is a finding";
                definition((about, "m³"), 4, 1200, (1, 100_000))
            }
            Self::SawLogFromCm => {
                let about = "Top diameter from which a log or piece declared firewood or brushwood is found (L13), if it is long enough";
                definition((about, "cm"), 0, 14, (5, 60))
            }
            Self::SawLogAboveM => {
                let about = "Length above which a log or piece declared firewood or brushwood is found (L13), if it is thick enough";
                definition((about, "m"), 2, 300, (50, 1_200))
            }
            Self::TicketReceiptDays => {
                let about =
                    "Days after its first day of felling within which a ticket is received without a finding";
                definition((about, "days"), 0, 3, (0, 60))
            }
            Self::UncutVolume => {
                let about = "Volume above which a ticket without an allowable cut is a warning";
                definition((about, "m³"), 0, 1_000, (0, 1_000_000))
            }
            Self::PositionAccuracyMax => {
                let about = "The highest accuracy that excuses a position; a position that states a higher one is judged by this (L8, journeys)";
                definition((about, "m"), 0, 100, (10, 10_000))
            }
            Self::JourneyKmh => {
                let about = "The fastest that a lorry travels from place to place";
                definition((about, "km/h"), 0, 120, (60, 200))
            }
            Self::JourneySlackKm => {
                let about = "Distance that two positions may be apart although the log did not move";
                definition((about, "km"), 0, 5, (0, 100))
            }
            Self::JourneyRegionKm => {
                let about = "Distance across each region between the regions of two events";
                definition((about, "km"), 0, 150, (10, 500))
            }
            Self::ClockDriftMinutes => {
                let about = "Minutes by which a device's clock may be wrong";
                definition((about, "min"), 0, 180, (0, 1440))
            }
            Self::ClockConfirmedMinutes => {
                let about = "A claimed time is confirmed if the record was received within this many minutes";
                definition((about, "min"), 0, 10, (1, 120))
            }
            Self::SeenAgainDiameterCm => {
                let about = "Difference of diameter from which a seal seen again is on another log";
                definition((about, "cm"), 1, 30, (10, 200))
            }
            Self::SeenAgainLengthM => {
                let about = "Difference of length from which a seal seen again is on another log";
                definition((about, "m"), 2, 30, (5, 200))
            }
            Self::ClosedSeenHours => {
                let about = "Hours after a log was used up in which its code may still be checked";
                definition((about, "h"), 0, 24, (0, 240))
            }
            Self::RemovalSeriousDays => {
                let about = "Days after the term from which a removal or felling is serious";
                definition((about, "days"), 0, 3, (0, 60))
            }
            Self::DigitsMinLogs => {
                let about = "Number of logs of a person and month from which measures are judged";
                definition((about, "logs"), 0, 100, (30, 10000))
            }
            Self::DigitsExcess => {
                let about = "Share of logs with a round diameter, beyond that of the diameters beside it, that is a preference";
                definition((about, ""), 2, 15, (5, 90))
            }
            Self::RepeatsShare => {
                let about = "Share of logs that repeat series of five logs, from which measures are copied";
                definition((about, ""), 2, 15, (2, 90))
            }
            Self::SealsPerHour => {
                let about = "Seals that a crew under one responsible person can hammer in an hour";
                definition((about, "seals"), 0, 200, (20, 2000))
            }
            Self::NightSeals => {
                let about = "Logs marked between 22:00 and 04:00 that make a night of marking";
                definition((about, "logs"), 0, 10, (1, 1000))
            }
            Self::NightsAMonth => {
                let about = "Nights of marking of a person and month from which there is a finding";
                definition((about, "nights"), 0, 3, (1, 31))
            }
            Self::YardMetres => {
                let about = "Distance to the middle of a yard within which a log is marked at the yard";
                definition((about, "m"), 0, 500, (50, 5000))
            }
            Self::YardSeals => {
                let about = "Logs of a person and month marked at a yard from which there is a finding";
                definition((about, "logs"), 0, 5, (1, 1000))
            }
            Self::StockBelowM3 => {
                let about = "Volume below zero from which a stock is judged";
                definition((about, "m³"), 1, 10, (1, 1000))
            }
            Self::StockGraceHours => {
                let about =
                    "Hours for which a stock may be below zero, because acceptances are recorded late";
                definition((about, "h"), 0, 72, (0, 720))
            }
            Self::GivenBackCount => {
                let about = "Corrections of a month that give volume back, from which they are judged";
                definition((about, ""), 0, 8, (2, 1000))
            }
            Self::ChecksClosed => {
                let about = "Checks of a closed or void code on one day from which there is a notice";
                definition((about, "checks"), 0, 3, (2, 1000))
            }
            Self::ChecksBurst => {
                let about = "Checks of any code on one day from which there is a notice";
                definition((about, "checks"), 0, 50, (5, 100_000))
            }
            Self::ChecksBlocks => {
                let about = "Blocks of addresses from which a code with so many checks must be checked";
                definition((about, "blocks"), 0, 5, (2, 1000))
            }
            Self::GivenBackShare => {
                let about = "Share of a month's harvested volume that corrections give back on balance, from which there is a finding";
                definition((about, ""), 3, 10, (1, 500))
            }
        }
    }
}
