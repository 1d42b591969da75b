//! Dated parameters: every threshold of a rule, with the day from which each value is in force.
//!
//! A value can be set from the next day on at the earliest (`PUT /v1/parameters/{name}`, [`record::earliest`]). So a
//! server that reads the stored values again every hour never judges by an old one, and a record is judged by the
//! value in force on the day of its event.

pub mod name;
pub mod record;

use crate::base::clock::Clock;
use chrono::{DateTime, NaiveDate, Utc};
use name::ParameterName;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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
}

/// What the checks of a record need besides the record and the database: the time, and the parameters.
/// Clones share the parameters.
#[derive(Clone, Debug, Default)]
pub struct Rulebook {
    clock: Clock,
    parameters: Arc<RwLock<Arc<Parameters>>>,
}

impl Rulebook {
    /// A rulebook with the default of every parameter.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, parameters: Arc::default() }
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
