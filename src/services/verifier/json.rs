//! A strict JSON parser for files that must have only one meaning: every member occurs once, and only members
//! of the format are accepted.
//!
//! If a member could occur twice, one parser could use its first value and another parser its last value. One
//! file would then show two histories.

use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::MAX_SIZE;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `true` or `false`.
    Bool(bool),
    /// An integer from 0 to 2^64 - 1.
    Count(u64),
    /// Null, or a number that is not such an integer. No format that is parsed here contains either.
    Other,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Members in the order of the file.
    Object(Vec<(String, Json)>),
}

/// Why a value does not match the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);

impl FormatError {
    /// An error with this message.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Json {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not JSON in UTF-8, or an object has a member twice.
    pub fn read(data: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(data).map_err(|error| FormatError(format!("not JSON: {error}")))
    }

    /// The members of an object that must have each of `needed` and may have those of `optional`.
    ///
    /// # Errors
    /// If it is not an object, lacks a needed member or has an unknown one.
    pub fn members(&self, needed: &[&str], optional: &[&str]) -> Result<Members<'_>, FormatError> {
        let Self::Object(members) = self else { return Err(FormatError::new("not an object")) };
        if let Some(absent) = needed.iter().find(|name| !members.iter().any(|(has, _)| has == *name)) {
            return Err(FormatError(format!("no member {absent}")));
        }
        let known = |name: &str| needed.contains(&name) || optional.contains(&name);
        match members.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(FormatError(format!("the format has no member {name:?} here"))),
            None => Ok(Members(members)),
        }
    }

    /// A member of an object; other members are allowed.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => Members(members).get(name),
            _ => None,
        }
    }

    /// A text.
    ///
    /// # Errors
    /// If it is not a text.
    pub fn text(&self) -> Result<&str, FormatError> {
        if let Self::Text(text) = self { Ok(text) } else { Err(FormatError::new("not a text")) }
    }

    /// A list.
    ///
    /// # Errors
    /// If it is not a list.
    pub fn list(&self) -> Result<&[Self], FormatError> {
        if let Self::List(items) = self { Ok(items) } else { Err(FormatError::new("not a list")) }
    }

    /// A number from 0 to [`MAX_SIZE`].
    ///
    /// # Errors
    /// If it is anything else.
    pub fn count(&self) -> Result<u64, FormatError> {
        match self {
            Self::Count(count) if *count <= MAX_SIZE => Ok(*count),
            _ => Err(FormatError::new("not a number of things")),
        }
    }

    /// `N` bytes in lower-case hex.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn hex<const N: usize>(&self) -> Result<[u8; N], FormatError> {
        let text = self.text()?;
        let mut bytes = [0; N];
        let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lower => Ok(bytes),
            _ => Err(FormatError(format!("not {N} bytes in hex"))),
        }
    }

    /// A hash in lower-case hex.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn hash(&self) -> Result<Hash, FormatError> {
        self.hex().map(Hash)
    }

    /// A list of hashes.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn hashes(&self) -> Result<Vec<Hash>, FormatError> {
        self.list()?.iter().map(Self::hash).collect()
    }
}

/// Members of an object, with their names checked against the format.
#[derive(Clone, Copy, Debug)]
pub struct Members<'j>(&'j [(String, Json)]);

impl<'j> Members<'j> {
    /// A member that may be absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'j Json> {
        self.0.iter().find(|(has, _)| has == name).map(|(_, value)| value)
    }

    /// A member that must be present.
    ///
    /// # Errors
    /// If it is absent.
    pub fn need(&self, name: &str) -> Result<&'j Json, FormatError> {
        self.get(name).ok_or_else(|| FormatError(format!("no member {name}")))
    }

    /// The value of a flag, which is `true` or absent.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn flag(&self, name: &str) -> Result<bool, FormatError> {
        match self.get(name) {
            None => Ok(false),
            Some(Json::Bool(true)) => Ok(true),
            Some(_) => Err(FormatError(format!("{name} is true or absent"))),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Count(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Json, E> {
                Ok(Json::Text(value))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the member {name:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_once_and_only_those_of_the_format() {
        assert!(Json::read(br#"{"a":1,"b":{"a":2}}"#).is_ok());
        for invalid in
            [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#, "{", "{}x", "\u{feff}{}", r#""\ud800""#]
        {
            assert!(Json::read(invalid.as_bytes()).is_err(), "{invalid}");
        }
        assert!(Json::read(b"\"\xff\"").is_err());
        assert!(Json::read("[".repeat(100_000).as_bytes()).is_err());
        let object = Json::read(br#"{"a":1,"b":2}"#).unwrap();
        assert!(object.members(&["a"], &["b"]).is_ok());
        assert!(object.members(&["a"], &[]).is_err());
        assert!(object.members(&["a", "b", "c"], &[]).is_err());
        assert!(Json::Other.members(&[], &[]).is_err());
    }

    #[test]
    fn values_have_one_spelling() {
        let text = |text: &str| Json::Text(text.into());
        assert_eq!(text("00ff").hex(), Ok([0, 255]));
        for invalid in ["00FF", "00f", "00ff0", "0xff", " 0ff", ""] {
            assert!(text(invalid).hex::<2>().is_err(), "{invalid}");
        }
        for (json, count) in
            [("0", Some(0)), ("7", Some(7)), ("-1", None), ("-0", None), ("1.0", None), ("1e3", None)]
        {
            assert_eq!(Json::read(json.as_bytes()).unwrap().count().ok(), count, "{json}");
        }
        assert!(Json::read(b"9223372036854775808").unwrap().count().is_err());
        assert!(Json::read(b"null").unwrap().text().is_err());
        let object = Json::read(br#"{"t":true,"f":false,"n":null}"#).unwrap();
        let object = object.members(&["t", "f", "n"], &[]).unwrap();
        assert_eq!((object.flag("t"), object.flag("absent")), (Ok(true), Ok(false)));
        assert!(object.flag("f").is_err() && object.flag("n").is_err());
    }
}
