//! Checks a custody event against organisations, logs and seals. Every member of the request that could be
//! read is checked, and all errors are reported at once.

use super::content::Content;
use super::correct;
use super::departure;
use super::harvest::check::MAX_CLOCK_SKEW;
use super::late::Past;
use super::log::find::resolve;
use super::log::write::{LockedLog, lock};
use super::own_case;
use super::record::{Access, Plan, Recorder, pointer};
use super::request::{NewCustodyEvent, PartialCustodyEvent, Readable, ReadableCorrection};
use super::state::replay;
use crate::base::error::{Error, FieldError, Result};
use crate::base::ids::{LogId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::units::{KAZAKHSTAN_OFFSET_MINUTES, Moment};
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::{device, operation};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Outcome, Status};
use crate::timber::parameter::Rulebook;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::organization::{OrganizationRef, by_bins};
use crate::timber::party::role::Role;
use crate::timber::party::standing;
use crate::timber::seal::replace::Replacement;
use crate::timber::seal::stock::SealStatus;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The rows that the checks have locked, and what the checks have decided. May be incomplete if the checks
/// found an error.
pub(super) struct Checked<'r> {
    pub(super) recorder: Recorder<'r>,
    pub(super) plans: Vec<Plan>,
    pub(super) corrected: Option<correct::Decision>,
    pub(super) replacement: Option<Replacement>,
}

/// For a request in which errors were found already: checks the members that could be read against
/// organisations, logs and seals, and adds further errors to `errors`.
///
/// # Errors
/// From the database.
pub async fn check_partial(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: PartialCustodyEvent,
    fingerprint: &[u8; 32],
    rulebook: &Rulebook,
    errors: &mut RequestErrors,
) -> Result<()> {
    let operation = request.operation_id.flatten();
    if !operation::is_free(tx, caller.organization, operation, fingerprint, errors).await? {
        return Ok(());
    }
    let now = Moment::new(rulebook.now(), KAZAKHSTAN_OFFSET_MINUTES)
        .map_err(|error| Error::CorruptRow(format!("clock: {error}")))?;
    let (request, readable) = request.readable(now);
    check(tx, caller, &request, &readable, rulebook, errors).await.map(drop)
}

