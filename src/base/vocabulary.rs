//! Closed vocabularies: enums with words that are defined once and mean the same in JSON, in CSV, in
//! PostgreSQL and in the hashed bytes.
//!
//! # Syntax
//! ```ignore
//! use crate::base::vocabulary::vocabulary;
//!
//! vocabulary! {
//!     /// The wood that a ticket line permits to take.   (docs of the enum, also its OpenAPI description)
//!     pub enum Wood: "unknown-wood" {                     // the error code of a refused word
//!         /// Timber sold as such.
//!         Commercial = "commercial",                      // variant = its word
//!         /// Fuel wood.
//!         Firewood = "firewood",
//!     }
//! }
//! ```
//! declares a `Copy`, ordered, hashable enum with
//!
//! - `ALL: &'static [Self]` in the order written, and `WORDS: &'static [&'static str]`;
//! - `as_str(self) -> &'static str` and `Display`, the word;
//! - `parse(&str) -> Result<Self, error::Invalid>` and `FromStr`: the exact word, nothing trimmed, no
//!   other case; the error has the code given above and lists the words;
//! - serde both ways, as the word, through `parse`;
//! - sqlx `Type`, `Encode`, `Decode` and arrays as TEXT (in `query!` write `wood as "wood: Wood"`); a stored
//!   word that is not in the list is a decode error;
//! - `input::Read`, so that it can be a field of a request;
//! - `utoipa::ToSchema`: a string enum.

/// See the module's documentation.
macro_rules! vocabulary {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident : $code:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
        $(#[$meta])*
        $vis enum $name {
            $( $(#[$variant_meta])* #[schema(rename = $word)] $variant ),+
        }

        impl $name {
            /// Every value, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Every word, in the order of the list.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that JSON, SQL and hashed bytes use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the exact word.
            pub fn parse(word: &str) -> Result<Self, $crate::base::error::Invalid> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::base::vocabulary::unknown($code, Self::WORDS)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::base::error::Invalid;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::parse(word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&word).map_err(serde::de::Error::custom)
            }
        }

        $crate::base::vocabulary::sqlx_as_text!($name);
        $crate::base::input::parse_text!($name);
    };
}

/// The traits that sqlx needs to send a type as TEXT, by its `as_str` (which takes a reference or the value).
macro_rules! sqlx_text_in {
    ([$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }
            fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(ty)
            }
        }

        impl<$($generics)*> sqlx::postgres::PgHasArrayType for $name {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <&str as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
            fn array_compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
                <&str as sqlx::postgres::PgHasArrayType>::array_compatible(ty)
            }
        }

        impl<$($generics)*> sqlx::Encode<'_, sqlx::Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut sqlx::postgres::PgArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <&str as sqlx::Encode<'_, sqlx::Postgres>>::encode_by_ref(&self.as_str(), buffer)
            }
        }
    };
}

/// The traits that sqlx needs to send and to read a type as TEXT, by its `as_str` and its `parse`.
macro_rules! sqlx_as_text {
    ([$($generics:tt)*] $name:ty) => {
        $crate::base::vocabulary::sqlx_text_in!([$($generics)*] $name);

        impl<'r, $($generics)*> sqlx::Decode<'r, sqlx::Postgres> for $name {
            fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let text = <&str as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?;
                Ok(Self::parse(text)?)
            }
        }
    };
    ($name:ty) => {
        $crate::base::vocabulary::sqlx_as_text!([] $name);
    };
}

pub(crate) use {sqlx_as_text, sqlx_text_in, vocabulary};

/// The error for a word that is not in the list. It does not repeat the word, which the client chose.
pub(crate) fn unknown(code: &'static str, words: &[&str]) -> crate::base::error::Invalid {
    crate::base::error::Invalid::new(code, format!("Not a known value; write one of: {}.", words.join(", ")))
}

#[cfg(test)]
mod tests {
    vocabulary! {
        /// How a log lies.
        enum Lie: "unknown-lie" {
            /// Along the road.
            AlongRoad = "along_road",
            /// Across it.
            Across = "across",
        }
    }

    #[test]
    fn a_word_goes_both_ways_everywhere() {
        assert_eq!(Lie::WORDS, ["along_road", "across"]);
        for &lie in Lie::ALL {
            assert_eq!(Lie::parse(lie.as_str()), Ok(lie));
            let json = serde_json::to_string(&lie).unwrap();
            assert_eq!(json, format!("\"{lie}\""));
            assert_eq!(serde_json::from_str::<Lie>(&json).unwrap(), lie);
        }
        // If the input is a reader or has an escape, serde passes an owned string instead of a borrowed one.
        assert_eq!(serde_json::from_reader::<_, Lie>(&br#""across""#[..]).unwrap(), Lie::Across);
        assert_eq!(serde_json::from_str::<Lie>(r#""\u0061cross""#).unwrap(), Lie::Across);
    }

    #[test]
    fn anything_but_the_exact_word_is_refused_with_the_list() {
        for word in ["", "Across", " across", "across ", "across\0", "along-road", "аcross"] {
            let refusal = Lie::parse(word).unwrap_err();
            assert_eq!(refusal.code, "unknown-lie");
            assert_eq!(refusal.detail, "Not a known value; write one of: along_road, across.");
        }
        assert!(serde_json::from_str::<Lie>("1").is_err());
    }

    #[test]
    fn the_schema_lists_the_words() {
        let schema = serde_json::to_value(<Lie as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(["along_road", "across"]));
        assert_eq!(schema["type"], "string");
        assert_eq!(schema["description"], "How a log lies.");
    }
}
