//! Many codes at once: a verdict a line.

use super::form::{Field, Form, Input, Summary};
use super::layout::{Frame, page};
use super::logs::log_path;
use super::session::Desk;
use super::table::{Cell, Table};
use super::values::Values;
use super::words::{species_word, verdict_word};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::http::api::verify::check_many;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::services::verification::answer::{Verdict, Verification};
use crate::timber::custody::log::find::resolve;
use crate::timber::custody::log::read::fetch;
use crate::timber::seal::Code;
use crate::timber::wood::species::Species;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};

/// Codes that are checked at once.
const MAX_CODES: usize = 1_000;
/// Longest line, in characters; a code has at most as many in the API.
const MAX_CODE_CHARS: usize = 2_048;

#[derive(Template)]
#[template(path = "desk/codes.html")]
struct Codes {
    frame: Frame,
    summary: Option<Summary>,
    form: Form,
    table: Option<Table>,
    /// How many there are of each verdict.
    counts: Vec<String>,
}

/// `GET /desk/codes`: the form.
pub async fn show(desk: Desk) -> Response {
    codes_page(&desk, codes_form(desk.lang, ""), None)
}

/// `POST /desk/codes`: the verdicts. Nothing is recorded.
pub async fn check_codes(
    State(app): State<App>,
    desk: Desk,
    unresolved: UnresolvedCaller,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let lang = desk.lang;
    let lines = Values::of_form(&envelope)?.lines("codes");
    let codes: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| (number + 1, line.as_str()))
        .collect();
    let mut form = codes_form(lang, &lines.join("\n"));
    let too_long = codes.iter().find(|(_, code)| code.chars().count() > MAX_CODE_CHARS);
    if codes.is_empty() {
        form.refuse(Some("codes"), say(lang, "desk-codes-empty"));
    } else if codes.len() > MAX_CODES {
        form.refuse(Some("codes"), say_with(lang, "desk-codes-too-many", &[("count", codes.len().into())]));
    } else if let Some((line, _)) = too_long {
        form.refuse(Some("codes"), say_with(lang, "desk-codes-too-long", &[("line", (*line).into())]));
    }
    if form.is_wrong() {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, codes_page(&desk, form, None)).into_response());
    }
    let texts: Vec<&str> = codes.iter().map(|(_, code)| *code).collect();
    let verdicts = check_many(&app, &unresolved, &texts).await?;
    let visible = visible(&app, &desk, &texts).await?;
    let table = verdict_table(lang, &codes, &verdicts, &visible);
    Ok(codes_page(&desk, form, Some((table, counts(lang, &verdicts)))))
}

/// The positions of the codes of which the caller may see the log.
async fn visible(app: &App, desk: &Desk, texts: &[&str]) -> Result<BTreeSet<usize>, Problem> {
    let read =
        texts.iter().enumerate().filter_map(|(place, text)| Some((place, Code::parse_public(text).ok()?)));
    let (places, codes): (Vec<usize>, Vec<Code>) = read.unzip();
    let mut db = app.connection(desk.caller().organization).await?;
    let logs = resolve(&mut db, &codes).await?;
    let ids: Vec<_> = logs.iter().flatten().copied().collect();
    let rows = fetch(&mut db, &ids, app.clock.now()).await?;
    let seen: BTreeSet<_> =
        rows.iter().filter(|row| row.access(desk.reader()).is_some()).map(|row| row.id).collect();
    let of = places.into_iter().zip(logs);
    Ok(of.filter(|(_, log)| log.is_some_and(|log| seen.contains(&log))).map(|(place, _)| place).collect())
}

fn verdict_table(
    lang: Lang,
    codes: &[(usize, &str)],
    verdicts: &[Verification],
    visible: &BTreeSet<usize>,
) -> Table {
    let mut table = Table::new(say(lang, "desk-codes-result"), String::new())
        .numbers(say(lang, "desk-codes-line"))
        .column(say(lang, "code"))
        .column(say(lang, "desk-codes-verdict"))
        .column(say(lang, "species"))
        .column(say(lang, "status"))
        .column(say(lang, "desk-codes-why"));
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, ((line, text), verification)) in codes.iter().zip(verdicts).enumerate() {
        let number = verification.seal_number.as_deref();
        let shown: String =
            number.unwrap_or(text).chars().map(|c| if c == '\u{1d}' { '␝' } else { c }).take(60).collect();
        let code = match number {
            Some(number) if visible.contains(&place) => Cell::link(shown, log_path(number)),
            Some(number) => {
                Cell::link(shown, format!("/verify/{}", crate::base::percent::encode_segment(number)))
            }
            None => Cell::text(shown),
        };
        let offered = verification.for_sale.as_ref().is_none_or(|for_sale| for_sale.offered);
        let verdict = Cell::text(verdict_word(verification.verdict, offered, lang));
        let log = verification.log.as_ref();
        let species =
            log.and_then(|log| Species::parse(&log.species).ok()).map(|species| species_word(species, lang));
        let before = number.and_then(|number| {
            let earlier = first.get(number).copied();
            first.entry(number).or_insert(*line);
            earlier
        });
        let twice = before.map(|line| say_with(lang, "desk-codes-twice", &[("line", line.into())]));
        let why = (verification.verdict != Verdict::Valid || !offered)
            .then(|| verification.message.get(lang).to_owned());
        let why = [twice, why].into_iter().flatten().collect::<Vec<_>>().join(" ");
        table.row(vec![
            Cell::text(line.to_string()),
            code,
            verdict,
            Cell::of(species),
            Cell::of(log.map(|log| say_word(lang, "state", &log.status))),
            Cell::text(why),
        ]);
    }
    table
}

/// How many there are of each verdict that occurs.
fn counts(lang: Lang, verdicts: &[Verification]) -> Vec<String> {
    let of = |verdict: Verdict| verdicts.iter().filter(|of| of.verdict == verdict).count();
    let counts =
        Verdict::ALL.into_iter().map(|verdict| (verdict, of(verdict))).filter(|(_, count)| *count > 0);
    counts.map(|(verdict, count)| format!("{}: {count}", verdict.word(lang))).collect()
}

fn codes_form(lang: Lang, entered: &str) -> Form {
    let field = Field::new("codes", say(lang, "desk-codes-label"), Input::Area(8))
        .hint(say(lang, "desk-codes-hint"))
        .value(entered);
    Form::post(lang, "/desk/codes", say(lang, "ask-button")).field(field)
}

fn codes_page(desk: &Desk, form: Form, result: Option<(Table, Vec<String>)>) -> Response {
    let frame = desk.frame();
    let title = frame.say("desk-codes-title");
    let (table, counts) = result.map_or((None, Vec::new()), |(table, counts)| (Some(table), counts));
    let frame = frame.titled(title).wrong_if(form.is_wrong());
    page(&Codes { frame, summary: form.summary(), form, table, counts })
}
