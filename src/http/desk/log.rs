//! The page of one log: verdict, hold, measures, timeline, path, chain and register.

use super::home::{finding_table, reached};
use super::layout::{Frame, page};
use super::logs::log_path;
use super::session::Desk;
use super::table::{Cell, Table};
use super::timeline::{Happening, Stop, path, reason_word};
use super::values::Values;
use super::words::{amount, instant_of, party_word, species_word, verdict_word, when};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::units::LocalDate;
use crate::http::api::logs::{is_long, visible_log};
use crate::http::api::verify::{last_segment, with_register};
use crate::http::core::app::App;
use crate::http::core::auth::{Inspector, UnresolvedCaller};
use crate::http::core::problem::Problem;
use crate::services::long_history::LongHistory;
use crate::services::verification::answer::Verification;
use crate::timber::custody::history::up_to;
use crate::timber::custody::log::read::{Access, LogRow, LogView};
use crate::timber::finding::read::{FindingFilter, FindingOrder, list as list_findings};
use crate::timber::ticket::read::{self as tickets, TicketView};
use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::VecDeque;
use std::pin::pin;

/// Events of a log that the page shows at most: the newest ones. An export has all.
const MAX_EVENTS: usize = 200;
/// Findings that the page shows at most.
const MAX_FINDINGS: i64 = 20;

#[derive(Template)]
#[template(path = "desk/log.html")]
struct LogPage {
    frame: Frame,
    /// What was done just now, in words.
    done: Option<String>,
    number: String,
    subtitle: String,
    verdict: String,
    tone: &'static str,
    message: String,
    /// Since when and why it is stopped.
    held: Option<String>,
    /// Path of the page, and what an inspector may do there.
    path: String,
    actions: Vec<(String, String)>,
    measures: Table,
    facts: Vec<(String, String)>,
    findings: Table,
    events: Vec<Happening>,
    /// How many earlier events are not shown.
    earlier: Option<String>,
    stops: Table,
    chain: Vec<String>,
    printed: String,
}

/// A log as the caller may see it, with the events that are shown.
struct SeenLog {
    log: LogView,
    events: Vec<Value>,
    /// Number of events that are not shown.
    earlier: usize,
}

/// The log that a code names, as the caller may see it; of a log that it sees completely, no event is read.
pub(super) async fn log_of(
    app: &App,
    desk: &Desk,
    unresolved: &UnresolvedCaller,
    code: &str,
) -> Result<LogView, Problem> {
    let (_, row, access) = visible_log(app, unresolved, code).await?;
    Ok(LongHistory::read(&app.reads, row, access, desk.reader()).await?.log().await?)
}

/// Reads the log that a code names, as the API's history discloses it.
async fn seen_log(
    app: &App,
    desk: &Desk,
    unresolved: &UnresolvedCaller,
    code: &str,
) -> Result<SeenLog, Problem> {
    let (reader, row, access) = visible_log(app, unresolved, code).await?;
    if is_long(&row, access)? {
        return long_log(app, desk, row, access).await;
    }
    let history = app.reads.history(&row, access, reader).await?;
    let events = history.events.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    Ok(SeenLog { log: history.log, events, earlier: 0 })
}

/// As [`seen_log`], page by page: only the newest events are kept.
async fn long_log(app: &App, desk: &Desk, row: LogRow, access: Access) -> Result<SeenLog, Problem> {
    let reader = desk.reader();
    let _permit = app.reads.memory_permits(up_to(&row, access)?, reader.organization).await?;
    let long = LongHistory::read(&app.reads, row, access, reader).await?;
    let log = long.log().await?;
    let (mut newest, mut earlier) = (VecDeque::with_capacity(MAX_EVENTS), 0);
    let mut pages = pin!(long.into_pages());
    while let Some(events) = pages.next().await {
        for event in events? {
            if newest.len() == MAX_EVENTS {
                newest.pop_front();
                earlier += 1;
            }
            newest.push_back(event);
        }
    }
    let events = newest.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    Ok(SeenLog { log, events, earlier })
}

fn json(event: &impl serde::Serialize) -> Result<Value, Problem> {
    serde_json::to_string(event)
        .and_then(|text| serde_json::from_str(&text))
        .map_err(|error| Problem::internal(error.to_string()))
}

