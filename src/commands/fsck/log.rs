//! Rebuilds the rows of a log from its chain: `log`, `log_seal`, `past_party`.

use super::load::{EventRow, SubjectRow};
use super::report::{Code, Report};
use super::row::{Expected, Row, compare};
use super::subject::KindCheck;
use super::sweep::{Context, Names};
use crate::base::error::Result;
use crate::base::units::{Diameter, Length, Volume};
use crate::evidence::chain::Hash;
use crate::evidence::idempotency::operation::OperationKind;
use crate::timber::custody::content::{Content, LogBusiness, LogPublic};
use crate::timber::custody::state::{LogState, Reversed, replay_from};
use crate::timber::event::types::{EventType, LogEventType};
use crate::timber::seal::SealNumber;
use futures_util::TryStreamExt;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The state that a chain results in.
pub(super) struct History {
    pub state: LogState,
    /// Seals in the order in which the log had them: number, seq of the event that applied it, seq of the
    /// event that replaced it.
    pub seals: Vec<(SealNumber, i32, Option<i32>)>,
    /// Organisations that held or owned the log earlier, each with the seq of the (last) event by which it
    /// stopped being holder or owner.
    pub past: BTreeMap<Uuid, i32>,
    /// The ticket that the harvest was checked against: id, seq, hash.
    pub ticket: Option<(Uuid, i32, Hash)>,
}

/// Folds the events of a chain into its state, with the code that the server uses to record them. In memory
/// it has the present state, eight bytes for each reversal, and one entry for each seal and each past party
/// of the log; each seal and past party also has a row in the database.
#[derive(Default)]
pub(super) struct Fold {
    /// The result of the events so far; `None` before the first event, or if the first seq is not 1.
    history: Option<History>,
    reversed: Reversed,
    /// Whether an event could not be read or applied: then the chain gives no state.
    unreadable: bool,
}

/// Start states for the reversals on a page, by the seq of the reversal. A start state is the state before
/// the page's first event, computed without the events that this reversal or an earlier reversal undoes.
pub(super) type ReversalStates = BTreeMap<u32, LogState>;

impl Fold {
    /// Applies the next events, in order.
    ///
    /// `rewound` contains the start state of each reversal that undoes an event before `events`.
    pub(super) fn apply_events(
        &mut self,
        report: &mut Report<'_>,
        subject: Uuid,
        events: &[EventRow],
        names: &Hashes,
        rewound: &ReversalStates,
    ) {
        let Some(contents) = contents(report, events).filter(|_| !self.unreadable) else {
            self.unreadable = true;
            return;
        };
        check_corrections(report, subject, events, &contents, names);
        let mut start = self.history.as_ref().map(|history| history.state.clone());
        for (index, event) in contents.iter().enumerate() {
            self.reversed.note(event);
            if let Some(state) = rewound.get(&event.seq) {
                start = Some(state.clone());
            }
            if let Err(error) = self.add(start.as_ref(), event, &contents[..=index]) {
                report.event(Code::EventUnreadable, subject, 1, error.to_string());
                self.unreadable = true;
                return;
            }
        }
    }

    /// Applies one event. `page` holds the events since the state `start`, this one included.
    fn add(&mut self, start: Option<&LogState>, event: &Content, page: &[Content]) -> Result<()> {
        let Some(history) = &mut self.history else {
            if event.seq != 1 {
                self.unreadable = true;
                return Ok(());
            }
            self.history = Some(History::begin(event)?);
            return Ok(());
        };
        let seq = i32::try_from(event.seq).unwrap_or(i32::MAX);
        let (holder, owner) = (history.state.holder, history.state.owner);
        if event.business.reverse && !event.business.out_of_order {
            if let Some(state) = replay_from(start.cloned(), page, &self.reversed, event.seq)? {
                history.state = state;
            }
        } else {
            history.state.apply(event)?;
        }
        for left in [holder, owner] {
            if left != history.state.holder && left != history.state.owner {
                history.past.insert(left.0, seq);
            }
        }
        if event.public.event_type == LogEventType::SealReplaced
            && let Some(new) = &event.public.seal
        {
            if let Some(last) = history.seals.last_mut() {
                last.2 = Some(seq);
            }
            history.seals.push((new.clone(), seq, None));
        }
        Ok(())
    }

    /// The result of all events; `None` if one could not be read or applied.
    pub(super) fn history(&self) -> Option<&History> {
        self.history.as_ref().filter(|_| !self.unreadable)
    }

