//! Dated parameters: every threshold of a rule, with the day from which each value is in force.
//!
//! A value can be set from the next day on at the earliest (`PUT /v1/parameters/{name}`, [`record::earliest`]). So a
//! server that reads the stored values again every hour never judges by an old one, and a record is judged by the
//! value in force on the day of its event.

pub mod name;
pub mod record;

use crate::base::clock::Clock;
use crate::timber::wood::bounds::Bounds;
use chrono::{DateTime, NaiveDate, Utc};
use name::ParameterName;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// The stored values of all parameters, each with the first day on which it is in force. Where none is in
/// force, the default of [`ParameterName`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    dated: BTreeMap<(ParameterName, NaiveDate), Decimal>,
}

impl Parameters {
    /// Parameters with these values: name, first day, value.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (ParameterName, NaiveDate, Decimal)>) -> Self {
        Self { dated: values.into_iter().map(|(name, from, value)| ((name, from), value)).collect() }
    }

    /// The value in force on `day`, as a whole number; a fraction is cut off.
    #[must_use]
    pub fn whole(&self, name: ParameterName, day: NaiveDate) -> i64 {
        i64::try_from(self.on(name, day).trunc()).unwrap_or(i64::MAX)
    }

    /// The value in force on `day`, a day in Kazakhstan.
    #[must_use]
    pub fn on(&self, name: ParameterName, day: NaiveDate) -> Decimal {
        let upto = self.dated.range((name, NaiveDate::MIN)..=(name, day)).next_back();
        upto.map_or_else(|| name.definition().default, |(_, value)| *value)
    }

    /// The bounds of declared volumes in force on `day`.
    #[must_use]
    pub fn volume_bounds(&self, day: NaiveDate) -> Bounds {
        use ParameterName as P;
        // Without trailing zeros, because error texts contain these values.
        let on = |name| self.on(name, day).normalize();
        Bounds {
            thick_from_cm: on(P::VolumeThickFromCm),
            cylinder_min: on(P::VolumeCylinderMin),
            thick_cylinder_max: on(P::VolumeThickCylinderMax),
            thin_cylinder_max: on(P::VolumeThinCylinderMax),
            table_min: on(P::VolumeTableMin),
            table_remarkable: on(P::VolumeTableRemarkable),
            cell_percent: on(P::VolumeCellPercent),
            uncovered_min: on(P::VolumeUncoveredMin),
            uncovered_max: on(P::VolumeUncoveredMax),
            piece_min_m3: on(P::StackPieceMinM3),
            piece_max_m3: on(P::StackPieceMaxM3),
            commercial_piece_max_m3: on(P::CommercialPieceMaxM3),
            saw_log_from_cm: on(P::SawLogFromCm),
            saw_log_above_m: on(P::SawLogAboveM),
            sum_min: on(P::VolumeSumMin),
            sum_from_logs: on(P::VolumeSumFromLogs),
        }
    }
}

/// The bounds by day. Those of the last day are cached, because the logs of a harvest are mostly of one day.
#[derive(Debug)]
pub struct VolumeBounds {
    parameters: Arc<Parameters>,
    last: Option<(NaiveDate, Bounds)>,
}

impl VolumeBounds {
    /// Bounds by these parameters.
    #[must_use]
    pub fn new(parameters: Arc<Parameters>) -> Self {
        Self { parameters, last: None }
    }

    /// The bounds in force on `day`.
    pub fn on(&mut self, day: NaiveDate) -> Bounds {
        match self.last {
            Some((last, bounds)) if last == day => bounds,
            _ => self.last.insert((day, self.parameters.volume_bounds(day))).1,
        }
    }
}

/// What the checks of a record need besides the record and the database: the time, and the parameters.
/// Clones share the parameters.
#[derive(Clone, Debug, Default)]
pub struct Rulebook {
    clock: Clock,
    parameters: Arc<RwLock<Arc<Parameters>>>,
    /// One task at a time reads the parameters: of two readings the later one stays.
    reading: Arc<Mutex<()>>,
}

impl Rulebook {
    /// A rulebook with the default of every parameter.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, parameters: Arc::default(), reading: Arc::default() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The parameters as last read.
    #[must_use]
    pub fn parameters(&self) -> Arc<Parameters> {
        Arc::clone(&self.parameters.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the parameters, in all clones.
    pub fn replace(&self, parameters: Parameters) {
        *self.parameters.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_is_in_force_from_its_day_until_the_next() {
        let name = ParameterName::TicketHoldDays;
        let values =
            [(name, day("2026-03-01"), Decimal::from(8)), (name, day("2026-06-01"), Decimal::from(6))];
        let parameters = Parameters::new(values);
        let on = |text| parameters.on(name, day(text));
        assert_eq!(on("2026-02-28"), name.definition().default);
        assert_eq!(on("2026-03-01"), Decimal::from(8));
        assert_eq!(on("2026-05-31"), Decimal::from(8));
        assert_eq!(on("2026-06-01"), Decimal::from(6));
    }

    #[test]
    fn clones_of_a_rulebook_see_new_values() {
        let rulebook = Rulebook::new(Clock::system());
        let clone = rulebook.clone();
        let name = ParameterName::TicketHoldDays;
        rulebook.replace(Parameters::new([(name, NaiveDate::MIN, Decimal::from(4))]));
        assert_eq!(clone.parameters().on(name, day("2026-01-01")), Decimal::from(4));
    }

    #[test]
    fn every_default_lies_within_its_bounds() {
        for name in ParameterName::ALL {
            let definition = name.definition();
            assert!(definition.min <= definition.default && definition.default <= definition.max, "{name}");
        }
    }
}
