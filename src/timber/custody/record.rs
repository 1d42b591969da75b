//! Recording custody events of up to 1,000 logs: all or none.
//!
//! Lock order: operation id, a corrected log's ticket lines, the seals of a replacement and the old seal's
//! batch, then the logs by id. The number of round trips does not grow with the number of logs. A late event
//! from a device takes one more: the chains of its logs are read, to check whether the event was allowed at
//! the moment it happened.

use super::check::{Checked, OtherParties};
use super::correct;
use super::request::{NewCustodyEvent, Readable, position_part};
use super::state::LogState;
use super::table::{CallerRoles, Refused, allowed, check, gives, has_part};
use crate::base::clock::Clock;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{LogId, OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::units::Moment;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, Hash, SubjectKind, append, canonical, size};
use crate::evidence::idempotency::{device, operation};
use crate::timber::custody::log::write::{LockedLog, save};
use crate::timber::event::actor::Actor;
use crate::timber::event::content::{Content, LocalTime, LogBusiness, LogPublic};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::TransferOf;
use crate::timber::finding::rules;
use crate::timber::finding::write::{Finding, NewFinding, store};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::replace::Replacement;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// One event that was recorded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordedEvent {
    /// The log.
    pub log: LogId,
    /// Seq in its chain.
    pub seq: u32,
    /// The event's hash.
    pub hash: Hash,
}

/// The result of a custody request.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CustodyAnswer)]
pub struct CustodyResponse {
    /// The request's operation id.
    pub operation_id: OperationId,
    /// One event per log, in the order of the request.
    pub events: Vec<RecordedEvent>,
    /// Findings: what looked unusual.
    pub findings: Vec<Finding>,
}

/// The result of recording.
pub enum Recorded {
    /// The request is recorded now.
    New(CustodyResponse),
    /// The same request was recorded before.
    Before(CustodyResponse),
}

/// Records a request of `caller`.
///
/// # Errors
/// [`Error::Invalid`] for invalid references and values, [`Error::Conflict`] for events that the present
/// state does not allow; all errors of the request at once.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &NewCustodyEvent,
    fingerprint: &[u8; 32],
    clock: &Clock,
) -> Result<Recorded> {
    if let Some(id) = request.operation_id
        && let operation::Reservation::Existing { subjects, seqs } =
            operation::reserve(tx, caller.organization, id, fingerprint).await?
    {
        return Ok(Recorded::Before(before(tx, id, &subjects, &seqs).await?));
    }
    let mut errors = RequestErrors::default();
    let readable = Readable::all(request);
    let checked = super::check::check(tx, caller, request, &readable, clock, &mut errors).await?;
    errors.into_result()?;
    let Checked { recorder, plans, corrected, replacement } = checked;
    if let (Some(seals), Some(plan)) = (&replacement, plans.first())
        && !seals.is_old_seal(&plan.row.state.seal)
    {
        // Another request replaced the seal between our read and our locks; the present seal is not locked.
        return Err(Error::Stale("log_seal"));
    }
    recorder.write(tx, plans, corrected, replacement, fingerprint).await.map(Recorded::New)
}

/// A log that passed the checks, under lock.
pub(crate) struct Plan {
    pub(crate) row: LockedLog,
    pub(crate) access: Access,
    /// Late, but allowed at the moment it happened: does not change the present state.
    pub(crate) late: bool,
}

/// What one event does to a log.
pub(crate) struct Step {
    pub(crate) log: LogId,
    pub(crate) before: LogState,
    pub(crate) after: LogState,
}

/// Decided events, the new states of their logs and the findings; nothing is stored yet.
pub(crate) struct Decided {
    pub(crate) drafts: Vec<Draft<'static>>,
    /// The log of each, with its state before and after.
    pub(crate) steps: Vec<Step>,
    /// The findings.
    pub(crate) found: Vec<NewFinding>,
}

