//! The three languages of the pages: how the language of a response is chosen, and how each language writes
//! numbers, dates and times.

use crate::base::units::KAZAKHSTAN_OFFSET_MINUTES;
use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

/// A language of the pages and of the public check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Kazakh, in Cyrillic letters; the default if the request prefers none of the three languages.
    #[default]
    Kk,
    /// Russian.
    Ru,
    /// English.
    En,
}

const KK_MONTHS: [&str; 12] = [
    "қаңтар",
    "ақпан",
    "наурыз",
    "сәуір",
    "мамыр",
    "маусым",
    "шілде",
    "тамыз",
    "қыркүйек",
    "қазан",
    "қараша",
    "желтоқсан",
];
const RU_MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];
const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Lang {
    /// Every language, in the order in which the pages offer them.
    pub const ALL: [Self; 3] = [Self::Kk, Self::Ru, Self::En];

    /// The BCP 47 tag: `kk`, `ru` or `en`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Kk => "kk",
            Self::Ru => "ru",
            Self::En => "en",
        }
    }

    /// The language's name in itself.
    #[must_use]
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::Kk => "Қазақша",
            Self::Ru => "Русский",
            Self::En => "English",
        }
    }

    /// The language of a tag such as `ru`, `RU` or `ru-KZ`; `None` if it is not one of the three languages.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or(tag);
        Self::ALL.into_iter().find(|lang| lang.code().eq_ignore_ascii_case(primary))
    }

    /// The language of a response: by the query's `lang`, else by `Accept-Language` (RFC 9110, 12.5.4), else
    /// Kazakh.
    ///
    /// It never fails: an unknown tag is ignored, and so is a header that cannot be parsed.
    #[must_use]
    pub fn choose(query: Option<&str>, accept_language: Option<&str>) -> Self {
        query.and_then(Self::from_tag).or_else(|| accept_language.and_then(preferred)).unwrap_or_default()
    }

    /// The language that an `Accept-Language` header prefers; `None` if it names none of the three.
    #[must_use]
    pub fn accepted(accept_language: Option<&str>) -> Option<Self> {
        accept_language.and_then(preferred)
    }

    /// A decimal as the language writes it, without trailing zeros: `0,33` in Kazakh and Russian, `0.33` in
    /// English.
    #[must_use]
    pub fn decimal(self, value: Decimal) -> String {
        let text = value.normalize().to_string();
        match self {
            Self::En => text,
            Self::Kk | Self::Ru => text.replace('.', ","),
        }
    }

    /// A date in words: `2026 жылғы 3 қазан`, `3 октября 2026 г.`, `3 October 2026`.
    /// No-break spaces keep day and month on one line.
    #[must_use]
    pub fn date(self, date: NaiveDate) -> String {
        let (year, day) = (date.year(), date.day());
        let month = usize::try_from(date.month0()).unwrap_or_default();
        match self {
            Self::Kk => format!("{year} жылғы {day}\u{a0}{}", KK_MONTHS[month]),
            Self::Ru => format!("{day}\u{a0}{} {year}\u{a0}г.", RU_MONTHS[month]),
            Self::En => format!("{day}\u{a0}{} {year}", EN_MONTHS[month]),
        }
    }

    /// An instant in Kazakhstan's time, to the minute, in words.
    #[must_use]
    pub fn moment(self, at: DateTime<Utc>) -> String {
        let local = (at + TimeDelta::minutes(KAZAKHSTAN_OFFSET_MINUTES.into())).naive_utc();
        super::text::say_with(
            self,
            "date-moment",
            &[("date", self.date(local.date()).into()), ("time", local.format("%H:%M").to_string().into())],
        )
    }
}

/// The language that has the highest weight in an `Accept-Language` header, among the three languages of the
/// pages. If several have this weight, the first of them.
fn preferred(header: &str) -> Option<Lang> {
    let mut best: Option<(u16, Lang)> = None;
    for range in header.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some(lang) = parts.next().and_then(Lang::from_tag) else { continue };
        let Some(weight) = parts.next().map_or(Some(1000), weight) else { continue };
        if weight > 0 && best.is_none_or(|(highest, _)| weight > highest) {
            best = Some((weight, lang));
        }
    }
    best.map(|(_, lang)| lang)
}

/// The weight in thousandths: 800 for `q=0.8`. `None` unless it is 0 to 1 with at most three decimals.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (integer, decimals) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match integer {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_query_wins_then_the_header_then_kazakh() {
        assert_eq!(Lang::choose(Some("en"), Some("ru")), Lang::En);
        assert_eq!(Lang::choose(Some("RU"), None), Lang::Ru);
        assert_eq!(Lang::choose(Some("de"), Some("ru-RU,ru;q=0.9,en;q=0.8")), Lang::Ru);
        assert_eq!(Lang::choose(None, Some("de-DE,de;q=0.9,en;q=0.5")), Lang::En);
        assert_eq!(Lang::choose(None, Some("de, fr")), Lang::Kk);
        assert_eq!(Lang::choose(None, None), Lang::Kk);
        assert_eq!(Lang::choose(Some(""), Some("")), Lang::Kk);
    }

    #[test]
    fn weights_decide_and_zero_means_never() {
        assert_eq!(Lang::choose(None, Some("en;q=0.3, ru;q=0.301")), Lang::Ru);
        assert_eq!(Lang::choose(None, Some("ru;q=0, en;q=0.001")), Lang::En);
        assert_eq!(Lang::choose(None, Some("ru ; Q=0.5 , en ; q=1")), Lang::En);
        assert_eq!(Lang::choose(None, Some("en;q=0.5, ru;q=0.5")), Lang::En);
        assert_eq!(Lang::choose(None, Some("ru;q=0")), Lang::Kk);
        for unreadable in
            ["ru;q=1.5", "ru;q=-1", "ru;q=0.1234", "ru;q=", "ru;q=٣", "ru;level=1", "*", ";;;,,=q"]
        {
            assert_eq!(Lang::choose(None, Some(unreadable)), Lang::Kk, "{unreadable}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(header in "\\PC{0,80}", query in proptest::option::of("\\PC{0,20}")) {
            let _ = Lang::choose(query.as_deref(), Some(&header));
        }
    }

    #[test]
    fn decimals_are_written_as_each_language_does() {
        let volume: Decimal = "0.3300".parse().unwrap();
        assert_eq!(Lang::ALL.map(|lang| lang.decimal(volume)), ["0,33", "0,33", "0.33"]);
        let length: Decimal = "6.00".parse().unwrap();
        assert_eq!(Lang::ALL.map(|lang| lang.decimal(length)), ["6", "6", "6"]);
        assert_eq!(Lang::Ru.decimal("100".parse().unwrap()), "100");
    }

    #[test]
    fn dates_are_written_as_each_language_does() {
        let date = NaiveDate::from_ymd_opt(2026, 10, 3).unwrap();
        let plain = |lang: Lang| lang.date(date).replace('\u{a0}', " ");
        assert_eq!(Lang::ALL.map(plain), ["2026 жылғы 3 қазан", "3 октября 2026 г.", "3 October 2026"]);
    }

    #[test]
    fn a_moment_is_told_in_the_time_of_kazakhstan() {
        let late: DateTime<Utc> = "2026-12-31T19:30:00Z".parse().unwrap();
        assert_eq!(
            Lang::En.moment(late).replace('\u{a0}', " "),
            "1 January 2027, 00:30 (Kazakhstan time, UTC+5)"
        );
        assert!(Lang::Kk.moment(late).starts_with("2027 жылғы 1\u{a0}қаңтар, 00:30 ("));
    }
}
