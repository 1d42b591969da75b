//! Tests of the pages that buyers see: the order of their content, that user text stays text, that the markup
//! is well-formed, and that the colours are readable in sunlight.
//!
//! `PAGES_DIR=some/folder cargo test --test pages` writes every page there, for inspection.

use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use ormantrace::base::error::Invalid;
use ormantrace::base::i18n::Lang;
use ormantrace::base::i18n::text::say;
use ormantrace::evidence::chain::Hash;
use ormantrace::evidence::register::published::PublishedState;
use ormantrace::evidence::tlog::note::Kind;
use ormantrace::evidence::tlog::{Checkpoint, Note, Policy, Signer};
use ormantrace::http::core::layers::PAGE_CSP;
use ormantrace::http::core::problem::ProblemType;
use ormantrace::http::pages::{
    FormProblem, Reference, assets, error_page, problems::render_problems, render_form, render_reference,
    render_reference_tag, render_register, render_start, render_verification,
};
use ormantrace::http::router::openapi;
use ormantrace::services::register_lookup::{RegisterEntry, Witnesses};
use ormantrace::services::verification::answer::{
    ParsedCode, Signature, SpeciesName, Texts, Verdict, Verification, VerifiedEvent, VerifiedLog,
    VerifiedOrigin, VerifiedRegion,
};
use ormantrace::services::verification::cached_json::CachedJson;
use ormantrace::timber::seal::{Code, SealNumber, VoidReason};
use std::sync::LazyLock;

const IDENTIFICATION: &str = "0104870000000014215QK7ZT2M";

fn now() -> DateTime<Utc> {
    "2026-11-24T05:20:00Z".parse().unwrap()
}

fn abai() -> CachedJson<VerifiedRegion> {
    let name = Texts {
        kk: "Абай облысы".into(), ru: "Абайская область".into(), en: "Abai Region".into()
    };
    VerifiedRegion { code: "KZ-10".into(), name }.into()
}

fn log(status: &str, event: &str) -> VerifiedLog {
    VerifiedLog {
        species: "pinus_sylvestris".into(),
        species_name: SpeciesName {
            kk: "Кәдімгі қарағай".into(),
            ru: "Сосна обыкновенная".into(),
            latin: "Pinus sylvestris".into(),
        }
        .into(),
        kind: "log".into(),
        length_m: Some("6.00".parse().unwrap()),
        top_diameter_cm: Some("24.5".parse().unwrap()),
        pieces: None,
        volume_m3: "0.3300".parse().unwrap(),
        origin: VerifiedOrigin { region: abai(), forestry: "Бөкебай орманшылығы".into() },
        felled_on: NaiveDate::from_ymd_opt(2026, 10, 3).unwrap(),
        felling_ticket: "СО 004512".into(),
        status: status.into(),
        holder_name: Some("«Ертіс Сүрек» ЖШС".into()),
        last_event: VerifiedEvent {
            kind: event.into(),
            on: NaiveDate::from_ymd_opt(2026, 11, 19).unwrap(),
            as_recorded: false,
            region: Some(abai()),
        },
    }
}

fn stack() -> VerifiedLog {
    VerifiedLog {
        species: "betula_pendula".into(),
        species_name: SpeciesName {
            kk: "Қотыр қайың".into(),
            ru: "Берёза повислая".into(),
            latin: "Betula pendula".into(),
        }
        .into(),
        kind: "stack".into(),
        length_m: None,
        top_diameter_cm: None,
        pieces: Some(124),
        volume_m3: "18.5".parse().unwrap(),
        holder_name: None,
        ..log("at_felling", "harvested")
    }
}

fn asked(signature: Signature) -> ParsedCode {
    ParsedCode { code: IDENTIFICATION.into(), seal_number: Some("KZ00418826".into()), signature }
}

/// A valid verdict with a record in the register, cosigned by `k` of `n` witnesses.
fn typed(number: &str) -> Code {
    Code::SealNumber(SealNumber::parse(number).unwrap())
}

fn registered(k: usize, n: usize) -> Verification {
    let register =
        RegisterEntry { index: 48_211, received_at: now(), size: 48_213, witnesses: Witnesses { k, n } };
    let answer = Verification::valid(asked(Signature::Valid), log("stored", "stored"), None);
    Verification { register: Some(Some(register)), ..answer }
}

