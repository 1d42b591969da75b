//! Records custody events of up to 1,000 logs: for all of these logs, or for none.
//!
//! Lock order: operation id, a corrected log's ticket lines, the seals of a replacement (of an annulment, the
//! log's seal) and the old seal's batch, then the logs by id. The number of round trips does not grow with the number of logs. A late event
//! from a device takes one more: the chains of its logs are read, to check whether the event was allowed at
//! the moment it happened.

use super::check::{Checked, OtherParties};
use super::content::{Content, LogBusiness, LogPublic};
use super::correct;
use super::departure::BuyerNumber;
use super::harvest::request::ResponsiblePerson;
use super::hold::{self, Detention};
use super::official::Official;
use super::request::{NewCustodyEvent, Readable};
use super::state::LogState;
use super::table::{CallerRoles, Refused, allowed, check, gives, has_part};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{LogId, OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::units::Moment;
use crate::evidence::chain::Tx;
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::{Draft, Hash, NewHead, SubjectKind, append, canonical, size};
use crate::evidence::idempotency::device;
use crate::evidence::idempotency::operation::{self, OperationEvents, OperationKind};
use crate::timber::custody::log::write::{LockedLog, save};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{LocalTime, PositionPart};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use crate::timber::finding::rules;
use crate::timber::finding::write::{Finding, NewFinding, store};
use crate::timber::parameter::{Parameters, Rulebook};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::replace::Replacement;
use crate::timber::ticket::ban::ExportBan;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
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
    /// One event per log, in the order of the request. If an inspection or a seizure stops the logs, one
    /// `detained` per log follows.
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
    rulebook: &Rulebook,
) -> Result<Recorded> {
    if let Some(earlier) =
        operation::reserve(tx, caller.organization, request.operation_id, fingerprint).await?
    {
        return Ok(Recorded::Before(before(tx, &earlier).await?));
    }
    let mut errors = RequestErrors::default();
    let readable = Readable::all(request);
    let checked = super::check::check(tx, caller, request, &readable, rulebook, &mut errors).await?;
    errors.into_result()?;
    let Checked { recorder, plans, corrected, replacement } = checked;
    if let (Some(seals), Some(plan)) = (&replacement, plans.first())
        && !seals.is_old_seal(&plan.row.state.seal)
    {
        // Another request replaced the log's seal after this request had read which seal to lock. So the
        // log's present seal is not locked.
        return Err(Error::Stale("log_seal"));
    }
    recorder.write(tx, plans, corrected, replacement, fingerprint).await.map(Recorded::New)
}

/// A log that passed the checks, under lock.
pub(crate) struct Plan {
    pub(crate) row: LockedLog,
    pub(crate) access: Access,
    /// Whether the event is late. A late event was allowed at the time it happened, and does not change the
    /// present state.
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
    pub(crate) drafts: Vec<Draft>,
    /// The log of each draft, with its state before and after.
    pub(crate) steps: Vec<Step>,
    /// The findings.
    pub(crate) found: Vec<NewFinding>,
}

/// How much of a log the caller may see. It also limits the details of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything: the caller is a present party or an inspector.
    Full,
    /// The past only: the caller issued the log's ticket, is a past party, was a party at the time of its
    /// late event, or recorded the newest event. Errors reveal nothing of the log's present state.
    Past,
}

/// The caller, and the values of a request that are the same for all its logs.
pub(crate) struct Recorder<'r> {
    pub(crate) caller: &'r Caller,
    pub(crate) request: &'r NewCustodyEvent,
    others: OtherParties,
    /// The suspended organisations with an offer that this request accepts.
    suspended: HashSet<OrganizationId>,
    operation: OperationId,
    pub(super) roles: CallerRoles,
    pub(crate) now: DateTime<Utc>,
    pub(crate) parameters: Arc<Parameters>,
    /// The export bans on the logs of an export.
    pub(super) bans: Vec<ExportBan>,
}

impl<'r> Recorder<'r> {
    pub(crate) fn new(
        caller: &'r Caller,
        request: &'r NewCustodyEvent,
        others: OtherParties,
        operation: OperationId,
        now: DateTime<Utc>,
        parameters: Arc<Parameters>,
    ) -> Self {
        let roles = CallerRoles {
            id: caller.organization,
            inspector: caller.is(Role::Inspector),
            operator: caller.is(Role::Operator),
        };
        let suspended = HashSet::new();
        Self { caller, request, others, suspended, operation, roles, now, parameters, bans: Vec::new() }
    }

