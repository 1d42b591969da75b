//! Instants with their local offset, and calendar days.

use crate::base::error::Invalid;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

/// An instant as RFC 3339 in UTC with microseconds (`2026-05-14T03:20:00.000000Z`), the only form in
/// responses and hashed bytes.
#[must_use]
pub fn utc_text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An instant in a response, as [`utc_text`] writes it; for `#[serde(serialize_with)]`.
pub fn serialize_utc<S: serde::Serializer>(
    instant: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&utc_text(*instant))
}

/// Kazakhstan's offset from UTC in minutes: one time zone in the whole country since 1 March 2024
/// (Government resolution of 19 January 2024).
pub const KAZAKHSTAN_OFFSET_MINUTES: i16 = 300;

/// When something happened: the instant, and the local offset that the client sent. The offset is stored and
/// shown, but no rule uses it.
///
/// Moments are compared by the instant first, then by the offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    instant: DateTime<Utc>,
    offset_minutes: i16,
}

impl Moment {
    /// Reads RFC 3339 with an offset.
    ///
    /// Refused: no offset or the unknown one `-00:00` (`time-without-offset`), a leap second and anything
    /// else that is not a time (`time-malformed`), digits beyond the microsecond unless they are zeros
    /// (`time-too-precise`), a year outside 1970–2200 (`time-out-of-range`).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || {
            Invalid::new(
                "time-malformed",
                "Not a time of RFC 3339 with an offset; write it like 2026-05-14T08:20:00+05:00.",
            )
        };
        if !text.is_ascii() || text.len() < 19 || text.len() > 64 {
            return Err(malformed());
        }
        let (day, rest) = text.split_at(10);
        let date = iso_day(day).ok_or_else(malformed)?;
        let rest = rest.strip_prefix(['T', 't']).ok_or_else(malformed)?;
        let (clock, rest) = rest.split_at(8);
        let [h1, h2, b':', m1, m2, b':', s1, s2] = clock.as_bytes() else { return Err(malformed()) };
        let two = |tens: u8, ones: u8| {
            (tens.is_ascii_digit() && ones.is_ascii_digit())
                .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        };
        let (Some(hour), Some(minute), Some(second)) = (two(*h1, *h2), two(*m1, *m2), two(*s1, *s2)) else {
            return Err(malformed());
        };
        let (fraction, offset) = match rest.strip_prefix('.') {
            Some(rest) => {
                let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
                if end == 0 {
                    return Err(malformed());
                }
                rest.split_at(end)
            }
            None => ("", rest),
        };
        let micros = fraction.trim_end_matches('0');
        if micros.len() > 6 {
            return Err(Invalid::new("time-too-precise", "A time has at most 6 decimals of a second."));
        }
        let micros: u32 = format!("{micros:0<6}").parse().map_err(|_| malformed())?;
        let offset_minutes = match offset.as_bytes() {
            [] | [b'-', b'0', b'0', b':', b'0', b'0'] => {
                return Err(Invalid::new(
                    "time-without-offset",
                    "The time has no offset from UTC; Kazakhstan's is +05:00.",
                ));
            }
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let hours = two(*h1, *h2).ok_or_else(malformed)?;
                let minutes = two(*m1, *m2).filter(|minutes| *minutes < 60).ok_or_else(malformed)?;
                let total = i16::try_from(hours * 60 + minutes).map_err(|_| malformed())?;
                if *sign == b'-' { -total } else { total }
            }
            _ => return Err(malformed()),
        };
        let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros).ok_or_else(malformed)?;
        let zone = zone(offset_minutes).ok_or_else(|| {
            Invalid::new(
                "time-out-of-range",
                "No place on earth has that offset; it is between -12:00 and +14:00.",
            )
        })?;
        let instant = date.and_time(time).and_local_timezone(zone).single().ok_or_else(malformed)?;
        Self::new(instant.with_timezone(&Utc), offset_minutes)
    }

    /// An instant with its local offset in minutes; the same ranges as [`Moment::parse`]. The instant is
    /// truncated to microseconds, the precision of the database and the chain.
    pub fn new(instant: DateTime<Utc>, offset_minutes: i16) -> Result<Self, Invalid> {
        let instant = DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or_default();
        match zone(offset_minutes) {
            Some(_) if (1970..=2200).contains(&instant.year()) => Ok(Self { instant, offset_minutes }),
            _ => Err(Invalid::new("time-out-of-range", "The time is outside the years 1970 to 2200.")),
        }
    }

    /// The instant.
    #[must_use]
    pub const fn instant(self) -> DateTime<Utc> {
        self.instant
    }

    /// The local offset from UTC in minutes, east positive (Kazakhstan: 300).
    #[must_use]
    pub const fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The day in Kazakhstan, whatever offset the client sent. Every rule and every response uses this day.
    /// With the day at the client's offset, a client could choose on which day a log was felled.
    #[must_use]
    pub fn day(self) -> LocalDate {
        LocalDate::of(self.instant)
    }

    /// The day at the offset that was sent. Events of content version 1 were hashed with this day
    /// (docs/CHAIN.md); everything else uses [`Moment::day`].
    #[must_use]
    pub fn sent_day(self) -> LocalDate {
        LocalDate(self.local().date_naive())
    }

    /// RFC 3339 at the local offset with microseconds (`2026-05-14T08:20:00.000000+05:00`).
    #[must_use]
    pub fn local_text(self) -> String {
        self.local().to_rfc3339_opts(SecondsFormat::Micros, false)
    }

    fn local(self) -> DateTime<FixedOffset> {
        // `new` has checked the offset.
        let zone = zone(self.offset_minutes).unwrap_or(const { FixedOffset::east_opt(0).unwrap() });
        self.instant.with_timezone(&zone)
    }
}

