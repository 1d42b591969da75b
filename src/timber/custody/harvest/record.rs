//! Records a harvest: all of its logs or none.
//!
//! Lock order: operation id, the ticket (shared) and its lines, the seals. The logs are new, so no other
//! transaction can hold a lock on them. Round trips: a fixed number, and two for each
//! [`MAX_EVENTS_PER_STATEMENT`] logs.

use super::check::{Checked, Claims, check};
use super::locations::Locations;
use super::request::NewHarvest;
use super::view::{Harvest, HarvestedLog, view};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{HarvestId, LogId, OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::units::Volume;
use crate::evidence::chain::Tx;
use crate::evidence::chain::append::{MAX_EVENTS_PER_STATEMENT, Personal};
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::size::{self, MAX_BUSINESS_BYTES, MAX_PUBLIC_BYTES};
use crate::evidence::chain::{Draft, LockedHead, SubjectKind, append, canonical};
use crate::evidence::idempotency::device;
use crate::evidence::idempotency::operation::{self, OperationEvents, OperationKind};
use crate::timber::custody::content::{Content, LogBusiness, LogPublic, TicketHead};
use crate::timber::custody::log::write::{NewLog as NewLogRow, insert};
use crate::timber::custody::state::LogState;
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{LocalTime, PositionPart};
use crate::timber::event::types::LogEventType;
use crate::timber::finding::draft::{self, EvidenceEvent};
use crate::timber::finding::rules;
use crate::timber::finding::write::{NewFinding, store};
use crate::timber::parameter::{Parameters, Rulebook, VolumeBounds};
use crate::timber::party::key::Caller;
use crate::timber::seal::stock::{self, SealRow};
use crate::timber::ticket::{self, TicketForHarvest};
use crate::timber::wood::volume_table::gost_volume;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The result of recording.
pub enum Recorded {
    /// The request is recorded now.
    New(Harvest),
    /// The same request was recorded before.
    Before(Harvest),
}

/// Records a harvest of `caller`, which must hold the ticket, or have issued it to an individual.
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
    rulebook: &Rulebook,
) -> Result<Recorded> {
    let organization = caller.organization;
    if operation::reserve(tx, organization, request.operation_id, fingerprint).await?.is_some() {
        let existing = sqlx::query_scalar!(
            "SELECT id FROM harvest WHERE organization_id = $1 AND operation_id = $2",
            organization.0,
            request.operation_id.map(|id| id.0)
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
        return Ok(Recorded::Before(
            view(tx, existing.into(), rulebook.now()).await?.ok_or(Error::NotFound)?,
        ));
    }
    let operation = request.operation_id.unwrap_or_default();
    let claims = Claims::from(request);
    let mut errors = RequestErrors::default();
    let checked = check(tx, caller, &claims, Some(fingerprint), locations, rulebook, &mut errors).await?;
    errors.into_result()?;
    let Checked { ticket: Some(ticket), marked, lines, seals, own_use, now } = checked else {
        return Err(Error::CorruptRow(format!("felling_ticket {}: not found", request.felling_ticket_id)));
    };

    let harvest = HarvestId::new();
    let text = request.responsible_person.part();
    let personal = Personal { id: harvest.0, text, secret: Secret::random() };
    let personal = personal.store(tx, organization.0, now).await?;
    let holder = own_use.then_some(ticket.row.holder);
    let maker = Maker { caller, ticket: &ticket, request, operation, holder };
    let mut applied = Vec::with_capacity(seals.len());
    let mut logs = Vec::with_capacity(seals.len());
    let (mut seals, mut lines) = (seals.into_iter(), lines.iter().enumerate());
    // The logs are recorded in groups, because the parts, drafts and rows of 5,000 logs would take tens of
    // megabytes of memory at once.
    while lines.len() > 0 {
        let piece: Vec<_> = lines.by_ref().take(MAX_EVENTS_PER_STATEMENT).zip(seals.by_ref()).collect();
        let mut contents = Vec::with_capacity(piece.len());
        let mut drafts = Vec::with_capacity(piece.len());
        for ((index, line), seal) in &piece {
            let id = LogId::new();
            let content = maker.content(id, *index, ticket.lines[**line].id, seal);
            let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
            // The names of a ticket always fit into these events if `check_names` has checked them at its
            // issue. Tickets that are older than this check may have longer names, so the size is checked
            // here too.
            size::check(&public, MAX_PUBLIC_BYTES, &[(locations.ticket(), &ticket.row.forestry)])
                .map_err(Error::Invalid)?;
            size::check(&business, MAX_BUSINESS_BYTES, &[]).map_err(Error::Invalid)?;
            let act = Actor::at_moment(organization, caller.key, operation, request.logs[*index].occurred_at);
            let head = LockedHead::fresh(SubjectKind::Log, id.0);
            let draft = act.draft(head, LogEventType::Harvested, public, business, Some(ticket.row.region));
            drafts.push(Draft { personal: Some(Arc::clone(&personal)), ..draft });
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
            rows.push(NewLogRow { head, state, harvest, ticket: ticket.row.id, issuer: ticket.row.issuer });
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
        ticket.row.id.0,
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
    let mut findings = maker.findings(&logs, now, &rulebook.parameters());
    let last = logs.last().map(|log| EvidenceEvent::of(log.id, 1));
    findings.extend(marked.findings.into_iter().map(|draft| NewFinding {
        draft: last.into_iter().fold(draft, draft::Draft::shown_by),
        log: None,
        ticket: Some(ticket.row.id),
        party: None,
    }));
    let findings = store(tx, organization, findings, now).await?;
    let subjects = logs.iter().map(|log| log.id.0).collect();
    let made = OperationEvents { operation, subjects, seqs: vec![1; logs.len()] };
    operation::record(tx, organization, OperationKind::Harvest, *fingerprint, &made, now).await?;
    let ticket = ticket::view(tx, ticket.row.id, now).await?;
    Ok(Recorded::New(Harvest {
        id: harvest,
        operation_id: operation,
        received_at: now,
        logs,
        ticket,
        findings,
    }))
}

struct Maker<'r> {
    caller: &'r Caller,
    ticket: &'r TicketForHarvest,
    request: &'r NewHarvest,
    operation: OperationId,
    /// The individual for whom the caller records.
    holder: Option<OrganizationId>,
}

impl Maker<'_> {
    fn content(&self, id: LogId, index: usize, line: crate::base::ids::LineId, seal: &SealRow) -> Content {
        let log = &self.request.logs[index];
        let table = log.top_diameter_cm.zip(log.length_m).and_then(|(d, l)| gost_volume(d, l));
        let public = LogPublic {
            forestry: Some(self.ticket.row.forestry.clone()),
            ticket: Some(self.ticket.row.name.clone()),
            species: Some(log.species),
            length_m: log.length_m,
            top_diameter_cm: log.top_diameter_cm,
            pieces: log.pieces,
            volume_m3: Some(log.volume_m3),
            seal: Some(seal.number.clone()),
            identification: Some(seal.identification.clone()),
            ..LogPublic::bare(
                LogEventType::Harvested,
                log.kind,
                log.occurred_at.day().day(),
                Some(self.ticket.row.region),
            )
        };
        let business = LogBusiness {
            position: log.position.map(PositionPart::from),
            device: self.request.device.as_ref().map(crate::timber::custody::request::Device::part),
            wood: Some(log.wood),
            assortment: log.assortment,
            grade: log.grade,
            method: Some(log.measurement_method),
            table_volume_m3: table.as_ref().map(|table| table.volume),
            table: table.map(|table| table.version.to_owned()),
            ticket: Some(TicketHead {
                id: self.ticket.row.id,
                seq: self.ticket.row.head_seq,
                hash: self.ticket.row.head_hash,
            }),
            line: Some(line),
            holder: self.holder,
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

    fn findings(
        &self,
        logs: &[HarvestedLog],
        now: DateTime<Utc>,
        parameters: &Arc<Parameters>,
    ) -> Vec<NewFinding> {
        let mut bounds = VolumeBounds::new(Arc::clone(parameters));
        let mut findings = Vec::new();
        for (log, made) in self.request.logs.iter().zip(logs) {
            let (d, l) = (log.top_diameter_cm, log.length_m);
            let felled = log.occurred_at.day().day();
            let (measures, bounds) = (log.measures(), bounds.on(felled));
            let drafts = [
                rules::volume_unlike_table(&measures, &bounds),
                rules::table_not_covered(&measures),
                rules::logs_as_stack(&measures, log.wood, &bounds),
                rules::commercial_as_firewood(&measures, log.wood, &bounds),
                rules::small_piece(log.kind, d, l),
                log.position.and_then(|position| {
                    rules::outside(position, self.ticket.row.plot.as_ref(), felled, parameters)
                }),
                rules::late_entry(log.occurred_at, now, parameters),
            ];
            let banned = self.ticket.row.bans.iter().find(|ban| ban.forbids(log.species, felled));
            let banned = banned.map(|ban| rules::ticket::harvest_in_ban(felled, &ban.sentence()));
            findings.extend(drafts.into_iter().flatten().chain(banned).map(|draft| NewFinding {
                draft,
                log: Some((made.id, 1)),
                ticket: Some(self.ticket.row.id),
                party: None,
            }));
        }
        findings
    }
}