/// How much of a log the caller may see, which also limits the details of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything: the caller is a present party or an inspector.
    Full,
    /// The past only: the caller issued its ticket or is a past party. Errors reveal nothing of the log's
    /// present state.
    Past,
}

/// The parts of a request that are the same for all its logs.
pub(crate) struct Recorder<'r> {
    pub(crate) caller: &'r Caller,
    pub(crate) request: &'r NewCustodyEvent,
    others: OtherParties,
    operation: OperationId,
    pub(super) roles: CallerRoles,
    pub(crate) now: DateTime<Utc>,
}

impl<'r> Recorder<'r> {
    pub(crate) fn new(
        caller: &'r Caller,
        request: &'r NewCustodyEvent,
        others: OtherParties,
        operation: OperationId,
        now: DateTime<Utc>,
    ) -> Self {
        let roles = CallerRoles {
            id: caller.organization,
            inspector: caller.is(Role::Inspector),
            operator: caller.is(Role::Operator),
        };
        Self { caller, request, others, operation, roles, now }
    }

    pub(crate) fn check(&self, state: &LogState, access: Access, at: Location) -> Result<(), FieldError> {
        let event = self.request.r#type;
        // For a past party the role is checked first, so that the error is the same in every state. The
        // table's own order, state first, would reveal the state.
        let checked = match access {
            Access::Past if !has_part(event, state, self.roles) => Err(Refused::NotYours),
            _ => check(event, state, self.roles).and_then(|()| self.check_giver(state)),
        };
        checked.map_err(|refusal| {
            let (code, detail) = match refusal {
                Refused::Transition if state.seal_void && !event.rule().with_void_seal => {
                    ("seal-void", format!("The log's seal is void; replace it before `{event}`."))
                }
                Refused::Transition => {
                    let pending = if state.pending.is_some() { ", with a transfer pending" } else { "" };
                    let detail = format!("`{event}` does not follow on `{}`{pending}.", state.status);
                    ("transition-not-allowed", detail)
                }
                Refused::NotYours => {
                    let recorders: Vec<_> = event.rule().who.iter().map(|who| who.label()).collect();
                    ("not-yours-to-record", format!("`{event}` is recorded by: {}.", recorders.join(", ")))
                }
            };
            let allowed = match access {
                Access::Full => allowed(state, self.roles),
                Access::Past => Vec::new(),
            };
            FieldError { allowed, ..FieldError::new(at.clone(), code, detail) }
        })?;
        // The time of a correction is not that of the corrected event.
        if event != LogEventType::Corrected && self.request.occurred_at.day().day() < state.felled_on {
            let detail = format!("The log was felled on {}: nothing happened to it before.", state.felled_on);
            return Err(FieldError::new(at, "contradicts-later", detail));
        }
        Ok(())
    }

    /// Checks that the caller may offer this transfer: the holder may offer possession, the owner ownership,
    /// and only an organisation that is holder and owner may offer both.
    pub(super) fn check_giver(&self, state: &LogState) -> Result<(), Refused> {
        let of = self.request.of.unwrap_or(TransferOf::Both);
        let passes = self.request.r#type != LogEventType::Transferred || gives(of, state, self.roles);
        if passes { Ok(()) } else { Err(Refused::NotYours) }
    }

