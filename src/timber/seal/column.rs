//! Stores a parsed text type in a PostgreSQL `text` column and in JSON, with one
//! implementation for all such types.

/// Implements the sqlx and serde traits for a type with `as_str`, `parse` and `from_stored`.
///
/// `from_stored(String) -> Option<Self>` only checks the normal form: values read
/// from the database are never repaired. JSON is read with `parse`, like every
/// other text from a client.
macro_rules! text_type {
    ($name:ident, $what:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::base::error::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text).map_err(Into::into)
            }
        }

        crate::base::vocabulary::sqlx_text_in!([] $name);

        impl sqlx::Decode<'_, sqlx::Postgres> for $name {
            fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<Self, sqlx::error::BoxDynError> {
                let text = <String as sqlx::Decode<'_, sqlx::Postgres>>::decode(value)?;
                let shown = text.clone();
                Self::from_stored(text)
                    .ok_or_else(|| format!("a stored {} is not in its normal form: {shown:?}", $what).into())
            }
        }
    };
}

pub(super) use text_type;
