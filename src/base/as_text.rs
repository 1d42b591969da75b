//! Serde for the hashed parts of events: a domain type is written as its text (`Display`) and read by its
//! parser (`FromStr`). Quantities, which are numbers in JSON responses, are strings in minimal form in hashed
//! parts, so that no hash depends on how a program prints numbers.
//!
//! `#[serde(with = "crate::base::as_text")]`, or `"crate::base::as_text::option"` for an optional field.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

/// Writes the text of `value`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads the text of a value.
///
/// # Errors
/// Not a string, or not a value of the type.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// `serialize` and `deserialize` for an optional field. Use them with `skip_serializing_if`, so that `None`
/// is left out and not written as null.
pub mod option {
    use super::{Cow, Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error as _;

    /// Writes the text of `value`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text of a value.
    ///
    /// # Errors
    /// Neither null nor a string, or not a value of the type.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = <Option<Cow<'de, str>>>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use crate::base::region::Region;
    use crate::base::units::{Length, Volume};

    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Part {
        #[serde(with = "super")]
        volume_m3: Volume,
        #[serde(with = "super::option", skip_serializing_if = "Option::is_none", default)]
        length_m: Option<Length>,
        #[serde(with = "super::option", skip_serializing_if = "Option::is_none", default)]
        region: Option<Region>,
    }

    #[test]
    fn quantities_are_strings_in_minimal_form() {
        let part = Part {
            volume_m3: Volume::parse("0.3300").unwrap(),
            length_m: Some(Length::parse("6.00").unwrap()),
            region: Some(Region::parse("KZ-10").unwrap()),
        };
        let text = serde_json::to_string(&part).unwrap();
        assert_eq!(text, r#"{"volume_m3":"0.33","length_m":"6","region":"KZ-10"}"#);
        assert_eq!(serde_json::from_str::<Part>(&text).unwrap(), part);
        let bare = r#"{"volume_m3":"0.33"}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Part>(bare).unwrap()).unwrap(), bare);
    }

    #[test]
    fn what_is_no_value_of_the_type_is_an_error() {
        for text in [
            r#"{"volume_m3":0.33}"#,
            r#"{"volume_m3":"0.33333"}"#,
            r#"{"volume_m3":"0.33","region":"KZ-12"}"#,
        ] {
            assert!(serde_json::from_str::<Part>(text).is_err(), "{text}");
        }
    }
}
