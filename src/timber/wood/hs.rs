//! Codes of the Harmonized System (HS, ТН ВЭД), by which customs classifies goods.

use super::species::LogKind;
use crate::base::error::Invalid;
use crate::base::vocabulary::sqlx_as_text;

/// A code of the Harmonized System: 4 to 10 digits, of which the first four name the heading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HsCode(String);

impl HsCode {
    /// Reads 4 to 10 digits; refused with `hs-malformed`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fits = (4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits {
            return Ok(Self(text.to_owned()));
        }
        let detail = "An HS code is 4 to 10 digits without spaces, for example 4403 or 4403110000.";
        Err(Invalid::new("hs-malformed", detail))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a thing of this kind can be exported under this code: a log as wood in the rough (4403), a stack also
    /// as fuel wood (4401).
    #[must_use]
    pub fn fits(&self, kind: LogKind) -> bool {
        let headings: &[&str] = match kind {
            LogKind::Log => &["4403"],
            LogKind::Stack => &["4401", "4403"],
        };
        headings.iter().any(|heading| self.0.starts_with(heading))
    }

    /// Whether the two name the same goods, as far as both say: one begins with the other. So a short code does not
    /// get round a ban on one of its subheadings.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl std::fmt::Display for HsCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for HsCode {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for HsCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for HsCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for HsCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("Code of the Harmonized System (ТН ВЭД): 4 to 10 digits."))
            .pattern(Some("^[0-9]{4,10}$"))
            .examples(["4403"])
            .into()
    }
}

impl utoipa::ToSchema for HsCode {}

sqlx_as_text!(HsCode);
crate::base::input::parse_text!(HsCode);

#[cfg(test)]
mod tests {
    use super::*;

    fn hs(text: &str) -> HsCode {
        HsCode::parse(text).unwrap()
    }

    #[test]
    fn a_code_is_four_to_ten_digits() {
        for text in ["4403", "44031100", "4403110000"] {
            assert_eq!(hs(text).as_str(), text);
        }
        for text in ["", "440", "44031100000", "4403 11", "44O3", "４４０３"] {
            assert_eq!(HsCode::parse(text).unwrap_err().code, "hs-malformed", "{text}");
        }
    }

    #[test]
    fn a_code_fits_the_kind_of_the_thing() {
        assert!(hs("4403").fits(LogKind::Log) && hs("440321").fits(LogKind::Stack));
        assert!(hs("4401").fits(LogKind::Stack) && !hs("4401").fits(LogKind::Log));
        assert!(!hs("4407").fits(LogKind::Log) && !hs("4407").fits(LogKind::Stack), "sawn wood");
    }

    #[test]
    fn a_short_code_meets_its_subheadings() {
        assert!(hs("4403").meets(&hs("440321")) && hs("440321").meets(&hs("4403")));
        assert!(!hs("440321").meets(&hs("440326")) && !hs("4401").meets(&hs("4403")));
    }
}