/// Locks all rows that the request would change, checks the request against them, and adds every error to
/// `errors`.
pub(super) async fn check<'r>(
    tx: &mut Tx<'_>,
    caller: &'r Caller,
    request: &'r NewCustodyEvent,
    readable: &Readable,
    rulebook: &Rulebook,
    errors: &mut RequestErrors,
) -> Result<Checked<'r>> {
    check_times(request, rulebook, errors);
    if readable.departure {
        departure::check_request(request, &rulebook.parameters(), errors);
    }
    let known = organizations(tx, named(request)).await?;
    let others = OtherParties::of(caller, request, &known, errors);
    refuse_unknown_finding(tx, request, errors).await?;
    let ids = resolve(tx, &request.logs).await?;
    let correction = match (request.r#type, ids.first()) {
        (LogEventType::Corrected, Some(Some(log))) if readable.correction != ReadableCorrection::Nothing => {
            Some(correct::prepare(tx, *log, rulebook, request.annul == Some(true)).await?)
        }
        _ => None,
    };
    let mut replacement = match &request.new_seal_number {
        Some(new) => Some(Replacement::lock(tx, new, ids.first().copied().flatten()).await?),
        None => None,
    };
    let existing: Vec<LogId> = ids.iter().flatten().copied().collect();
    let mut rows: HashMap<LogId, LockedLog> =
        lock(tx, &existing).await?.into_iter().map(|row| (row.id, row)).collect();
    // The clock is read after the locks are taken. Otherwise a request that waited for the locks of another
    // request could get an earlier time of receipt than that request.
    let now = rulebook.now();
    if request.r#type == LogEventType::Unloaded {
        read_loadings(tx, &mut rows).await?;
    }

    refuse_own_case(tx, caller, request, rows.values()).await?;
    let content = readable.content && others.are_known(request);
    let suspended = suspended_senders(tx, caller, request, rows.values()).await?;
    let operation = request.operation_id.unwrap_or_default();
    let mut recorder = Recorder::new(caller, request, others, operation, now, rulebook.parameters())
        .with_suspended(suspended);
    let mut pasts = recorder.states_at_event(tx, &rows).await?;
    let mut accesses = accesses(tx, caller, &rows, &pasts).await?;
    if let (Some(prepared), Some(Some(log))) = (&correction, ids.first())
        && prepared.ends_with_event_of(caller.organization)
    {
        // A former carrier or receiver may still correct its own event, as long as that event is the newest
        // of the log.
        accesses.entry(*log).or_insert(Access::Past);
    }
    recorder.bans = departure::bans_on(tx, &recorder, &existing).await?;
    let (mut plans, mut positions) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    for (index, id) in ids.iter().enumerate() {
        let at = || readable.log(index);
        let Some((id, access)) = id.and_then(|id| Some((id, *accesses.get(&id)?))) else {
            let detail = "There is no such log, or none that you may see.";
            errors.invalid.push(FieldError::new(at(), "unknown-log", detail));
            continue;
        };
        let Some(row) = rows.remove(&id) else {
            let detail = "This log is named twice in the batch.";
            errors.invalid.push(FieldError::new(at(), "duplicate-in-batch", detail));
            continue;
        };
        if !readable.transition {
            continue;
        }
        let past = pasts.remove(&id);
        let (state, when) =
            past.as_ref().map_or((&row.state, now), |past| (&past.state, request.occurred_at.instant()));
        if let Err(error) = recorder.check(state, access, when, at()) {
            errors.conflict.push(error);
            continue;
        }
        let plan = Plan { row, access, late: past.is_some() };
        // `check_late` needs the event's receiver and carrier, because they determine which events may
        // follow. So it is called only if both could be read and are known.
        if let Some(past) = past.filter(|_| content)
            && let Err((code, detail)) = recorder.check_late(&plan, &past.events)?
        {
            errors.conflict.push(FieldError::new(at(), code, detail));
            continue;
        }
        plans.push(plan);
        positions.push(index);
    }
    if readable.departure {
        recorder.check_departure(&plans, readable, &positions, errors);
    }
    if let Some(seals) = &replacement {
        recorder.check_seals(seals, errors);
    }
    let mut corrected = None;
    if let (Some(mut prepared), Some(plan)) = (correction, plans.first()) {
        let all = readable.correction == ReadableCorrection::All;
        if prepared.corrects_as_inspector(&recorder, &plan.row)? {
            own_case::refuse_logs(tx, caller.organization, std::iter::once(&plan.row)).await?;
        }
        corrected = correct::decide(&prepared, &recorder, &plan.row, plan.access, all, errors);
        replacement = prepared.seal.take().or(replacement);
    }
    if !errors.is_empty() {
        if let Some(plan) = plans.first()
            && let Err(error) = recorder.check_size_of(plan, corrected.as_ref(), replacement.as_ref())
        {
            errors.add(error)?;
        }
        if let Some(device) = &request.device {
            // `reserve` is called only to report a number that the device has used before. The number does
            // not stay reserved, because the transaction of a request with errors is rolled back.
            let (id, seq, at) = (device.id.as_str(), device.seq, device.recorded_at.instant());
            let operation = request.operation_id.unwrap_or_default();
            if let Err(error) = device::reserve(tx, caller.organization, id, seq, at, operation).await {
                errors.add(error)?;
            }
        }
    }
    Ok(Checked { recorder, plans, corrected, replacement })
}

/// Refuses an inspector's release, its confirmation that a log is as recorded, a seizure, a confiscation, and that a lost
/// log was found, in its own case. Corrections are checked in [`correct`], because an inspector may correct its own record
/// as its recorder. An inspectorate that is registered with a role that holds timber may find its own log as its holder.
async fn refuse_own_case(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &NewCustodyEvent,
    logs: impl Iterator<Item = &LockedLog>,
) -> Result<()> {
    let confirms = request.details.as_ref().is_some_and(|details| details.outcome == Some(Outcome::Match));
    let decides = match request.r#type {
        LogEventType::Released | LogEventType::Seized | LogEventType::Confiscated => true,
        LogEventType::Found => !caller.roles.iter().any(|role| role.holds_timber()),
        LogEventType::Inspected => confirms,
        _ => false,
    };
    if decides && caller.is(Role::Inspector) {
        own_case::refuse_logs(tx, caller.organization, logs).await?;
    }
    Ok(())
}

/// Refuses an inspector's decision that names a finding which does not exist. Inspectors may see every finding.
async fn refuse_unknown_finding(
    tx: &mut Tx<'_>,
    request: &NewCustodyEvent,
    errors: &mut RequestErrors,
) -> Result<()> {
    let Some(finding) = request.details.as_ref().and_then(|details| details.finding_id) else {
        return Ok(());
    };
    let exists =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM finding WHERE id = $1) AS "exists!""#, finding.0);
    if !exists.fetch_one(&mut **tx).await? {
        let detail = "There is no such finding.";
        errors.invalid.push(FieldError::new(pointer("/details/finding_id"), "unknown-finding", detail));
    }
    Ok(())
}

