//! The regions of Kazakhstan by their ISO 3166-2 codes, with their names in three languages.
//!
//! Seventeen oblasts (of which Abai, Jetisu and Ulytau since 2022) and the three cities of republican
//! significance. The list is data: a new oblast is a new row.

use crate::base::error::Invalid;
use crate::base::vocabulary::sqlx_as_text;

/// A region, identified by its code. In responses it is the object `{code, kk, ru, en}`; in requests, in the
/// database and in hashed bytes it is the code alone.
#[derive(Clone, Copy)]
pub struct Region(&'static RegionNames);

/// A region in a response.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Region)]
pub struct RegionNames {
    /// ISO 3166-2 code.
    #[schema(example = "KZ-10")]
    pub code: &'static str,
    /// Kazakh name.
    #[schema(example = "Абай облысы")]
    pub kk: &'static str,
    /// Russian name.
    #[schema(example = "область Абай")]
    pub ru: &'static str,
    /// English name.
    #[schema(example = "Abai Region")]
    pub en: &'static str,
}

const fn row(code: &'static str, kk: &'static str, ru: &'static str, en: &'static str) -> RegionNames {
    RegionNames { code, kk, ru, en }
}

static REGIONS: [RegionNames; 20] = [
    row("KZ-10", "Абай облысы", "область Абай", "Abai Region"),
    row("KZ-11", "Ақмола облысы", "Акмолинская область", "Akmola Region"),
    row("KZ-15", "Ақтөбе облысы", "Актюбинская область", "Aktobe Region"),
    row("KZ-19", "Алматы облысы", "Алматинская область", "Almaty Region"),
    row("KZ-23", "Атырау облысы", "Атырауская область", "Atyrau Region"),
    row("KZ-27", "Батыс Қазақстан облысы", "Западно-Казахстанская область", "West Kazakhstan Region"),
    row("KZ-31", "Жамбыл облысы", "Жамбылская область", "Jambyl Region"),
    row("KZ-33", "Жетісу облысы", "область Жетісу", "Jetisu Region"),
    row("KZ-35", "Қарағанды облысы", "Карагандинская область", "Karaganda Region"),
    row("KZ-39", "Қостанай облысы", "Костанайская область", "Kostanay Region"),
    row("KZ-43", "Қызылорда облысы", "Кызылординская область", "Kyzylorda Region"),
    row("KZ-47", "Маңғыстау облысы", "Мангистауская область", "Mangystau Region"),
    row("KZ-55", "Павлодар облысы", "Павлодарская область", "Pavlodar Region"),
    row("KZ-59", "Солтүстік Қазақстан облысы", "Северо-Казахстанская область", "North Kazakhstan Region"),
    row("KZ-61", "Түркістан облысы", "Туркестанская область", "Turkistan Region"),
    row("KZ-62", "Ұлытау облысы", "область Ұлытау", "Ulytau Region"),
    row("KZ-63", "Шығыс Қазақстан облысы", "Восточно-Казахстанская область", "East Kazakhstan Region"),
    row("KZ-71", "Астана қаласы", "город Астана", "Astana"),
    row("KZ-75", "Алматы қаласы", "город Алматы", "Almaty"),
    row("KZ-79", "Шымкент қаласы", "город Шымкент", "Shymkent"),
];

impl Region {
    /// Every region, by code.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        REGIONS.iter().map(Self)
    }

    /// Reads the exact ISO code; refused with `unknown-region`.
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        REGIONS.iter().find(|row| row.code == code).map(Self).ok_or_else(|| {
            Invalid::new(
                "unknown-region",
                "Not a region of Kazakhstan by ISO 3166-2; GET /v1/regions gives the codes, for example KZ-10.",
            )
        })
    }

    /// The ISO code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.code
    }

    /// Code and names.
    #[must_use]
    pub const fn names(self) -> &'static RegionNames {
        self.0
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}

impl Eq for Region {}

impl std::hash::Hash for Region {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.code.hash(state);
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Region({})", self.0.code)
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.0.code)
    }
}

impl std::str::FromStr for Region {
    type Err = Invalid;
    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::parse(code)
    }
}

impl serde::Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Region {
    /// Reads the code alone, which is how requests and hashed parts write a region.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

sqlx_as_text!(Region);

impl utoipa::PartialSchema for Region {
    /// The schema describes the object in responses. In a request, a region is only its code, a string.
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        RegionNames::schema()
    }
}

impl utoipa::ToSchema for Region {}

crate::base::input::parse_text!(Region);

/// A region in a request: its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionCode(pub Region);

impl RegionCode {
    /// Reads the exact ISO code; refused with `unknown-region`.
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        Region::parse(code).map(Self)
    }
}

impl utoipa::PartialSchema for RegionCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("Region of Kazakhstan by ISO 3166-2; GET /v1/regions lists them."))
            .enum_values(Some(Region::all().map(Region::as_str)))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for RegionCode {}

crate::base::input::parse_text!(RegionCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_iso_3166_2() {
        let codes: Vec<_> = Region::all().map(Region::as_str).collect();
        assert_eq!(
            codes.join(" "),
            "KZ-10 KZ-11 KZ-15 KZ-19 KZ-23 KZ-27 KZ-31 KZ-33 KZ-35 KZ-39 KZ-43 KZ-47 KZ-55 KZ-59 KZ-61 KZ-62 KZ-63 \
             KZ-71 KZ-75 KZ-79"
        );
        for region in Region::all() {
            assert_eq!(Region::parse(region.as_str()), Ok(region));
        }
    }

    #[test]
    fn a_code_comes_in_and_an_object_goes_out() {
        let abai: Region = serde_json::from_str("\"KZ-10\"").unwrap();
        assert_eq!(
            serde_json::to_value(abai).unwrap(),
            serde_json::json!({"code": "KZ-10", "kk": "Абай облысы", "ru": "область Абай", "en": "Abai Region"})
        );
    }

    #[test]
    fn other_codes_are_refused() {
        // All of these are refused: a letter code from before 2022, a code that no region has, another
        // country, other spellings.
        for code in ["KZ-VOS", "KZ-12", "RU-NVS", "kz-10", "KZ10", "", "KZ-10 ", "Абай"] {
            assert_eq!(Region::parse(code).unwrap_err().code, "unknown-region", "{code}");
        }
    }
}
