//! The list of logs, with filters.

use super::form::{Choice, Field, Form, Input, Summary};
use super::layout::{Frame, page};
use super::session::Desk;
use super::table::{Cell, Table};
use super::values::Values;
use super::words::{amount, party_word, species_word};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_word};
use crate::base::ids::{LogId, TicketId};
use crate::base::percent;
use crate::base::units::Text;
use crate::http::api::logs::page_of_logs;
use crate::http::core::app::App;
use crate::http::core::auth::HistoryReader;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::timber::custody::log::list::{LogFilter, Waiting};
use crate::timber::custody::log::read::LogView;
use crate::timber::event::vocabulary::Status;
use crate::timber::seal::Code;
use crate::timber::ticket::read::{self as tickets, TicketView};
use crate::timber::wood::species::Species;
use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::response::Response;

/// Rows of a page.
const ROWS: &str = "50";

#[derive(Template)]
#[template(path = "desk/logs.html")]
struct Logs {
    frame: Frame,
    summary: Option<Summary>,
    form: Form,
    /// Whether a filter is set, so that the form is open.
    filtered: bool,
    /// `None` if a filter is wrong.
    table: Option<Table>,
    next: Option<String>,
}

/// `GET /desk/logs`: the logs that the caller holds or owns, and all for an inspector.
pub async fn list_logs(
    State(app): State<App>,
    HistoryReader(caller): HistoryReader,
    desk: Desk,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (lang, values) = (desk.lang, Values::of_query(&uri));
    let mut form = filters(lang, &values);
    let mut filter = LogFilter { held: values.get("holder") == "me", ..LogFilter::default() };
    read(&values, "status", Status::parse, &mut filter.status, &mut form, lang);
    read(&values, "species", Species::parse, &mut filter.species, &mut form, lang);
    read(&values, "seal", Code::parse, &mut filter.seal, &mut form, lang);
    let mut vehicle = None;
    read(&values, "vehicle", Text::<40>::parse, &mut vehicle, &mut form, lang);
    filter.vehicle = vehicle.map(Text::into_string);
    filter.waiting = match values.get("waiting").as_str() {
        "accept" => Some(Waiting::ToAccept),
        "offered" => Some(Waiting::Offered),
        "held" => Some(Waiting::Held(app.clock.now())),
        _ => None,
    };
    let ticket = values.get("ticket");
    if !ticket.is_empty() {
        match tickets_of(&app, &desk, &ticket).await?.into_iter().next() {
            Some(ticket) => filter.ticket = Some(ticket.id),
            None => form.refuse(Some("ticket"), say(lang, "desk-filter-ticket")),
        }
    }
    let limit = Limit::parse(ROWS).ok();
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let cursor = values.get("cursor");
    let cursor = (!cursor.is_empty()).then(|| Cursor::parse(&cursor)).transpose();
    // A page that cannot be continued, such as one of other filters, begins anew.
    filter.after = cursors.key::<LogId>(cursor.ok().flatten().as_ref()).unwrap_or_default();
    filter.limit = Limit::probe(limit);
    let logs = if form.is_wrong() {
        None
    } else {
        Some(page_of_logs(&app, &cursors, desk.reader(), filter, limit).await?)
    };
    let frame = desk.frame();
    let title = frame.say("desk-logs-title");
    let next = logs.as_ref().and_then(|Page { next, .. }| Some(next_page(uri.query(), next.as_deref()?)));
    let table = logs.map(|logs| log_table(lang, title.clone(), &logs.items));
    let frame = frame.titled(title).wrong_if(form.is_wrong());
    let names = ["status", "species", "holder", "waiting", "ticket", "vehicle", "seal"];
    let filtered = names.iter().any(|name| !values.get(name).is_empty());
    Ok(page(&Logs { frame, summary: form.summary(), form, filtered, table, next }))
}

/// The address of the next page: the same filters.
fn next_page(query: Option<&str>, cursor: &str) -> String {
    let others = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=") && !pair.starts_with("lang="));
    let all: Vec<String> = others.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    format!("/desk/logs?{}", all.join("&"))
}

/// Reads an optional filter; a wrong one is refused at its field.
fn read<T, E>(
    values: &Values,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    into: &mut Option<T>,
    form: &mut Form,
    lang: Lang,
) {
    let text = values.get(name);
    match parse(&text) {
        _ if text.is_empty() => {}
        Ok(value) => *into = Some(value),
        Err(_) => form.refuse(Some(name), say(lang, &format!("desk-filter-{name}"))),
    }
}