/// The same register without a witness.
fn unwitnessed() -> PublishedState {
    let state = said();
    let registers = state.policy.registers.clone();
    let note = state.note.only_by(&registers);
    let policy = Policy { registers, ..Policy::default() };
    PublishedState { note, policy, witnesses: 0, ..state }
}

/// A published register.
fn said() -> PublishedState {
    let signer = Signer::from_seed("timber.example/register", Kind::Text, &[1; 32]).unwrap();
    let witness = Signer::from_seed("witness.example/office", Kind::Cosignature, &[2; 32]).unwrap();
    let checkpoint = Checkpoint::new("timber.example/register", 48_213, Hash([7; 32])).unwrap();
    let note = Note::sign(checkpoint.to_string(), &[&signer, &witness], now()).unwrap();
    let policy = Policy {
        registers: vec![signer.verifier().clone()],
        witnesses: vec![witness.verifier().clone()],
        quorum: 1,
    };
    PublishedState { note, checkpoint, policy, witnesses: 1 }
}

/// One verdict of every kind.
fn answers() -> Vec<(&'static str, Verification)> {
    let unregistered = ParsedCode { seal_number: None, ..asked(Signature::UnknownKey) };
    vec![
        ("valid", Verification::valid(asked(Signature::Valid), log("stored", "stored"), None)),
        ("valid-registered", registered(2, 3)),
        ("valid-registered-alone", registered(0, 0)),
        ("valid-stack", Verification::valid(asked(Signature::Absent), stack(), None)),
        ("closed", Verification::closed(asked(Signature::Valid), log("processed", "processed"))),
        ("void", Verification::void(asked(Signature::Absent), VoidReason::Stolen, None)),
        (
            "void-replaced",
            Verification::void(
                asked(Signature::Absent),
                VoidReason::Replaced,
                Some(log("stored", "seal_replaced")),
            ),
        ),
        ("unused", Verification::unused(asked(Signature::Valid))),
        ("unknown", Verification::not_registered(unregistered, &typed("KZ000041"))),
        ("forged", Verification::forged(asked(Signature::Forged))),
        (
            "unreadable",
            Verification::unreadable(
                "сосна №7",
                &Invalid::new("not-a-code", "Neither a seal number nor a marking code."),
            ),
        ),
    ]
}

/// Every page in one language.
fn pages(lang: Lang) -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = answers()
        .into_iter()
        .map(|(name, answer)| (name.to_owned(), render_verification(&answer, lang, now(), None)))
        .collect();
    pages.push(("register".into(), render_register(lang, Some(&said()), &said().policy.registers)));
    let alone = unwitnessed();
    pages.push(("register-alone".into(), render_register(lang, Some(&alone), &alone.policy.registers)));
    pages.push(("register-none".into(), render_register(lang, None, &[])));
    pages.push(("start".into(), render_start(lang)));
    pages.push(("form".into(), render_form(lang, "", None)));
    pages.push(("form-again".into(), render_form(lang, "..", Some(FormProblem::Unreadable))));
    pages.push(("form-empty".into(), render_form(lang, "", Some(FormProblem::Empty))));
    for status in [404, 429, 500, 503] {
        let retry = (status == 429 || status == 503).then_some(21);
        let page = error_page(StatusCode::from_u16(status).unwrap(), lang, "0193b7f0-4c1e", retry);
        pages.push((format!("error-{status}"), page));
    }
    pages.push(("problems".into(), render_problems(lang, "Problems", ProblemType::ALL)));
    for kind in ProblemType::ALL {
        let page = render_problems(lang, kind.title(), &[*kind]);
        pages.push((format!("problem-{}", kind.slug()), page));
    }
    pages.push(("docs".into(), render_reference(lang, reference())));
    for slug in slugs(&openapi()) {
        let page = render_reference_tag(lang, reference(), &slug).expect("a page for each tag");
        pages.push((format!("docs-{slug}"), page));
    }
    pages
}