/// The suspended organisations among the senders of the offers that the request accepts. No round trip if it accepts
/// none.
pub(crate) async fn suspended_senders(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &NewCustodyEvent,
    logs: impl Iterator<Item = &LockedLog>,
) -> Result<HashSet<OrganizationId>> {
    if !matches!(request.r#type, LogEventType::Accepted | LogEventType::Received) {
        return Ok(HashSet::new());
    }
    let offers = logs.filter_map(|log| log.state.pending).filter(|offer| offer.to == caller.organization);
    let senders: HashSet<Uuid> = offers.map(|offer| offer.from.0).collect();
    if senders.is_empty() {
        return Ok(HashSet::new());
    }
    let senders: Vec<Uuid> = senders.into_iter().collect();
    let suspended = sqlx::query_scalar!(
        r#"SELECT id AS "id: OrganizationId" FROM organization WHERE id = ANY($1) AND suspended_since IS NOT NULL"#,
        &senders
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(suspended.into_iter().collect())
}

/// Adds to the states of loaded logs the status before the loading, which only their chains show.
async fn read_loadings(tx: &mut Tx<'_>, rows: &mut HashMap<LogId, LockedLog>) -> Result<()> {
    let loaded = rows.values().filter(|row| row.state.status == Status::Loaded).map(|row| row.id);
    let loaded: Vec<LogId> = loaded.collect();
    for (log, chain) in correct::chains(tx, &loaded).await? {
        let contents: Vec<Content> = chain.into_iter().map(|event| event.content).collect();
        let before = replay(&contents)?.before_loading;
        let before = before.ok_or_else(|| Error::CorruptRow(format!("log.status of {log}: no loading")))?;
        if let Some(row) = rows.get_mut(&log) {
            row.state.before_loading = Some(before);
        }
    }
    Ok(())
}

fn check_times(request: &NewCustodyEvent, rulebook: &Rulebook, errors: &mut RequestErrors) {
    let corrected = request.set.as_ref().and_then(|set| set.occurred_at);
    let times = [("/occurred_at", Some(request.occurred_at)), ("/set/occurred_at", corrected)];
    for (at, time) in times {
        if time.is_some_and(|time| time.instant() > rulebook.now() + MAX_CLOCK_SKEW) {
            let detail = "This is more than five minutes in the future.";
            errors.invalid.push(FieldError::new(pointer(at), "in-the-future", detail));
        }
    }
}

impl Recorder<'_> {
    fn check_seals(&self, seals: &Replacement, errors: &mut RequestErrors) {
        let at = || pointer("/new_seal_number");
        match seals.new.as_ref().filter(|seal| seal.holder == self.caller.organization) {
            None => errors.invalid.push(FieldError::new(at(), "unknown-seal", "You have no such seal.")),
            Some(seal) if self.request.new_seal_number.as_ref().is_some_and(|name| seal.differs(name)) => {
                let detail =
                    "This code is not the one that the seal was registered with; it is forged or misread.";
                errors.invalid.push(FieldError::new(at(), "marking-code-differs", detail));
            }
            Some(seal) => match seal.status {
                SealStatus::Issued => {}
                SealStatus::Applied => {
                    let detail = "This seal is on a log already; a seal is applied once.";
                    errors.conflict.push(FieldError::new(at(), "seal-applied", detail));
                }
                SealStatus::Void => {
                    errors.conflict.push(FieldError::new(at(), "seal-void", "This seal is void."));
                }
            },
        }
    }
}

/// The other organisations that a request names.
#[derive(Default)]
pub(crate) struct OtherParties {
    pub(super) to: Option<OrganizationId>,
    pub(super) custodian: Option<OrganizationId>,
    pub(super) carrier: Option<OrganizationId>,
    /// The organisation that is registered with a buyer's number.
    pub(super) buyer: Option<OrganizationId>,
}

