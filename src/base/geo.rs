//! Positions to seven decimals of a degree, plots from GeoJSON, and the outline of Kazakhstan.
//!
//! Every stored coordinate is a whole number of 10⁻⁷ degrees (about a centimetre), so that hashes never
//! depend on how a float prints. Distances are exact enough for findings, not for land surveying: they are
//! computed on a sphere, and the edges of a plot are straight in longitude and latitude, as in RFC 7946.

mod country;
mod plot;

pub use country::{OUTLINE_MARGIN_M, within_kazakhstan};
pub use plot::{MAX_POLYGONS, MAX_VERTICES, Plot, PlotError};

use crate::base::error::Invalid;
use crate::base::units::{rounded, serialize_decimal};
use rust_decimal::Decimal;

/// Decimals of a degree that are stored.
const DEGREE_SCALE: u32 = 7;

/// Reads one coordinate, rounded half away from zero to seven decimals.
fn coordinate(text: &str, max: i32, code: &'static str, detail: &'static str) -> Result<i32, Invalid> {
    rounded(text, DEGREE_SCALE)
        .filter(|value| value.abs() <= max * 10_000_000)
        .ok_or_else(|| Invalid::new(code, detail))
}

fn latitude(text: &str) -> Result<i32, Invalid> {
    coordinate(text, 90, "latitude-invalid", "A latitude is a number of degrees from -90 to 90.")
}

fn longitude(text: &str) -> Result<i32, Invalid> {
    coordinate(text, 180, "longitude-invalid", "A longitude is a number of degrees from -180 to 180.")
}

/// A count of 10⁻⁷ degrees as a decimal number of degrees, in minimal form.
fn degrees(count: i32) -> Decimal {
    Decimal::new(count.into(), DEGREE_SCALE).normalize()
}

fn degrees_f64(count: i32) -> f64 {
    f64::from(count) / 1e7
}

/// A latitude, WGS 84, to seven decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Latitude(i32);

/// A longitude, WGS 84, to seven decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Longitude(i32);

impl Latitude {
    /// Reads a JSON number's text and rounds it to seven decimals; refused with `latitude-invalid`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        latitude(text).map(Self)
    }

    /// The degrees.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        degrees(self.0)
    }
}

impl Longitude {
    /// Reads a JSON number's text and rounds it to seven decimals; refused with `longitude-invalid`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        longitude(text).map(Self)
    }

    /// The degrees.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        degrees(self.0)
    }
}

/// How far the true position may be from the reported one: metres, 0 to 100,000, to one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accuracy(i32);

impl Accuracy {
    /// Reads a JSON number's text and rounds it to decimetres; refused with `accuracy-invalid`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        rounded(text, 1).filter(|value| (0..=1_000_000).contains(value)).map(Self).ok_or_else(|| {
            Invalid::new("accuracy-invalid", "An accuracy is a number of metres from 0 to 100000.")
        })
    }

    /// The metres.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        Decimal::new(self.0.into(), 1).normalize()
    }

    /// The metres, for comparing with distances.
    #[must_use]
    pub fn metres(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// `Display`: the decimal in minimal form. `FromStr`: the parser of the type.
macro_rules! decimal_text {
    ($($name:ident),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.decimal().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    )+};
}

decimal_text!(Latitude, Longitude, Accuracy);

/// A point on the earth, with the accuracy its device claims.
///
/// `Display` is the canonical text `lat,lon` or `lat,lon,accuracy` in minimal decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    lat: Latitude,
    lon: Longitude,
    accuracy: Option<Accuracy>,
}

impl Position {
    /// Makes a position from its parts. Each part is parsed on its own before, so that each field error has
    /// its own location.
    #[must_use]
    pub const fn new(lat: Latitude, lon: Longitude, accuracy: Option<Accuracy>) -> Self {
        Self { lat, lon, accuracy }
    }

    /// From decimals, as stored in the database.
    pub fn from_decimals(lat: Decimal, lon: Decimal, accuracy_m: Option<Decimal>) -> Result<Self, Invalid> {
        Ok(Self {
            lat: Latitude::parse(&lat.to_string())?,
            lon: Longitude::parse(&lon.to_string())?,
            accuracy: accuracy_m.map(|metres| Accuracy::parse(&metres.to_string())).transpose()?,
        })
    }

    /// The distance to another position in metres, on a sphere.
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        use geo::{Distance as _, Haversine};
        Haversine.distance(self.point(), other.point())
    }

    /// The latitude.
    #[must_use]
    pub const fn lat(self) -> Latitude {
        self.lat
    }

    /// The longitude.
    #[must_use]
    pub const fn lon(self) -> Longitude {
        self.lon
    }

    /// The claimed accuracy.
    #[must_use]
    pub const fn accuracy(self) -> Option<Accuracy> {
        self.accuracy
    }

    fn point(self) -> geo::Point {
        geo::Point::new(degrees_f64(self.lon.0), degrees_f64(self.lat.0))
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.lat, self.lon)?;
        self.accuracy.map_or(Ok(()), |accuracy| write!(f, ",{accuracy}"))
    }
}

/// A decimal that serialises as a JSON number of the same digits.
struct Number(Decimal);

impl serde::Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_decimal(self.0, serializer)
    }
}

impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut object = serializer.serialize_struct("Position", 2 + usize::from(self.accuracy.is_some()))?;
        object.serialize_field("lat", &Number(self.lat.decimal()))?;
        object.serialize_field("lon", &Number(self.lon.decimal()))?;
        if let Some(accuracy) = self.accuracy {
            object.serialize_field("accuracy_m", &Number(accuracy.decimal()))?;
        }
        object.end()
    }
}

impl utoipa::PartialSchema for Position {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
        let number = |min: i32, max: i32, description: &str| {
            ObjectBuilder::new()
                .schema_type(Type::Number)
                .minimum(Some(min))
                .maximum(Some(max))
                .description(Some(description))
        };
        ObjectBuilder::new()
            .description(Some("A point, WGS 84; rounded to 7 decimals before it is stored."))
            .property("lat", number(-90, 90, "Latitude, degrees."))
            .property("lon", number(-180, 180, "Longitude, degrees."))
            .property("accuracy_m", number(0, 100_000, "Accuracy the device claims, metres."))
            .required("lat")
            .required("lon")
            .additional_properties(Some(AdditionalProperties::<utoipa::openapi::schema::Schema>::FreeForm(
                false,
            )))
            .examples([serde_json::json!({"lat": 50.4111, "lon": 80.2275, "accuracy_m": 8})])
            .into()
    }
}

impl utoipa::ToSchema for Position {}

/// The distance in metres from a point to the nearest point of a line, the edges of which are straight in
/// longitude and latitude.
///
/// The nearest point is computed on a plane at the position's latitude, and the distance to it on the sphere.
/// The result is accurate to half a percent up to 100 km, and less accurate beyond.
fn distance_to_line_m(from: geo::Point, line: &geo::LineString) -> f64 {
    use geo::{Distance as _, Haversine};
    let east = from.y().to_radians().cos();
    line.lines()
        .map(|edge| {
            let (ax, ay) = ((edge.start.x - from.x()) * east, edge.start.y - from.y());
            let (dx, dy) = ((edge.end.x - edge.start.x) * east, edge.end.y - edge.start.y);
            let square = dx * dx + dy * dy;
            let along = if square > 0.0 { (-(ax * dx + ay * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
            let nearest = geo::Point::from(edge.start + edge.delta() * along);
            Haversine.distance(from, nearest)
        })
        .fold(f64::INFINITY, f64::min)
}

crate::base::input::parse_number!(Latitude, Longitude, Accuracy);

impl crate::base::input::Read for Position {
    crate::base::input::whole!();

    fn read_partial(
        node: crate::base::input::Node<'_>,
        errors: &mut crate::base::input::Errors,
    ) -> Option<Self> {
        let mut fields = crate::base::input::Fields::open(node, &["lat", "lon", "accuracy_m"], errors)?;
        let (lat, lon, accuracy) = (fields.read(errors), fields.read(errors), fields.read(errors));
        Some(Self { lat: lat?, lon: lon?, accuracy: accuracy? })
    }
}

#[cfg(test)]
pub(crate) fn position(lat: &str, lon: &str, accuracy: Option<&str>) -> Position {
    Position::new(
        Latitude::parse(lat).unwrap(),
        Longitude::parse(lon).unwrap(),
        accuracy.map(|metres| Accuracy::parse(metres).unwrap()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_position_is_rounded_to_seven_decimals() {
        let semey = position("50.41111111111111", "80.22750000000001", Some("4.96"));
        assert_eq!(semey.to_string(), "50.4111111,80.2275,5");
        assert_eq!(
            serde_json::to_string(&semey).unwrap(),
            r#"{"lat":50.4111111,"lon":80.2275,"accuracy_m":5}"#
        );
        let bare = position("-0.00000001", "180", None);
        assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"lat":0,"lon":180}"#);
    }

    #[test]
    fn bounds_are_the_globes() {
        assert!(Latitude::parse("90").is_ok() && Latitude::parse("-90.0").is_ok());
        assert_eq!(Latitude::parse("90.0000001").unwrap_err().code, "latitude-invalid");
        assert_eq!(Longitude::parse("-180.0000001").unwrap_err().code, "longitude-invalid");
        for bad in ["", "NaN", "50,41", "50°", "1e999999999", "999999999999", "50.41N"] {
            assert_eq!(Latitude::parse(bad).unwrap_err().code, "latitude-invalid", "{bad}");
        }
        for bad in ["-1", "100000.1", "x"] {
            assert_eq!(Accuracy::parse(bad).unwrap_err().code, "accuracy-invalid", "{bad}");
        }
    }

    #[test]
    fn decimals_of_the_database_come_back_the_same() {
        let original = position("49.9714", "82.6059", Some("12.5"));
        let again = Position::from_decimals(
            original.lat().decimal(),
            original.lon().decimal(),
            original.accuracy().map(Accuracy::decimal),
        );
        assert_eq!(again, Ok(original));
    }

    proptest! {
        #[test]
        fn seven_decimals_survive_json(lat in -900_000_000_i64..=900_000_000) {
            let text = Decimal::new(lat, 7).normalize().to_string();
            let parsed = Latitude::parse(&text).unwrap();
            prop_assert_eq!(parsed.decimal().to_string(), text.clone());
            let json = serde_json::to_string(&Number(parsed.decimal())).unwrap();
            prop_assert_eq!(Latitude::parse(&json).unwrap(), parsed);
        }
    }
}
