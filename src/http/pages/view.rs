//! Renders data as HTML.

use super::assets;
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::percent;
use crate::evidence::register::published::PublishedState;
use crate::evidence::tlog::VerifierKey;
use crate::services::verification::answer::{Outcome, Verdict, Verification, VerifiedLog};
use crate::timber::finding::report::Reported;
use askama::Template;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};

/// The parts of every page: its language and the frame around its content.
pub(super) struct Frame {
    lang: Lang,
    pub(super) style: String,
    pub(super) icon: String,
}

impl Frame {
    pub(super) fn new(lang: Lang) -> Self {
        Self { lang, style: assets::style_path(), icon: assets::icon_path() }
    }

    pub(super) fn say(&self, key: &str) -> String {
        say(self.lang, key)
    }

    /// What a choice of the form for reports says.
    fn report_choice(&self, what: &str) -> String {
        self.say(&format!("report-{}", what.replace('_', "-")))
    }

    pub(super) fn code(&self) -> &'static str {
        self.lang.code()
    }

    pub(super) fn languages(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        Lang::ALL.into_iter().map(|lang| (lang.code(), lang.own_name(), lang == self.lang))
    }
}

/// Why the form is shown again instead of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormProblem {
    /// Nothing was entered.
    Empty,
    /// The input cannot be part of a URL, so nothing can be looked up.
    Unreadable,
}

/// The form inside a page, with the text that was entered and the problem with it.
struct FormState<'a> {
    entered: &'a str,
    problem: Option<String>,
}

impl FormState<'_> {
    const BLANK: Self = Self { entered: "", problem: None };
}

#[derive(Template)]
#[template(path = "start.html")]
struct Start<'a> {
    frame: Frame,
    form: FormState<'a>,
    steps: [(String, String); 4],
}

#[derive(Template)]
#[template(path = "form.html")]
struct Form<'a> {
    frame: Frame,
    form: FormState<'a>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failure<'a> {
    frame: Frame,
    form: FormState<'a>,
    title: String,
    text: String,
    status: String,
    retry: Option<String>,
    request_id: &'a str,
    has_form: bool,
}

#[derive(Template)]
#[template(path = "verification.html")]
struct VerificationPage<'a> {
    frame: Frame,
    form: FormState<'a>,
    title: String,
    word: String,
    /// The organisation that holds timber in circulation: a buyer compares it with the seller.
    seller: Option<&'a str>,
    message: &'a str,
    /// The verdict by which the page is coloured.
    tone: &'static str,
    symbol: Symbol,
    /// The values that the buyer compares with the log. If the verdict is not `valid`, the section has
    /// another title and shows them only as the recorded values.
    compare: Option<Compare>,
    origin: Vec<Row>,
    last: Vec<Row>,
    checks: Vec<Checked<'a>>,
    register: Option<InRegister>,
    /// The title of the section on what to do in case of doubt. `None` if the input is not a code, because a
    /// typing error is no reason for suspicion.
    doubt_title: Option<String>,
    /// How to reach the inspectorate, if the administrator has set it.
    contact: Option<&'a str>,
    /// Whether the advice to try again comes first.
    again_first: bool,
    checked_at: String,
    /// The form for reporting the seal. `None` if the input is not a code.
    report: Option<ReportForm<'a>>,
    code: String,
    /// The seal's number. Set if the page shows no log and the checked code is not the number itself.
    seal_number: Option<&'a str>,
}

/// The form for reporting a seal: what was entered, and what became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportForm<'a> {
    /// URL to which the form is sent; the page sets it.
    pub action: &'a str,
    /// Whether the report was taken.
    pub sent: bool,
    /// Key of the sentence on why it was not taken.
    pub problem: Option<&'static str>,
    /// What was chosen.
    pub what: &'a str,
    /// The text that was entered.
    pub text: &'a str,
    /// The contact that was entered.
    pub contact: &'a str,
}

impl ReportForm<'_> {
    /// The choices, in the order in which they are shown.
    fn choices() -> impl Iterator<Item = &'static str> {
        Reported::ALL.iter().map(|what| what.as_str())
    }
}

/// The log's newest event in the public register.
struct InRegister {
    line: String,
    /// URL of the proof.
    proof: String,
    /// File name for saving the proof.
    file: String,
}

