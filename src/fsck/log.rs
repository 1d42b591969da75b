//! A log's rows made again from its chain: `log`, `log_seal`, `past_party`.

use super::load::EventRow;
use super::report::{Code, Report};
use super::row::{Row, Want, compare};
use crate::custody::content::{Business, Content, Public};
use crate::custody::state::{LogState, replay};
use crate::custody::words::EventType;
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What a chain adds up to.
pub(super) struct History {
    pub state: LogState,
    /// Seals in the order they were on it: number, first event, event that replaced it.
    pub seals: Vec<(String, i32, Option<i32>)>,
    /// Who held or owned it before, and the event by which it left them.
    pub past: BTreeMap<Uuid, i32>,
    /// The ticket that the harvest was checked against: id, seq, hash.
    pub ticket: Option<(Uuid, i32, String)>,
}

/// The events as their texts say, if all can be read and they run from the first.
pub(super) fn contents(report: &mut Report<'_>, events: &[EventRow]) -> Option<Vec<Content>> {
    let mut contents = Vec::with_capacity(events.len());
    let mut whole = true;
    for event in events {
        match read(event) {
            Ok(content) => contents.push(content),
            Err(error) => {
                report.event(Code::EventUnreadable, event.subject, event.seq, error.to_string());
                whole = false;
            }
        }
    }
    (whole && contents.first().is_some_and(|first| first.seq == 1)).then_some(contents)
}

fn read(event: &EventRow) -> Result<Content> {
    Ok(Content {
        seq: u32::try_from(event.seq).unwrap_or_default(),
        public: Public::parse(event.public())?,
        business: Business::parse(event.business())?,
    })
}

/// Goes through a chain as the server did when it recorded it.
pub(super) fn history(contents: &[Content]) -> Result<History> {
    let mut state = replay(contents.get(..1).unwrap_or_default())?;
    let mut seals = vec![(state.seal.clone(), 1, None)];
    let mut past = BTreeMap::new();
    let ticket = contents.first().and_then(|first| first.business.ticket.as_ref());
    let ticket =
        ticket.map(|head| (head.id.0, i32::try_from(head.seq).unwrap_or_default(), head.hash.clone()));
    for (index, event) in contents.iter().enumerate().skip(1) {
        let seq = i32::try_from(event.seq).unwrap_or(i32::MAX);
        let (holder, owner) = (state.holder, state.owner);
        if event.business.reverse && !event.business.out_of_order {
            state = replay(&contents[..=index])?;
        } else {
            state.apply(event)?;
        }
        for left in [holder, owner] {
            if left != state.holder && left != state.owner {
                past.insert(left.0, seq);
            }
        }
        if event.public.event_type == EventType::SealReplaced
            && let Some(new) = &event.public.seal
        {
            if let Some(last) = seals.last_mut() {
                last.2 = Some(seq);
            }
            seals.push((new.clone(), seq, None));
        }
    }
    Ok(History { state, seals, past, ticket })
}

/// Corrections name the event that was wrong by its hash.
pub(super) fn check_corrections(
    report: &mut Report<'_>,
    subject: Uuid,
    events: &[EventRow],
    contents: &[Content],
) {
    for content in contents {
        let Some(corrects) = &content.business.corrects else { continue };
        let target = events.iter().find(|event| i64::from(event.seq) == i64::from(corrects.seq));
        let hash = target.and_then(EventRow::hash).map(|hash| hash.to_string());
        if hash.as_deref() != Some(corrects.hash.as_str()) {
            let detail = format!("the event {} that it corrects has another hash", corrects.seq);
            let seq = i32::try_from(content.seq).unwrap_or(i32::MAX);
            report.event(Code::ReferenceDiffers, subject, seq, detail);
        }
    }
}