/// The page mentions witnesses only if there are some, and a command to verify only if there is a register.
#[test]
fn the_page_of_the_register_claims_only_what_is_there() {
    for (lang, sees, outside) in [
        (Lang::En, "The witnesses have seen", "witnesses outside this office cosign"),
        (Lang::Ru, "Свидетели видели", "а свидетели вне этого ведомства заверяют"),
        (Lang::Kk, "Куәлер сіз көрген", "куәлер өздері көргенін растайды"),
    ] {
        let keys = said().policy.registers;
        let pages = [
            render_register(lang, Some(&said()), &keys),
            render_register(lang, Some(&unwitnessed()), &keys),
            render_register(lang, None, &[]),
        ];
        let has = |text: &str| pages.each_ref().map(|page| page.contains(text));
        assert_eq!(has(sees), [true, false, false], "{lang:?}");
        assert_eq!(has(outside), [true, false, false], "{lang:?}");
        assert_eq!(has("ormantrace verify"), [true, true, false], "no command without a register: {lang:?}");
    }
}

/// The API reference, made once.
fn reference() -> &'static Reference {
    static REFERENCE: LazyLock<Reference> =
        LazyLock::new(|| Reference::new(&openapi(), "http://127.0.0.1:8080"));
    &REFERENCE
}

/// The last part of the URL of each tag's page.
fn slugs(document: &serde_json::Value) -> Vec<String> {
    let tags = document["tags"].as_array().expect("tags");
    tags.iter().map(|tag| tag["name"].as_str().expect("a name").replace(' ', "-")).collect()
}

/// The texts between the tags, in order, without the empty ones.
fn texts(html: &str) -> Vec<&str> {
    html.split('>')
        .map(|piece| piece.split('<').next().unwrap().trim())
        .filter(|text| !text.is_empty())
        .collect()
}

/// A tag's name, its attributes, and whether it closes.
type Tag<'a> = (&'a str, Vec<(&'a str, &'a str)>, bool);

/// The tags of a page in order. Panics if the markup is not well-formed.
fn tags(html: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a stray > before {}", &rest[start..]);
        let end = start + rest[start..].find('>').expect("a tag without end");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |name| (true, name));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut pairs = Vec::new();
        while !attributes.trim().is_empty() {
            attributes = attributes.trim_start();
            let name_end = attributes.find(['=', ' ']).unwrap_or(attributes.len());
            let key = &attributes[..name_end];
            attributes = &attributes[name_end..];
            if let Some(quoted) = attributes.strip_prefix("=\"") {
                let (value, after) = quoted.split_once('"').expect("an attribute without closing quote");
                pairs.push((key, value));
                attributes = after;
            } else {
                assert!(!attributes.starts_with('='), "an attribute without quotes in <{tag}>");
                pairs.push((key, ""));
            }
        }
        tags.push((name, pairs, closes));
    }
    assert!(!rest.contains('>'));
    tags
}

#[test]
fn every_page_is_sound_and_does_nothing_by_itself() {
    const VOID: [&str; 4] = ["meta", "link", "input", "br"];
    for lang in Lang::ALL {
        for (name, html) in pages(lang) {
            if let Some(folder) = std::env::var_os("PAGES_DIR") {
                std::fs::write(
                    std::path::Path::new(&folder).join(format!("{name}.{}.html", lang.code())),
                    &html,
                )
                .unwrap();
            }
            let mut open = Vec::new();
            let mut ids = Vec::new();
            for (tag, attributes, closes) in tags(&html) {
                assert!(
                    !["script", "style", "iframe", "object", "embed", "base"].contains(&tag),
                    "{name}: <{tag}>"
                );
                for (key, value) in attributes {
                    assert!(!key.starts_with("on") && key != "style", "{name}: {key} in <{tag}>");
                    assert!(!value.contains("//") && !value.contains("javascript:"), "{name}: {key}={value}");
                    if key == "id" {
                        assert!(!ids.contains(&value), "{name}: duplicate id {value}");
                        ids.push(value);
                    }
                }
                if closes {
                    assert_eq!(open.pop(), Some(tag), "{name}");
                } else if !VOID.contains(&tag) {
                    open.push(tag);
                }
            }
            assert!(open.is_empty(), "{name}: never closed: {open:?}");
            for (tag, attributes, _) in tags(&html) {
                for (key, value) in attributes {
                    if ["aria-labelledby", "aria-describedby", "for"].contains(&key) {
                        assert!(ids.contains(&value), "{name}: <{tag} {key}={value}> points nowhere");
                    }
                }
            }
            assert!(!html.contains('⟦'), "{name}: a sentence is missing");
        }
    }
}