    /// Adds the suspended organisations among the senders of offers ([`super::check::suspended_senders`]).
    pub(crate) fn with_suspended(self, suspended: HashSet<OrganizationId>) -> Self {
        Self { suspended, ..self }
    }

    /// Checks that the caller may record this event on a log in `state`. A hold counts only if it stands at
    /// `when`: the present time, or for a late event the time that the event states.
    pub(crate) fn check(
        &self,
        state: &LogState,
        access: Access,
        when: DateTime<Utc>,
        at: Location,
    ) -> Result<(), FieldError> {
        let event = self.request.r#type;
        // For a past party the role is checked before the state, so that a caller without the role gets the
        // same error in every state. `check` looks at the state first, so its error would reveal the state.
        let checked = match access {
            Access::Past if !has_part(event, state, self.roles) => Err(Refused::NotYours),
            _ if self.accepts(state) && !self.caller.roles.iter().any(|role| role.holds_timber()) => {
                Err(Refused::NotYours)
            }
            _ => check(event, state, self.roles, when).and_then(|()| self.check_giver(state)),
        };
        checked.map_err(|refusal| {
            let (code, detail) = match refusal {
                Refused::NotYours if self.accepts(state) => (
                    "holds-no-timber",
                    "Your organisation is neither an enterprise nor a forest owner; it takes no timber over."
                        .to_owned(),
                ),
                Refused::Transition if event == LogEventType::Released => {
                    ("transition-not-allowed", "The log has no hold of its own.".to_owned())
                }
                Refused::Transition
                    if state.seal_void
                        && state.status != Status::Annulled
                        && !event.rule().with_void_seal =>
                {
                    ("seal-void", format!("The log's seal is void; replace it before `{event}`."))
                }
                Refused::Transition => {
                    let pending = if state.pending.is_some() { ", with a transfer pending" } else { "" };
                    let detail = format!("`{event}` does not follow on `{}`{pending}.", state.status);
                    ("transition-not-allowed", detail)
                }
                Refused::OwnUse => {
                    let detail =
                        "This wood is for its holder's own use: it cannot be transferred, sold or exported.";
                    ("own-use", detail.to_owned())
                }
                Refused::Held => {
                    let detail = format!("The log is held: `{event}` is not possible until it is released.");
                    ("held", detail)
                }
                Refused::NotYours => {
                    let recorders: Vec<_> = event.rule().who.iter().map(|who| who.label()).collect();
                    ("not-yours-to-record", format!("`{event}` is recorded by: {}.", recorders.join(", ")))
                }
            };
            let allowed = match access {
                Access::Full => allowed(state, self.roles, when),
                Access::Past => Vec::new(),
            };
            FieldError { allowed, ..FieldError::new(at.clone(), code, detail) }
        })?;
        // Corrections are exempt from this check: their time is the time of the correction, and does not say
        // when anything happened to the log.
        if event != LogEventType::Corrected && self.request.occurred_at.day().day() < state.felled_on {
            let detail = format!("The log was felled on {}: nothing happened to it before.", state.felled_on);
            return Err(FieldError::new(at, "contradicts-later", detail));
        }
        Ok(())
    }

    fn is_offered(&self, state: &LogState) -> bool {
        state.pending.is_some_and(|offer| offer.to == self.caller.organization)
    }

    /// Whether the event is a receipt of a held log that is offered to the caller: it arrives, and stays another's.
    fn leaves_offer(&self, state: &LogState) -> bool {
        let receipt = self.request.r#type == LogEventType::Received;
        receipt && self.is_offered(state) && state.held(self.now).is_some()
    }