fn zone(offset_minutes: i16) -> Option<FixedOffset> {
    (-12 * 60..=14 * 60)
        .contains(&offset_minutes)
        .then(|| FixedOffset::east_opt(i32::from(offset_minutes) * 60))
        .flatten()
}

fn iso_day(text: &str) -> Option<NaiveDate> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shaped.then(|| text.parse().ok()).flatten()
}

impl std::fmt::Display for Moment {
    /// UTC with microseconds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&utc_text(self.instant))
    }
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.local_text())
    }
}

impl std::str::FromStr for Moment {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Moment {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .description(Some(
                "RFC 3339 with an offset in, at most 6 decimals; out in UTC with microseconds.",
            ))
            .examples(["2026-05-14T08:20:00+05:00"])
            .into()
    }
}

impl utoipa::ToSchema for Moment {}

/// A day of the calendar, ISO 8601 (`2026-05-14`), 1970 to 2200.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct LocalDate(NaiveDate);

impl LocalDate {
    /// Reads `YYYY-MM-DD`; refused with `date-malformed` or `date-out-of-range`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let day = iso_day(text).ok_or_else(|| {
            Invalid::new("date-malformed", "Not a day of the calendar; write it like 2026-05-14.")
        })?;
        Self::new(day)
    }

    /// Accepts a day within 1970 to 2200.
    pub fn new(day: NaiveDate) -> Result<Self, Invalid> {
        if (1970..=2200).contains(&day.year()) {
            Ok(Self(day))
        } else {
            Err(Invalid::new("date-out-of-range", "The day is outside the years 1970 to 2200."))
        }
    }

    /// The day in Kazakhstan at this instant. All rules about days use it.
    #[must_use]
    pub fn of(instant: DateTime<Utc>) -> Self {
        Self((instant + TimeDelta::minutes(KAZAKHSTAN_OFFSET_MINUTES.into())).date_naive())
    }

    /// The day.
    #[must_use]
    pub const fn day(self) -> NaiveDate {
        self.0
    }
}

impl std::fmt::Display for LocalDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for LocalDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for LocalDate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for LocalDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for LocalDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for LocalDate {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Date)))
            .description(Some("A day of the calendar, ISO 8601."))
            .examples(["2026-05-14"])
            .into()
    }
}

impl utoipa::ToSchema for LocalDate {}

crate::base::input::parse_text!(LocalDate);

impl crate::base::input::ParseText for Moment {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl crate::base::input::Read for Moment {
    crate::base::input::whole!();