#[test]
fn headings_and_landmarks_are_in_order() {
    for (name, html) in pages(Lang::Ru) {
        let names: Vec<&str> =
            tags(&html).into_iter().filter(|(.., closes)| !closes).map(|(name, ..)| name).collect();
        let count = |tag: &str| names.iter().filter(|name| **name == tag).count();
        for once in ["header", "nav", "main", "footer", "h1", "title"] {
            assert_eq!(count(once), 1, "{name}: {once}");
        }
        let mut level = 0;
        for heading in names.iter().filter(|name| name.len() == 2 && name.starts_with('h') && **name != "hr")
        {
            let next: u32 = heading[1..].parse().unwrap();
            assert!(next <= level + 1, "{name}: h{next} after h{level}");
            level = next;
        }
        assert!(html.contains("<a class=\"skip\" href=\"#main\">"));
        assert!(html.contains("<meta name=\"viewport\""));
        assert_eq!(html.contains("content=\"noindex\""), name != "start", "{name}");
    }
}

#[test]
fn the_verdict_is_the_first_word_of_title_and_content() {
    for lang in Lang::ALL {
        for (name, answer) in answers() {
            let html = render_verification(&answer, lang, now(), None);
            let word = answer.verdict.word(lang);
            let main = html.split_once("<main id=\"main\" tabindex=\"-1\">").unwrap().1;
            assert_eq!(texts(main).first(), Some(&word.as_str()), "{name}");
            let title = html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
            assert!(title.starts_with(&word), "{name}: {title}");
            // The page has the same message as the JSON.
            assert!(texts(main).contains(&answer.message.get(lang)), "{name}");
        }
    }
}

#[test]
fn no_two_verdicts_look_or_read_alike() {
    for lang in Lang::ALL {
        let words = Verdict::ALL.map(|verdict| verdict.word(lang));
        for (at, word) in words.iter().enumerate() {
            // The word of one verdict must not be part of the word of another, as "действительна" is of
            // "недействительна": a hurried reader may see only a part.
            assert!(
                words
                    .iter()
                    .enumerate()
                    .all(|(other, text)| other == at || !text.to_lowercase().contains(&word.to_lowercase()))
            );
        }
    }
}

#[test]
fn each_page_says_its_language_and_offers_the_others() {
    for lang in Lang::ALL {
        for (name, html) in pages(lang) {
            assert!(html.contains(&format!("<html lang=\"{}\">", lang.code())), "{name}");
            for other in Lang::ALL {
                let current = if other == lang { " aria-current=\"true\"" } else { "" };
                let code = other.code();
                let link = format!(
                    "<a href=\"?lang={code}\" lang=\"{code}\" hreflang=\"{code}\"{current}>{}</a>",
                    other.own_name()
                );
                assert!(html.contains(&link), "{name}: {link}");
            }
        }
    }
}

#[test]
fn a_valid_log_shows_what_to_compare_before_all_else() {
    let plain = |lang| {
        let answer = Verification::valid(asked(Signature::Valid), log("stored", "stored"), None);
        texts(&render_verification(&answer, lang, now(), None)).join("|").replace('\u{a0}', " ")
    };
    // The page has one `|` between two texts. Each expected text begins and ends with a `|`, so two
    // neighbouring expected texts need two of them. Every `|` of the page is therefore doubled.
    let in_order = |page: &str, expected: &[&str]| {
        let page = page.replace('|', "||");
        let mut rest = page.as_str();
        for text in expected {
            rest = rest.split_once(text).unwrap_or_else(|| panic!("{text} is not in its place in {page}")).1;
        }
    };
    in_order(
        &plain(Lang::Ru),
        &[
            "|Действительна|",
            "|Сравните с бревном перед вами|",
            "|KZ00418826|",
            "|Сосна обыкновенная|",
            "|6 м|",
            "|24,5 см|",
            "|Абайская область|",
            "|СО 004512|",
            "|3 октября 2026 г.|",
            "|0,33 м³|",
            "|На складе|",
            "|Помещено на склад, 19 ноября 2026 г.|",
            "|Если что-то не совпадает|",
            "24 ноября 2026 г., 10:20",
        ],
    );
    in_order(&plain(Lang::En), &["|Valid|", "|Scots pine|", "|Pinus sylvestris|", "|24.5 cm|", "|0.33 m³|"]);
    in_order(&plain(Lang::Kk), &["|Жарамды|", "|Кәдімгі қарағай|", "|2026 жылғы 3 қазан|", "|0,33 м³|"]);
}