    /// Whether the event accepts an offer to the caller.
    fn accepts(&self, state: &LogState) -> bool {
        matches!(self.request.r#type, LogEventType::Accepted | LogEventType::Received)
            && self.is_offered(state)
            && !self.leaves_offer(state)
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
            place.as_ref().and_then(|place| place.region),
        );
        if let Some(seal) = seals.and_then(|seals| seals.new.as_ref()) {
            public.seal = Some(seal.number.clone());
            public.identification = Some(seal.identification.clone());
        }
        let transferred = request.r#type == LogEventType::Transferred;
        let mut business = LogBusiness {
            place,
            position: request.position.map(PositionPart::from),
            document: request.document.as_ref().map(super::request::Document::part),
            device: request.device.as_ref().map(super::request::Device::part),
            to: self.others.to,
            of: transferred.then(|| request.of.unwrap_or(TransferOf::Both)),
            carrier: self.others.carrier,
            custodian: self.others.custodian,
            vehicle: request.vehicle.as_ref().map(|vehicle| vehicle.as_str().to_owned()),
            country: request.country,
            hs: request.hs.clone(),
            permit: request.permit.as_ref().map(super::departure::Permit::part),
            buyer: request.buyer.as_ref().map(|buyer| buyer.part(self.others.buyer)),
            details: request.details.as_ref().map(super::request::Details::part),
            reason: request.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            held: self.leaves_offer(&plan.row.state),
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
            let late = plan.late;
            let LockedLog { id: log, head, state: before, .. } = plan.row;
            let last = before.last.occurred_at;
            let seq = content.seq;
            let about = |draft| NewFinding { draft, log: Some((log, seq)), ticket: None, party: None };
            let event = self.request.r#type;
            let outcome = self.request.details.as_ref().and_then(|details| details.outcome);
            let party = before.holder;
            let of_party = |draft| NewFinding { party: Some(party), ..about(draft) };
            decided.found.extend(outcome.and_then(rules::inspection).map(of_party));
            decided.found.extend(self.departure_findings(log).into_iter().map(about));
            let held = before.held(self.now).is_some();
            decided.found.extend(rules::lost_while_held(event, held).map(about));
            let checked = late || event == LogEventType::Inspected;
            let of_no_log = rules::seal_of_no_log(event, before.status).filter(|_| checked);
            decided.found.extend(of_no_log.map(of_party));
            let (carrier, vehicle) = (self.others.carrier.is_some(), self.request.vehicle.is_some());
            let papers = rules::no_papers(event, carrier, vehicle, self.request.document.is_some());
            decided.found.extend(papers.map(about));
            decided.found.extend(rules::traded_unsealed(event, before.reseal).map(about));
            let sender = before.pending.filter(|_| !late && self.accepts(&before));
            let suspended = sender.is_some_and(|offer| self.suspended.contains(&offer.from));
            decided.found.extend(rules::from_suspended(suspended).map(about));
            let lateness = rules::late_entry(self.request.occurred_at, self.now, &self.parameters);
            decided.found.extend(lateness.map(about));
            if let Ok(last) = Moment::new(last, self.request.occurred_at.offset_minutes()) {
                decided.found.extend(rules::out_of_order(self.request.occurred_at, last).map(about));
            }
            let (of, region) = (self.request.r#type, content.public.region);
            decided.drafts.push(self.at_its_time().draft(head, of, public, business, region));
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
        let Decided { mut drafts, steps, found: mut findings } =
            self.decide(plans, corrected.as_ref(), seals.as_ref())?;
        if let Some(person) = self.person() {
            let person = person.store(tx, self.caller.organization.0, self.now).await?;
            for draft in &mut drafts {
                draft.personal = Some(Arc::clone(&person));
            }
        }
        let heads = append(tx, self.now, drafts).await?;
        let mut events = Vec::with_capacity(heads.len());
        let mut past = Vec::new();
        let mut rows = Vec::with_capacity(heads.len());
        for (Step { log, before, after }, head) in steps.into_iter().zip(heads) {
            events.push(RecordedEvent { log, seq: head.seq, hash: head.hash });
            past.extend(new_past_parties(&before, &after).map(|id| (log, id, head.seq)));
            rows.push((after, head));
        }
        if let Some(reason) = self.detaining_reason() {
            let act = self.at_its_time();
            let (mut drafts, mut states) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
            for (state, head) in rows {
                let reason = reason.to_owned();
                let (draft, state) = hold::detained(state, head, Detention { act: &act, reason })?;
                drafts.push(draft);
                states.push(state);
            }
            let heads = append(tx, self.now, drafts).await?;
            rows = states.into_iter().zip(heads).collect();
            events.extend(rows.iter().map(|(_, head)| RecordedEvent {
                log: LogId(head.id),
                seq: head.seq,
                hash: head.hash,
            }));
        }
        let rows: Vec<_> = rows.into_iter().map(|(state, head)| (state, head.stored())).collect();
        save(tx, &rows, &past).await?;
        let mut subjects: Vec<Uuid> = events.iter().map(|event| event.log.0).collect();
        let mut seqs: Vec<i32> =
            events.iter().map(|event| i32::try_from(event.seq).unwrap_or(i32::MAX)).collect();
        if let (Some(seals), Some(event)) = (seals, events.first()) {
            let act = self.act()?;
            let batch = match &corrected {
                Some(decision) if decision.annuls() => seals.annul(tx, &act).await?,
                _ => seals.put(tx, &act, (event.log, event.seq), self.request.void_reason()).await?,
            };
            subjects.extend(batch.iter().map(|batch| batch.id));
            seqs.extend(batch.iter().map(NewHead::seq_i32));
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
        let made = OperationEvents { operation, subjects, seqs };
        operation::record(tx, organization, OperationKind::CustodyEvent, *fingerprint, &made, self.now)
            .await?;
        Ok(CustodyResponse { operation_id: operation, events, findings })
    }

    /// The common fields of an event that happened at the time that the request states.
    fn at_its_time(&self) -> Actor {
        let Caller { organization, key, .. } = *self.caller;
        Actor::at_moment(organization, key, self.operation, self.request.occurred_at)
    }

    /// The person whom the request names, as a personal part: an official, the responsible person of a corrected
    /// harvest, or a buyer.
    fn person(&self) -> Option<Personal> {
        let corrected = self.request.set.as_ref().and_then(|set| set.responsible_person.as_ref());
        let official = self.request.details.as_ref().and_then(|details| details.official.as_ref());
        let text = corrected.map(ResponsiblePerson::part).or_else(|| official.map(Official::part));
        text.or_else(|| self.buyer()).map(Personal::new)
    }

    /// The number of a buyer that is not registered, as the text of a personal part.
    fn buyer(&self) -> Option<String> {
        let bin = self.request.buyer.as_ref()?.bin.filter(|_| self.others.buyer.is_none())?;
        Some(canonical::text(&BuyerNumber { v: 1, bin }))
    }

    /// The reason of the detention that follows this request's events: the outcome of an inspection that stops
    /// the logs, or a seizure. `None` for other requests.
    fn detaining_reason(&self) -> Option<&'static str> {
        let detains = || self.request.details.as_ref().filter(|details| details.detains() == Some(true));
        match self.request.r#type {
            LogEventType::Inspected => Some(detains()?.outcome?.as_str()),
            event @ LogEventType::Seized => Some(event.as_str()),
            _ => None,
        }
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

    /// Checks that each part of an event is within its size limit. Every field has a limit of its own, but
    /// the sum of the fields can exceed the limit of the part.
    fn check_size(&self, public: &str, business: &str) -> Result<()> {
        size::check(public, size::MAX_PUBLIC_BYTES, &[]).map_err(Error::Invalid)?;
        size::check(business, size::MAX_BUSINESS_BYTES, &self.request.texts()).map_err(Error::Invalid)
    }
}

/// The holder and the owner before an event, if they are neither holder nor owner after it.
pub(crate) fn new_past_parties(before: &LogState, after: &LogState) -> impl Iterator<Item = OrganizationId> {
    let has_left = |id: &OrganizationId| *id != after.holder && *id != after.owner;
    let owner = Some(before.owner).filter(|owner| *owner != before.holder);
    std::iter::once(before.holder).chain(owner).filter(has_left)
}

/// Builds the response to a repeated request from the events of its first execution.
async fn before(tx: &mut Tx<'_>, earlier: &OperationEvents) -> Result<CustodyResponse> {
    let OperationEvents { operation, subjects, seqs } = earlier;
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
    Ok(CustodyResponse { operation_id: *operation, events, findings })
}

pub(crate) fn pointer(text: &str) -> Location {
    Location::Pointer(text.to_owned())
}
