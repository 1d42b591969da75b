//! The words of vocabularies, and figures with their units, in the language of a page.

use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::region::Region;
use crate::base::units::KAZAKHSTAN_OFFSET_MINUTES;
use crate::http::pages::english_name;
use crate::services::verification::answer::Verdict;
use crate::timber::custody::log::read::PartyView;
use crate::timber::wood::species::Species;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::Value;

/// The name of a species.
pub(super) fn species_word(species: Species, lang: Lang) -> String {
    let row = species.row();
    match lang {
        Lang::Kk => row.kk.to_owned(),
        Lang::Ru => row.ru.to_owned(),
        Lang::En => english_name(row.code).unwrap_or(row.latin).to_owned(),
    }
}

/// The name of a region.
pub(super) fn region_word(region: Region, lang: Lang) -> String {
    let names = region.names();
    match lang {
        Lang::Kk => names.kk,
        Lang::Ru => names.ru,
        Lang::En => names.en,
    }
    .to_owned()
}

/// The species in a JSON value, by its code; the code itself if the list has no such species.
pub(super) fn species_of(value: &Value, lang: Lang) -> Option<String> {
    let code = value.as_str()?;
    Some(Species::parse(code).map_or_else(|_| code.to_owned(), |species| species_word(species, lang)))
}

/// The name of an organisation; the reader may not see that of a person.
pub(super) fn party_word(party: &PartyView, lang: Lang) -> String {
    party.name.clone().unwrap_or_else(|| say(lang, "desk-nameless"))
}

/// A figure with its unit: `key` is `metres`, `centimetres` or `cubic-metres`.
pub(super) fn amount(lang: Lang, key: &str, value: Decimal) -> String {
    say_with(lang, key, &[("value", lang.decimal(value).into())])
}

/// A figure in a JSON value, with its unit.
pub(super) fn amount_of(lang: Lang, key: &str, value: &Value) -> Option<String> {
    Some(amount(lang, key, decimal_of(value)?))
}

/// A figure in a JSON value, whether it is a number or a text.
pub(super) fn decimal_of(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// An instant in a JSON value.
pub(super) fn instant_of(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}

/// The sign and the word of a verdict: nothing is said by colour alone.
pub(super) fn verdict_word(verdict: Verdict, offered: bool, lang: Lang) -> String {
    let sign = match verdict {
        Verdict::Valid if offered => "✓",
        Verdict::Valid | Verdict::Held | Verdict::Closed | Verdict::Unused => "!",
        Verdict::Void => "✕",
        Verdict::Unknown => "?",
    };
    format!("{sign} {}", verdict.word(lang))
}

/// An instant in Kazakhstan's time, to the minute. The foot of each page names the zone.
pub(super) fn when(lang: Lang, at: DateTime<Utc>) -> String {
    let local = (at + TimeDelta::minutes(KAZAKHSTAN_OFFSET_MINUTES.into())).naive_utc();
    format!("{}, {}", lang.date(local.date()), local.format("%H:%M"))
}

/// A word of a vocabulary in a JSON value.
pub(super) fn word_of(family: &str, value: &Value, lang: Lang) -> Option<String> {
    value.as_str().map(|word| say_word(lang, family, word))
}