/// What a log's row shall say, but for its head.
pub(super) fn wants(
    history: &History,
    harvest: Option<Uuid>,
    issuer: Option<Uuid>,
) -> Vec<(&'static str, Want)> {
    let state = &history.state;
    let pending = state.pending;
    vec![
        ("kind", Want::text(state.kind)),
        ("species", Want::text(&state.species)),
        ("wood", Want::text(state.wood)),
        ("assortment", Want::maybe(state.assortment)),
        ("grade", state.grade.map_or(Want::Null, Want::int)),
        ("length_m", Want::maybe_decimal(state.length_m.as_deref())),
        ("top_diameter_cm", Want::maybe_decimal(state.top_diameter_cm.as_deref())),
        ("pieces", state.pieces.map_or(Want::Null, Want::int)),
        ("volume_m3", Want::decimal(&state.volume_m3)),
        ("table_volume_m3", Want::maybe_decimal(state.table_volume_m3.as_deref())),
        ("measurement_method", Want::text(state.method)),
        ("felled_on", Want::date(state.felled_on)),
        ("harvest_id", Want::maybe(harvest)),
        ("ticket_id", Want::maybe(history.ticket.as_ref().map(|(id, ..)| id))),
        ("line_id", Want::text(state.line)),
        ("issuer_id", Want::maybe(issuer)),
        ("seal_number", Want::text(&state.seal)),
        ("seal_void", Want::Bool(state.seal_void)),
        ("status", Want::text(state.status)),
        ("holder_id", Want::text(state.holder)),
        ("owner_id", Want::text(state.owner)),
        ("pending_from", Want::maybe(pending.map(|pending| pending.from))),
        ("pending_to", Want::maybe(pending.map(|pending| pending.to))),
        ("pending_of", Want::maybe(pending.map(|pending| pending.of))),
        ("carrier_id", Want::maybe(state.carrier)),
        ("vehicle", Want::maybe(state.vehicle.as_ref())),
        ("last_type", Want::text(state.last.event_type)),
        ("last_on", Want::date(state.last.on)),
        ("last_region", Want::maybe(state.last.region.as_ref())),
        ("last_occurred_at", Want::Time(state.last.occurred_at)),
    ]
}

/// Rows of a table that belong to logs, by log.
pub(super) type OfLogs = HashMap<Uuid, Vec<Row>>;

/// Compares the seals that were on a log. `rows` are those that name the log.
pub(super) fn compare_seals(report: &mut Report<'_>, log: Uuid, history: Option<&History>, rows: Vec<Row>) {
    let mut rows: BTreeMap<String, Row> =
        rows.into_iter().map(|row| (row.text("seal_number").unwrap_or_default().to_owned(), row)).collect();
    for (number, from, until) in history.map(|history| history.seals.as_slice()).unwrap_or_default() {
        let event = Some((log, until.unwrap_or(*from)));
        let Some(row) = rows.remove(number) else {
            report.find(Code::RowMissing, "log_seal", number, event, "its log's chain puts it on the log");
            continue;
        };
        let wants = [
            ("seal_number", Want::text(number)),
            ("log_id", Want::text(log)),
            ("from_seq", Want::int(*from)),
            ("until_seq", until.map_or(Want::Null, Want::int)),
        ];
        compare(report, "log_seal", number, event, &wants, &row);
    }
    for (number, row) in rows {
        let event = row.int("from_seq").and_then(|seq| i32::try_from(seq).ok()).map(|seq| (log, seq));
        report.find(
            Code::RowUnexplained,
            "log_seal",
            number,
            event,
            "no event of the log puts this seal on it",
        );
    }
}

/// Compares who had a log before. `rows` are those that name the log.
pub(super) fn compare_past(report: &mut Report<'_>, log: Uuid, history: Option<&History>, rows: Vec<Row>) {
    let mut rows: BTreeMap<Option<Uuid>, Row> =
        rows.into_iter().map(|row| (row.uuid("organization_id"), row)).collect();
    for (organization, until) in history.map(|history| &history.past).into_iter().flatten() {
        let (key, event) = (format!("{log}/{organization}"), Some((log, *until)));
        let Some(row) = rows.remove(&Some(*organization)) else {
            report.find(Code::RowMissing, "past_party", key, event, "by this event the log left them");
            continue;
        };
        let wants = [
            ("log_id", Want::text(log)),
            ("organization_id", Want::text(organization)),
            ("until_seq", Want::int(*until)),
        ];
        compare(report, "past_party", &key, event, &wants, &row);
    }
    for (organization, _) in rows {
        let key = format!("{log}/{}", organization.unwrap_or_default());
        report.find(Code::RowUnexplained, "past_party", key, Some((log, 1)), "the log never left them");
    }
}