#[derive(Template)]
#[template(path = "register.html")]
struct Register {
    frame: Frame,
    /// The first paragraph; it depends on whether a state is published and whether the register has
    /// witnesses.
    lead: String,
    now: Option<RegisterNow>,
    /// Whether a witness has cosigned the published state.
    witnessed: bool,
}

/// The published state of the public register.
struct RegisterNow {
    line: String,
    origin: String,
    root: String,
    keys: Vec<String>,
    witnesses: Vec<String>,
    receipts: Vec<String>,
}

/// The shape of the verdict's symbol. The shapes differ, so that they can be recognised without colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Tick,
    Bar,
    Cross,
    Question,
}

struct Compare {
    title: String,
    lead: Option<String>,
    rows: Vec<Measure>,
}

/// A row to compare, with the name of its picture.
struct Measure {
    picture: &'static str,
    label: String,
    value: String,
    /// The species' Latin name, shown smaller, and its language.
    also: Option<(String, &'static str)>,
    hint: Option<String>,
}

struct Row {
    label: String,
    value: String,
}

struct Checked<'a> {
    outcome: &'static str,
    word: String,
    text: &'a str,
}

/// Maximum length of a code shown on a page, in characters: a marking code has about 130.
const MAX_SHOWN_CODE: usize = 160;
/// Maximum length of a code that becomes part of a URL, in bytes: several times that of a Digital Link URL.
const MAX_CODE_BYTES: usize = 1024;

/// `GET /`: what this service does, and the form.
#[must_use]
pub fn render_start(lang: Lang) -> String {
    let step = |name: &str| {
        (say(lang, &format!("start-step-{name}")), say(lang, &format!("start-step-{name}-text")))
    };
    let steps = ["seal", "record", "follow", "check"].map(step);
    render(&Start { frame: Frame::new(lang), form: FormState::BLANK, steps })
}

/// `GET /verify` without a usable `code`: the form, with the `problem` and the text `entered`, if any.
#[must_use]
pub fn render_form(lang: Lang, entered: &str, problem: Option<FormProblem>) -> String {
    let problem = problem.map(|problem| match problem {
        FormProblem::Empty => say(lang, "ask-empty"),
        FormProblem::Unreadable => say(lang, "ask-unreadable"),
    });
    render(&Form { frame: Frame::new(lang), form: FormState { entered, problem } })
}

/// `GET /verify?code=…`: the URL of the result, with every character percent-encoded that could have a
/// meaning in a URL (GS is `%1D`); or the reason to show the form again.
///
/// `.` and `..` are refused: browsers treat them, encoded or not, as steps in a path.
pub fn verify_path(code: &str, lang: Option<Lang>) -> Result<String, FormProblem> {
    let code = code.trim_matches(|c: char| c.is_whitespace() && c != '\u{1d}');
    if code.is_empty() {
        return Err(FormProblem::Empty);
    }
    if code.len() > MAX_CODE_BYTES || code == "." || code == ".." {
        return Err(FormProblem::Unreadable);
    }
    let mut path = format!("/verify/{}", percent::encode_segment(code));
    if let Some(lang) = lang {
        path.push_str("?lang=");
        path.push_str(lang.code());
    }
    Ok(path)
}

/// An error page: 404, 429 and 503 have their own sentences, all other statuses share one.
/// `retry_after` is in seconds, as in the header of that name.
#[must_use]
pub fn error_page(status: StatusCode, lang: Lang, request_id: &str, retry_after: Option<u32>) -> String {
    let family = match status.as_u16() {
        404 => "404",
        429 => "429",
        503 => "503",
        _ => "other",
    };
    render(&Failure {
        frame: Frame::new(lang),
        form: FormState::BLANK,
        title: say(lang, &format!("error-{family}-title")),
        text: say(lang, &format!("error-{family}-text")),
        status: say_with(lang, "error-status", &[("status", status.as_str().into())]),
        retry: retry_after.map(|seconds| say_with(lang, "error-retry", &[("seconds", seconds.into())])),
        request_id,
        has_form: family == "404",
    })
}