    /// The start states that [`Fold::apply_events`] needs for the reversals in `events`. Reads all earlier
    /// events of the chain again: once for all start states, and one row at a time.
    pub(super) async fn rewind(
        &self,
        db: &mut PgConnection,
        subject: Uuid,
        events: &[EventRow],
    ) -> sqlx::Result<ReversalStates> {
        let Some(first) = events.first().map(|first| first.seq).filter(|_| self.history().is_some()) else {
            return Ok(ReversalStates::new());
        };
        let mut reversed = self.reversed.clone();
        let mut states: BTreeMap<u32, Option<LogState>> = BTreeMap::new();
        for event in events {
            let Ok(content) = read(event) else { continue };
            reversed.note(&content);
            let LogBusiness { reverse: true, out_of_order: false, corrects: Some(corrects), .. } =
                content.business
            else {
                continue;
            };
            if i64::from(corrects.seq) < i64::from(first) {
                states.insert(content.seq, None);
            }
        }
        if states.is_empty() {
            return Ok(ReversalStates::new());
        }
        let mut before = sqlx::query!(
            r#"SELECT seq AS "seq!", public AS "public?", business AS "business?" FROM event
               WHERE subject_id = $1 AND seq < $2 ORDER BY seq"#,
            subject,
            first
        )
        .fetch(db);
        while let Some(row) = before.try_next().await? {
            let content = content(row.seq, row.public.as_deref(), row.business.as_deref());
            for (reversal, state) in &mut states {
                // The events were readable when an earlier page was checked. If one was altered since then,
                // the reversal gets no start state.
                let next = content
                    .as_ref()
                    .ok()
                    .and_then(|content| replay_from(state.take(), [content], &reversed, *reversal).ok());
                *state = next.flatten();
            }
        }
        Ok(states.into_iter().filter_map(|(reversal, state)| Some((reversal, state?))).collect())
    }
}

impl KindCheck for Fold {
    fn apply(&mut self, context: &mut Context<'_, '_, '_>, id: Uuid, events: &[EventRow], _is_first: bool) {
        let Names { hashes, rewound, .. } = &context.named;
        self.apply_events(context.report, id, events, hashes, rewound);
    }

    fn finish(
        &self,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        row: Option<&SubjectRow>,
        has_events: bool,
    ) {
        if has_events {
            context.counted.note(id, self.history(), row.map(|row| &row.row));
        } else {
            // A log that has a row but no event counts against no ticket.
            context.counted.note_unexplained(id);
        }
    }

    fn expected_row(
        self: Box<Self>,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let seals = context.named.seals.remove(&id).unwrap_or_default();
        let past = context.named.past.remove(&id).unwrap_or_default();
        let history = self.history()?;
        compare_seals(context.report, id, Some(history), seals);
        compare_past(context.report, id, Some(history), past);
        let (harvest, issuer) = origin(context, id, first, history);
        Some(expected_row(history, harvest, issuer))
    }

    fn write_requests(event: &EventRow) -> &'static [OperationKind] {
        let Some(EventType::Log(of)) = event.event_type() else { return &[] };
        match of {
            LogEventType::Harvested => &[OperationKind::Harvest],
            LogEventType::SealVoided => &[OperationKind::SealVoid],
            // A detention is requested as such, or results from the voiding of a seal by an inspector.
            LogEventType::Detained => &[OperationKind::CustodyEvent, OperationKind::SealVoid],
            _ => &[OperationKind::CustodyEvent],
        }
    }

    fn as_log(&self) -> Option<&Fold> {
        Some(self)
    }
}

/// The harvest and the ticket's issuer of a log, looked up from its first event.
fn origin(
    context: &mut Context<'_, '_, '_>,
    log: Uuid,
    first: &EventRow,
    history: &History,
) -> (Option<Uuid>, Option<Uuid>) {
    let at = Some((log, 1));
    let members = first.members();
    let write_request = members.map(|members| (members.organization, members.operation));
    let harvest = write_request.and_then(|write_request| context.named.harvests.get(&write_request)).copied();
    match harvest {
        None => {
            let key = write_request
                .map(|(organization, operation)| format!("{organization}/{operation}"))
                .unwrap_or_default();
            let detail = "there is no harvest for the write request of the log's first event";
            context.report.find(Code::RowMissing, "harvest", key, at, detail);
        }
        Some((id, personal)) if personal != first.personal_id => {
            let detail = format!("personal_id is not that of harvest {id}, with which it was recorded");
            context.report.event(Code::PersonalDiffers, log, 1, detail);
        }
        Some(_) => {}
    }
    let mut issuer = None;
    if let Some((ticket, seq, hash)) = &history.ticket {
        issuer = context.named.issuers.get(ticket).copied().flatten();
        if context.named.hashes.get(&(*ticket, *seq)) != Some(hash) {
            let detail =
                format!("event {seq} of the felling ticket {ticket}, which it names, has another hash");
            context.report.event(Code::ReferenceDiffers, log, 1, detail);
        }
    }
    (harvest.map(|(id, _)| id), issuer)
}

