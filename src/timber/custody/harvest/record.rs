//! Recording a harvest: all of it or none.
//!
//! Lock order: operation id, the ticket (shared) and its lines, the seals. The logs are new, so no other
//! transaction can hold a lock on them. Round trips: a fixed number, and two for each [`MAX_EVENTS_PER_STATEMENT`] logs.

use super::balance::Balance;
use super::request::NewHarvest;
use super::view::{Harvest, HarvestedLog, view};
use crate::base::clock::Clock;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{HarvestId, LogId, OperationId};
use crate::base::units::{Volume, utc_text};
use crate::evidence::chain::Tx;
use crate::evidence::chain::append::{MAX_EVENTS_PER_STATEMENT, Personal};
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::size::{self, MAX_BUSINESS_BYTES, MAX_PUBLIC_BYTES};
use crate::evidence::chain::{Draft, LockedHead, SubjectKind, append, canonical};
use crate::evidence::idempotency::{device, operation};
use crate::timber::custody::log::write::{NewLog as NewLogRow, insert};
use crate::timber::custody::request::position_part;
use crate::timber::custody::state::LogState;
use crate::timber::event::content::{Content, LocalTime, LogBusiness, LogPublic, TicketHead, TicketName};
use crate::timber::event::types::LogEventType;
use crate::timber::finding::rules;
use crate::timber::finding::write::{NewFinding, store};
use crate::timber::party::key::Caller;
use crate::timber::seal::Code;
use crate::timber::seal::number::SealNumber;
use crate::timber::seal::stock::{self, SealRow, SealStatus};
use crate::timber::ticket::{self, TicketForHarvest};
use crate::timber::wood::volume_table::gost_volume;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::HashMap;

/// How far ahead of the server's clock the time of an event may be.
pub const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Makes the locations of field errors in the request body: JSON pointers, or lines of the CSV.
#[derive(Clone, Debug)]
pub enum Locations {
    /// A JSON body.
    Json,
    /// A CSV body: the line of each item.
    Csv(Vec<u64>),
}

fn at_pointer(text: &str) -> Location {
    Location::Pointer(text.to_owned())
}

impl Locations {
    /// Location of an error that concerns the complete body.
    #[must_use]
    pub fn whole(&self) -> Location {
        match self {
            Self::Json => at_pointer(""),
            Self::Csv(_) => Location::Cell { line: 1, column: String::new() },
        }
    }

    /// Location of the ticket's id.
    #[must_use]
    pub fn ticket(&self) -> Location {
        match self {
            Self::Json => at_pointer("/felling_ticket_id"),
            Self::Csv(_) => Location::Query("felling_ticket_id".into()),
        }
    }

    /// Name of the log at `index`, for a sentence.
    #[must_use]
    pub fn item(&self, index: usize) -> String {
        match self {
            Self::Json => format!("item {index}"),
            Self::Csv(lines) => format!("line {}", lines.get(index).copied().unwrap_or_default()),
        }
    }

    /// Location of `field` of the log at `index`.
    #[must_use]
    pub fn of(&self, index: usize, field: &str) -> Location {
        match self {
            Self::Json => Location::Pointer(format!("/logs/{index}/{field}")),
            Self::Csv(lines) => Location::Cell {
                line: lines.get(index).copied().unwrap_or_default(),
                column: field.to_owned(),
            },
        }
    }
}

#[derive(Serialize)]
struct PersonalPart<'a> {
    v: u8,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iin: Option<&'a str>,
}

/// The result of recording.
pub enum Recorded {
    /// The request is recorded now.
    New(Harvest),
    /// The same request was recorded before.
    Before(Harvest),
}

