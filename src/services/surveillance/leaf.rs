//! A leaf of the register as the engine reads it, and the facts that the rules use.
//!
//! Only the fields that a rule uses are read. A text that cannot be read, of a later version for example, is
//! skipped: no event stops the engine. Quantities become whole numbers, so that a fold gives the same result
//! on every machine.

use crate::evidence::chain::SubjectKind;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::borrow::Cow;
use uuid::Uuid;

/// A keyed hash of the person in a personal part; the same for the same person. The key is a secret of the
/// server, so the hash does not lead back to the person.
pub type PersonKey = [u8; 16];

/// A leaf, with the texts of its event as they were hashed.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its place in the register, from 0.
    pub index: u64,
    /// Kind of the subject.
    pub kind: SubjectKind,
    /// The subject.
    pub subject: Uuid,
    /// The event's place in the subject's chain.
    pub seq: u32,
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// The organisation that recorded it.
    pub organization: Uuid,
    /// Public part.
    pub public: String,
    /// Business part.
    pub business: String,
    /// The person of the personal part; `None` if there is none, or it was erased.
    pub person: Option<PersonKey>,
    /// The batch of the seal that the public part names.
    pub batch: Option<Uuid>,
}

#[derive(Deserialize)]
struct Public<'a> {
    #[serde(rename = "type", borrow)]
    event: Cow<'a, str>,
    region: Option<&'a str>,
    species: Option<&'a str>,
    length_m: Option<&'a str>,
    top_diameter_cm: Option<&'a str>,
    volume_m3: Option<&'a str>,
    seal: Option<&'a str>,
}

#[derive(Deserialize)]
struct Time<'a> {
    at: &'a str,
}

#[derive(Deserialize)]
struct Position<'a> {
    lat: &'a str,
    lon: &'a str,
    accuracy_m: Option<&'a str>,
}

#[derive(Deserialize)]
struct Place<'a> {
    region: Option<&'a str>,
}

#[derive(Deserialize)]
struct Device {
    id: String,
}

#[derive(Deserialize)]
struct Observed<'a> {
    species: Option<&'a str>,
    length_m: Option<&'a str>,
    top_diameter_cm: Option<&'a str>,
}

#[derive(Deserialize)]
struct Details<'a> {
    outcome: Option<&'a str>,
    #[serde(borrow)]
    observed: Option<Observed<'a>>,
}

#[derive(Deserialize)]
struct TicketHead {
    id: Uuid,
}

#[derive(Deserialize)]
struct Corrects {
    seq: u32,
}

#[derive(Deserialize)]
struct Business<'a> {
    #[serde(borrow)]
    occurred: Time<'a>,
    /// `day` if only the day of the event is known.
    precision: Option<&'a str>,
    position: Option<Position<'a>>,
    device: Option<Device>,
    to: Option<Uuid>,
    of: Option<&'a str>,
    details: Option<Details<'a>>,
    ticket: Option<TicketHead>,
    corrects: Option<Corrects>,
    #[serde(default)]
    reverse: bool,
    #[serde(default)]
    annul: bool,
    #[serde(default)]
    held: bool,
    right_occurred: Option<Time<'a>>,
    right_place: Option<Place<'a>>,
    reason: Option<String>,
    holder: Option<Uuid>,
    felling_from: Option<&'a str>,
    felling_until: Option<&'a str>,
    removal_until: Option<&'a str>,
    held_by: Option<&'a str>,
    until: Option<Time<'a>>,
    quantity: Option<u32>,
    first: Option<&'a str>,
    last: Option<&'a str>,
    number: Option<&'a str>,
}

/// A position: latitude and longitude in 10⁻⁷ degrees, accuracy in metres.
pub type Fix = (i32, i32, i32);

/// Species and measures that an inspector saw: species, length in cm, diameter in mm.
pub type Seen = (Option<String>, Option<i32>, Option<i32>);

/// The facts of one event. Times are microseconds since 1970, days count from 1 January of year 1.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts of an event")]
pub struct Facts<'a> {
    pub(super) event: Cow<'a, str>,
    pub(super) seq: u32,
    pub(super) received: i64,
    pub(super) occurred: i64,
    /// Only the day is known.
    pub(super) day_only: bool,
    pub(super) organization: Uuid,
    pub(super) region: Option<&'a str>,
    pub(super) fix: Option<Fix>,
    pub(super) species: Option<&'a str>,
    pub(super) length: Option<i32>,
    pub(super) diameter: Option<i32>,
    pub(super) volume: Option<i64>,
    pub(super) seal: Option<&'a str>,
    pub(super) device: Option<String>,
    pub(super) to: Option<Uuid>,
    /// Whether the transfer hands over ownership, and possession.
    pub(super) ownership: bool,
    pub(super) possession: bool,
    pub(super) outcome: Option<&'a str>,
    pub(super) seen: Option<Seen>,
    pub(super) ticket: Option<Uuid>,
    pub(super) corrects: Option<u32>,
    pub(super) reverse: bool,
    pub(super) annul: bool,
    /// A receipt that did not accept the offer, because the log was held.
    pub(super) held: bool,
    pub(super) right_occurred: Option<i64>,
    pub(super) right_region: Option<&'a str>,
    pub(super) reason: Option<String>,
    pub(super) holder: Option<Uuid>,
    pub(super) felling_from: Option<i32>,
    pub(super) felling_until: Option<i32>,
    pub(super) removal_until: Option<i32>,
    pub(super) held_by_inspector: bool,
    pub(super) until: Option<i64>,
    pub(super) quantity: Option<u32>,
    pub(super) first: Option<&'a str>,
    pub(super) last: Option<&'a str>,
    pub(super) number: Option<&'a str>,
    pub(super) person: Option<PersonKey>,
    pub(super) batch: Option<Uuid>,
}