    /// The content of one log's event.
    pub(super) fn content(
        &self,
        plan: &Plan,
        corrected: Option<&correct::Decision>,
        seals: Option<&Replacement>,
    ) -> Content {
        let request = self.request;
        let place = request.place.as_ref().map(super::request::Place::part);
        let mut public = LogPublic::bare(
            request.r#type,
            plan.row.state.kind,
            request.occurred_at.day().day(),
            place.as_ref().and_then(|place| place.region.clone()),
        );
        if let Some(seal) = seals.and_then(|seals| seals.new.as_ref()) {
            public.seal = Some(seal.number.as_str().to_owned());
            public.identification = Some(seal.identification.as_str().to_owned());
        }
        let transferred = request.r#type == LogEventType::Transferred;
        let mut business = LogBusiness {
            place,
            position: request.position.map(position_part),
            document: request.document.as_ref().map(super::request::Document::part),
            device: request.device.as_ref().map(super::request::Device::part),
            to: self.others.to,
            of: transferred.then(|| request.of.unwrap_or(TransferOf::Both)),
            carrier: self.others.carrier,
            vehicle: request.vehicle.as_ref().map(|vehicle| vehicle.as_str().to_owned()),
            details: request.details.as_ref().map(super::request::Details::part),
            reason: request.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            out_of_order: plan.late,
            ..LogBusiness::bare(
                plan.row.id,
                LocalTime::of(request.occurred_at),
                self.caller.organization,
                self.caller.key,
                self.operation,
            )
        };
        if let Some(decision) = corrected {
            decision.put(&mut public, &mut business);
        }
        Content { seq: plan.row.head.next_seq(), public, business }
    }

    /// The events of all logs, the new states of the logs, and the findings.
    pub(crate) fn decide(
        &self,
        plans: Vec<Plan>,
        corrected: Option<&correct::Decision>,
        seals: Option<&Replacement>,
    ) -> Result<Decided> {
        let mut decided = Decided {
            drafts: Vec::with_capacity(plans.len()),
            steps: Vec::with_capacity(plans.len()),
            found: Vec::new(),
        };
        for plan in plans {
            let content = self.content(&plan, corrected, seals);
            let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
            self.check_size(&public, &business)?;
            let after = if let Some(decision) = corrected {
                decision.after(&content)?
            } else {
                let mut state = plan.row.state.clone();
                state.apply(&content)?;
                state
            };
            let LockedLog { id: log, head, state: before, .. } = plan.row;
            let last = before.last.occurred_at;
            let seq = content.seq;
            let about = |draft| NewFinding { draft, log: Some((log, seq)), ticket: None };
            decided.found.extend(rules::late_entry(self.request.occurred_at, self.now).map(about));
            if let Ok(last) = Moment::new(last, self.request.occurred_at.offset_minutes()) {
                decided.found.extend(rules::out_of_order(self.request.occurred_at, last).map(about));
            }
            let region = content
                .public
                .region
                .as_deref()
                .and_then(|code| crate::base::region::Region::parse(code).ok());
            decided.drafts.push(Draft {
                head,
                public,
                business,
                personal: None,
                event_type: self.request.r#type.as_str(),
                organization: self.caller.organization.0,
                operation: self.operation.0,
                occurred_at: self.request.occurred_at.instant(),
                region: region.map(crate::base::region::Region::as_str),
            });
            decided.steps.push(Step { log, before, after });
        }
        Ok(decided)
    }

    async fn write(
        self,
        tx: &mut Tx<'_>,
        plans: Vec<Plan>,
        corrected: Option<correct::Decision>,
        seals: Option<Replacement>,
        fingerprint: &[u8; 32],
    ) -> Result<CustodyResponse> {
        let Decided { drafts, steps, found: mut findings } =
            self.decide(plans, corrected.as_ref(), seals.as_ref())?;
        let heads = append(tx, self.now, drafts).await?;
        let mut events = Vec::with_capacity(heads.len());
        let mut past = Vec::new();
        let mut rows = Vec::with_capacity(heads.len());
        for (Step { log, before, after }, head) in steps.into_iter().zip(heads) {
            events.push(RecordedEvent { log, seq: head.seq, hash: head.hash });
            past.extend(new_past_parties(&before, &after).map(|id| (log, id, head.seq)));
            rows.push((after, head));
        }
        save(tx, &rows, &past).await?;
        let mut subjects: Vec<Uuid> = events.iter().map(|event| event.log.0).collect();
        let mut seqs: Vec<i32> =
            events.iter().map(|event| i32::try_from(event.seq).unwrap_or(i32::MAX)).collect();
        if let (Some(seals), Some(event)) = (seals, events.first())
            && let Some(batch) = seals.put(tx, &self.act()?, event.log, event.seq).await?
        {
            subjects.push(batch.id);
            seqs.push(batch.seq_i32());
        }
        if let Some(decision) = &corrected {
            crate::timber::ticket::add_marked(tx, decision.changes()).await?;
            findings.extend(decision.findings(events.first().map(|event| (event.log, event.seq))));
        }
        let (organization, operation) = (self.caller.organization, self.operation);
        if let Some(device) = &self.request.device {
            let recorded_at = device.recorded_at.instant();
            device::reserve(tx, organization, device.id.as_str(), device.seq, recorded_at, operation).await?;
        }
        let findings = store(tx, organization, findings, self.now).await?;
        let record = operation::Record {
            organization,
            operation,
            kind: "custody_event",
            fingerprint: *fingerprint,
            subjects,
            seqs,
        };
        operation::record(tx, record, self.now).await?;
        Ok(CustodyResponse { operation_id: operation, events, findings })
    }

