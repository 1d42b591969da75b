//! Classification of logs: kind, species, wood, assortment, grade, and method of measurement.
//!
//! Each list is fixed within a release. A later release within v1 may add values, also to responses.
//! The Kazakh names have not been reviewed by a Kazakh forester yet.

use crate::base::error::Invalid;
use crate::base::units::{Pieces, Volume, whole};
use crate::base::vocabulary::{sqlx_as_text, vocabulary};
use rust_decimal::Decimal;

vocabulary! {
    /// A traced unit: one log with its own seal, or a stack of small pieces under one seal.
    ///
    /// GOST 2292-88 marks a piece singly from 14 cm thickness and more than 2 m length; smaller pieces move
    /// as a stack.
    pub enum LogKind: "unknown-log-kind" {
        /// A single log.
        Log = "log",
        /// A batch of small pieces.
        Stack = "stack",
    }
}

impl Volume {
    /// Checks that this volume is possible: at most 50 m³ for a log, and 1,000 m³ for a stack. Otherwise the
    /// error is `volume-too-large`.
    pub fn fits(self, kind: LogKind) -> Result<Self, Invalid> {
        let (max, noun) = match kind {
            LogKind::Log => (50, "log"),
            LogKind::Stack => (1_000, "stack"),
        };
        if self.decimal() > Decimal::from(max) {
            return Err(Invalid::new(
                "volume-too-large",
                format!("The volume of a {noun} is at most {max} m³."),
            ));
        }
        if self.decimal() <= Decimal::ZERO {
            return Err(Invalid::new("volume-too-small", "The volume is at least 0.0001 m³."));
        }
        Ok(self)
    }
}

impl Pieces {
    /// Checks that this is a number of pieces that a log or a stack can have: a log is one piece, and with more of
    /// them it would be sold by the piece on the volume of one. Otherwise the error is `log-is-one-piece`.
    pub fn fits(self, kind: LogKind) -> Result<Self, Invalid> {
        if kind == LogKind::Log && self.get() != 1 {
            return Err(Invalid::new(
                "log-is-one-piece",
                "A log is one piece. Seal and measure each log by itself; only a stack has several pieces.",
            ));
        }
        Ok(self)
    }
}

vocabulary! {
    /// The three kinds of wood that a felling ticket's lines distinguish.
    pub enum Wood: "unknown-wood" {
        /// Commercial wood (деловая, іскерлік).
        Commercial = "commercial",
        /// Fuel wood (дровяная, отындық).
        Firewood = "firewood",
        /// Brushwood (хворост, шырпы).
        Brushwood = "brushwood",
    }
}

vocabulary! {
    /// The product that a log was cut for.
    pub enum Assortment: "unknown-assortment" {
        /// For sawing.
        SawLog = "saw_log",
        /// For veneer and plywood.
        VeneerLog = "veneer_log",
        /// For pulp.
        Pulpwood = "pulpwood",
        /// For propping mines.
        PitProp = "pit_prop",
        /// For poles and masts.
        Pole = "pole",
        /// For burning.
        Firewood = "firewood",
        /// Anything else.
        Other = "other",
    }
}

vocabulary! {
    /// How a volume was determined.
    pub enum MeasurementMethod: "unknown-measurement-method" {
        /// Read from the table of GOST 2708-75 by top diameter and length.
        Gost2708_75 = "gost_2708_75",
        /// Huber's formula: the middle section times the length.
        Huber = "huber",
        /// Smalian's formula: the mean of both ends times the length.
        Smalian = "smalian",
        /// A stack's height, width and length by a coefficient of dense wood.
        StackGeometric = "stack_geometric",
        /// A harvester's measuring head, section by section.
        Harvester = "harvester",
        /// A scanner's own measurement.
        Scanner = "scanner",
        /// From the weight.
        Weight = "weight",
        /// Anything else.
        Other = "other",
    }
}

/// Quality grade (сорт), 1 the best to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grade(u8);

impl Grade {
    /// The best grade.
    pub const BEST: Self = Self(1);
    /// The last grade.
    pub const LAST: Self = Self(4);

    /// A grade from its number; outside 1–4 the error is `grade-out-of-range`.
    pub fn new(number: i64) -> Result<Self, Invalid> {
        match u8::try_from(number) {
            Ok(grade @ 1..=4) => Ok(Self(grade)),
            _ => Err(Invalid::new("grade-out-of-range", "A grade is a whole number from 1 to 4.")),
        }
    }

    /// Reads a grade from its number, however it is written (`2`, `2.0`, `20e-1`).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::new(whole(text).unwrap_or_default())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for Grade {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Grade {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl sqlx::Type<sqlx::Postgres> for Grade {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <i16 as sqlx::Type<sqlx::Postgres>>::type_info()
    }
}

impl sqlx::postgres::PgHasArrayType for Grade {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <i16 as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for Grade {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        <i16 as sqlx::Encode<'_, sqlx::Postgres>>::encode_by_ref(&i16::from(self.0), buffer)
    }
}