    /// A `+` in a query means a blank, so clients that do not escape it send `…T00:00:00 05:00`. In a query,
    /// therefore, a blank before the offset is read as the plus.
    fn read_partial(
        node: crate::base::input::Node<'_>,
        errors: &mut crate::base::input::Errors,
    ) -> Option<Self> {
        let in_query = || matches!(node.at(), crate::base::error::Location::Query(_));
        let read = node.text().and_then(|text| match text.rsplit_once(' ') {
            Some((time, offset)) if in_query() => Self::parse(&format!("{time}+{offset}")),
            _ => Self::parse(text),
        });
        read.map_err(|invalid| errors.refuse(node, invalid)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_offset_is_kept_beside_the_instant() {
        let felled = Moment::parse("2026-05-14T02:20:00.5+05:00").unwrap();
        assert_eq!(felled.to_string(), "2026-05-13T21:20:00.500000Z");
        assert_eq!(felled.local_text(), "2026-05-14T02:20:00.500000+05:00");
        assert_eq!(felled.offset_minutes(), 300);
        // In UTC it is still 13 May; `day` is the day in Kazakhstan.
        assert_eq!(felled.day().to_string(), "2026-05-14");
        assert_eq!(serde_json::to_string(&felled).unwrap(), "\"2026-05-13T21:20:00.500000Z\"");
        assert_eq!(Moment::parse("2026-05-14t02:20:00z").unwrap().offset_minutes(), 0);
    }

    #[test]
    fn real_harvester_times_are_read() {
        assert_eq!(
            Moment::parse("2023-10-27T09:44:23.205+02:00").unwrap().to_string(),
            "2023-10-27T07:44:23.205000Z"
        );
        // Java writes nanoseconds; dropping zeros loses nothing.
        assert!(Moment::parse("2023-10-27T09:44:23.205000000+02:00").is_ok());
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        for (text, code) in [
            ("2026-05-14T08:20:00", "time-without-offset"),
            ("2026-05-14T08:20:00.123", "time-without-offset"),
            ("2026-05-14T08:20:00-00:00", "time-without-offset"),
            ("2026-05-14T08:20:00.1234567+05:00", "time-too-precise"),
            ("2016-12-31T23:59:60Z", "time-malformed"),
            ("2026-02-29T08:20:00+05:00", "time-malformed"),
            ("2026-05-14T24:00:00+05:00", "time-malformed"),
            ("2026-05-14 08:20:00+05:00", "time-malformed"),
            ("2026-05-14T08:20:00+0500", "time-malformed"),
            ("2026-05-14T08:20:00+05:60", "time-malformed"),
            ("2026-05-14T08:20:00.+05:00", "time-malformed"),
            ("2026-05-14T08:20:00+05:00 ", "time-malformed"),
            ("2026-05-14T08:20+05:00", "time-malformed"),
            ("14.05.2026 08:20", "time-malformed"),
            ("", "time-malformed"),
            ("2026-05-14T08:20:00+15:00", "time-out-of-range"),
            ("1969-12-31T23:59:59Z", "time-out-of-range"),
            ("2201-01-01T00:00:00Z", "time-out-of-range"),
            ("٢٠٢٦-05-14T08:20:00Z", "time-malformed"),
        ] {
            assert_eq!(Moment::parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar() {
        assert_eq!(LocalDate::parse("2028-02-29").unwrap().to_string(), "2028-02-29");
        for text in
            ["2026-02-29", "2026-2-9", "26-02-09", "2026-02-09Z", "+2026-02-09", "20260209", "", "2026-13-01"]
        {
            assert_eq!(LocalDate::parse(text).unwrap_err().code, "date-malformed", "{text}");
        }
        assert_eq!(LocalDate::parse("1869-12-31").unwrap_err().code, "date-out-of-range");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(micros in 0_i64..7_289_654_399_999_999, offset in -720_i16..=840) {
            let moment = Moment::new(DateTime::from_timestamp_micros(micros).unwrap(), offset).unwrap();
            prop_assert_eq!(Moment::parse(&moment.to_string()).unwrap().instant(), moment.instant());
            prop_assert_eq!(Moment::parse(&moment.local_text()).unwrap(), moment);
        }

        #[test]
        fn no_text_makes_it_stumble(text in "[-+:.0-9TZ ]{0,40}|.{0,30}") {
            let _ = (Moment::parse(&text), LocalDate::parse(&text));
        }
    }
}
