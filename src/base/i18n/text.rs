//! The sentences of the pages and of the public check in three languages, from `locales/`, compiled in.
//!
//! A missing key shows as `⟦key⟧`; tests check that no page contains one.

use super::Lang;
use fluent_templates::{LanguageIdentifier, fluent_bundle::FluentValue, langid, static_loader};
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "kk",
        // By default, fluent puts invisible isolation characters around each value, for texts of mixed
        // writing directions. The three languages do not need them, and the JSON responses should contain no
        // invisible characters. Pages isolate untrusted text with <bdi>.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// A value in a sentence: a text, or a number that selects the plural form.
pub type Value<'a> = FluentValue<'a>;

const KK: LanguageIdentifier = langid!("kk");
const RU: LanguageIdentifier = langid!("ru");
const EN: LanguageIdentifier = langid!("en");

/// The sentence `key` in `lang`.
#[must_use]
pub fn say(lang: Lang, key: &str) -> String {
    say_with(lang, key, &[])
}

/// The sentence `key` in `lang`, with `values` inserted.
#[must_use]
pub fn say_with(lang: Lang, key: &str, values: &[(&str, Value<'_>)]) -> String {
    find(lang, key, values).unwrap_or_else(|| format!("⟦{key}⟧"))
}

/// As [`say_with`]; `None` if there is no such sentence.
#[must_use]
pub fn try_say_with(lang: Lang, key: &str, values: &[(&str, Value<'_>)]) -> Option<String> {
    find(lang, key, values)
}

/// The sentence with the key `{family}-{word}`; if there is none, the one with the key `{family}-other`.
#[must_use]
pub fn say_word(lang: Lang, family: &str, word: &str) -> String {
    find(lang, &format!("{family}-{word}"), &[]).unwrap_or_else(|| say(lang, &format!("{family}-other")))
}

/// Cache of the sentences without values, which are most of a page's text. It cannot hold more than the
/// files do, since only existing keys are inserted.
static PLAIN: [RwLock<BTreeMap<Box<str>, Box<str>>>; 3] = [const { RwLock::new(BTreeMap::new()) }; 3];

fn find(lang: Lang, key: &str, values: &[(&str, Value<'_>)]) -> Option<String> {
    if !values.is_empty() {
        return look_up(lang, key, values);
    }
    let plain = &PLAIN[lang as usize];
    // A poisoned lock is harmless: an entry is inserted completely or not at all.
    if let Some(text) = plain.read().unwrap_or_else(PoisonError::into_inner).get(key) {
        return Some(text.as_ref().to_owned());
    }
    let text = look_up(lang, key, values)?;
    plain.write().unwrap_or_else(PoisonError::into_inner).insert(key.into(), text.as_str().into());
    Some(text)
}

fn look_up(lang: Lang, key: &str, values: &[(&str, Value<'_>)]) -> Option<String> {
    let id = match lang {
        Lang::Kk => &KK,
        Lang::Ru => &RU,
        Lang::En => &EN,
    };
    let values: HashMap<&str, Value<'_>> =
        values.iter().map(|(name, value)| (*name, value.clone())).collect();
    // There is no fallback to another language: a test fails if a sentence is missing, which is better than a
    // page in two languages.
    let text = LOCALES.lookup_single_language(id, key, Some(&values)).ok()?;
    // Long sentences are wrapped in the files; the line breaks are not part of the text.
    Some(text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement, VariantKey};
    use std::collections::BTreeSet;

    macro_rules! sources {
        ($lang:literal) => {
            [
                include_str!(concat!("../../../locales/", $lang, "/verdict.ftl")),
                include_str!(concat!("../../../locales/", $lang, "/page.ftl")),
                include_str!(concat!("../../../locales/", $lang, "/finding.ftl")),
                include_str!(concat!("../../../locales/", $lang, "/desk.ftl")),
            ]
        };
    }

    const SOURCES: [(Lang, [&str; 4]); 3] =
        [(Lang::Kk, sources!("kk")), (Lang::Ru, sources!("ru")), (Lang::En, sources!("en"))];

    /// Collects the names of the variables in a sentence, and the cases that the sentence distinguishes. A choice of
    /// plural forms is left out, because it depends on the language.
    fn inputs(pattern: &Pattern<&str>, into: &mut BTreeSet<String>) {
        for element in &pattern.elements {
            let PatternElement::Placeable { expression } = element else { continue };
            let (Expression::Inline(inline) | Expression::Select { selector: inline, .. }) = expression;
            let InlineExpression::VariableReference { id } = inline else {
                panic!("only variables are used: {inline:?}")
            };
            into.insert(format!("${}", id.name));
            let Expression::Select { variants, .. } = expression else { continue };
            let names = variants.iter().map(|variant| match variant.key {
                VariantKey::Identifier { name } => name,
                VariantKey::NumberLiteral { value } => value,
            });
            if !names.clone().all(|name| ["one", "few", "many", "other"].contains(&name)) {
                into.extend(names.map(|name| format!("${}={name}", id.name)));
            }
            for variant in variants {
                inputs(&variant.value, into);
            }
        }
    }

    fn messages(lang: Lang) -> BTreeMap<String, BTreeSet<String>> {
        let mut all = BTreeMap::new();
        let (_, sources) = SOURCES.into_iter().find(|(of, _)| *of == lang).unwrap();
        for source in sources {
            for entry in fluent_syntax::parser::parse(source).unwrap().body {
                if let Entry::Message(message) = entry {
                    let mut values = BTreeSet::new();
                    inputs(message.value.as_ref().unwrap(), &mut values);
                    let twice = all.insert(message.id.name.to_owned(), values);
                    assert!(twice.is_none(), "{} is defined twice in {lang:?}", message.id.name);
                }
            }
        }
        all
    }

    #[test]
    fn every_language_says_the_same_things_of_the_same_values() {
        let english = messages(Lang::En);
        assert!(english.len() > 100);
        assert_eq!(messages(Lang::Ru), english);
        assert_eq!(messages(Lang::Kk), english);
    }

    #[test]
    fn russian_counts_as_russians_do() {
        let pieces = |count: u32| say_with(Lang::Ru, "pieces-count", &[("count", count.into())]);
        assert_eq!(
            [1, 2, 5, 11, 21, 24, 112].map(pieces),
            ["1 бревно", "2 бревна", "5 брёвен", "11 брёвен", "21 бревно", "24 бревна", "112 брёвен"]
        );
    }

    #[test]
    fn a_new_word_of_the_record_is_still_told() {
        assert_eq!(say_word(Lang::En, "state", "stored"), "In storage");
        assert_eq!(say_word(Lang::En, "state", "divided"), "Other");
        assert_eq!(say_word(Lang::En, "event", "../../x y"), "Recorded");
    }

    #[test]
    fn sentences_hold_no_line_breaks_and_no_invisible_marks() {
        for lang in Lang::ALL {
            for key in messages(lang).into_keys() {
                let names = &messages(lang)[&key];
                let names = names.iter().filter(|name| !name.contains('=')).map(|name| &name[1..]);
                let numbers = ["k", "n", "count", "seconds", "days"];
                let values: Vec<(&str, Value<'_>)> = names
                    .map(|name| (name, if numbers.contains(&name) { 2.into() } else { "x".into() }))
                    .collect();
                let text = say_with(lang, &key, &values);
                assert!(!text.contains(['\n', '\u{2068}', '\u{2069}', '⟦']), "{lang:?} {key}: {text}");
                assert_eq!(text.trim(), text);
            }
        }
    }
}