/// `GET /desk/logs/{code}`.
pub async fn show(
    State(app): State<App>,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let lang = desk.lang;
    let SeenLog { log, events, earlier } = seen_log(&app, &desk, &unresolved, &last_segment(&uri)).await?;
    let number = log.seal.number.as_str().to_owned();
    let verification = verdict(&app, &number).await?;
    let ticket = ticket(&app, &desk, &log).await?;
    let findings = findings(&app, &desk, &log).await?;
    let events: Vec<Happening> = events.iter().map(|event| Happening::of(event, lang)).collect();
    let offered = verification.for_sale.as_ref().is_none_or(|for_sale| for_sale.offered);
    let frame = desk.frame();
    let subtitle =
        format!("{} · {}", species_word(log.species, lang), say_word(lang, "kind", log.kind.as_str()));
    let held = log.held.as_ref().map(|held| {
        let since = instant_of(&Value::from(held.since.clone())).map(|since| when(lang, since));
        let (since, reason) = (since.unwrap_or_default(), reason_word(&held.reason, lang));
        say_with(lang, "desk-held-since", &[("since", since.into()), ("reason", reason.into())])
    });
    let path_here = log_path(&number);
    let done = Values::of_query(&uri).get("done");
    let done = ["inspected", "detained", "released"].contains(&done.as_str());
    let done = done.then(|| say(lang, &format!("desk-done-{}", Values::of_query(&uri).get("done"))));
    Ok(page(&LogPage {
        frame: frame.titled(number.clone()).searching(&number),
        done,
        verdict: verdict_word(verification.verdict, offered, lang),
        tone: if offered { verification.verdict.as_str() } else { "closed" },
        message: verification.message.get(lang).to_owned(),
        held,
        actions: actions(&desk, &log, &path_here),
        path: path_here,
        measures: measures(&log, &events, ticket.as_ref(), lang),
        facts: facts(&log, ticket.as_ref(), lang),
        findings,
        stops: stops(path(&events, lang), lang),
        chain: chain(&log, &verification, lang),
        events,
        earlier: (earlier > 0).then(|| say_with(lang, "desk-earlier-events", &[("count", earlier.into())])),
        printed: say_with(lang, "checked-at", &[("when", when(lang, app.clock.now()).into())]),
        subtitle,
        number,
    }))
}

/// The verdict that a buyer would get, with the place of the newest record in the register.
async fn verdict(app: &App, number: &str) -> Result<Verification, Problem> {
    let checked = app.reads.check(&[number], None, &app.key_ring, app.clock.now()).await?;
    let verification = checked.and_then(|(mut verdicts, _)| verdicts.pop());
    let verification = verification.ok_or_else(|| Problem::internal("a check without a verdict"))?;
    // The page shows the log even if the register cannot be read.
    match with_register(app, verification.clone()).await {
        Ok(registered) => Ok(registered),
        Err(problem) => {
            tracing::warn!(cause = problem.cause().unwrap_or_default(), "the page omits the register");
            Ok(verification)
        }
    }
}

