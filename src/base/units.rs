//! Quantities, times and texts. Each is parsed once, when a request is read, and is exact from then on.
//!
//! Quantities are decimals, never floats: [`Volume`] m³ (4 decimals), [`Length`] m (2), [`Diameter`] cm
//! (1), [`Area`] ha (4), [`Amount`] (4, the value of a parameter), and the integer [`Pieces`]. More decimals are refused, never rounded, so that
//! the value that is stored, summed and hashed is the value that was sent. `Display` is the minimal form
//! of the chain (`0.33`, `5`); JSON responses are numbers of the same digits.
//!
//! The error codes begin with the name of the quantity: `volume-not-a-number`, `volume-too-precise`,
//! `volume-too-small`, `volume-too-large`, and so on for `length`, `diameter`, `area`, `pieces`.

mod text;
mod time;

pub use text::{Note, Reference, Text, lost_letters};
pub use time::{KAZAKHSTAN_OFFSET_MINUTES, LocalDate, Moment, serialize_utc, utc_text};

use crate::base::error::Invalid;
use crate::base::number_text::NumberText;
use rust_decimal::Decimal;
use std::num::IntErrorKind;

/// The largest amount of any quantity, in whole units; larger sums are refused, not wrapped.
const CEILING: i64 = 1_000_000_000;

/// Why the text of a number is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberError {
    NotANumber,
    TooPrecise,
    TooLarge,
}

/// A number as `significant × 10^shift`. `significant` has no leading or trailing zeros; it is empty for 0.
struct Digits {
    negative: bool,
    significant: Vec<u8>,
    shift: i64,
}

/// Reads the text of a JSON number.
///
/// Leading zeros are accepted (spreadsheets write them). `1e999999999` is cheap: the exponent is
/// compared, never expanded.
fn read(text: &str) -> Option<Digits> {
    let NumberText { negative, integer, fraction, exponent } = NumberText::split(text);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(integer) || !fraction.is_none_or(all_digits) {
        return None;
    }
    let exponent = match exponent {
        None => 0,
        // An exponent too large for i32 is replaced by i32's maximum. The result is the same: no mantissa
        // that fits in a request body has enough digits to make up for it.
        Some(text) => match text.parse::<i64>() {
            Ok(exponent) => exponent.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)),
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow => i64::from(i32::MAX),
                IntErrorKind::NegOverflow => -i64::from(i32::MAX),
                _ => return None,
            },
        },
    };
    let fraction = fraction.unwrap_or_default();
    let mut significant: Vec<u8> = integer
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte - b'0')
        .skip_while(|digit| *digit == 0)
        .collect();
    let mut shift = exponent - i64::try_from(fraction.len()).ok()?;
    while significant.last() == Some(&0) {
        significant.pop();
        shift += 1;
    }
    Some(Digits { negative, significant, shift })
}

impl Digits {
    /// The number as a count of `10^-scale`; a digit beyond this scale is an error.
    fn exactly(&self, scale: u32) -> Result<i64, NumberError> {
        let shift = self.shift + i64::from(scale);
        if self.significant.is_empty() {
            Ok(0)
        } else if shift < 0 {
            Err(NumberError::TooPrecise)
        } else {
            self.count(shift)
        }
    }

    /// The number as a count of `10^-scale`, rounded half away from zero.
    fn rounded(mut self, scale: u32) -> Result<i64, NumberError> {
        let shift = self.shift + i64::from(scale);
        if self.significant.is_empty() || shift >= 0 {
            return self.exactly(scale);
        }
        let length = i64::try_from(self.significant.len()).map_err(|_| NumberError::TooLarge)?;
        let Ok(keep) = usize::try_from(length + shift) else { return Ok(0) };
        let up = i64::from(self.significant[keep] >= 5);
        self.significant.truncate(keep);
        let magnitude = self.count(0)?.abs() + up;
        Ok(if self.negative { -magnitude } else { magnitude })
    }

    /// The digits followed by `zeros` zeros, if they fit.
    fn count(&self, zeros: i64) -> Result<i64, NumberError> {
        let length = i64::try_from(self.significant.len()).map_err(|_| NumberError::TooLarge)?;
        if length.saturating_add(zeros) > 17 {
            return Err(NumberError::TooLarge);
        }
        let zeros = u32::try_from(zeros).map_err(|_| NumberError::TooLarge)?;
        let value = self.significant.iter().fold(0_i64, |value, digit| value * 10 + i64::from(*digit))
            * 10_i64.pow(zeros);
        Ok(if self.negative { -value } else { value })
    }
}