/// The tickets within the caller's sight that a text names: an id, a number, or series and number.
pub(super) async fn tickets_of(app: &App, desk: &Desk, text: &str) -> Result<Vec<TicketView>, Problem> {
    let (now, caller) = (app.clock.now(), desk.caller());
    let mut db = app.connection(caller.organization).await?;
    if let Ok(id) = text.parse::<TicketId>() {
        return match tickets::get(&mut db, caller, id, now).await {
            Ok(ticket) => Ok(vec![ticket]),
            Err(crate::base::error::Error::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        };
    }
    for (series, number) in series_and_number(text) {
        let parse = |text: &str| Text::parse(text).ok();
        let filter = tickets::Filter {
            series: series.and_then(|series| Text::parse(series).ok()),
            number: parse(number),
            ..tickets::Filter::default()
        };
        if filter.number.is_none() {
            continue;
        }
        let found = tickets::list(&mut db, caller, &filter, None, 10, now).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// How a text can be read as series and number of a ticket: `АБ 000117`, `АБ № 000117`, `АБ-000117`, `АБ000117`, or the
/// number alone.
fn series_and_number(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut readings = vec![(None, text)];
    let signs = |c: char| c.is_whitespace() || matches!(c, '№' | '#' | '-' | '/');
    if let Some(at) = text.find(|c: char| c.is_ascii_digit()).filter(|at| *at > 0) {
        let series = text[..at].trim_end_matches(signs);
        if !series.is_empty() {
            readings.insert(0, (Some(series), &text[at..]));
        }
    }
    if let Some((series, number)) = text.rsplit_once(char::is_whitespace) {
        readings.insert(0, (Some(series.trim_end_matches(signs)), number.trim_start_matches(signs)));
    }
    readings
}

fn filters(lang: Lang, values: &Values) -> Form {
    let any = || Choice::new("", say(lang, "desk-filter-any"));
    let choices = |of: Vec<Choice>| Input::Select([any()].into_iter().chain(of).collect());
    let statuses = Status::ALL
        .iter()
        .map(|status| Choice::new(status.as_str(), say_word(lang, "state", status.as_str())));
    let mut species: Vec<(String, Species)> =
        Species::all().map(|species| (species_word(species, lang), species)).collect();
    species.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let species = species.into_iter().map(|(word, species)| Choice::new(species.as_str(), word));
    let waiting = ["accept", "offered", "held"]
        .map(|name| Choice::new(name, say(lang, &format!("desk-waiting-{name}"))));
    let holder = vec![Choice::new("me", say(lang, "desk-filter-me"))];
    let field = |name: &'static str, label: &str, input: Input| {
        Field::new(name, say(lang, label), input).value(values.get(name))
    };
    let text = || Input::Text { width: 0, mode: "text", unit: None };
    Form::get(lang, "/desk/logs", say(lang, "desk-filter-go"))
        .field(field("status", "status", choices(statuses.collect())))
        .field(field("species", "species", choices(species.collect())))
        .field(field("holder", "holder", choices(holder)))
        .field(field("waiting", "desk-filter-waiting-label", choices(waiting.into())))
        .field(field("ticket", "ticket", text()))
        .field(field("vehicle", "desk-vehicle", text()))
        .field(field("seal", "seal", text()))
}

/// A table of logs.
pub(super) fn log_table(lang: Lang, caption: String, logs: &[LogView]) -> Table {
    let mut table = Table::new(caption, say(lang, "desk-no-logs"))
        .column(say(lang, "seal"))
        .column(say(lang, "species"))
        .numbers(say(lang, "length"))
        .numbers(say(lang, "diameter"))
        .numbers(say(lang, "volume"))
        .column(say(lang, "status"))
        .column(say(lang, "holder"));
    for log in logs {
        let number = log.seal.number.as_str();
        let status = Cell::of(log.status.map(|status| say_word(lang, "state", status.as_str())));
        let metres = log.length_m.map(|length| amount(lang, "metres", length.decimal()));
        let centimetres = log.top_diameter_cm.map(|diameter| amount(lang, "centimetres", diameter.decimal()));
        table.row(vec![
            Cell::link(number, log_path(number)),
            Cell::text(species_word(log.species, lang)),
            Cell::of(metres),
            Cell::of(centimetres),
            Cell::text(amount(lang, "cubic-metres", log.volume_m3.decimal())),
            if log.held.is_some() { status.note(say(lang, "desk-held")) } else { status },
            Cell::of(log.holder.as_ref().map(|holder| party_word(holder, lang))),
        ]);
    }
    table
}

/// The path of a log's page.
pub(super) fn log_path(number: &str) -> String {
    format!("/desk/logs/{}", percent::encode_segment(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_named_in_several_ways() {
        for text in ["АБ 000117", "АБ № 000117", "АБ-000117", "АБ000117"] {
            assert!(series_and_number(text).contains(&(Some("АБ"), "000117")), "{text}");
        }
        assert_eq!(series_and_number("000117"), [(None, "000117")]);
        assert_eq!(
            next_page(Some("status=sold&cursor=old&lang=kk"), "new"),
            "/desk/logs?status=sold&cursor=new"
        );
    }
}
