//! Rules about custody events and their corrections.

use super::{Draft, Rule, Severity};
use crate::base::units::Volume;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Status;
use crate::timber::wood::species::{Species, Wood};
use rust_decimal::Decimal;

/// L18.
pub const RETURNED_VOLUME: Rule = Rule {
    id: "L18",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "A correction gave volume back to a ticket line, or moved it to another species or line.",
};

/// A correction reversed an event that had closed a log.
pub const CLOSING_REVERSED: Rule = Rule {
    id: "closing-reversed",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "A correction reversed an event by which a log had left circulation.",
};

/// L4. One event and its log decide it for annulled entries; surveillance judges the rest.
pub const SEAL_OF_NO_LOG: Rule = Rule {
    id: "L4",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "A seal is used or checked that is of another organisation's stock, void, of an annulled entry, or on another log.",
};

/// Timber on a vehicle without papers.
pub const NO_PAPERS: Rule = Rule {
    id: "no-papers",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "A log was loaded without carrier or vehicle, or departed without a document.",
};

/// Timber without a sound seal changes hands.
pub const TRADED_UNSEALED: Rule = Rule {
    id: "traded-unsealed",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "A log was transferred, sold or exported after an inspector had found its seal missing or damaged, and before it \
            was replaced.",
};

/// How a volume left its line.
#[derive(Clone, Copy, Debug)]
pub enum ReturnCause {
    /// The entry was annulled.
    ByAnnulment,
    /// The corrected volume is smaller.
    ByCorrection,
    /// The log is of another line.
    ToLine(Species, Wood),
}

/// From which volume, share and number on a returned volume is more than a notice.
#[derive(Clone, Copy, Debug)]
pub struct ReturnLimits {
    /// Volume in cubic metres.
    pub volume: Decimal,
    /// Share of the line's permitted volume, in percent.
    pub percent: Decimal,
    /// Number of earlier returns on the ticket.
    pub times: Decimal,
    /// How many times `volume` or `percent` makes it serious.
    pub serious: Decimal,
}

/// L18: `volume` returned to a line that permits `permitted`, after `earlier` returns on the same ticket.
///
/// Repetition makes it a warning and never serious: an enterprise with many logs makes many slips.
#[must_use]
pub fn returned_volume(
    volume: Volume,
    permitted: Volume,
    how: ReturnCause,
    earlier: i64,
    limits: &ReturnLimits,
) -> Draft {
    let reaches = |factor: Decimal| {
        let share = volume.decimal() * Decimal::ONE_HUNDRED;
        volume.decimal() >= limits.volume * factor || share >= permitted.decimal() * limits.percent * factor
    };
    // One log is a large share of a small line, and no serious matter.
    let severity = if volume.decimal() >= limits.volume && reaches(limits.serious) {
        Severity::Serious
    } else if reaches(Decimal::ONE) || Decimal::from(earlier) >= limits.times {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let draft = RETURNED_VOLUME
        .found(severity)
        .at_stake(volume)
        .input("returned_m3", volume)
        .input("permitted_m3", permitted)
        .number("earlier", earlier);
    match how {
        ReturnCause::ByAnnulment => draft.input("case", "annulled"),
        ReturnCause::ByCorrection => draft.input("case", "corrected"),
        ReturnCause::ToLine(species, wood) => {
            draft.input("case", "moved").input("species", species).input("wood", wood)
        }
    }
}

/// The finding for the reversal of `event`, which had closed the log.
#[must_use]
pub fn closing_reversed(event: LogEventType) -> Draft {
    CLOSING_REVERSED.found(Severity::Warning).input("event", event)
}

/// L4 for an event of a log with this status.
#[must_use]
pub fn seal_of_no_log(event: LogEventType, status: Status) -> Option<Draft> {
    let draft = SEAL_OF_NO_LOG.found(Severity::Serious).input("case", "annulled").input("event", event);
    (status == Status::Annulled).then_some(draft)
}

/// A finding if a log is loaded without carrier or vehicle, or departs without a document.
#[must_use]
pub fn no_papers(event: LogEventType, carrier: bool, vehicle: bool, document: bool) -> Option<Draft> {
    let (severity, lacks) = match (event, carrier, vehicle) {
        (LogEventType::Loaded, false, false) => (Severity::Warning, "carrier_and_vehicle"),
        (LogEventType::Loaded, true, false) => (Severity::Notice, "vehicle"),
        (LogEventType::Loaded, false, true) => (Severity::Notice, "carrier"),
        (LogEventType::Departed, ..) if !document => (Severity::Warning, "document"),
        _ => return None,
    };
    Some(NO_PAPERS.found(severity).input("lacks", lacks))
}

/// A finding if a log is traded that lacks a sound seal.
#[must_use]
pub fn traded_unsealed(event: LogEventType, reseal: bool) -> Option<Draft> {
    let traded = reseal && event.trades();
    traded.then(|| TRADED_UNSEALED.found(Severity::Warning).input("event", event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(text: &str) -> Volume {
        Volume::parse(text).unwrap()
    }

    #[test]
    fn a_returned_volume_is_graded_by_size_share_and_repetition() {
        let limits = ReturnLimits {
            volume: Decimal::ONE,
            percent: Decimal::TWO,
            times: Decimal::from(5),
            serious: Decimal::from(5),
        };
        let grade = |of: &str, permitted: &str, earlier| {
            returned_volume(volume(of), volume(permitted), ReturnCause::ByCorrection, earlier, &limits)
                .severity
        };
        assert_eq!(grade("0.9999", "100", 0), Severity::Notice);
        assert_eq!(grade("1", "100", 0), Severity::Warning, "size");
        assert_eq!(grade("0.5", "25.0001", 0), Severity::Notice);
        assert_eq!(grade("0.5", "25", 0), Severity::Warning, "share");
        assert_eq!(grade("0.1", "100", 4), Severity::Notice);
        assert_eq!(grade("0.1", "100", 5), Severity::Warning, "repetition");
        assert_eq!(grade("0.1", "100", 500), Severity::Warning, "and never more by repetition alone");
        assert_eq!(grade("4.9999", "100", 0), Severity::Warning);
        assert_eq!(grade("5", "100", 0), Severity::Serious);
        assert_eq!(grade("0.99", "9.9", 0), Severity::Warning, "one log of a small line");
        assert_eq!(grade("1", "10", 0), Severity::Serious);
    }

    #[test]
    fn a_truck_has_a_carrier_a_vehicle_and_a_paper() {
        use LogEventType as E;
        let found = |event, carrier, vehicle, document| {
            no_papers(event, carrier, vehicle, document).map(|draft| draft.severity)
        };
        assert_eq!(found(E::Loaded, true, true, false), None);
        assert_eq!(found(E::Loaded, true, false, true), Some(Severity::Notice));
        assert_eq!(found(E::Loaded, false, true, true), Some(Severity::Notice));
        assert_eq!(found(E::Loaded, false, false, true), Some(Severity::Warning));
        assert_eq!(found(E::Departed, false, false, true), None);
        assert_eq!(found(E::Departed, true, true, false), Some(Severity::Warning));
        assert_eq!(found(E::Arrived, false, false, false), None);
    }
}