impl<'r> sqlx::Decode<'r, sqlx::Postgres> for Grade {
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(Self::new(<i16 as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?.into())?)
    }
}

impl utoipa::PartialSchema for Grade {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .minimum(Some(1))
            .maximum(Some(4))
            .description(Some("Quality grade (сорт), 1 the best to 4."))
            .into()
    }
}

impl utoipa::ToSchema for Grade {}

vocabulary! {
    /// How foresters group species.
    pub enum SpeciesGroup: "unknown-species-group" {
        /// Conifers (хвойные).
        Conifer = "conifer",
        /// Hard-leaved (твердолиственные).
        HardLeaved = "hard_leaved",
        /// Soft-leaved (мягколиственные).
        SoftLeaved = "soft_leaved",
        /// Anything else.
        Other = "other",
    }
}

/// A species of the list, named by its code: the Latin name in `snake_case`.
///
/// Species are compared, ordered and hashed by this code.
#[derive(Clone, Copy)]
pub struct Species(&'static SpeciesRow);

/// One row of the list, as `GET /v1/species` returns it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SpeciesRow {
    /// The Latin name in `snake_case`.
    #[schema(example = "pinus_sylvestris")]
    pub code: &'static str,
    /// The group.
    pub group: SpeciesGroup,
    /// Russian name.
    pub ru: &'static str,
    /// Kazakh name.
    pub kk: &'static str,
    /// Latin name.
    pub latin: &'static str,
}

const fn row(
    code: &'static str,
    group: SpeciesGroup,
    latin: &'static str,
    ru: &'static str,
    kk: &'static str,
) -> SpeciesRow {
    SpeciesRow { code, group, ru, kk, latin }
}

use SpeciesGroup::{Conifer, HardLeaved, SoftLeaved};

/// The list, in the order of the response.
static SPECIES: [SpeciesRow; 22] = [
    row("pinus_sylvestris", Conifer, "Pinus sylvestris", "Сосна обыкновенная", "Кәдімгі қарағай"),
    row("pinus_sibirica", Conifer, "Pinus sibirica", "Сосна сибирская (кедр)", "Сібір самырсын қарағайы"),
    row("picea_schrenkiana", Conifer, "Picea schrenkiana", "Ель Шренка", "Шренк шыршасы"),
    row("picea_obovata", Conifer, "Picea obovata", "Ель сибирская", "Сібір шыршасы"),
    row("abies_sibirica", Conifer, "Abies sibirica", "Пихта сибирская", "Сібір самырсыны"),
    row("larix_sibirica", Conifer, "Larix sibirica", "Лиственница сибирская", "Сібір балқарағайы"),
    row("juniperus", Conifer, "Juniperus", "Арча (можжевельник древовидный)", "Арша"),
    row("quercus_robur", HardLeaved, "Quercus robur", "Дуб черешчатый", "Кәдімгі емен"),
    row("fraxinus", HardLeaved, "Fraxinus", "Ясень", "Шаған"),
    row("acer", HardLeaved, "Acer", "Клён", "Үйеңкі"),
    row("ulmus_laevis", HardLeaved, "Ulmus laevis", "Вяз гладкий", "Жылтыр қарағаш"),
    row("ulmus_pumila", HardLeaved, "Ulmus pumila", "Вяз приземистый (карагач)", "Аласа қарағаш"),
    row("haloxylon_aphyllum", HardLeaved, "Haloxylon aphyllum", "Саксаул чёрный", "Қара сексеуіл"),
    row("haloxylon_persicum", HardLeaved, "Haloxylon persicum", "Саксаул белый", "Ақ сексеуіл"),
    row("betula_pendula", SoftLeaved, "Betula pendula", "Берёза повислая", "Қотыр қайың"),
    row("populus_tremula", SoftLeaved, "Populus tremula", "Осина", "Көктерек"),
    row("populus_nigra", SoftLeaved, "Populus nigra", "Тополь чёрный", "Қара терек"),
    row("populus_alba", SoftLeaved, "Populus alba", "Тополь белый", "Ақ терек"),
    row("populus_diversifolia", SoftLeaved, "Populus diversifolia", "Туранга", "Тораңғы"),
    row("salix_alba", SoftLeaved, "Salix alba", "Ива белая", "Ақ тал"),
    row("alnus_glutinosa", SoftLeaved, "Alnus glutinosa", "Ольха чёрная", "Қара қандыағаш"),
    row("tilia_cordata", SoftLeaved, "Tilia cordata", "Липа мелколистная", "Жөке"),
];