/// Records a harvest of `caller`, which must hold the ticket.
///
/// # Errors
/// [`Error::Invalid`] for invalid references and values, [`Error::Conflict`] for conflicts with the present
/// state; all errors of the request at once.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &NewHarvest,
    fingerprint: &[u8; 32],
    locations: &Locations,
    clock: &Clock,
) -> Result<Recorded> {
    let organization = caller.organization;
    if let Some(id) = request.operation_id
        && let operation::Reservation::Existing { .. } =
            operation::reserve(tx, organization, id, fingerprint).await?
    {
        let existing = sqlx::query_scalar!(
            "SELECT id FROM harvest WHERE organization_id = $1 AND operation_id = $2",
            organization.0,
            id.0
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(existing) = existing else {
            let detail = "This operation id belongs to another request of yours; use a new one.";
            return Err(Error::Conflict(vec![FieldError::new(
                Location::Pointer("/operation_id".into()),
                "operation-id-used",
                detail,
            )]));
        };
        return Ok(Recorded::Before(view(tx, existing.into()).await?.ok_or(Error::NotFound)?));
    }
    let operation = request.operation_id.unwrap_or_default();
    let ticket = ticket::lock_for_harvest(tx, request.felling_ticket_id).await?;
    let names: Vec<_> = request.logs.iter().map(|log| &log.seal_number).collect();
    let numbers = stock::numbers_of(tx, &names).await?;
    let known: Vec<SealNumber> = numbers.iter().flatten().cloned().collect();
    let mut rows = stock::lock_for_use(tx, &known).await?.into_iter();
    let seals: Vec<Option<SealRow>> =
        numbers.iter().map(|number| number.as_ref().and_then(|_| rows.next().flatten())).collect();

    // Read after taking the locks: a request that waited must not get an earlier time of receipt than the one
    // it waited for.
    let now = clock.now();

    let mut errors = RequestErrors::default();
    let ticket = ticket.filter(|ticket| ticket.holder == organization);
    let seals = errors.check_seals(caller, request, locations, seals);
    let Some(ticket) = ticket else {
        let detail = "You have no such felling ticket.";
        errors.invalid.push(FieldError::new(locations.ticket(), "unknown-felling-ticket", detail));
        return Err(errors.into_error());
    };
    if ticket.cancelled {
        let detail = "This felling ticket is cancelled; nothing more may be felled under it.";
        errors.conflict.push(FieldError::new(locations.ticket(), "ticket-cancelled", detail));
    }
    let mut balance = Balance::new(&ticket.lines, now.date_naive());
    let lines = errors.check_logs(request, locations, &ticket, &mut balance, now);
    if !errors.is_empty() {
        if let Some(again) = errors.recorded_before(tx, caller, fingerprint, &seals, locations).await? {
            return Err(Error::Conflict(vec![again]));
        }
        return Err(errors.into_error());
    }
    let marked = balance.finish();

    let harvest = HarvestId::new();
    let person = PersonalPart {
        v: 1,
        name: request.responsible_person.name.as_str(),
        iin: request.responsible_person.iin.as_ref().map(crate::timber::party::bin::Bin::as_str),
    };
    let personal = Personal { id: harvest.0, text: canonical::text(&person), secret: Secret::random() };
    let personal = personal.store(tx, organization.0, now).await?;
    let maker = Maker { caller, ticket: &ticket, request, operation };
    let mut applied = Vec::with_capacity(seals.len());
    let mut logs = Vec::with_capacity(seals.len());
    let (mut seals, mut lines) = (seals.into_iter(), lines.iter().enumerate());
    // One piece at a time, from the event's parts to the log's row: all forms of 5,000 logs at once would
    // take tens of megabytes.
    while lines.len() > 0 {
        let piece: Vec<_> = lines.by_ref().take(MAX_EVENTS_PER_STATEMENT).zip(seals.by_ref()).collect();
        let mut contents = Vec::with_capacity(piece.len());
        let mut drafts = Vec::with_capacity(piece.len());
        for ((index, line), seal) in &piece {
            let id = LogId::new();
            let content = maker.content(id, *index, ticket.lines[**line].id, seal);
            let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
            // The lengths of a ticket's names are checked when it is issued; for tickets issued before that
            // check existed, they are checked here.
            size::check(&public, MAX_PUBLIC_BYTES, &[(locations.ticket(), &ticket.forestry)])
                .map_err(Error::Invalid)?;
            size::check(&business, MAX_BUSINESS_BYTES, &[]).map_err(Error::Invalid)?;
            drafts.push(Draft {
                head: LockedHead::fresh(SubjectKind::Log, id.0),
                public,
                business,
                personal: Some(&personal),
                event_type: LogEventType::Harvested.as_str(),
                organization: organization.0,
                operation: operation.0,
                occurred_at: request.logs[*index].occurred_at.instant(),
                region: Some(ticket.region.as_str()),
            });
            contents.push(content);
        }
        let heads = append(tx, now, drafts).await?;
        let mut rows = Vec::with_capacity(heads.len());
        for ((content, head), (_, seal)) in contents.iter().zip(heads).zip(piece) {
            let id = LogId(head.id);
            applied.push((seal.number.clone(), id));
            logs.push(HarvestedLog {
                id,
                seal_number: seal.number,
                marking_code: seal.marking_code,
                seq: head.seq,
                hash: head.hash,
            });
            let state = LogState::first(content)?;
            rows.push(NewLogRow { head, state, harvest, ticket: ticket.id, issuer: ticket.issuer });
        }
        insert(tx, &rows).await?;
    }
    stock::apply(tx, &applied, 1).await?;
    ticket::add_marked(tx, &marked.changes).await?;
    let total = Volume::checked_sum(request.logs.iter().map(|log| log.volume_m3)).unwrap_or(Volume::ZERO);
    sqlx::query!(
        "INSERT INTO harvest (id, organization_id, ticket_id, operation_id, personal_id, log_count, volume_m3, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        harvest.0,
        organization.0,
        ticket.id.0,
        operation.0,
        personal.id,
        i32::try_from(logs.len()).unwrap_or(i32::MAX),
        total.decimal(),
        now
    )
    .execute(&mut **tx)
    .await?;
    if let Some(device) = &request.device {
        let recorded_at = device.recorded_at.instant();
        device::reserve(tx, organization, device.id.as_str(), device.seq, recorded_at, operation).await?;
    }
    let mut findings = maker.findings(&logs, now);
    findings.extend(marked.findings.into_iter().map(|draft| NewFinding {
        draft,
        log: None,
        ticket: Some(ticket.id),
    }));
    let findings = store(tx, organization, findings, now).await?;
    operation::record(
        tx,
        operation::Record {
            organization,
            operation,
            kind: "harvest",
            fingerprint: *fingerprint,
            subjects: logs.iter().map(|log| log.id.0).collect(),
            seqs: vec![1; logs.len()],
        },
        now,
    )
    .await?;
    let ticket = ticket::view(tx, ticket.id).await?;
    Ok(Recorded::New(Harvest {
        id: harvest,
        operation_id: operation,
        received_at: now,
        logs,
        ticket,
        findings,
    }))
}

/// The errors of one request, of both kinds.
#[derive(Default)]
pub struct RequestErrors {
    /// Well-formed but invalid: 422.
    pub invalid: Vec<FieldError>,
    /// In conflict with the present state: 409.
    pub conflict: Vec<FieldError>,
}

impl RequestErrors {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.invalid.is_empty() && self.conflict.is_empty()
    }

    /// 409 if all are conflicts with the present state, otherwise 422 with all of them.
    #[must_use]
    pub fn into_error(mut self) -> Error {
        if self.invalid.is_empty() {
            Error::Conflict(self.conflict)
        } else {
            self.invalid.append(&mut self.conflict);
            Error::Invalid(self.invalid)
        }
    }

    /// If seals of the request are on logs because the very same request was recorded before: the one conflict
    /// that says so, instead of one for each log.
    async fn recorded_before(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        fingerprint: &[u8; 32],
        seals: &[SealRow],
        locations: &Locations,
    ) -> Result<Option<FieldError>> {
        let Some(log) = seals.first().and_then(|seal| seal.log) else { return Ok(None) };
        let before = sqlx::query!(
            "SELECT harvest.id, harvest.received_at
             FROM log
             JOIN harvest ON harvest.id = log.harvest_id
             JOIN operation ON operation.organization_id = harvest.organization_id
                           AND operation.operation_id = harvest.operation_id
             WHERE log.id = $1 AND harvest.organization_id = $2 AND operation.fingerprint = $3",
            log.0,
            caller.organization.0,
            fingerprint.as_slice()
        )
        .fetch_optional(&mut **tx)
        .await?;
        Ok(before.map(|harvest| {
            let detail = format!(
                "This very request was recorded already, at {}, as harvest {}. Send an Idempotency-Key or an \
                 operation_id, and a repeated request gets its answer again.",
                utc_text(harvest.received_at),
                harvest.id
            );
            FieldError::new(locations.whole(), "already-recorded", detail)
        }))
    }

    fn check_seals(
        &mut self,
        caller: &Caller,
        request: &NewHarvest,
        locations: &Locations,
        seals: Vec<Option<SealRow>>,
    ) -> Vec<SealRow> {
        let mut usable: Vec<SealRow> = Vec::with_capacity(seals.len());
        let mut seen = HashMap::with_capacity(seals.len());
        for (index, (seal, log)) in seals.into_iter().zip(&request.logs).enumerate() {
            let number = &log.seal_number;
            let at = || locations.of(index, "seal_number");
            match seal.filter(|seal| seal.holder == caller.organization) {
                None => {
                    let typed = match number.code() {
                        Code::SealNumber(number) => number.has_letter_like_digit(),
                        _ => false,
                    };
                    let hint = if typed { " Is the letter O or I in it a zero or a one?" } else { "" };
                    let detail = format!("You have no seal {number}.{hint}");
                    self.invalid.push(FieldError::new(at(), "unknown-seal", detail));
                }
                Some(seal) => {
                    // The same seal by its number and by its code.
                    if let Some(first) = seen.insert(seal.number.clone(), index) {
                        let detail = format!(
                            "Seal {} is already used by {} of this harvest.",
                            seal.number,
                            locations.item(first)
                        );
                        self.invalid.push(FieldError::new(at(), "duplicate-in-batch", detail));
                    }
                    if seal.differs(number) {
                        let detail = format!(
                            "This code is not the one that seal {} was registered with; it is forged or misread.",
                            seal.number
                        );
                        self.invalid.push(FieldError::new(at(), "marking-code-differs", detail));
                    }
                    match seal.status {
                        SealStatus::Issued => {}
                        SealStatus::Applied => {
                            let detail =
                                format!("Seal {number} is on a log already; a seal is applied once.");
                            self.conflict.push(FieldError::new(at(), "seal-applied", detail));
                        }
                        SealStatus::Void => {
                            let detail = format!("Seal {number} is void.");
                            self.conflict.push(FieldError::new(at(), "seal-void", detail));
                        }
                    }
                    usable.push(seal);
                }
            }
        }
        usable
    }

    /// Checks each log against the ticket and marks its volume; returns the index of each log's line.
    fn check_logs(
        &mut self,
        request: &NewHarvest,
        locations: &Locations,
        ticket: &TicketForHarvest,
        balance: &mut Balance<'_>,
        now: DateTime<Utc>,
    ) -> Vec<usize> {
        let mut lines = Vec::with_capacity(request.logs.len());
        for (index, log) in request.logs.iter().enumerate() {
            let day = log.occurred_at.day();
            if day < ticket.felling_from || day > ticket.felling_until {
                let detail = format!(
                    "{day} is outside the ticket's felling dates, {} to {}.",
                    ticket.felling_from, ticket.felling_until
                );
                self.invalid.push(FieldError::new(
                    locations.of(index, "occurred_at"),
                    "outside-felling-dates",
                    detail,
                ));
            }
            if log.occurred_at.instant() > now + MAX_CLOCK_SKEW {
                let detail = "This is more than five minutes in the future.";
                self.invalid.push(FieldError::new(
                    locations.of(index, "occurred_at"),
                    "in-the-future",
                    detail,
                ));
            }
            if let Some(line) = balance.line(log.species, log.wood) {
                let at = || locations.of(index, "volume_m3");
                self.conflict.extend(balance.mark(line, log.volume_m3, at));
                lines.push(line);
            } else {
                let detail = format!("The ticket has no line for {} {}.", log.species, log.wood);
                self.invalid.push(FieldError::new(locations.of(index, "species"), "not-on-ticket", detail));
            }
        }
        lines
    }
}

