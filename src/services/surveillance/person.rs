//! L15 and L16: what the logs that one person has marked show together, by day and month.

use super::finding::{About, Change, EngineFinding, changes};
use super::leaf::{day_of, day_text, minute_of, month_text};
use super::threshold::Thresholds;
use super::window::{MAX_EVIDENCE, MAX_SERIES, MAX_VECTORS, PersonDay, PersonMonth};
use crate::timber::finding::rules::Severity;
use crate::timber::finding::rules::surveillance as rules;
use serde_json::json;
use uuid::Uuid;

/// Logs of a series. Five equal logs one after another seldom come about by chance, and the rule compares with chance.
const SERIES: usize = 5;
/// Between how many standard deviations a preference may be chance.
const CHANCE: f64 = 4.0;
/// Work begins at 05:00 at the earliest; a record of the evening may be about the whole day.
const DAY_BEGINS: u16 = 5 * 60;

/// A log that was marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked<'a> {
    pub log: Uuid,
    pub seq: u32,
    pub at: i64,
    pub species: &'a str,
    pub length: i32,
    pub diameter: i32,
    pub volume: i64,
    pub at_yard: bool,
}

/// FNV-1a of numbers, 32 bits.
fn hash(numbers: impl IntoIterator<Item = u64>) -> u32 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in numbers.into_iter().flat_map(u64::to_le_bytes) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    #[expect(clippy::cast_possible_truncation, reason = "32 of the 64 bits")]
    let low = (state ^ (state >> 32)) as u32;
    low
}

fn count<K: PartialEq + Copy>(counts: &mut Vec<(K, u32)>, key: K, max: usize) {
    if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == key) {
        *count += 1;
    } else if counts.len() < max {
        counts.push((key, 1));
    }
}

impl PersonDay {
    /// Adds a log, and returns the highest number of logs an hour of the day if it is above the limit.
    pub(super) fn add(&mut self, at: i64, received: i64, t: &Thresholds) -> Option<f64> {
        self.day = day_of(at);
        self.seen = self.seen.max(day_of(received));
        let minute = minute_of(at);
        match self.minutes.binary_search_by_key(&minute, |(known, _)| *known) {
            Ok(place) => self.minutes[place].1 += 1,
            Err(place) => self.minutes.insert(place, (minute, 1)),
        }
        let fastest = self.fastest();
        (fastest > t.seals_per_hour).then_some(fastest)
    }

    /// The highest number of logs an hour. The logs of one record were marked since the record before it, so
    /// a record of the evening is no rush.
    fn fastest(&self) -> f64 {
        let (mut from, mut sum, mut fastest) = (0, 0_u32, 0.0_f64);
        for (minute, logs) in &self.minutes {
            sum += logs;
            while self.minutes[from].0 + 60 <= *minute {
                sum -= self.minutes[from].1;
                from += 1;
            }
            let first = self.minutes[from].0;
            let before = match from.checked_sub(1) {
                Some(before) => self.minutes[before].0,
                None if first > DAY_BEGINS + 60 => DAY_BEGINS,
                None => first.saturating_sub(60),
            };
            fastest = fastest.max(f64::from(sum) * 60.0 / f64::from((minute - before).max(60)));
        }
        fastest
    }
}

impl PersonMonth {
    /// Adds a log.
    pub(super) fn add(&mut self, marked: Marked<'_>) {
        let day = day_of(marked.at);
        self.logs += 1;
        let minute = minute_of(marked.at);
        if !(4 * 60..22 * 60).contains(&minute) {
            // Behind midnight it is still the night of the day before.
            let night = if minute < 4 * 60 { day - 1 } else { day };
            count(&mut self.nights, night, 32);
        }
        self.at_yard += u32::from(marked.at_yard);
        if self.evidence.len() < MAX_EVIDENCE {
            self.evidence.push((marked.log, marked.seq));
        }
        if marked.diameter > 0 {
            count(&mut self.diameters, marked.diameter / 10, MAX_VECTORS);
            let species = marked.species.bytes().map(u64::from);
            let numbers = [marked.diameter.into(), marked.length.into(), marked.volume];
            let numbers = numbers.map(|number: i64| number.unsigned_abs());
            let vector = hash(numbers.into_iter().chain(species));
            count(&mut self.vectors, vector, MAX_VECTORS);
            self.last.push(vector);
            if self.last.len() > SERIES {
                self.last.remove(0);
            }
            if self.last.len() == SERIES {
                let series = hash(self.last.iter().map(|vector| u64::from(*vector)));
                match self.series.binary_search(&series) {
                    Ok(_) => self.repeats += 1,
                    Err(place) if self.series.len() < MAX_SERIES => self.series.insert(place, series),
                    Err(_) => {}
                }
            }
        }
    }