impl History {
    fn begin(first: &Content) -> Result<Self> {
        let state = LogState::first(first)?;
        let ticket = first.business.ticket.as_ref();
        let ticket = ticket.map(|head| (head.id.0, i32::try_from(head.seq).unwrap_or_default(), head.hash));
        Ok(Self { seals: vec![(state.seal.clone(), 1, None)], past: BTreeMap::new(), ticket, state })
    }
}

/// The content of the events, if all of them can be read.
fn contents(report: &mut Report<'_>, events: &[EventRow]) -> Option<Vec<Content>> {
    let mut contents = Vec::with_capacity(events.len());
    for event in events {
        match read(event) {
            Ok(content) => contents.push(content),
            Err(error) => report.event(Code::EventUnreadable, event.subject, event.seq, error.to_string()),
        }
    }
    (contents.len() == events.len()).then_some(contents)
}

fn read(event: &EventRow) -> Result<Content> {
    content(event.seq, event.public.as_deref(), event.business.as_deref())
}

fn content(seq: i32, public: Option<&str>, business: Option<&str>) -> Result<Content> {
    Ok(Content {
        seq: u32::try_from(seq).unwrap_or_default(),
        public: LogPublic::parse(public.unwrap_or_default())?,
        business: LogBusiness::parse(business.unwrap_or_default())?,
    })
}

/// Hashes of events that other events refer to, by subject and seq.
pub(super) type Hashes = HashMap<(Uuid, i32), Hash>;

/// Subject and seq of every event that a correction in `events` refers to and that comes before the first of
/// `events`.
pub(super) fn corrected_before(events: &[EventRow]) -> impl Iterator<Item = (Uuid, i32)> {
    let first = events.first().map_or(i32::MIN, |first| first.seq);
    events.iter().filter_map(move |event| {
        let corrects = read(event).ok()?.business.corrects?;
        let seq = i32::try_from(corrects.seq).ok().filter(|seq| *seq < first)?;
        Some((event.subject, seq))
    })
}

/// Checks that each correction names the corrected event by its hash.
fn check_corrections(
    report: &mut Report<'_>,
    subject: Uuid,
    events: &[EventRow],
    contents: &[Content],
    before: &Hashes,
) {
    for content in contents {
        let Some(corrects) = &content.business.corrects else { continue };
        let target = events.iter().find(|event| i64::from(event.seq) == i64::from(corrects.seq));
        let hash = target.and_then(EventRow::hash);
        let before = || before.get(&(subject, i32::try_from(corrects.seq).ok()?)).copied();
        if hash.or_else(before) != Some(corrects.hash) {
            let detail = format!("event {}, which it corrects, has another hash", corrects.seq);
            let seq = i32::try_from(content.seq).unwrap_or(i32::MAX);
            report.event(Code::ReferenceDiffers, subject, seq, detail);
        }
    }
}