#[test]
fn a_stack_is_counted_and_a_hidden_holder_leaves_no_row() {
    let answer = Verification::valid(asked(Signature::Absent), stack(), None);
    let html = render_verification(&answer, Lang::Ru, now(), None);
    assert!(html.contains("124 бревна"));
    assert!(html.contains("Сравните со штабелем перед вами"));
    assert!(!html.contains("Длина") && !html.contains("Держатель"));
}

#[test]
fn script_in_any_text_is_only_text() {
    const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&{{7*7}}";
    let evil = || EVIL.to_owned();
    let name = Texts { kk: evil(), ru: evil(), en: evil() };
    let region = || CachedJson::from(VerifiedRegion { code: evil(), name: name.clone() });
    let log = || VerifiedLog {
        species: evil(),
        species_name: SpeciesName { kk: evil(), ru: evil(), latin: evil() }.into(),
        kind: evil(),
        origin: VerifiedOrigin { region: region(), forestry: evil() },
        felling_ticket: evil(),
        status: evil(),
        holder_name: Some(evil()),
        last_event: VerifiedEvent {
            kind: evil(),
            on: now().date_naive(),
            as_recorded: false,
            region: Some(region()),
        },
        ..stack()
    };
    let asked = || ParsedCode { code: evil(), seal_number: Some(evil()), signature: Signature::Forged };
    let all = [
        Verification::valid(asked(), log(), None),
        Verification::closed(asked(), log()),
        Verification::void(asked(), VoidReason::Stolen, Some(log())),
        Verification::unused(asked()),
        Verification::not_registered(asked(), &typed("KZ000041")),
        Verification::forged(asked()),
        Verification::unreadable(EVIL, &Invalid::new("not-a-code", EVIL)),
    ];
    for lang in Lang::ALL {
        let mut pages: Vec<String> =
            all.iter().map(|answer| render_verification(answer, lang, now(), Some(EVIL))).collect();
        pages.push(render_form(lang, EVIL, Some(FormProblem::Unreadable)));
        pages.push(error_page(StatusCode::NOT_FOUND, lang, EVIL, None));
        for html in pages {
            assert!(html.contains("alert(1)"), "the text is shown");
            for (tag, attributes, _) in tags(&html) {
                assert!(tag != "script" && tag != "img", "<{tag}> from user text");
                assert!(attributes.iter().all(|(key, _)| !key.starts_with("on")));
            }
        }
    }
}

#[test]
fn the_policy_of_the_pages_allows_what_they_use_and_nothing_inline() {
    assert!(PAGE_CSP.starts_with("default-src 'none'; ") && !PAGE_CSP.contains("unsafe"));
    let html = render_start(Lang::Kk);
    assert!(html.contains(&format!("<link rel=\"stylesheet\" href=\"{}\">", assets::style_path())));
    assert!(html.contains(&assets::icon_path()));
}

#[test]
fn json_has_the_contracts_names_and_exact_numbers() {
    let json =
        serde_json::to_value(Verification::valid(asked(Signature::Valid), log("stored", "stored"), None))
            .unwrap();
    assert_eq!(json["verdict"], "valid");
    assert_eq!(json["code"], IDENTIFICATION);
    assert_eq!(json["log"]["volume_m3"].to_string(), "0.33");
    assert_eq!(json["log"]["top_diameter_cm"].to_string(), "24.5");
    assert_eq!(json["log"]["origin"]["region"]["code"], "KZ-10");
    assert_eq!(json["log"]["origin"]["region"]["ru"], "Абайская область");
    assert_eq!(json["log"]["last_event"]["type"], "stored");
    assert_eq!(json["log"]["last_event"]["on"], "2026-11-19");
    assert_eq!(json["message"].as_object().unwrap().len(), 3);
    let checks: Vec<(&str, &str)> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["code"].as_str().unwrap(), check["outcome"].as_str().unwrap()))
        .collect();
    let expected = [
        ("format", "pass"),
        ("signature", "pass"),
        ("registered", "pass"),
        ("in-circulation", "pass"),
        ("compare", "unknown"),
    ];
    assert_eq!(checks, expected);

    let json = serde_json::to_value(Verification::valid(asked(Signature::Absent), stack(), None)).unwrap();
    let log = json["log"].as_object().unwrap();
    assert!(log["length_m"].is_null() && log["top_diameter_cm"].is_null() && log["holder_name"].is_null());
    let json = serde_json::to_value(Verification::unused(asked(Signature::Absent))).unwrap();
    assert!(json.get("log").is_none() && json.get("reason").is_none());
}