impl Leaf {
    /// Its facts; `None` if its texts cannot be read.
    #[must_use]
    pub fn facts(&self) -> Option<Facts<'_>> {
        let public: Public<'_> = serde_json::from_str(&self.public).ok()?;
        let business: Business<'_> = serde_json::from_str(&self.business).ok()?;
        let details = business.details;
        let seen = details.as_ref().and_then(|details| details.observed.as_ref()).map(|seen| {
            let (length, diameter) = (seen.length_m, seen.top_diameter_cm);
            (
                seen.species.map(str::to_owned),
                length.and_then(|text| scaled(text, 2)).and_then(narrow),
                diameter.and_then(|text| scaled(text, 1)).and_then(narrow),
            )
        });
        Some(Facts {
            event: public.event,
            seq: self.seq,
            received: self.received_at.timestamp_micros(),
            occurred: micros(business.occurred.at)?,
            day_only: business.precision == Some("day"),
            organization: self.organization,
            region: public.region,
            fix: business.position.and_then(|position| {
                Some((
                    scaled(position.lat, 7).and_then(narrow)?,
                    scaled(position.lon, 7).and_then(narrow)?,
                    position.accuracy_m.and_then(|text| scaled(text, 0)).and_then(narrow).unwrap_or(0),
                ))
            }),
            species: public.species,
            length: public.length_m.and_then(|text| scaled(text, 2)).and_then(narrow),
            diameter: public.top_diameter_cm.and_then(|text| scaled(text, 1)).and_then(narrow),
            volume: public.volume_m3.and_then(|text| scaled(text, 4)),
            seal: public.seal,
            device: business.device.map(|device| device.id),
            to: business.to,
            ownership: business.of != Some("possession"),
            possession: business.of != Some("ownership"),
            outcome: details.as_ref().and_then(|details| details.outcome),
            seen,
            ticket: business.ticket.map(|head| head.id),
            corrects: business.corrects.map(|corrects| corrects.seq),
            reverse: business.reverse,
            annul: business.annul,
            held: business.held,
            right_occurred: business.right_occurred.and_then(|time| micros(time.at)),
            right_region: business.right_place.and_then(|place| place.region),
            reason: business.reason,
            holder: business.holder,
            felling_from: business.felling_from.and_then(day),
            felling_until: business.felling_until.and_then(day),
            removal_until: business.removal_until.and_then(day),
            held_by_inspector: business.held_by == Some("inspector"),
            until: business.until.and_then(|time| micros(time.at)),
            quantity: business.quantity,
            first: business.first,
            last: business.last,
            number: business.number,
            person: self.person,
            batch: self.batch,
        })
    }
}

fn narrow(value: i64) -> Option<i32> {
    i32::try_from(value).ok()
}

/// A decimal times 10 to the power of `scale`; further digits are cut.
fn scaled(text: &str, scale: usize) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut value: i64 = whole.parse().ok()?;
    for at in 0..scale {
        let digit = fraction.as_bytes().get(at).map_or(0, |byte| i64::from(byte.wrapping_sub(b'0')));
        if !(0..=9).contains(&digit) {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { -value } else { value })
}

/// Microseconds of a time as it is hashed, such as `2026-10-05T04:00:00.000000Z`.
fn micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> { text.get(from..to)?.parse().ok() };
    if bytes.len() == 27 && bytes[19] == b'.' && bytes[26] == b'Z' {
        let date =
            chrono::NaiveDate::from_ymd_opt(number(0, 4)?.try_into().ok()?, number(5, 7)?, number(8, 10)?)?;
        let time =
            date.and_hms_micro_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?)?;
        return Some(time.and_utc().timestamp_micros());
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

fn day(text: &str) -> Option<i32> {
    use chrono::Datelike as _;
    text.parse::<chrono::NaiveDate>().ok().map(|date| date.num_days_from_ce())
}

/// The day in Kazakhstan of an instant in microseconds.
pub(super) fn day_of(micros: i64) -> i32 {
    let local = micros.div_euclid(1_000_000) + 5 * 3_600;
    // 719,163 days from 1 January of year 1 to 1970.
    i32::try_from(local.div_euclid(86_400)).unwrap_or(0) + 719_163
}

/// The minute of the day in Kazakhstan.
pub(super) fn minute_of(micros: i64) -> u16 {
    let local = micros.div_euclid(60_000_000) + 300;
    u16::try_from(local.rem_euclid(1_440)).unwrap_or(0)
}

/// A day as `YYYY-MM-DD`.
pub(super) fn day_text(day: i32) -> String {
    chrono::NaiveDate::from_num_days_from_ce_opt(day).map(|date| date.to_string()).unwrap_or_default()
}

/// The month of a day as `YYYY-MM`.
pub(super) fn month_text(day: i32) -> String {
    let mut text = day_text(day);
    text.truncate(7);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_times_and_days() {
        assert_eq!(scaled("0.33", 4), Some(3_300));
        assert_eq!(scaled("-50.4111", 7), Some(-504_111_000));
        assert_eq!(scaled("26", 1), Some(260));
        assert_eq!(scaled("6.x", 2), None);
        let at = micros("2026-10-05T20:30:00.000001Z").unwrap();
        assert_eq!(at, "2026-10-05T20:30:00.000001Z".parse::<DateTime<Utc>>().unwrap().timestamp_micros());
        assert_eq!((day_text(day_of(at)), minute_of(at)), ("2026-10-06".to_owned(), 90));
        assert_eq!(month_text(day_of(at)), "2026-10");
    }
}