/// The expected values of a log's row, except for its head.
fn expected_row(
    history: &History,
    harvest: Option<Uuid>,
    issuer: Option<Uuid>,
) -> Vec<(&'static str, Expected)> {
    let state = &history.state;
    let pending = state.pending;
    vec![
        ("kind", Expected::text(state.kind)),
        ("species", Expected::text(state.species)),
        ("wood", Expected::text(state.wood)),
        ("assortment", Expected::maybe(state.assortment)),
        ("grade", state.grade.map_or(Expected::Null, |grade| Expected::int(grade.get()))),
        ("length_m", Expected::maybe_number(state.length_m.map(Length::decimal))),
        ("top_diameter_cm", Expected::maybe_number(state.top_diameter_cm.map(Diameter::decimal))),
        ("pieces", state.pieces.map_or(Expected::Null, |pieces| Expected::int(pieces.get()))),
        ("volume_m3", Expected::Number(state.volume_m3.decimal())),
        ("table_volume_m3", Expected::maybe_number(state.table_volume_m3.map(Volume::decimal))),
        ("measurement_method", Expected::text(state.method)),
        ("felled_on", Expected::date(state.felled_on)),
        ("harvest_id", Expected::maybe(harvest)),
        ("ticket_id", Expected::maybe(history.ticket.as_ref().map(|(id, ..)| id))),
        ("line_id", Expected::text(state.line)),
        ("issuer_id", Expected::maybe(issuer)),
        ("seal_number", Expected::text(&state.seal)),
        ("seal_void", Expected::Bool(state.seal_void)),
        ("status", Expected::text(state.status)),
        ("holder_id", Expected::text(state.holder)),
        ("owner_id", Expected::text(state.owner)),
        ("pending_from", Expected::maybe(pending.map(|pending| pending.from))),
        ("pending_to", Expected::maybe(pending.map(|pending| pending.to))),
        ("pending_of", Expected::maybe(pending.map(|pending| pending.of))),
        ("carrier_id", Expected::maybe(state.carrier)),
        ("vehicle", Expected::maybe(state.vehicle.as_ref())),
        ("held_since", state.hold.as_ref().map_or(Expected::Null, |hold| Expected::Time(hold.since))),
        ("held_reason", Expected::maybe(state.hold.as_ref().map(|hold| &hold.reason))),
        ("own_use", Expected::Bool(state.keeper.is_some())),
        ("reseal", Expected::Bool(state.reseal)),
        // `ticket::check_holds` compares these with the row of the log's ticket.
        ("ticket_held_since", Expected::CheckedElsewhere),
        ("ticket_held_until", Expected::CheckedElsewhere),
        ("ticket_held_reason", Expected::CheckedElsewhere),
        ("ticket_held_seq", Expected::CheckedElsewhere),
        ("last_type", Expected::text(state.last.event_type)),
        ("last_on", Expected::date(state.last.on)),
        ("last_region", Expected::maybe(state.last.region)),
        ("last_occurred_at", Expected::Time(state.last.occurred_at)),
    ]
}

/// Rows by the id of the subject that they belong to, usually a log.
pub(super) type RowsBySubject = HashMap<Uuid, Vec<Row>>;

/// Compares the seals that a log has or had. `rows` are the rows of `log_seal` that name the log.
pub(super) fn compare_seals(report: &mut Report<'_>, log: Uuid, history: Option<&History>, rows: Vec<Row>) {
    let mut rows: BTreeMap<String, Row> =
        rows.into_iter().map(|row| (row.text("seal_number").unwrap_or_default().to_owned(), row)).collect();
    for (number, from, until) in history.map(|history| history.seals.as_slice()).unwrap_or_default() {
        let event = Some((log, until.unwrap_or(*from)));
        let Some(row) = rows.remove(number.as_str()) else {
            report.find(Code::RowMissing, "log_seal", number, event, "the log's chain has this seal");
            continue;
        };
        let expected_row = [
            ("seal_number", Expected::text(number)),
            ("log_id", Expected::text(log)),
            ("from_seq", Expected::int(*from)),
            ("until_seq", until.map_or(Expected::Null, Expected::int)),
        ];
        compare(report, "log_seal", number, event, &expected_row, &row);
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

/// Compares the past parties of a log. `rows` are the rows of `past_party` that name the log.
pub(super) fn compare_past(report: &mut Report<'_>, log: Uuid, history: Option<&History>, rows: Vec<Row>) {
    let mut rows: BTreeMap<Option<Uuid>, Row> =
        rows.into_iter().map(|row| (row.uuid("organization_id"), row)).collect();
    for (organization, until) in history.map(|history| &history.past).into_iter().flatten() {
        let (key, event) = (format!("{log}/{organization}"), Some((log, *until)));
        let Some(row) = rows.remove(&Some(*organization)) else {
            report.find(Code::RowMissing, "past_party", key, event, "by this event it became a past party");
            continue;
        };
        let expected_row = [
            ("log_id", Expected::text(log)),
            ("organization_id", Expected::text(organization)),
            ("until_seq", Expected::int(*until)),
        ];
        compare(report, "past_party", &key, event, &expected_row, &row);
    }
    for (organization, _) in rows {
        let key = format!("{log}/{}", organization.unwrap_or_default());
        report.find(Code::RowUnexplained, "past_party", key, Some((log, 1)), "it is not a past party");
    }
}