/// Relative luminance of `#rrggbb` as WCAG 2 defines it.
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

#[test]
fn every_text_stands_out_from_its_ground_by_seven_to_one() {
    let css = include_str!("../src/http/pages/assets/site.css");
    let (light, dark) = css.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = &dark[..dark.find("}\n}").unwrap()];
    let defined = |in_block: &str, name: &str| -> Option<String> {
        let (_, after) = in_block.split_once(&format!("--{name}: "))?;
        Some(after[..7].to_owned())
    };
    for scheme in [light, dark] {
        let colour = |name: &str| defined(scheme, name).or_else(|| defined(light, name)).unwrap();
        for (text, ground) in [
            ("ink", "paper"),
            ("ink", "sheet"),
            ("soft", "paper"),
            ("soft", "sheet"),
            ("link", "paper"),
            ("link", "sheet"),
            ("on-spruce", "spruce"),
            ("brass", "spruce"),
            ("on-plate", "plate"),
            ("on-button", "button"),
            ("on-valid", "valid"),
            ("on-closed", "closed"),
            ("on-void", "void"),
        ] {
            let (a, b) = (luminance(&colour(text)), luminance(&colour(ground)));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 7.0, "{text} on {ground}: {contrast:.2}");
        }
    }
}

/// Ids of the English messages. The tests of the module that reads the messages check that the other
/// languages have the same ids.
fn message_ids() -> impl Iterator<Item = &'static str> {
    let files = [include_str!("../locales/en/verdict.ftl"), include_str!("../locales/en/page.ftl")];
    let lines = files.into_iter().flat_map(str::lines);
    lines.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase())).filter_map(|line| {
        let (id, _) = line.split_once(" =")?;
        Some(id)
    })
}

#[test]
fn every_message_is_used() {
    let users = [
        include_str!("../src/base/i18n/lang.rs"),
        include_str!("../src/http/pages/mod.rs"),
        include_str!("../src/http/pages/view.rs"),
        include_str!("../src/services/verification/answer.rs"),
        include_str!("../templates/base.html"),
        include_str!("../templates/error.html"),
        include_str!("../templates/form.html"),
        include_str!("../templates/start.html"),
        include_str!("../templates/verification.html"),
        include_str!("../templates/register.html"),
        include_str!("../templates/part/again.html"),
        include_str!("../templates/part/ask.html"),
        include_str!("../templates/part/report.html"),
    ]
    .concat();
    // Ids with these prefixes end in a word that is known only at run time, so the sources do not contain the
    // complete ids.
    let families = [
        "state-",
        "event-",
        "void-",
        "unreadable-",
        "unknown-",
        "verdict-",
        "check-",
        "outcome-",
        "error-",
        "hint-",
        "message-",
        "report-",
        "start-step-",
    ];
    assert!(message_ids().count() > 100);
    for id in message_ids() {
        let used =
            users.contains(&format!("\"{id}\"")) || families.iter().any(|family| id.starts_with(family));
        assert!(used, "no page uses {id}");
    }
}

#[test]
fn the_contact_of_the_inspectorate_stands_where_the_page_sends_people_to_it() {
    let answer = Verification::void(asked(Signature::Absent), VoidReason::Stolen, None);
    for lang in Lang::ALL {
        let html = render_verification(&answer, lang, now(), Some("+7 7222 36-00-00"));
        let page = texts(&html).join("|");
        let advice = page.find(&say(lang, "do-tell")).expect("the advice");
        let contact = page.find("+7 7222 36-00-00").expect("the contact");
        assert!(page.contains(&format!("{}:", say(lang, "do-tell-contact"))));
        assert!(advice < contact && contact < page.find(&say(lang, "checks-title")).unwrap());
        let without = render_verification(&answer, lang, now(), None);
        assert!(!without.contains(&say(lang, "do-tell-contact")));
    }
}