/// The exact value of a JSON number's text as a count of `10^-scale`.
fn exact(text: &str, scale: u32) -> Result<i64, NumberError> {
    read(text).ok_or(NumberError::NotANumber)?.exactly(scale)
}

/// The value of a whole number, however it is written (`2`, `2.0`, `20e-1`).
pub(crate) fn whole(text: &str) -> Option<i64> {
    exact(text, 0).ok()
}

/// Reads a JSON number and rounds it, half away from zero, to a count of `10^-scale`. `None` if the text is
/// not a number, or the count does not fit in an `i32`.
pub(crate) fn rounded(text: &str, scale: u32) -> Option<i32> {
    read(text)?.rounded(scale).ok()?.try_into().ok()
}

/// Writes a decimal as a JSON number of the same digits.
///
/// Every decimal of at most 15 significant digits is the shortest text of its nearest double, and that
/// shortest text is what a JSON writer prints; the quantities have at most 14.
pub(crate) fn serialize_decimal<S: serde::Serializer>(
    value: Decimal,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = value.to_string();
    match text.parse::<i64>() {
        Ok(integer) => serializer.serialize_i64(integer),
        Err(_) => serializer.serialize_f64(text.parse().map_err(serde::ser::Error::custom)?),
    }
}

/// A decimal quantity with its unit, scale and bounds. The bounds apply to input; sums and stored values
/// may range from `-CEILING` to `CEILING`.
macro_rules! quantity {
    (
        $(#[$meta:meta])*
        $name:ident, $noun:literal, $unit:literal, scale $scale:literal, from $min:literal to $max:literal,
        example $example:literal
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// Number of decimals.
            pub const SCALE: u32 = $scale;
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// Reads the exact decimal text of a JSON number (`0.33`, `1e-2`).
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let units = exact(text, $scale).map_err(|error| match error {
                    NumberError::NotANumber => Self::not_a_number(),
                    NumberError::TooPrecise => Self::too_precise(),
                    NumberError::TooLarge => Self::too_large(),
                })?;
                Self::bounded(Decimal::new(units, $scale))
            }

            /// Accepts a decimal that is within the bounds and has at most [`Self::SCALE`] decimals.
            pub fn new(value: Decimal) -> Result<Self, Invalid> {
                if value.normalize().scale() > $scale {
                    return Err(Self::too_precise());
                }
                Self::bounded(value)
            }

            fn bounded(value: Decimal) -> Result<Self, Invalid> {
                if value < Decimal::new($min, $scale) {
                    Err(Invalid::new(concat!($noun, "-too-small"), format!(
                        concat!("The ", $noun, " is at least {} ", $unit, "."),
                        Decimal::new($min, $scale).normalize())))
                } else if value > Decimal::new($max, $scale) {
                    Err(Self::too_large())
                } else {
                    Ok(Self(value.normalize()))
                }
            }

            fn not_a_number() -> Invalid {
                Invalid::new(concat!($noun, "-not-a-number"), concat!("The ", $noun, " is not a decimal number."))
            }

            fn too_precise() -> Invalid {
                Invalid::new(concat!($noun, "-too-precise"), concat!("The ", $noun, " (", $unit,
                    ") has at most ", $scale, " decimals; more are refused, never rounded."))
            }

            fn too_large() -> Invalid {
                Invalid::new(concat!($noun, "-too-large"), format!(
                    concat!("The ", $noun, " is at most {} ", $unit, "."), Decimal::new($max, $scale).normalize()))
            }

            /// The exact value.
            #[must_use]
            pub const fn decimal(self) -> Decimal {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_decimal(self.0, serializer)
            }
        }

        impl sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <Decimal as sqlx::Type<sqlx::Postgres>>::type_info()
            }
        }

        impl sqlx::postgres::PgHasArrayType for $name {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <Decimal as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }

        impl sqlx::Encode<'_, sqlx::Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut sqlx::postgres::PgArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <Decimal as sqlx::Encode<'_, sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Postgres> for $name {
            /// Accepts any stored sum, not only the values that a client may send.
            fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let value = <Decimal as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?.normalize();
                if value.scale() > $scale {
                    return Err(Self::too_precise().into());
                }
                if value.abs() > Decimal::from(CEILING) {
                    return Err(Self::too_large().into());
                }
                Ok(Self(value))
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::Number)
                    .description(Some(concat!("The ", $noun, " in ", $unit, ", at most ", $scale,
                        " decimals; more are refused, never rounded.")))
                    .examples([serde_json::json!($example)])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

