//! The thresholds of the rules in force on one day.

use super::journey::metres;
use super::leaf::Fix;
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName as Name;
use chrono::NaiveDate;
use rust_decimal::prelude::ToPrimitive as _;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Thresholds, in the units of the facts: microseconds, millimetres of diameter, centimetres of length.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub(super) journey_kmh: f64,
    pub(super) journey_slack_km: f64,
    pub(super) journey_region_km: f64,
    accuracy_max_m: f64,
    pub(super) drift: i64,
    pub(super) confirmed: i64,
    pub(super) seen_diameter: i32,
    pub(super) seen_length: i32,
    pub(super) closed_seen: i64,
    pub(super) serious_days: i32,
    pub(super) digits_min: u32,
    pub(super) digits_excess: f64,
    pub(super) repeats_share: f64,
    pub(super) seals_per_hour: f64,
    pub(super) night_seals: u32,
    pub(super) nights: u32,
    pub(super) yard_m: f64,
    pub(super) yard_seals: u32,
    pub(super) stock_below: i64,
    pub(super) stock_grace: i64,
    pub(super) back_count: u32,
    pub(super) back_share: f64,
}

/// The thresholds of each day. The last days are kept, because a log's events are of few days.
#[derive(Clone, Debug)]
pub struct Dated {
    parameters: Arc<Parameters>,
    days: RefCell<HashMap<i32, Thresholds>>,
}

/// Days that are kept.
const MAX_DAYS: usize = 1_024;

impl Dated {
    /// By these parameters.
    #[must_use]
    pub fn new(parameters: Arc<Parameters>) -> Self {
        Self { parameters, days: RefCell::default() }
    }

    /// Those in force on a day, counted from 1 January of year 1.
    pub(super) fn on(&self, day: i32) -> Thresholds {
        let mut days = self.days.borrow_mut();
        if days.len() >= MAX_DAYS {
            days.clear();
        }
        *days.entry(day).or_insert_with(|| {
            let date = NaiveDate::from_num_days_from_ce_opt(day).unwrap_or_default();
            Thresholds::on(&self.parameters, date)
        })
    }
}

/// Microseconds of a minute.
pub(super) const MINUTE: i64 = 60_000_000;
/// Microseconds of an hour.
pub(super) const HOUR: i64 = 60 * MINUTE;

impl Thresholds {
    /// How far in metres two positions are apart at least. Of the accuracy that a position states, no more than the
    /// parameter counts: otherwise a record could state an accuracy that explains every distance.
    pub(super) fn apart_m(&self, one: Fix, other: Fix) -> f64 {
        let accuracy = |fix: Fix| f64::from(fix.2).min(self.accuracy_max_m);
        metres((one.0, one.1), (other.0, other.1)) - accuracy(one) - accuracy(other)
    }

    /// Those in force on `day`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the bounds of every parameter are small"
    )]
    pub fn on(parameters: &Parameters, day: NaiveDate) -> Self {
        let float = |name: Name| parameters.on(name, day).to_f64().unwrap_or_default();
        let whole = |name: Name, times: i64| (float(name) * times as f64).round() as i64;
        let small = |name: Name, times: i64| i32::try_from(whole(name, times)).unwrap_or(i32::MAX);
        let count = |name: Name| u32::try_from(whole(name, 1)).unwrap_or(u32::MAX);
        Self {
            journey_kmh: float(Name::JourneyKmh),
            journey_slack_km: float(Name::JourneySlackKm),
            journey_region_km: float(Name::JourneyRegionKm),
            accuracy_max_m: float(Name::PositionAccuracyMax),
            drift: whole(Name::ClockDriftMinutes, MINUTE),
            confirmed: whole(Name::ClockConfirmedMinutes, MINUTE),
            seen_diameter: small(Name::SeenAgainDiameterCm, 10),
            seen_length: small(Name::SeenAgainLengthM, 100),
            closed_seen: whole(Name::ClosedSeenHours, HOUR),
            serious_days: small(Name::RemovalSeriousDays, 1),
            digits_min: count(Name::DigitsMinLogs),
            digits_excess: float(Name::DigitsExcess),
            repeats_share: float(Name::RepeatsShare),
            seals_per_hour: float(Name::SealsPerHour),
            night_seals: count(Name::NightSeals),
            nights: count(Name::NightsAMonth),
            yard_m: float(Name::YardMetres),
            yard_seals: count(Name::YardSeals),
            stock_below: whole(Name::StockBelowM3, 10_000),
            stock_grace: whole(Name::StockGraceHours, HOUR),
            back_count: count(Name::GivenBackCount),
            back_share: float(Name::GivenBackShare),
        }
    }
}
