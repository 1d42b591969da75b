//! The sentence of a finding, made from its rule, the rule's version and its figures in the three languages. The
//! sentences are in `locales/*/finding.ftl` under `finding-RULE-vVERSION`.

use super::inputs::{Figure, Inputs};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{Value, try_say_with};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sentence in the three languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingMessage {
    /// Kazakh.
    pub kk: String,
    /// Russian.
    pub ru: String,
    /// English.
    pub en: String,
}

impl FindingMessage {
    /// The sentence of a finding in each language.
    #[must_use]
    pub fn of(rule: &str, version: u16, inputs: Option<&str>, detail: Option<&str>) -> Self {
        let say = |lang| sentence(lang, rule, version, inputs, detail);
        Self { kk: say(Lang::Kk), ru: say(Lang::Ru), en: say(Lang::En) }
    }

    /// The sentence in one language.
    #[must_use]
    pub fn of_language(&self, lang: Lang) -> &str {
        match lang {
            Lang::Kk => &self.kk,
            Lang::Ru => &self.ru,
            Lang::En => &self.en,
        }
    }
}

/// The sentence of a finding. `detail` is the stored English sentence: it stands in every language for a rule or a
/// version without a sentence in `locales/`, and for findings that were made before there were figures.
#[must_use]
pub fn sentence(lang: Lang, rule: &str, version: u16, inputs: Option<&str>, detail: Option<&str>) -> String {
    if let Some(detail) = detail {
        return detail.to_owned();
    }
    let inputs = Inputs::parse(inputs.unwrap_or_default());
    let values: Vec<(&str, Value<'_>)> =
        inputs.iter().map(|(name, figure)| (name, value(lang, name, figure))).collect();
    try_say_with(lang, &key(rule, version), &values).unwrap_or_else(|| rule.to_owned())
}

fn key(rule: &str, version: u16) -> String {
    format!("finding-{rule}-v{version}")
}

/// Endings of the names of decimals.
const UNITS: [&str; 6] = ["_m3", "_cm", "_m", "_km", "_ha", "_percent"];

fn value(lang: Lang, name: &str, figure: &Figure) -> Value<'static> {
    match figure {
        Figure::Number(number) => (*number).into(),
        Figure::Text(text) => {
            let decimal =
                || text.parse::<Decimal>().ok().filter(|_| UNITS.iter().any(|unit| name.ends_with(unit)));
            let time = || text.parse::<DateTime<Utc>>().ok().filter(|_| name.ends_with("_at"));
            if let Some(decimal) = decimal() {
                lang.decimal(decimal).into()
            } else if let Some(time) = time() {
                lang.moment(time).into()
            } else {
                text.clone().into()
            }
        }
    }
}
