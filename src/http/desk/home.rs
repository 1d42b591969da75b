//! The desk's home page: what waits for the organisation.

use super::layout::{Frame, page};
use super::logs::log_table;
use super::session::Desk;
use super::table::{Cell, Table};
use super::words::{amount, species_word, when};
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::units::{LocalDate, Volume};
use crate::http::api::logs::page_of_logs;
use crate::http::core::app::App;
use crate::http::core::auth::HistoryReader;
use crate::http::core::paging::{Cursors, Limit};
use crate::http::core::problem::Problem;
use crate::timber::custody::log::list::{LogFilter, Waiting};
use crate::timber::finding::read::{FindingFilter, FindingOrder, list as list_findings};
use crate::timber::finding::row::FindingState;
use crate::timber::ticket::read::full_lines;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use rust_decimal::Decimal;

/// Rows of each list on the page; the complete list has a page of its own.
const SHOWN: &str = "5";
const SHOWN_ROWS: i64 = 5;

#[derive(Template)]
#[template(path = "desk/home.html")]
struct Home {
    frame: Frame,
    blocks: Vec<Block>,
    checked_at: String,
}

/// A list of what waits, and where there is more of it.
struct Block {
    table: Table,
    more: Option<String>,
}

/// `GET /desk`: transfers, findings, ticket lines at 80 % and more, and holds.
pub async fn show(State(app): State<App>, desk: Desk) -> Result<Response, Problem> {
    let (lang, caller) = (desk.lang, desk.caller());
    let now = app.clock.now();
    let mut blocks = Vec::new();
    if HistoryReader::of(caller.clone()).is_ok() {
        for (waiting, name) in
            [(Waiting::ToAccept, "accept"), (Waiting::Offered, "offered"), (Waiting::Held(now), "held")]
        {
            let limit = Limit::parse(SHOWN).ok();
            let filter =
                LogFilter { waiting: Some(waiting), limit: Limit::probe(limit), ..LogFilter::default() };
            let cursors = Cursors::of(&app, caller.organization, &desk.uri);
            let logs = page_of_logs(&app, &cursors, desk.reader(), filter, limit).await?;
            let more = logs.next.map(|_| format!("/desk/logs?waiting={name}"));
            let caption = say(lang, &format!("desk-waiting-{name}"));
            blocks.push(Block { table: log_table(lang, caption, &logs.items), more });
        }
    }
    blocks.push(findings(&app, &desk).await?);
    blocks.push(lines(&app, &desk).await?);
    blocks.retain(|block| !block.table.is_empty());
    let frame = desk.frame();
    let title = frame.say("desk-home-title");
    let checked_at = say_with(lang, "checked-at", &[("when", when(lang, now).into())]);
    Ok(page(&Home { frame: frame.titled(title), blocks, checked_at }))
}

/// The findings without a decision, those first that an inspector should look at first.
async fn findings(app: &App, desk: &Desk) -> Result<Block, Problem> {
    let lang = desk.lang;
    let filter = FindingFilter { state: Some(FindingState::New), ..FindingFilter::default() };
    let page = (SHOWN_ROWS, app.clock.now());
    let mut db = app.connection(desk.caller().organization).await?;
    let rows = list_findings(&mut **db, desk.reader(), &filter, FindingOrder::Rank, None, page).await?;
    let mut table = finding_table(desk, say(lang, "desk-waiting-findings"));
    for row in rows {
        let finding = row.finding.in_language(lang);
        table.row(vec![
            match finding.log {
                Some(log) => Cell::link(finding.rule, format!("/desk/logs/{log}")),
                None => Cell::text(finding.rule),
            },
            Cell::text(say_word(lang, "severity", finding.severity.as_str())),
            Cell::text(finding.detail),
            Cell::text(lang.date(LocalDate::of(finding.created_at).day())),
        ]);
    }
    Ok(Block { table, more: None })
}

/// A table of findings.
pub(super) fn finding_table(desk: &Desk, caption: String) -> Table {
    let lang = desk.lang;
    Table::new(caption, say(lang, "desk-no-findings"))
        .column(say(lang, "desk-finding-rule"))
        .column(say(lang, "desk-finding-severity"))
        .column(say(lang, "desk-finding-detail"))
        .column(say(lang, "desk-finding-date"))
}

/// The ticket lines at 80 % and more.
async fn lines(app: &App, desk: &Desk) -> Result<Block, Problem> {
    let lang = desk.lang;
    let day = LocalDate::of(app.clock.now());
    let mut db = app.connection(desk.caller().organization).await?;
    let lines = full_lines(&mut **db, desk.caller(), day, SHOWN_ROWS).await?;
    let mut table = Table::new(say(lang, "desk-waiting-lines"), String::new())
        .column(say(lang, "ticket"))
        .column(say(lang, "species"))
        .numbers(say(lang, "desk-permitted"))
        .numbers(say(lang, "desk-marked"))
        .numbers(say(lang, "desk-reached"));
    for line in lines {
        let cubic = |volume: Volume| amount(lang, "cubic-metres", volume.decimal());
        table.row(vec![
            Cell::text(format!("{} {}", line.series, line.number)),
            Cell::text(species_word(line.species, lang)).note(say_word(lang, "wood", line.wood.as_str())),
            Cell::text(cubic(line.permitted)),
            Cell::text(cubic(line.marked)),
            Cell::text(reached(line.marked, line.permitted)),
        ]);
    }
    Ok(Block { table, more: None })
}

/// How much of a line is marked, in percent; a full line never looks short of it, nor the other way round.
pub(super) fn reached(marked: Volume, permitted: Volume) -> String {
    let percent = marked.decimal() * Decimal::ONE_HUNDRED / permitted.decimal();
    format!("{} %", percent.floor())
}