/// `GET /register`: what the public register is, its present state, and how to check it.
#[must_use]
pub fn render_register(lang: Lang, state: Option<&PublishedState>, receipts: &[VerifierKey]) -> String {
    let now = state.map(|state| RegisterNow {
        line: say_with(
            lang,
            "register-size",
            &[
                ("size", count(state.checkpoint.size)),
                ("signed", signed(lang, state.witnesses, state.policy.witnesses.len()).into()),
            ],
        ),
        origin: state.checkpoint.origin.clone(),
        root: crate::evidence::tlog::to_base64(&state.checkpoint.root),
        keys: state.policy.registers.iter().map(ToString::to_string).collect(),
        witnesses: state.policy.witnesses.iter().map(ToString::to_string).collect(),
        receipts: receipts.iter().map(ToString::to_string).collect(),
    });
    let lead = match state {
        None => "register-lead-none",
        Some(state) if state.policy.witnesses.is_empty() => "register-lead-unwitnessed",
        Some(_) => "register-lead",
    };
    let witnessed = state.is_some_and(|state| state.witnesses > 0);
    let frame = Frame::new(lang);
    render(&Register { lead: frame.say(lead), frame, now, witnessed })
}

/// A number as plain digits, without a plural form.
fn count(number: u64) -> crate::base::i18n::text::Value<'static> {
    number.to_string().into()
}

/// How many of the witnesses have cosigned.
fn signed(lang: Lang, k: usize, n: usize) -> String {
    say_with(lang, "register-signed", &[("k", k.into()), ("n", n.into())])
}

fn in_register(verification: &Verification, lang: Lang) -> Option<InRegister> {
    let (Some(Some(registered)), Some(number)) = (&verification.register, &verification.seal_number) else {
        return None;
    };
    let line = say_with(
        lang,
        "register-line",
        &[
            ("received", lang.moment(registered.received_at).into()),
            ("index", count(registered.index)),
            ("size", count(registered.size)),
            ("signed", signed(lang, registered.witnesses.k, registered.witnesses.n).into()),
        ],
    );
    let segment = percent::encode_segment(number);
    Some(InRegister {
        line,
        proof: format!("/v1/logs/{segment}/proof"),
        file: format!("{number}.tlog-proof"),
    })
}

/// `GET /verify/{code}`: the result of a check made at `now`. `contact` is shown where the page advises to
/// report something to the inspectorate.
#[must_use]
pub fn render_verification(
    verification: &Verification,
    lang: Lang,
    now: DateTime<Utc>,
    contact: Option<&str>,
) -> String {
    render_reported(verification, lang, now, contact, ReportForm::default())
}

/// As [`render_verification`], with what became of a report about the seal.
#[must_use]
pub fn render_reported(
    verification: &Verification,
    lang: Lang,
    now: DateTime<Utc>,
    contact: Option<&str>,
    report: ReportForm<'_>,
) -> String {
    let action =
        format!("/verify/{}/report?lang={}", percent::encode_segment(&verification.code), lang.code());
    let word = verification.verdict.word(lang);
    let code = shown(&verification.code);
    // Green and a tick mean: this may be bought. Timber in circulation that is not on offer may not.
    let is_offered = verification.for_sale.as_ref().is_none_or(|for_sale| for_sale.offered);
    let symbol = match verification.verdict {
        Verdict::Valid if is_offered => Symbol::Tick,
        Verdict::Valid | Verdict::Held | Verdict::Closed | Verdict::Unused => Symbol::Bar,
        Verdict::Void => Symbol::Cross,
        Verdict::Unknown => Symbol::Question,
    };
    let again_first = verification.verdict == Verdict::Unknown;
    // An unknown code is shown in the form again, because it is easier to correct a mistyped code than to
    // type it again.
    let form = FormState { entered: if again_first { &verification.code } else { "" }, problem: None };
    let readable =
        !verification.checks.iter().any(|check| check.code == "format" && check.outcome == Outcome::Fail);
    let doubt = if verification.verdict == Verdict::Valid { "mismatch-title" } else { "doubt-title" };
    render(&VerificationPage {
        frame: Frame::new(lang),
        form,
        title: say_with(
            lang,
            "title-verdict",
            &[("verdict", word.as_str().into()), ("code", code.as_str().into())],
        ),
        word,
        message: verification.message.get(lang),
        seller: verification
            .log
            .as_ref()
            .filter(|_| verification.verdict == Verdict::Valid)
            .and_then(|log| log.holder_name.as_deref()),
        tone: if is_offered { verification.verdict } else { Verdict::Closed }.as_str(),
        symbol,
        compare: verification.log.as_ref().map(|log| compare(verification, log, lang)),
        origin: verification.log.as_ref().map(|log| origin(log, lang)).unwrap_or_default(),
        last: verification.log.as_ref().map(|log| last(log, lang)).unwrap_or_default(),
        checks: verification
            .checks
            .iter()
            .map(|check| Checked {
                outcome: check.outcome.as_str(),
                word: say(lang, &format!("outcome-{}", check.outcome.as_str())),
                text: check.text.get(lang),
            })
            .collect(),
        contact,
        again_first,
        register: in_register(verification, lang),
        report: readable.then_some(ReportForm { action: &action, ..report }),
        doubt_title: readable.then(|| say(lang, doubt)),
        checked_at: say_with(lang, "checked-at", &[("when", lang.moment(now).into())]),
        seal_number: verification
            .seal_number
            .as_deref()
            .filter(|number| verification.log.is_none() && *number != verification.code),
        code,
    })
}