    fn act(&self) -> Result<Actor> {
        self.caller.act_in(self.operation, self.now)
    }

    /// As [`Self::check_size`], for the event of one log.
    pub(super) fn check_size_of(
        &self,
        plan: &Plan,
        corrected: Option<&correct::Decision>,
        seals: Option<&Replacement>,
    ) -> Result<()> {
        let content = self.content(plan, corrected, seals);
        self.check_size(&canonical::text(&content.public), &canonical::text(&content.business))
    }

    /// Limits the size of an event's parts. Each field has a limit too, but their sum can exceed this one.
    fn check_size(&self, public: &str, business: &str) -> Result<()> {
        size::check(public, size::MAX_PUBLIC_BYTES, &[]).map_err(Error::Invalid)?;
        size::check(business, size::MAX_BUSINESS_BYTES, &self.request.texts()).map_err(Error::Invalid)
    }
}

/// The previous holder and owner that are neither holder nor owner after an event.
pub(crate) fn new_past_parties(before: &LogState, after: &LogState) -> impl Iterator<Item = OrganizationId> {
    let has_left = |id: &OrganizationId| *id != after.holder && *id != after.owner;
    let owner = Some(before.owner).filter(|owner| *owner != before.holder);
    std::iter::once(before.holder).chain(owner).filter(has_left)
}

/// The result of an earlier request, returned when the request is repeated.
async fn before(
    tx: &mut Tx<'_>,
    id: OperationId,
    subjects: &[Uuid],
    seqs: &[i32],
) -> Result<CustodyResponse> {
    let rows = sqlx::query!(
        r#"SELECT event.subject_id, event.seq, event.hash FROM UNNEST($1::uuid[], $2::int[]) WITH ORDINALITY AS made (id, seq, place)
           JOIN event ON event.subject_id = made.id AND event.seq = made.seq
           WHERE event.subject_kind = $3 ORDER BY made.place"#,
        subjects,
        seqs,
        i16::from(SubjectKind::Log.byte())
    )
    .fetch_all(&mut **tx)
    .await?;
    let events = rows
        .into_iter()
        .map(|row| {
            let corrupt = || Error::CorruptRow(format!("event {}/{}", row.subject_id, row.seq));
            Ok(RecordedEvent {
                log: row.subject_id.into(),
                seq: u32::try_from(row.seq).map_err(|_| corrupt())?,
                hash: Hash::from_slice(&row.hash).ok_or_else(corrupt)?,
            })
        })
        .collect::<Result<_>>()?;
    let findings = crate::timber::finding::write::of_events(&mut **tx, subjects, seqs).await?;
    Ok(CustodyResponse { operation_id: id, events, findings })
}

pub(crate) fn pointer(text: &str) -> Location {
    Location::Pointer(text.to_owned())
}
