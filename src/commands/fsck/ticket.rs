//! Rebuilds the row of a felling ticket from its chain, and its lines from the rows of its logs.

use super::Failure;
use super::load::EventRow;
use super::log::History;
use super::organization::occurred;
use super::report::{Code, Report};
use super::row::{Expected, Row, compare};
use super::snapshot::{Range, Reader};
use super::subject::KindCheck;
use super::sweep::Context;
use crate::base::geo::Plot;
use crate::base::ids::{LineId, LogId};
use crate::base::units::Volume;
use crate::evidence::idempotency::operation::OperationKind;
use crate::timber::event::types::{EventType, TicketEventType};
use crate::timber::event::vocabulary::Status;
use crate::timber::ticket::content::{lines_digest, logs_digest};
use crate::timber::wood::bounds::Share;
use crate::timber::wood::species::{Species, Wood};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Tickets per snapshot.
const TICKETS: i64 = 100;

/// The changes that the later events of a ticket make to the values of its first event.
#[derive(Default)]
pub(super) struct Changes {
    felling_until: Option<String>,
    removal_until: Option<String>,
    plot_digest: Option<String>,
    /// When the ticket was cancelled, by the newest event that cancels it.
    cancelled: Option<Expected>,
    /// The newest hold that was not released.
    hold: Option<Hold>,
    /// Whether one of the events could not be read.
    unreadable: bool,
}

/// A hold of a ticket, as its event states it.
struct Hold {
    since: Expected,
    until: Expected,
    reason: Option<String>,
    by: Option<String>,
    seq: i32,
}

impl KindCheck for Changes {
    fn apply(&mut self, _context: &mut Context<'_, '_, '_>, _id: Uuid, events: &[EventRow], is_first: bool) {
        self.apply_events(events.get(usize::from(is_first)..).unwrap_or_default());
    }

    fn expected_row(
        self: Box<Self>,
        _context: &mut Context<'_, '_, '_>,
        _id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        expected_row(first, &self)
    }

    fn write_requests(_event: &EventRow) -> &'static [OperationKind] {
        &[]
    }
}

impl Changes {
    /// Applies the next events.
    fn apply_events(&mut self, events: &[EventRow]) {
        for event in events {
            let Some(changed) = read(event.business()) else {
                self.unreadable = true;
                continue;
            };
            self.felling_until = word(&changed, "felling_until").or(self.felling_until.take());
            self.removal_until = word(&changed, "removal_until").or(self.removal_until.take());
            self.plot_digest = word(&changed, "plot_digest").or(self.plot_digest.take());
            if event.event_type() == Some(EventType::Ticket(TicketEventType::Cancelled)) {
                self.cancelled = Some(Expected::time(occurred(&changed)));
            }
            let by = word(&changed, "held_by");
            if by.is_some() {
                let until = changed.get("until").and_then(|until| until.get("at")?.as_str()?.parse().ok());
                let (since, until) = (Expected::time(occurred(&changed)), Expected::time(until));
                self.hold = Some(Hold { since, until, reason: word(&changed, "reason"), by, seq: event.seq });
            } else if event.event_type() == Some(EventType::Ticket(TicketEventType::Released)) {
                self.hold = None;
            }
        }
    }
}

fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn word(part: &Value, name: &str) -> Option<String> {
    part.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The expected values of a ticket's row, except for its head; `None` if the events cannot be read.
fn expected_row(first: &EventRow, changes: &Changes) -> Option<Vec<(&'static str, Expected)>> {
    let (public, business) = (read(first.public())?, read(first.business())?);
    if changes.unreadable {
        return None;
    }
    let felling_until = changes.felling_until.clone().or_else(|| word(&business, "felling_until"));
    let removal_until = changes.removal_until.clone().or_else(|| word(&business, "removal_until"));
    let plot_digest = changes.plot_digest.clone().or_else(|| word(&business, "plot_digest"));
    let cancelled = changes.cancelled.clone().unwrap_or(Expected::Null);
    let value = |name| Expected::maybe(word(&business, name));
    let (name, hold) = (public.get("ticket")?, changes.hold.as_ref());
    Some(vec![
        ("issuer_id", value("organization")),
        ("holder_id", value("holder")),
        ("series", Expected::maybe(word(name, "series"))),
        ("number", Expected::maybe(word(name, "number"))),
        ("issued_on", value("issued_on")),
        ("felling_kind", value("felling_kind")),
        ("forest_category", value("forest_category")),
        ("forest_type", value("forest_type")),
        ("region", Expected::maybe(word(&public, "region"))),
        ("district", value("district")),
        ("forestry", Expected::maybe(word(&public, "forestry"))),
        ("compartment", value("compartment")),
        ("subcompartment", value("subcompartment")),
        ("cutting_area", value("cutting_area")),
        ("area_ha", Expected::maybe_decimal(word(&business, "area_ha").as_deref())),
        ("plot", plot_digest.map_or(Expected::Null, Expected::Digest)),
        ("plot_west", Expected::CheckedElsewhere),
        ("plot_south", Expected::CheckedElsewhere),
        ("plot_east", Expected::CheckedElsewhere),
        ("plot_north", Expected::CheckedElsewhere),
        ("felling_from", value("felling_from")),
        ("felling_until", Expected::maybe(felling_until)),
        ("removal_until", Expected::maybe(removal_until)),
        ("cancelled_at", cancelled),
        ("held_since", hold.map_or(Expected::Null, |hold| hold.since.clone())),
        ("held_until", hold.map_or(Expected::Null, |hold| hold.until.clone())),
        ("held_reason", Expected::maybe(hold.and_then(|hold| hold.reason.as_ref()))),
        ("held_by", Expected::maybe(hold.and_then(|hold| hold.by.as_ref()))),
        ("held_seq", hold.map_or(Expected::Null, |hold| Expected::int(hold.seq))),
    ])
}

/// The volumes that altered logs count against felling tickets. A log is altered here if its row differs from
/// its chain or is missing. The volume in the chain counts: `fsck` reports the error for the log, and the
/// ticket line is correct if it matches the chains. There is one entry per altered log; `None` if the log
/// counts against no ticket.
#[derive(Default)]
pub(super) struct CountedVolumes(BTreeMap<Uuid, Option<Counted>>);

/// What a log counts against a line of a ticket.
struct Counted {
    ticket: Uuid,
    line: Uuid,
    share: Share,
}

/// The sums of a line's logs.
#[derive(Clone, Copy, Default)]
struct LineSums {
    marked: Decimal,
    by_table_logs: i64,
    by_table: Decimal,
    table: Decimal,
}

impl CountedVolumes {
    /// Adds a log if it has no row, or if its row states another ticket, line or volume than its chain, or only
    /// one of the two says that the log is annulled: an annulled log counts against no line. If the chain cannot
    /// be read, the log is not added, and the volume in the row counts.
    pub(super) fn note(&mut self, log: Uuid, history: Option<&History>, row: Option<&Row>) {
        let Some(history) = history else { return };
        let share = history.state.share();
        let annulled = history.state.status == Status::Annulled;
        let ticket = history.ticket.as_ref().map(|(ticket, ..)| *ticket);
        let line = history.state.line.0;
        let same = row.is_some_and(|row| {
            row.uuid("ticket_id") == ticket
                && row.uuid("line_id") == Some(line)
                && row.decimal("volume_m3") == Some(share.volume.decimal())
                && row.decimal("table_volume_m3") == history.state.table_volume_m3.map(Volume::decimal)
                && row.text("kind") == Some(history.state.kind.as_str())
                && row.text("measurement_method") == Some(history.state.method.as_str())
                && (row.text("status") == Some(Status::Annulled.as_str())) == annulled
        });
        if !same {
            let ticket = ticket.filter(|_| !annulled);
            self.0.insert(log, ticket.map(|ticket| Counted { ticket, line, share }));
        }
    }

    /// Adds a log that has a row but no event: it counts against no ticket.
    pub(super) fn note_unexplained(&mut self, log: Uuid) {
        self.0.insert(log, None);
    }
}

/// Compares the lines of all tickets: the permitted volume with the ticket's first event, the marked volume
/// with the sum over its logs. The rows of the logs were compared with their chains in an earlier pass;
/// `counted` replaces those that differ.
pub(super) async fn check_lines(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    counted: &CountedVolumes,
) -> Result<(), Failure> {
    let of = reader.about("ticket_line").await?;
    let mut low = Some(Uuid::nil());
    while let Some(from) = low {
        reader.begin().await?;
        let next = sqlx::query_scalar!(
            "SELECT id FROM felling_ticket WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1",
            from,
            TICKETS
        )
        .fetch_optional(&mut *reader.db)
        .await?;
        let range = Range::before(from, next);
        let lines = check_range(reader, report, range, counted).await?;
        reader.end().await?;
        report.progress("ticket lines", lines, of);
        low = range.next();
    }
    Ok(())
}

async fn check_range(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    range: Range,
    counted: &CountedVolumes,
) -> Result<usize, Failure> {
    let altered: Vec<Uuid> = counted.0.keys().copied().collect();
    let rows = sqlx::query!(
        r#"SELECT ticket_id AS "ticket!", id AS "id!", row_to_json(t)::text AS "row!"
           FROM ticket_line t WHERE ticket_id BETWEEN $1 AND $2 ORDER BY ticket_id, position, id"#,
        range.low,
        range.high
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let sums = sqlx::query!(
        r#"SELECT ticket_id AS "ticket!", line_id AS "line_id?", sum(volume_m3)::text AS "sum!",
                  count(*) FILTER (WHERE kind = 'log' AND measurement_method = 'gost_2708_75'
                                     AND table_volume_m3 IS NOT NULL) AS "by_table_logs!",
                  COALESCE(sum(volume_m3) FILTER (WHERE kind = 'log' AND measurement_method = 'gost_2708_75'
                                                    AND table_volume_m3 IS NOT NULL), 0)::text AS "by_table!",
                  COALESCE(sum(table_volume_m3) FILTER (WHERE kind = 'log'
                                                          AND measurement_method = 'gost_2708_75'), 0)::text AS "table!"
           FROM log
           WHERE ticket_id BETWEEN $1 AND $2 AND volume_m3 IS NOT NULL AND id <> ALL ($3)
             AND status IS DISTINCT FROM 'annulled'
           GROUP BY ticket_id, line_id"#,
        range.low,
        range.high,
        &altered
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let digests = sqlx::query!(
        r#"SELECT e.subject_id AS "ticket!", e.business AS "business?", row_to_json(t)::text AS "row!"
           FROM felling_ticket t
           JOIN event e ON e.subject_id = t.id AND e.seq = 1 WHERE t.id BETWEEN $1 AND $2 ORDER BY t.id"#,
        range.low,
        range.high
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let mut marked: BTreeMap<(Uuid, Uuid), LineSums> = BTreeMap::new();
    for row in sums {
        // If a volume is NaN, the sum is NaN and cannot be parsed. It is replaced by -1, which differs from
        // every valid volume, so that an error is reported.
        let sum = |text: &str| text.parse().unwrap_or(Decimal::NEGATIVE_ONE);
        let sums = LineSums {
            marked: sum(&row.sum),
            by_table_logs: row.by_table_logs,
            by_table: sum(&row.by_table),
            table: sum(&row.table),
        };
        marked.insert((row.ticket, row.line_id.unwrap_or_default()), sums);
    }
    for Counted { ticket, line, share } in counted.0.values().flatten() {
        if (range.low..=range.high).contains(ticket) {
            let add = |sum: &mut Decimal, volume: Volume| {
                *sum = sum.checked_add(volume.decimal()).unwrap_or(Decimal::NEGATIVE_ONE);
            };
            let sums = marked.entry((*ticket, *line)).or_default();
            add(&mut sums.marked, share.volume);
            if let Some(table) = share.table {
                sums.by_table_logs += 1;
                add(&mut sums.by_table, share.volume);
                add(&mut sums.table, table);
            }
        }
    }
    let count = rows.len();
    let mut lines: BTreeMap<Uuid, Vec<(Uuid, Row)>> = BTreeMap::new();
    for row in rows {
        lines.entry(row.ticket).or_default().push((row.id, Row::parse(&row.row)));
    }
    for ticket in digests {
        let own = lines.remove(&ticket.ticket).unwrap_or_default();
        if !has_bounds(&Row::parse(&ticket.row)) {
            let detail = "the box around its plot is not that of its plot";
            report.find(Code::StateDiffers, "felling_ticket", ticket.ticket, None, detail);
        }
        let business = serde_json::from_str::<Value>(ticket.business.as_deref().unwrap_or_default()).ok();
        let issued = business.as_ref().and_then(|business| business.get("lines_digest")?.as_str());
        if issued.is_none() || issued != digest(&own).as_deref() {
            let detail = "id, species, wood or permitted volume of its lines, or their order, are not those it was issued with";
            report.find(Code::StateDiffers, "ticket_line", ticket.ticket, Some((ticket.ticket, 1)), detail);
        }
        for (position, (id, row)) in own.iter().enumerate() {
            let sums = marked.remove(&(ticket.ticket, *id)).unwrap_or_default();
            let expected_row = [
                ("id", Expected::CheckedElsewhere),
                ("ticket_id", Expected::text(ticket.ticket)),
                ("position", Expected::int(i64::try_from(position).unwrap_or(i64::MAX))),
                ("species", Expected::CheckedElsewhere),
                ("wood", Expected::CheckedElsewhere),
                ("permitted_m3", Expected::CheckedElsewhere),
                ("marked_m3", Expected::Number(sums.marked)),
                ("by_table_logs", Expected::int(sums.by_table_logs)),
                ("by_table_m3", Expected::Number(sums.by_table)),
                ("table_m3", Expected::Number(sums.table)),
            ];
            compare(report, "ticket_line", id, Some((ticket.ticket, 1)), &expected_row, row);
        }
    }
    for (ticket, own) in lines {
        for (id, _) in own {
            let detail = format!("there is no felling ticket {ticket} with an event");
            report.find(Code::RowUnexplained, "ticket_line", id, None, detail);
        }
    }
    for (ticket, line) in marked.into_keys() {
        let detail = format!("logs count against it, but it is no line of ticket {ticket}");
        report.find(Code::RowMissing, "ticket_line", line, Some((ticket, 1)), detail);
    }
    Ok(count)
}

/// Compares the hold that the rows of logs state with the rows of their tickets, which were compared with the
/// tickets' chains in an earlier pass: every log of an inspector's hold, and of the issuer's hold exactly the logs of
/// its event's digest.
pub(super) async fn check_holds(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let mut logs = sqlx::query!(
        r#"SELECT l.id AS "id!" FROM log l LEFT JOIN felling_ticket t ON t.id = l.ticket_id
           WHERE (COALESCE(l.ticket_held_since::text, l.ticket_held_until::text, l.ticket_held_reason,
                           l.ticket_held_seq::text) IS NOT NULL
                  AND (l.ticket_held_since, l.ticket_held_reason, l.ticket_held_seq, l.ticket_held_until)
                      IS DISTINCT FROM (t.held_since, t.held_reason, t.held_seq,
                                        CASE WHEN t.held_by = 'issuer' THEN t.held_until END))
              OR (l.ticket_held_since IS NULL AND t.held_by = 'inspector')"#
    )
    .fetch(&mut *reader.db);
    while let Some(log) = logs.try_next().await? {
        let detail = "the hold of its ticket that it states is not that of the ticket";
        report.find(Code::StateDiffers, "log", log.id, None, detail);
    }
    drop(logs);
    let held = sqlx::query!(
        r#"SELECT t.id AS "ticket!", t.held_seq AS "seq!", e.business AS "business?" FROM felling_ticket t
           LEFT JOIN event e ON e.subject_id = t.id AND e.seq = t.held_seq
           WHERE t.held_seq IS NOT NULL ORDER BY t.id"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    for ticket in held {
        let business = read(ticket.business.as_deref().unwrap_or_default());
        let logs = sqlx::query_scalar!(
            r#"SELECT id AS "id: LogId" FROM log WHERE ticket_id = $1 AND ticket_held_seq = $2 ORDER BY id"#,
            ticket.ticket,
            ticket.seq
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let stated = business.as_ref().and_then(|business| word(business, "logs_digest"));
        if stated.as_deref() != Some(logs_digest(&logs).to_string().as_str()) {
            let detail = "the logs that its hold stops are not those of the event that made it";
            let at = Some((ticket.ticket, ticket.seq));
            report.find(Code::StateDiffers, "felling_ticket", ticket.ticket, at, detail);
        }
    }
    reader.end().await?;
    Ok(())
}

/// Whether the row of a ticket states the box around its plot, which the sweep of the tickets compares with the chain.
fn has_bounds(row: &Row) -> bool {
    let plot = row.text("plot").map(Plot::from_stored);
    let bounds = plot.and_then(|plot| plot.ok()?.bounds());
    let columns = ["plot_west", "plot_south", "plot_east", "plot_north"];
    columns.into_iter().enumerate().all(|(index, column)| {
        // NaN is a text in JSON.
        row.text(column).is_none() && row.decimal(column) == bounds.map(|bounds| bounds[index])
    })
}

/// The digest of the lines in their order; `None` if a value cannot be read.
fn digest(lines: &[(Uuid, Row)]) -> Option<String> {
    let read: Option<Vec<_>> = lines
        .iter()
        .map(|(id, row)| {
            let species = Species::parse(row.text("species")?).ok()?;
            let wood = Wood::parse(row.text("wood")?).ok()?;
            let volume = Volume::parse(&row.decimal("permitted_m3")?.normalize().to_string()).ok()?;
            Some((LineId(*id), species, wood, volume))
        })
        .collect();
    Some(lines_digest(read?.into_iter()).to_string())
}