impl Species {
    /// All species, in the order of the list.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        SPECIES.iter().map(Self)
    }

    /// Parses the exact code; for any other text the error is `unknown-species`.
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        SPECIES.iter().find(|row| row.code == code).map(Self).ok_or_else(|| {
            Invalid::new(
                "unknown-species",
                "Not a species of the list; GET /v1/species gives the codes, for example pinus_sylvestris.",
            )
        })
    }

    /// The code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.code
    }

    /// The row of the list: code, group, names.
    #[must_use]
    pub const fn row(self) -> &'static SpeciesRow {
        self.0
    }

    /// The group.
    #[must_use]
    pub const fn group(self) -> SpeciesGroup {
        self.0.group
    }
}

impl PartialEq for Species {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}

impl Eq for Species {}

impl PartialOrd for Species {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Species {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.code.cmp(other.0.code)
    }
}

impl std::hash::Hash for Species {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.code.hash(state);
    }
}

impl std::fmt::Debug for Species {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Species({})", self.0.code)
    }
}

impl std::fmt::Display for Species {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.0.code)
    }
}

impl std::str::FromStr for Species {
    type Err = Invalid;
    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::parse(code)
    }
}

impl serde::Serialize for Species {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.code)
    }
}

impl<'de> serde::Deserialize<'de> for Species {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

sqlx_as_text!(Species);

impl utoipa::PartialSchema for Species {
    /// A plain string: the list is data and grows, so it is not an enumeration.
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A species code of `GET /v1/species`: the Latin name in snake_case."))
            .examples(["pinus_sylvestris"])
            .into()
    }
}

impl utoipa::ToSchema for Species {}

crate::base::input::parse_text!(Species);
crate::base::input::parse_number!(Grade);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_and_a_stack_have_bounds_of_their_own() {
        let volume = |text: &str| Volume::parse(text).unwrap();
        assert_eq!(volume("0.0001").fits(LogKind::Log).unwrap().to_string(), "0.0001");
        assert!(volume("50").fits(LogKind::Log).is_ok());
        assert_eq!(volume("50.0001").fits(LogKind::Log).unwrap_err().code, "volume-too-large");
        assert!(volume("1000").fits(LogKind::Stack).is_ok());
        assert_eq!(volume("1000.0001").fits(LogKind::Stack).unwrap_err().code, "volume-too-large");
        assert_eq!(Volume::ZERO.fits(LogKind::Log).unwrap_err().code, "volume-too-small");
    }

    #[test]
    fn every_code_is_its_latin_name_and_stands_once() {
        let mut codes: Vec<_> = Species::all().map(Species::as_str).collect();
        for species in Species::all() {
            let row = species.row();
            assert_eq!(row.code, row.latin.to_lowercase().replace(' ', "_"));
            assert_eq!(Species::parse(row.code), Ok(species));
            assert!(!row.ru.is_empty() && !row.kk.is_empty());
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), 22);
    }

    #[test]
    fn fir_is_not_spruce() {
        // A public data set wrongly gives the Kazakh word for spruce also to fir and to cedar pine.
        assert_eq!(Species::parse("abies_sibirica").unwrap().row().kk, "Сібір самырсыны");
        assert_eq!(Species::parse("picea_obovata").unwrap().row().kk, "Сібір шыршасы");
    }

    #[test]
    fn a_row_is_answered_in_the_contracts_shape() {
        let row = Species::parse("juniperus").unwrap().row();
        assert_eq!(
            serde_json::to_value(row).unwrap(),
            serde_json::json!({"code": "juniperus", "group": "conifer", "ru": "Арча (можжевельник древовидный)",
                "kk": "Арша", "latin": "Juniperus"})
        );
    }

    #[test]
    fn other_spellings_are_refused() {
        for code in ["", "Pinus sylvestris", "PINUS_SYLVESTRIS", "pinus", "pinus_sylvestris ", "сосна"] {
            assert_eq!(Species::parse(code).unwrap_err().code, "unknown-species");
        }
    }

    #[test]
    fn a_grade_is_one_to_four() {
        assert_eq!(Grade::parse("1"), Ok(Grade::BEST));
        assert_eq!(Grade::new(4).unwrap(), Grade::LAST);
        for whole in ["2", "2.0", "20e-1", "0.2e1"] {
            assert_eq!(Grade::parse(whole).unwrap().get(), 2);
        }
        for bad in ["0", "5", "-1", "1.5", "", "II", "257", "99999999999999999999"] {
            assert_eq!(Grade::parse(bad).unwrap_err().code, "grade-out-of-range");
        }
        assert!(serde_json::from_str::<Grade>("257").is_err());
        assert_eq!(serde_json::to_string(&Grade::BEST).unwrap(), "1");
    }

    #[test]
    fn the_words_are_the_contracts() {
        assert_eq!(
            MeasurementMethod::WORDS.join(" "),
            "gost_2708_75 huber smalian stack_geometric harvester scanner weight other"
        );
        assert_eq!(Assortment::WORDS.join(" "), "saw_log veneer_log pulpwood pit_prop pole firewood other");
        assert_eq!(Wood::WORDS.join(" "), "commercial firewood brushwood");
        assert_eq!(LogKind::WORDS.join(" "), "log stack");
    }
}