quantity! {
    /// Solid volume of wood in m³, 4 decimals. A client may send 0.0001 to 1,000,000 (a ticket line);
    /// [`Volume::fits`] has the bounds of one log or stack. A difference may be negative.
    Volume, "volume", "m³", scale 4, from 1 to 10_000_000_000, example 0.33
}

quantity! {
    /// Length of a log in m, 2 decimals, 0.01 to 30.
    Length, "length", "m", scale 2, from 1 to 3_000, example 6.5
}

quantity! {
    /// Top diameter of a log in cm, 1 decimal, 1 to 300.
    Diameter, "diameter", "cm", scale 1, from 10 to 3_000, example 24.5
}

quantity! {
    /// Area of a felling site in ha, 4 decimals, 0.0001 to 1,000,000.
    Area, "area", "ha", scale 4, from 1 to 10_000_000_000, example 3.75
}

quantity! {
    /// Value of a parameter in the parameter's own unit, 4 decimals, 0 to 1,000,000.
    Amount, "value", "units", scale 4, from 0 to 10_000_000_000, example 72
}

impl Volume {
    /// The sum; `None` beyond a thousand million m³.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::within(self.0.checked_add(other.0)?)
    }

    /// The difference, which may be negative; `None` beyond a thousand million m³.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::within(self.0.checked_sub(other.0)?)
    }

    /// The exact sum; `None` beyond a thousand million m³.
    #[must_use]
    pub fn checked_sum(volumes: impl IntoIterator<Item = Self>) -> Option<Self> {
        volumes.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Whether `self > base × (1 + percent / 100)`, exactly.
    #[must_use]
    pub fn exceeds(self, base: Self, percent: Decimal) -> bool {
        // Decimals have 28 digits. A volume of at most 10^9 with 4 decimals, times a percentage of a few
        // digits, has far fewer, so the products are exact.
        self.0 * Decimal::ONE_HUNDRED > base.0 * (Decimal::ONE_HUNDRED + percent)
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    fn within(value: Decimal) -> Option<Self> {
        (value.abs() <= Decimal::from(CEILING)).then(|| Self(value.normalize()))
    }
}

/// How many pieces a stack has, 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pieces(i32);

impl Pieces {
    /// Reads a whole number.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match exact(text, 0) {
            Ok(number) => Self::new(number),
            Err(NumberError::NotANumber) => {
                Err(Invalid::new("pieces-not-a-number", "The number of pieces is not a number."))
            }
            Err(NumberError::TooPrecise) => {
                Err(Invalid::new("pieces-too-precise", "The number of pieces is a whole number."))
            }
            Err(NumberError::TooLarge) => Err(Self::too_large()),
        }
    }

    /// Accepts a number within the bounds.
    pub fn new(number: i64) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number @ 1..=10_000) => Ok(Self(number)),
            _ if number < 1 => Err(Invalid::new("pieces-too-small", "There is at least 1 piece.")),
            _ => Err(Self::too_large()),
        }
    }

    fn too_large() -> Invalid {
        Invalid::new("pieces-too-large", "There are at most 10,000 pieces under one seal.")
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl std::fmt::Display for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for Pieces {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Pieces {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl sqlx::Type<sqlx::Postgres> for Pieces {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <i32 as sqlx::Type<sqlx::Postgres>>::type_info()
    }
}

impl sqlx::postgres::PgHasArrayType for Pieces {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <i32 as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for Pieces {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        <i32 as sqlx::Encode<'_, sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> sqlx::Decode<'r, sqlx::Postgres> for Pieces {
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(Self::new(<i32 as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?.into())?)
    }
}

impl utoipa::PartialSchema for Pieces {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .minimum(Some(1))
            .maximum(Some(10_000))
            .description(Some("Pieces in a stack."))
            .into()
    }
}

impl utoipa::ToSchema for Pieces {}

crate::base::input::parse_number!(Volume, Length, Diameter, Area, Amount, Pieces);

#[cfg(test)]
mod tests;