#[test]
fn what_was_not_checked_does_not_frighten() {
    let answer = Verification::valid(asked(Signature::Absent), log("stored", "stored"), None);
    let page = |lang| render_verification(&answer, lang, now(), None);
    assert!(page(Lang::Ru).contains("Подпись есть в квадратном коде"));
    for (lang, words) in [(Lang::Ru, "Подписи"), (Lang::En, "No signature"), (Lang::Kk, "қолтаңба жоқ")]
    {
        assert!(!page(lang).contains(words), "{words}");
    }
    assert!(!include_str!("../src/http/pages/assets/site.css").contains("content: \"–\""));
}

/// Text as a page contains it.
fn escaped(text: &str) -> String {
    text.replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

#[test]
fn every_tag_and_operation_of_the_document_is_in_the_reference() {
    let document = openapi();
    let index = render_reference(Lang::Kk, reference());
    assert!(index.contains("<html lang=\"kk\">") && index.contains("<div lang=\"en\">"));
    let mut operations = 0;
    for (tag, slug) in document["tags"].as_array().unwrap().iter().zip(slugs(&document)) {
        let page = render_reference_tag(Lang::Kk, reference(), &slug).unwrap();
        assert!(index.contains(&format!("<a href=\"/docs/{slug}?lang=kk\">")), "{slug}");
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if !operation["tags"].as_array().unwrap().contains(&tag["name"]) {
                    continue;
                }
                operations += 1;
                let id = operation["operationId"].as_str().unwrap();
                let line = format!("<span class=\"method\">{}</span> {path}</code>", method.to_uppercase());
                assert!(index.contains(&line) && page.contains(&line), "{id}");
                assert!(page.contains(&format!("<h2 id=\"{id}\">")), "{id}");
                let section = page.split_once(&format!("<h2 id=\"{id}\">")).unwrap().1;
                let section = section.split_once("</section>").unwrap().0;
                assert!(section.contains("<b>Access.</b>"), "{id}");
                // An example command with the address of the demonstration server.
                let shown =
                    format!("{}{}", escaped("\"http://127.0.0.1:8080"), path.split('{').next().unwrap());
                assert!(section.contains("curl -sS ") && section.contains(&shown), "{id}: no command");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = format!("<dt><code>{}</code></dt>", parameter["name"].as_str().unwrap());
                    assert!(section.contains(&name), "{id}: {name}");
                }
                let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
                for (media, _) in bodies {
                    let heading = format!("Request body, <code>{media}</code>");
                    assert!(section.contains(&heading), "{id}: {media}");
                }
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(section.contains(&format!("<h4><code>{status}</code>")), "{id}: {status}");
                    if status.as_str() >= "400" {
                        let kind = ProblemType::ALL.iter().find(|kind| kind.status().as_str() == status);
                        let slug =
                            kind.unwrap_or_else(|| panic!("{id}: no problem type has {status}")).slug();
                        assert!(
                            section.contains(&format!("href=\"/problems/{slug}?lang=kk\"")),
                            "{id}: {slug}"
                        );
                    } else if response["content"]["application/json"].is_object() {
                        assert!(section.contains("<pre class=\"command\"><code>{"), "{id}: no example");
                    }
                }
            }
        }
    }
    let listed = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    assert_eq!(operations, listed.count(), "an operation has no tag, or two");
    assert!(render_reference_tag(Lang::Kk, reference(), "no-such-tag").is_none());
    for code in document["components"]["schemas"]["ErrorCode"]["anyOf"][0]["enum"].as_array().unwrap() {
        assert!(index.contains(&format!("<code>{}</code>", code.as_str().unwrap())), "{code}");
    }
}

#[test]
fn the_reference_lists_the_members_of_bodies_and_custody_events_by_type() {
    let page = render_reference_tag(Lang::En, reference(), "custody").unwrap();
    let section = |word: &str| {
        let title = format!("With <code>type: {word}</code>");
        page.split_once(&title)
            .unwrap_or_else(|| panic!("{title}"))
            .1
            .split_once("form-title")
            .unwrap()
            .0
            .to_owned()
    };
    assert!(section("transferred").contains("<dt><code>to_bin</code></dt>"));
    assert!(!section("stored").contains("to_bin"));
    assert!(section("inspected").contains("<dt><code>details.outcome</code></dt>"));
    let page = render_reference_tag(Lang::En, reference(), "harvests").unwrap();
    for name in ["logs[].seal_number", "logs[].position.lat", "responsible_person.name"] {
        assert!(page.contains(&format!("<dt><code>{name}</code></dt>")), "{name}");
    }
}