/// The ticket, if the caller may see it.
async fn ticket(app: &App, desk: &Desk, log: &LogView) -> Result<Option<TicketView>, Problem> {
    let mut db = app.connection(desk.caller().organization).await?;
    match tickets::get(&mut db, desk.caller(), log.felling_ticket.id, app.clock.now()).await {
        Ok(ticket) => Ok(Some(ticket)),
        Err(crate::base::error::Error::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The findings about the log that the caller may see.
async fn findings(app: &App, desk: &Desk, log: &LogView) -> Result<Table, Problem> {
    let lang = desk.lang;
    let filter = FindingFilter { log: Some(log.id), ..FindingFilter::default() };
    let mut db = app.connection(desk.caller().organization).await?;
    let page = (MAX_FINDINGS, app.clock.now());
    let rows = list_findings(&mut **db, desk.reader(), &filter, FindingOrder::Rank, None, page).await?;
    let mut table = finding_table(desk, say(lang, "desk-findings-title"));
    for row in rows {
        let finding = row.finding.in_language(lang);
        table.row(vec![
            Cell::text(finding.rule),
            Cell::text(say_word(lang, "severity", finding.severity.as_str())).note(say_word(
                lang,
                "finding-state",
                finding.state.as_str(),
            )),
            Cell::text(finding.detail),
            Cell::text(lang.date(LocalDate::of(finding.created_at).day())),
        ]);
    }
    Ok(table)
}

/// What an inspector may do: labels and paths.
fn actions(desk: &Desk, log: &LogView, path: &str) -> Vec<(String, String)> {
    if Inspector::of(desk.caller().clone()).is_err() {
        return Vec::new();
    }
    let mut actions = vec![("desk-check-title", "checks/new")];
    actions.push(("desk-detain-title", "holds/new"));
    if log.held.is_some() {
        actions.push(("desk-release-title", "releases/new"));
    }
    let label = |(key, to): (&str, &str)| (say(desk.lang, key), format!("{path}/{to}"));
    actions.into_iter().map(label).collect()
}

/// The measures of the record beside those that inspectors saw, and what the table and the ticket say.
fn measures(log: &LogView, events: &[Happening], ticket: Option<&TicketView>, lang: Lang) -> Table {
    // The newest inspections are the most useful; more than three do not fit on a sheet.
    let mut seen: Vec<_> = events.iter().rev().filter_map(Happening::observed).take(3).collect();
    seen.reverse();
    let mut table = Table::new(say(lang, "desk-measures-title"), String::new())
        .column(say(lang, "desk-measure"))
        .column(say(lang, "desk-recorded"));
    for observed in &seen {
        table = table.column(say_with(lang, "desk-seen-at", &[("when", observed.when.as_str().into())]));
    }
    table = table.column(say(lang, "desk-by-ticket"));
    let line = ticket.and_then(|ticket| {
        ticket.lines.iter().find(|line| line.species == log.species && line.wood == log.wood)
    });
    let mut row =
        |key: &str, recorded: Option<String>, seen: Vec<Option<String>>, by_ticket: Option<String>| {
            let seen = seen.into_iter().map(Cell::of);
            let cells = [Cell::text(say(lang, key)), Cell::of(recorded)].into_iter();
            table.row(cells.chain(seen).chain([Cell::of(by_ticket)]).collect());
        };
    let each =
        |of: fn(&super::timeline::Observed) -> Option<String>| seen.iter().map(|seen| of(seen)).collect();
    if !seen.is_empty() {
        row("desk-fact-outcome", None, each(|seen| Some(seen.outcome.clone())), None);
    }
    row("seal", Some(log.seal.number.as_str().to_owned()), vec![None; seen.len()], None);
    let by_ticket = match (ticket, line) {
        (Some(_), Some(_)) => Some(say(lang, "desk-on-ticket")),
        (Some(_), None) => Some(say(lang, "desk-not-on-ticket")),
        (None, _) => None,
    };
    row("species", Some(species_word(log.species, lang)), each(|seen| seen.species.clone()), by_ticket);
    let length = log.length_m.map(|length| amount(lang, "metres", length.decimal()));
    row("length", length, each(|seen| seen.length.clone()), None);
    let diameter = log.top_diameter_cm.map(|diameter| amount(lang, "centimetres", diameter.decimal()));
    row("diameter", diameter, each(|seen| seen.diameter.clone()), None);
    let volume = amount(lang, "cubic-metres", log.volume_m3.decimal());
    let method = say_word(lang, "method", log.measurement_method.as_str());
    let filled = line.map(|line| {
        let cubic = |volume: crate::base::units::Volume| amount(lang, "cubic-metres", volume.decimal());
        let values = [
            ("marked", cubic(line.marked_m3).into()),
            ("permitted", cubic(line.volume_m3).into()),
            ("reached", reached(line.marked_m3, line.volume_m3).into()),
        ];
        say_with(lang, "desk-line-filled", &values)
    });
    row("volume", Some(format!("{volume} ({method})")), vec![None; seen.len()], filled);
    let by_table = log.table_volume_m3.map(|volume| amount(lang, "cubic-metres", volume.decimal()));
    row(
        "desk-by-table",
        by_table.or_else(|| Some(say(lang, "desk-not-in-table"))),
        vec![None; seen.len()],
        None,
    );
    let term = ticket.map(|ticket| {
        format!("{} – {}", lang.date(ticket.felling_from.day()), lang.date(ticket.felling_until.day()))
    });
    row("felled-on", Some(lang.date(log.felled_on)), vec![None; seen.len()], term);
    table
}

/// Where the log comes from, who has it, what is under way.
fn facts(log: &LogView, ticket: Option<&TicketView>, lang: Lang) -> Vec<(String, String)> {
    let origin = &log.origin;
    let quarter = [
        Some(say_with(lang, "desk-compartment", &[("value", origin.compartment.as_str().into())])),
        origin
            .subcompartment
            .as_deref()
            .map(|value| say_with(lang, "desk-subcompartment", &[("value", value.into())])),
        origin
            .cutting_area
            .as_deref()
            .map(|value| say_with(lang, "desk-cutting-area", &[("value", value.into())])),
    ];
    let quarter: Vec<String> = quarter.into_iter().flatten().collect();
    let place = [
        Some(super::words::region_word(origin.region, lang)),
        origin.district.clone(),
        Some(origin.forestry.clone()),
    ];
    let place: Vec<String> = place.into_iter().flatten().chain([quarter.join(", ")]).collect();
    let name = |party: &Option<crate::timber::custody::log::read::PartyView>| {
        party.as_ref().map(|party| party_word(party, lang))
    };
    let ticket_name = format!("{} {}", log.felling_ticket.series, log.felling_ticket.number);
    let ticket_word = ticket.map_or_else(
        || ticket_name.clone(),
        |ticket| format!("{ticket_name}, {}", say_word(lang, "ticket-status", ticket.status.as_str())),
    );
    let pending = log.pending.as_ref().map(|pending| {
        let of = say_word(lang, "transfer", pending.of.as_str());
        format!("{} → {} ({of})", party_word(&pending.from, lang), party_word(&pending.to, lang))
    });
    let pieces = log.pieces.map(|pieces| say_with(lang, "pieces-count", &[("count", pieces.get().into())]));
    let rows = [
        ("status", log.status.map(|status| say_word(lang, "state", status.as_str()))),
        ("holder", name(&log.holder)),
        ("desk-owner", name(&log.owner)),
        ("desk-pending", pending),
        ("desk-fact-carrier", name(&log.carrier)),
        ("desk-vehicle", log.vehicle.clone()),
        ("ticket", Some(ticket_word)),
        (
            "desk-ticket-issuer",
            ticket.map(|ticket| ticket.issuer_name.clone().unwrap_or_else(|| say(lang, "desk-nameless"))),
        ),
        ("origin-title", Some(place.join(", "))),
        ("desk-wood", Some(say_word(lang, "wood", log.wood.as_str()))),
        ("pieces", pieces),
        ("desk-own-use", log.own_use.then(|| say(lang, "desk-yes"))),
    ];
    rows.into_iter().filter_map(|(key, value)| Some((say(lang, key), value?))).collect()
}

fn stops(stops: Vec<Stop>, lang: Lang) -> Table {
    let mut table = Table::new(say(lang, "desk-path-title"), say(lang, "desk-no-path"))
        .numbers("№".to_owned())
        .column(say(lang, "desk-event"))
        .column(say(lang, "desk-when"))
        .column(say(lang, "desk-place"))
        .column(say(lang, "desk-fact-position"))
        .numbers(say(lang, "desk-distance"));
    for stop in stops {
        table.row(vec![
            Cell::text(stop.seq.to_string()),
            Cell::text(stop.title),
            Cell::text(stop.when),
            Cell::text(stop.place),
            Cell::text(stop.position),
            Cell::of(stop.distance),
        ]);
    }
    table
}

/// What the chain and the register show, in plain words.
fn chain(log: &LogView, verification: &Verification, lang: Lang) -> Vec<String> {
    let received =
        instant_of(&Value::from(log.head.received_at.clone())).map(|at| when(lang, at)).unwrap_or_default();
    let hash = log.head.hash.to_string();
    let values = [
        ("count", log.head.seq.into()),
        ("received", received.into()),
        ("hash", hash.get(..16).unwrap_or_default().into()),
    ];
    let mut sentences = vec![say_with(lang, "desk-chain", &values)];
    sentences.push(match &verification.register {
        Some(Some(entry)) => {
            let values = [
                ("index", entry.index.to_string().into()),
                ("size", entry.size.to_string().into()),
                ("k", entry.witnesses.k.into()),
                ("n", entry.witnesses.n.into()),
            ];
            say_with(lang, "desk-registered", &values)
        }
        _ => say(lang, "desk-not-registered"),
    });
    sentences
}