fn compare(verification: &Verification, log: &VerifiedLog, lang: Lang) -> Compare {
    let valid = verification.verdict == Verdict::Valid;
    let about = |key: &str| say_with(lang, key, &[("kind", log.kind.as_str().into())]);
    let hint = |key: &str| valid.then(|| say(lang, key));
    let amount = |key: &str, value| say_with(lang, key, &[("value", lang.decimal(value).into())]);
    let measure = |picture, key: &str, value| Measure {
        picture,
        label: say(lang, key),
        value,
        also: None,
        hint: hint(&format!("hint-{key}")),
    };

    let mut rows = Vec::new();
    if let Some(number) = &verification.seal_number {
        rows.push(measure("seal", "seal", number.clone()));
    }
    let (name, also) = species(log, lang);
    rows.push(Measure { also, ..measure("species", "species", name) });
    if let Some(length) = log.length_m {
        rows.push(measure("length", "length", amount("metres", length)));
    }
    if let Some(diameter) = log.top_diameter_cm {
        rows.push(measure("diameter", "diameter", amount("centimetres", diameter)));
    }
    if let Some(count) = log.pieces {
        let count = say_with(lang, "pieces-count", &[("count", count.into())]);
        rows.push(measure("pieces", "pieces", count));
    }
    let title = about(if valid { "compare-title" } else { "record-title" });
    Compare { title, lead: valid.then(|| about("compare-lead")), rows }
}

/// The species in the language of the page, and its Latin name as a second name.
fn species(log: &VerifiedLog, lang: Lang) -> (String, Option<(String, &'static str)>) {
    let latin = Some((log.species_name.latin.clone(), "la"));
    match lang {
        Lang::Kk => (log.species_name.kk.clone(), latin),
        Lang::Ru => (log.species_name.ru.clone(), latin),
        Lang::En => match english_name(&log.species) {
            Some(name) => (name.to_owned(), latin),
            None => (log.species_name.latin.clone(), None),
        },
    }
}

/// The English name of a species, by its code. The list of species has only Kazakh, Russian and Latin names. For a
/// species that is added to the list and not here, returns `None`; the page then shows the Latin name.
pub(in crate::http) fn english_name(code: &str) -> Option<&'static str> {
    Some(match code {
        "pinus_sylvestris" => "Scots pine",
        "pinus_sibirica" => "Siberian stone pine",
        "picea_schrenkiana" => "Schrenk’s spruce",
        "picea_obovata" => "Siberian spruce",
        "abies_sibirica" => "Siberian fir",
        "larix_sibirica" => "Siberian larch",
        "juniperus" => "Juniper",
        "quercus_robur" => "English oak",
        "fraxinus" => "Ash",
        "acer" => "Maple",
        "ulmus_laevis" => "European white elm",
        "ulmus_pumila" => "Siberian elm",
        "haloxylon_aphyllum" => "Black saxaul",
        "haloxylon_persicum" => "White saxaul",
        "betula_pendula" => "Silver birch",
        "populus_tremula" => "Aspen",
        "populus_nigra" => "Black poplar",
        "populus_alba" => "White poplar",
        "populus_diversifolia" => "Turanga poplar",
        "salix_alba" => "White willow",
        "alnus_glutinosa" => "Black alder",
        "tilia_cordata" => "Small-leaved lime",
        _ => return None,
    })
}

fn origin(log: &VerifiedLog, lang: Lang) -> Vec<Row> {
    let row = |key: &str, value: String| Row { label: say(lang, key), value };
    vec![
        row("region", log.origin.region.name.get(lang).to_owned()),
        row("forestry", log.origin.forestry.clone()),
        row("ticket", log.felling_ticket.clone()),
        row("felled-on", lang.date(log.felled_on)),
        row("volume", say_with(lang, "cubic-metres", &[("value", lang.decimal(log.volume_m3).into())])),
    ]
}