impl OtherParties {
    /// Looks up in `known` the organisations that the request names. Adds an error to `errors` for each
    /// organisation that is unknown or not acceptable as receiver or carrier.
    pub(crate) fn of(
        caller: &Caller,
        request: &NewCustodyEvent,
        known: &Organizations,
        errors: &mut RequestErrors,
    ) -> Self {
        let mut others = Self::default();
        let mut receiver = |bin: &Option<Bin>, at: &str| match known.get(bin.as_ref()?) {
            None => {
                errors.invalid.push(unknown(at));
                None
            }
            Some(named) if named.id == caller.organization => {
                let detail = "A transfer goes to another organisation.";
                errors.invalid.push(FieldError::new(pointer(at), "transfer-to-oneself", detail));
                None
            }
            Some(named) if !named.roles.iter().any(|role| role.holds_timber()) => {
                let detail =
                    "This organisation is neither an enterprise nor a forest owner; it holds no timber.";
                errors.invalid.push(FieldError::new(pointer(at), "holds-no-timber", detail));
                None
            }
            Some(named) => named.unless_suspended(pointer(at), errors),
        };
        others.to = receiver(&request.to_bin, "/to_bin");
        others.custodian = receiver(&request.custodian_bin, "/custodian_bin");
        if let Some(bin) = &request.carrier_bin {
            match known.get(bin) {
                None => errors.invalid.push(unknown("/carrier_bin")),
                Some(named) if !named.roles.contains(&Role::Carrier) => {
                    let detail = "This organisation is not a carrier.";
                    errors.invalid.push(FieldError::new(pointer("/carrier_bin"), "not-a-carrier", detail));
                }
                Some(named) => others.carrier = named.unless_suspended(pointer("/carrier_bin"), errors),
            }
        }
        let buyer = request.buyer.as_ref().and_then(|buyer| known.get(buyer.bin.as_ref()?));
        others.buyer = buyer.map(|named| named.id);
        others
    }

    /// Whether every organisation that the request names is known and acceptable.
    fn are_known(&self, request: &NewCustodyEvent) -> bool {
        self.to.is_some() == request.to_bin.is_some()
            && self.custodian.is_some() == request.custodian_bin.is_some()
            && self.carrier.is_some() == request.carrier_bin.is_some()
    }
}

fn unknown(at: &str) -> FieldError {
    FieldError::new(pointer(at), "unknown-organization", "No organisation with this BIN is registered.")
}

/// Registered organisations by BIN.
pub(crate) type Organizations = HashMap<Bin, OrganizationRef>;

/// The BINs of the receiver, the carrier, the custodian and the buyer, if the request names them.
pub(crate) fn named(request: &NewCustodyEvent) -> impl Iterator<Item = &Bin> {
    let buyer = request.buyer.as_ref().and_then(|buyer| buyer.bin.as_ref());
    request.to_bin.iter().chain(&request.carrier_bin).chain(&request.custodian_bin).chain(buyer)
}

/// Reads those organisations of `named` that are registered, and keeps their standing until the end of the transaction;
/// no round trip if `named` is empty.
async fn organizations<'b>(tx: &mut Tx<'_>, named: impl Iterator<Item = &'b Bin>) -> Result<Organizations> {
    let bins: Vec<Bin> = named.copied().collect();
    if bins.is_empty() {
        return Ok(Organizations::new());
    }
    standing::keep_named(tx, &bins).await?;
    Ok(by_bins(&mut **tx, &bins).await?.into_iter().collect())
}

/// Like [`organizations`], but never waits. Also returns the numbers of which the standing is kept: whether another
/// number is registered is unknown, because its organisation is being changed.
pub(crate) async fn organizations_if_free<'b>(
    tx: &mut Tx<'_>,
    named: impl Iterator<Item = &'b Bin>,
) -> Result<(Organizations, HashSet<Bin>)> {
    let bins: Vec<Bin> = named.copied().collect();
    if bins.is_empty() {
        return Ok((Organizations::new(), HashSet::new()));
    }
    let kept = standing::keep_named_if_free(tx, &bins).await?;
    let known = by_bins(&mut **tx, &kept).await?.into_iter().collect();
    Ok((known, kept.into_iter().collect()))
}

/// The caller's access to each of the locked logs. Past parties are looked up in one query.
///
/// `pasts` contains the states of logs at the time of a late event. An organisation that was a carrier or
/// receiver at that time has access too, although it is no longer a party: so its late event can still be
/// accepted.
async fn accesses(
    tx: &mut Tx<'_>,
    caller: &Caller,
    rows: &HashMap<LogId, LockedLog>,
    pasts: &HashMap<LogId, Past>,
) -> Result<HashMap<LogId, Access>> {
    let (organization, inspector) = (caller.organization, caller.is(Role::Inspector));
    let mut accesses = HashMap::with_capacity(rows.len());
    let mut unknown: Vec<Uuid> = Vec::new();
    for (id, row) in rows {
        if inspector || row.state.concerns(organization) {
            accesses.insert(*id, Access::Full);
        } else if row.issuer == organization
            || pasts.get(id).is_some_and(|past| past.state.concerns(organization))
        {
            accesses.insert(*id, Access::Past);
        } else {
            unknown.push(id.0);
        }
    }
    if !unknown.is_empty() {
        let past = sqlx::query_scalar!(
            "SELECT log_id FROM past_party WHERE organization_id = $1 AND log_id = ANY($2)",
            organization.0,
            &unknown
        )
        .fetch_all(&mut **tx)
        .await?;
        accesses.extend(past.into_iter().map(|id| (LogId(id), Access::Past)));
    }
    Ok(accesses)
}