    /// Judges the month. `tag` stands for the person in the keys of findings. `rate` is the highest number of logs an hour of the leaf's day, if it is too high.
    pub(super) fn judge(
        &mut self,
        about: About,
        tag: &str,
        rate: Option<(i32, f64)>,
        t: &Thresholds,
        out: &mut Vec<Change>,
    ) {
        let month = month_text(self.first);
        let mut now: Vec<EngineFinding> = Vec::new();
        let mut find = |rule, facet: &str, inputs| {
            now.push(about.finding(
                rule,
                Severity::Warning,
                format!("{month}-{facet}-{tag}"),
                inputs,
                self.evidence.clone(),
            ));
        };
        if let Some(excess) = self.preference(t) {
            find(
                &rules::COPIED_MEASURES,
                "digits",
                json!({"case": "digits", "logs": self.logs, "excess_percent": format!("{:.0}", excess * 100.0)}),
            );
        }
        if let Some(share) = self.copied(t) {
            find(
                &rules::COPIED_MEASURES,
                "series",
                json!({
                    "case": "series", "logs": self.logs, "repeats": self.repeats,
                    "share_percent": format!("{:.0}", share * 100.0),
                }),
            );
        }
        let nights = self.nights.iter().filter(|(_, logs)| *logs >= t.night_seals).count();
        if u32::try_from(nights).is_ok_and(|nights| nights >= t.nights) {
            find(&rules::MARKED_TOO_FAST, "night", json!({"case": "night", "nights": nights}));
        }
        if self.at_yard >= t.yard_seals {
            find(&rules::MARKED_TOO_FAST, "yard", json!({"case": "yard", "logs": self.at_yard}));
        }
        let too_fast = format!("{month}-rate-{tag}");
        if let Some((day, rate)) = rate {
            find(
                &rules::MARKED_TOO_FAST,
                "rate",
                json!({"case": "rate", "day": day_text(day), "logs_an_hour": format!("{rate:.0}")}),
            );
        }
        // That a day was too fast stays true on the next day.
        let kept = self.findings.iter().find(|(_, key)| *key == too_fast && rate.is_none()).cloned();
        if let Some(kept) = &kept {
            self.findings.retain(|name| name != kept);
        }
        changes(about, &mut self.findings, now, out);
        self.findings.extend(kept);
    }

    /// The share of logs with a round diameter beyond that of the diameters beside it, if it is a preference.
    fn preference(&self, t: &Thresholds) -> Option<f64> {
        let of = |cm: i32| {
            self.diameters.iter().find(|(known, _)| *known == cm).map_or(0.0, |(_, n)| f64::from(*n))
        };
        let all: f64 = self.diameters.iter().map(|(_, n)| f64::from(*n)).sum();
        if all < f64::from(t.digits_min) {
            return None;
        }
        let even: f64 = self.diameters.iter().filter(|(cm, _)| cm % 2 == 0).map(|(_, n)| f64::from(*n)).sum();
        // By GOST 2708-75 diameters are rounded to even centimetres; then the tens are the round ones.
        let (step, round) = if even >= 0.97 * all { (2, 10) } else { (1, 5) };
        let (mut excess, mut share) = (0.0, 0.0);
        for (cm, n) in self.diameters.iter().filter(|(cm, _)| cm % round == 0) {
            excess += f64::from(*n) - f64::midpoint(of(cm - step), of(cm + step));
            share += f64::from(*n) / all;
        }
        let excess = excess / all;
        (excess >= t.digits_excess && excess >= CHANCE * (1.5 * share / all).sqrt()).then_some(excess)
    }

    /// The share of logs that end a series of five which was there before, if it is too high for chance.
    fn copied(&self, t: &Thresholds) -> Option<f64> {
        let logs = f64::from(self.logs);
        let share = f64::from(self.repeats) / logs.max(1.0);
        if self.logs < t.digits_min || share < t.repeats_share {
            return None;
        }
        // How many series repeat by chance, if each log is drawn by itself.
        let same: f64 = self.vectors.iter().map(|(_, n)| (f64::from(*n) / logs).powi(2)).sum();
        let chance = logs * logs / 2.0 * same.powi(5);
        (f64::from(self.repeats) > 5.0 * chance + 10.0).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::parameter::Parameters;

    fn thresholds() -> Thresholds {
        Thresholds::on(&Parameters::default(), chrono::NaiveDate::default())
    }

    fn at(minute: i64) -> i64 {
        minute * super::super::threshold::MINUTE - 5 * super::super::threshold::HOUR
    }

    #[test]
    fn a_record_of_the_evening_is_about_the_whole_day() {
        let (t, mut day) = (thresholds(), PersonDay::default());
        for _ in 0..1_000 {
            assert_eq!(day.add(at(18 * 60), 0, &t), None);
        }
        let mut day = PersonDay::default();
        assert!((0..201).any(|_| day.add(at(5 * 60 + 30), 0, &t).is_some()), "201 within an hour");
        let mut day = PersonDay::default();
        let spread = (0..1_600).any(|log| day.add(at(8 * 60 + log * 60 / 200), 0, &t).is_some());
        assert!(!spread, "200 an hour for eight hours is the limit");
    }

    #[test]
    fn five_equal_logs_again_are_a_series() {
        let (t, mut month) = (thresholds(), PersonMonth::default());
        let log = |n: i32| Marked {
            log: Uuid::nil(),
            seq: 1,
            at: at(600),
            species: "pinus_sylvestris",
            length: 400,
            diameter: 140 + n * 7 % 200,
            volume: i64::from(n),
            at_yard: false,
        };
        for n in 0..100 {
            month.add(log(n));
        }
        assert_eq!((month.repeats, month.copied(&t)), (0, None));
        for n in 0..40 {
            month.add(log(n));
        }
        assert_eq!(month.repeats, 36);
        assert!(month.copied(&t).is_some_and(|share| share > 0.2));
    }
}
