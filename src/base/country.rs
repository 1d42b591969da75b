//! Countries by ISO 3166-1.

use crate::base::error::Invalid;

/// The assigned two-letter codes.
const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR \
    IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM \
    MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT \
    PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// A country, by its two-letter code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Kazakhstan.
    pub const KAZAKHSTAN: Self = Self(*b"KZ");

    /// Reads an assigned code in upper case; refused with `unknown-country`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let code =
            CODES.split(' ').find(|code| *code == text).and_then(|code| code.as_bytes().try_into().ok());
        code.map(Self).ok_or_else(|| {
            Invalid::new(
                "unknown-country",
                "Not a country by ISO 3166-1: two upper-case letters, like KZ or UZ.",
            )
        })
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Country {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl utoipa::PartialSchema for Country {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("Country by ISO 3166-1: two upper-case letters."))
            .pattern(Some("^[A-Z]{2}$"))
            .examples(["UZ"])
            .into()
    }
}

impl utoipa::ToSchema for Country {}

crate::base::input::parse_text!(Country);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_sorted_and_two_letters() {
        let codes: Vec<_> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted() && codes.iter().all(|code| code.len() == 2));
        assert_eq!(Country::parse("KZ").unwrap(), Country::KAZAKHSTAN);
        for text in ["", "kz", "KAZ", "ZZ", "K Z", "A"] {
            assert_eq!(Country::parse(text).unwrap_err().code, "unknown-country", "{text}");
        }
    }
}