fn last(log: &VerifiedLog, lang: Lang) -> Vec<Row> {
    let row = |key: &str, value: String| Row { label: say(lang, key), value };
    let event = &log.last_event;
    let word = if event.as_recorded { "inspected-as-recorded" } else { event.kind.as_str() };
    let mut rows = vec![
        row("status", say_word(lang, "state", &log.status)),
        row("last-event", format!("{}, {}", say_word(lang, "event", word), lang.date(event.on))),
    ];
    if let Some(region) = &event.region {
        rows.push(row("region", region.name.get(lang).to_owned()));
    }
    if let Some(holder) = &log.holder_name {
        rows.push(row("holder", holder.clone()));
    }
    rows
}

/// A code as a page shows it: separators visible, other control characters replaced, truncated after
/// [`MAX_SHOWN_CODE`] characters.
fn shown(code: &str) -> String {
    let mut shown: String = code
        .chars()
        .take(MAX_SHOWN_CODE)
        .map(|c| match c {
            '\u{1d}' => '␝',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect();
    if code.chars().nth(MAX_SHOWN_CODE).is_some() {
        shown.push('…');
    }
    shown
}

/// Renders a template. The templates write into memory and call nothing that can fail, so only a defect leads
/// to the error branch. That branch logs the error and returns the partial page, because a partial page is
/// better than no response.
pub(in crate::http) fn render(template: &impl Template) -> String {
    let mut page = String::with_capacity(16 * 1024);
    if let Err(error) = template.render_into(&mut page) {
        tracing::error!(%error, "rendering a page failed");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_that_means_something_in_an_address_is_encoded() {
        let code = "010487000000001421SN-1/2?\u{1d}91AB+C\u{1d}92x=&%#";
        assert_eq!(
            verify_path(code, None),
            Ok("/verify/010487000000001421SN-1%2F2%3F%1D91AB%2BC%1D92x%3D%26%25%23".to_owned())
        );
        assert_eq!(verify_path(" KZ 12 \n", Some(Lang::Ru)), Ok("/verify/KZ%2012?lang=ru".to_owned()));
        assert_eq!(verify_path("қ", None), Ok("/verify/%D2%9B".to_owned()));
    }

    #[test]
    fn what_cannot_be_an_address_brings_the_form_back() {
        assert_eq!(verify_path("", None), Err(FormProblem::Empty));
        assert_eq!(verify_path(" \t\r\n", None), Err(FormProblem::Empty));
        for dots in [".", "..", " .. "] {
            assert_eq!(verify_path(dots, None), Err(FormProblem::Unreadable));
        }
        assert!(verify_path("...", None).is_ok());
        assert!(verify_path(&"9".repeat(MAX_CODE_BYTES), None).is_ok());
        assert_eq!(verify_path(&"9".repeat(MAX_CODE_BYTES + 1), None), Err(FormProblem::Unreadable));
    }

    proptest! {
        #[test]
        fn an_address_is_one_plain_segment_and_gives_the_code_back(code in "[^\\s\u{1c}-\u{1f}.](?s:.{0,60})[^\\s.]") {
            let path = verify_path(&code, None).unwrap();
            let segment = path.strip_prefix("/verify/").unwrap();
            prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            let mut bytes = Vec::new();
            let mut rest = segment;
            while let Some(first) = rest.chars().next() {
                if first == '%' {
                    bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                    rest = &rest[3..];
                } else {
                    bytes.push(u8::try_from(first).unwrap());
                    rest = &rest[1..];
                }
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), code);
        }
    }

    #[test]
    fn a_code_is_shown_without_what_the_eye_cannot_see() {
        assert_eq!(shown("21A\u{1d}91K\u{0}\u{1b}[2J"), "21A␝91K\u{fffd}\u{fffd}[2J");
        let endless = "7".repeat(MAX_SHOWN_CODE + 1);
        assert_eq!(shown(&endless), format!("{}…", "7".repeat(MAX_SHOWN_CODE)));
    }

    #[test]
    fn every_outcome_has_its_word() {
        for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Unknown] {
            for lang in Lang::ALL {
                assert!(!say(lang, &format!("outcome-{}", outcome.as_str())).contains('⟦'));
            }
        }
    }
}
