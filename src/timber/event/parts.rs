//! Parts that events of several subjects have in common, as they are hashed.
//!
//! Decimals are strings in minimal form and instants are UTC with microseconds. A hashed field never changes
//! its meaning; new fields may be added and are absent from old events. The stored texts that people have
//! written (names, numbers, notes) are not validated when an event is read, because the rules for new texts
//! may become stricter, and an old event must stay readable.

use super::vocabulary::{DocumentKind, PlaceKind};
use crate::base::as_text;
use crate::base::geo::{Accuracy, Latitude, Longitude, Position};
use crate::base::region::Region;
use crate::base::units::{Moment, utc_text};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Series and number of a felling ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketName {
    /// Number.
    pub number: String,
    /// Series.
    pub series: String,
}

/// An instant, and the UTC offset that the client sent with it; hashed as
/// `{"at": UTC with microseconds, "offset_min": minutes east of Greenwich}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredTime", into = "StoredTime")]
pub struct LocalTime(Moment);

#[derive(Serialize, Deserialize)]
struct StoredTime {
    at: String,
    offset_min: i16,
}

impl LocalTime {
    /// From a moment.
    #[must_use]
    pub const fn of(moment: Moment) -> Self {
        Self(moment)
    }

    /// Back to a moment.
    #[must_use]
    pub const fn moment(self) -> Moment {
        self.0
    }

    /// The instant.
    #[must_use]
    pub const fn instant(self) -> DateTime<Utc> {
        self.0.instant()
    }
}

impl From<LocalTime> for StoredTime {
    fn from(LocalTime(moment): LocalTime) -> Self {
        Self { at: utc_text(moment.instant()), offset_min: moment.offset_minutes() }
    }
}

impl TryFrom<StoredTime> for LocalTime {
    type Error = String;

    fn try_from(StoredTime { at, offset_min }: StoredTime) -> Result<Self, String> {
        let instant = DateTime::parse_from_rfc3339(&at).map_err(|error| format!("{at:?}: {error}"))?;
        Moment::new(instant.to_utc(), offset_min).map(Self).map_err(|error| format!("{at:?}: {error}"))
    }
}

/// An official record that an inspector drew up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActPart {
    /// Its number.
    pub number: String,
    /// Its day.
    pub date: NaiveDate,
}

/// A named place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacePart {
    /// Its name.
    pub name: String,
    /// Region, as an ISO 3166-2 code.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub region: Option<Region>,
    /// The kind of place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<PlaceKind>,
}

/// A position in WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionPart {
    /// Degrees north.
    #[serde(with = "as_text")]
    pub lat: Latitude,
    /// Degrees east.
    #[serde(with = "as_text")]
    pub lon: Longitude,
    /// Accuracy in metres.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub accuracy_m: Option<Accuracy>,
}

impl From<Position> for PositionPart {
    fn from(position: Position) -> Self {
        Self { lat: position.lat(), lon: position.lon(), accuracy_m: position.accuracy() }
    }
}

impl PositionPart {
    /// The position.
    #[must_use]
    pub const fn position(self) -> Position {
        Position::new(self.lat, self.lon, self.accuracy_m)
    }
}

/// A document that goes with an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPart {
    /// Kind.
    pub kind: DocumentKind,
    /// Number.
    pub number: String,
    /// Day of issue.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issued_on: Option<NaiveDate>,
}

/// The document that decided something, in a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DecisionDocument {
    /// Kind.
    pub kind: DocumentKind,
    /// Number.
    #[schema(example = "18-02/1")]
    pub number: String,
    /// Day of issue.
    pub issued_on: Option<NaiveDate>,
}

/// The device that recorded an event, perhaps offline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePart {
    /// Its id within the organisation.
    pub id: String,
    /// The number that the device assigned.
    pub seq: i64,
    /// Its own time.
    pub recorded_at: LocalTime,
}