struct Maker<'r> {
    caller: &'r Caller,
    ticket: &'r TicketForHarvest,
    request: &'r NewHarvest,
    operation: OperationId,
}

impl Maker<'_> {
    fn content(&self, id: LogId, index: usize, line: crate::base::ids::LineId, seal: &SealRow) -> Content {
        let log = &self.request.logs[index];
        let table = log.top_diameter_cm.zip(log.length_m).and_then(|(d, l)| gost_volume(d, l));
        let public = LogPublic {
            forestry: Some(self.ticket.forestry.clone()),
            ticket: Some(TicketName {
                series: self.ticket.series.clone(),
                number: self.ticket.number.clone(),
            }),
            species: Some(log.species.as_str().to_owned()),
            length_m: log.length_m.map(|length| length.to_string()),
            top_diameter_cm: log.top_diameter_cm.map(|diameter| diameter.to_string()),
            pieces: log.pieces.map(crate::base::units::Pieces::get),
            volume_m3: Some(log.volume_m3.to_string()),
            seal: Some(seal.number.as_str().to_owned()),
            identification: Some(seal.identification.as_str().to_owned()),
            ..LogPublic::bare(
                LogEventType::Harvested,
                log.kind,
                log.occurred_at.day().day(),
                Some(self.ticket.region.as_str().to_owned()),
            )
        };
        let business = LogBusiness {
            position: log.position.map(position_part),
            device: self.request.device.as_ref().map(crate::timber::custody::request::Device::part),
            wood: Some(log.wood),
            assortment: log.assortment,
            grade: log.grade.map(crate::timber::wood::species::Grade::get),
            method: Some(log.measurement_method),
            table_volume_m3: table.as_ref().map(|table| table.volume.to_string()),
            table: table.map(|table| table.version.to_owned()),
            ticket: Some(TicketHead {
                id: self.ticket.id,
                seq: self.ticket.head_seq,
                hash: self.ticket.head_hash.to_string(),
            }),
            line: Some(line),
            ..LogBusiness::bare(
                id,
                LocalTime::of(log.occurred_at),
                self.caller.organization,
                self.caller.key,
                self.operation,
            )
        };
        Content { seq: 1, public, business }
    }

    fn findings(&self, logs: &[HarvestedLog], now: DateTime<Utc>) -> Vec<NewFinding> {
        let mut findings = Vec::new();
        for (log, made) in self.request.logs.iter().zip(logs) {
            let (d, l) = (log.top_diameter_cm, log.length_m);
            let drafts = [
                rules::volume_unlike_table(log.kind, log.measurement_method, d, l, log.volume_m3),
                rules::commercial_as_firewood(log.kind, log.wood, d, l),
                rules::small_piece(log.kind, d, l),
                log.position.and_then(|position| rules::outside(position, self.ticket.plot.as_ref())),
                rules::late_entry(log.occurred_at, now),
            ];
            findings.extend(drafts.into_iter().flatten().map(|draft| NewFinding {
                draft,
                log: Some((made.id, 1)),
                ticket: Some(self.ticket.id),
            }));
        }
        findings
    }
}
