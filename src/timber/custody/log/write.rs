//! Table `log`: locks rows and reads their chain heads, inserts new rows, and stores the state after an
//! event.

use crate::base::error::{Error, Result};
use crate::base::ids::{HarvestId, LogId, OperationId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Pieces, Volume};
use crate::evidence::chain::{LockedHead, NewHead, StoredHead, SubjectKind, Tx};
use crate::timber::custody::log::find::Key;
use crate::timber::custody::state::{Hold, LastEvent, LogState, PendingTransfer};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use crate::timber::party::standing;
use crate::timber::seal::{Code, SealNumber};
use crate::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// A log's row, held under lock.
#[derive(Debug)]
pub struct LockedLog {
    /// The log.
    pub id: LogId,
    /// The end of its chain.
    pub head: LockedHead,
    /// Its state.
    pub state: LogState,
    /// The harvest that recorded it.
    pub harvest: HarvestId,
    /// The ticket it was felled under.
    pub ticket: TicketId,
    /// Issuer of that ticket.
    pub issuer: OrganizationId,
}

/// A row of the table.
struct Stored {
    place: i64,
    id: Uuid,
    salt: Vec<u8>,
    head_seq: i32,
    head_hash: Vec<u8>,
    head_received_at: DateTime<Utc>,
    kind: LogKind,
    species: Species,
    wood: Wood,
    assortment: Option<Assortment>,
    grade: Option<Grade>,
    length_m: Option<Length>,
    top_diameter_cm: Option<Diameter>,
    pieces: Option<Pieces>,
    volume_m3: Volume,
    table_volume_m3: Option<Volume>,
    measurement_method: MeasurementMethod,
    felled_on: NaiveDate,
    harvest_id: Uuid,
    ticket_id: Uuid,
    line_id: Uuid,
    issuer_id: Uuid,
    seal_number: SealNumber,
    seal_void: bool,
    own_use: bool,
    status: Status,
    holder_id: Uuid,
    owner_id: Uuid,
    pending_from: Option<Uuid>,
    pending_to: Option<Uuid>,
    pending_of: Option<TransferOf>,
    carrier_id: Option<Uuid>,
    vehicle: Option<String>,
    held_since: Option<DateTime<Utc>>,
    held_reason: Option<String>,
    ticket_held_since: Option<DateTime<Utc>>,
    ticket_held_until: Option<DateTime<Utc>>,
    ticket_held_reason: Option<String>,
    reseal: bool,
    last_type: LogEventType,
    last_on: NaiveDate,
    last_region: Option<Region>,
    last_occurred_at: DateTime<Utc>,
}

impl TryFrom<Stored> for LockedLog {
    type Error = Error;

    fn try_from(row: Stored) -> Result<Self> {
        let corrupt = |column: &str| Error::CorruptRow(format!("log.{column} of {}", row.id));
        // The three columns of a pending transfer are all set, or all null if none is pending.
        let pending = match (row.pending_from, row.pending_to, row.pending_of) {
            (Some(from), Some(to), Some(of)) => {
                Some(PendingTransfer { from: from.into(), to: to.into(), of })
            }
            (None, None, None) => None,
            _ => return Err(corrupt("pending_from")),
        };
        let (id, at) = (row.id, row.head_received_at);
        let head = LockedHead::stored(SubjectKind::Log, id, &row.salt, row.head_seq, &row.head_hash, at)?;
        let state = LogState {
            kind: row.kind,
            species: row.species,
            wood: row.wood,
            assortment: row.assortment,
            grade: row.grade,
            length_m: row.length_m,
            top_diameter_cm: row.top_diameter_cm,
            pieces: row.pieces,
            volume_m3: row.volume_m3,
            table_volume_m3: row.table_volume_m3,
            method: row.measurement_method,
            felled_on: row.felled_on,
            line: row.line_id.into(),
            seal: row.seal_number,
            seal_void: row.seal_void,
            status: row.status,
            before_loading: None,
            holder: row.holder_id.into(),
            owner: row.owner_id.into(),
            keeper: row.own_use.then(|| row.issuer_id.into()),
            pending,
            carrier: row.carrier_id.map(Into::into),
            vehicle: row.vehicle,
            hold: hold(row.held_since, None, row.held_reason),
            ticket_hold: hold(row.ticket_held_since, row.ticket_held_until, row.ticket_held_reason),
            reseal: row.reseal,
            last: LastEvent {
                event_type: row.last_type,
                on: row.last_on,
                occurred_at: row.last_occurred_at,
                region: row.last_region,
            },
        };
        Ok(Self {
            id: row.id.into(),
            head,
            state,
            harvest: row.harvest_id.into(),
            ticket: row.ticket_id.into(),
            issuer: row.issuer_id.into(),
        })
    }
}

/// The hold in these columns; `None` if there is none. `since` and `reason` are both set or both null.
pub(super) fn hold(
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
) -> Option<Hold> {
    since.zip(reason).map(|(since, reason)| Hold { since, until, reason })
}

/// Locked rows as [`Stored`], each with its position in the input of the query.
macro_rules! locked {
    ($place:literal, $which:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Stored,
            "SELECT " + $place + r#" AS "place!", log.id, log.salt, log.head_seq, log.head_hash, log.head_received_at,
                    log.kind AS "kind: LogKind", log.species AS "species: Species", log.wood AS "wood: Wood",
                    log.assortment AS "assortment: Assortment", log.grade AS "grade: Grade",
                    log.length_m AS "length_m: Length", log.top_diameter_cm AS "top_diameter_cm: Diameter",
                    log.pieces AS "pieces: Pieces", log.volume_m3 AS "volume_m3: Volume",
                    log.table_volume_m3 AS "table_volume_m3: Volume",
                    log.measurement_method AS "measurement_method: MeasurementMethod", log.felled_on,
                    log.harvest_id, log.ticket_id, log.line_id, log.issuer_id,
                    log.seal_number AS "seal_number: SealNumber", log.seal_void, log.own_use,
                    log.status AS "status: Status", log.holder_id, log.owner_id, log.pending_from, log.pending_to,
                    log.pending_of AS "pending_of: TransferOf", log.carrier_id, log.vehicle,
                    log.held_since, log.held_reason, log.ticket_held_since, log.ticket_held_until,
                    log.ticket_held_reason, log.reseal,
                    log.last_type AS "last_type: LogEventType", log.last_on,
                    log.last_region AS "last_region: Region", log.last_occurred_at
             "# + $which,
            $($argument),+
        )
    };
}

/// Locks logs and returns their rows in the order of their ids; ids without a log are left out.
pub async fn lock(tx: &mut Tx<'_>, ids: &[LogId]) -> Result<Vec<LockedLog>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = locked!("0::bigint", "FROM log WHERE id = ANY($1) ORDER BY id FOR UPDATE", &ids)
        .fetch_all(&mut **tx)
        .await?;
    rows.into_iter().map(LockedLog::try_from).collect()
}

/// The logs that requests name, with one row for each time that a request names a log. Each column is one
/// array.
#[derive(Default)]
pub(crate) struct LogsToLock {
    codes: Vec<Key>,
    organization: Vec<Uuid>,
    standing_lock: Vec<i64>,
    operation: Vec<Option<Uuid>>,
    operation_lock: Vec<Option<i64>>,
    idempotency_key: Vec<Option<String>>,
    idempotency_lock: Vec<Option<i64>>,
}

/// An optional id that the client sent with its request (operation id or idempotency key), and the number of
/// the advisory lock on it.
pub(crate) type ClientId<'n, T> = Option<(&'n T, i64)>;

impl LogsToLock {
    /// Adds a log that a request of `organization` names.
    pub(crate) fn push(
        &mut self,
        code: &Code,
        organization: OrganizationId,
        operation: ClientId<'_, OperationId>,
        idempotency_key: ClientId<'_, str>,
    ) {
        self.codes.push(Key::of(code));
        self.organization.push(organization.0);
        self.standing_lock.push(standing::lock_of(organization));
        self.operation.push(operation.map(|(id, _)| id.0));
        self.operation_lock.push(operation.map(|(_, lock)| lock));
        self.idempotency_key.push(idempotency_key.map(|(key, _)| key.to_owned()));
        self.idempotency_lock.push(idempotency_key.map(|(_, lock)| lock));
    }

    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }
}

/// Locks the logs that no other transaction has locked, for requests with an unused operation id and
/// idempotency key. Returns each row with its index in `logs`, from 0, in no order. Never waits.
///
/// Skips a log that does not exist or that another transaction has locked, and those of a caller with a standing
/// ([`standing`]) that is being changed; the standing of the others is locked, shared. Skips all logs of a request that
/// another transaction is processing or has recorded. If another transaction commits the same request while
/// this statement starts, the statement may not see it; the primary keys of `operation` and `idempotency`
/// then reject the duplicate.
pub(crate) async fn lock_free(tx: &mut Tx<'_>, logs: LogsToLock) -> Result<Vec<(usize, LockedLog)>> {
    let mut ids = Vec::with_capacity(logs.len());
    let mut numbers = Vec::with_capacity(logs.len());
    let mut identifications = Vec::with_capacity(logs.len());
    for key in logs.codes {
        ids.push(key.id);
        numbers.push(key.number);
        identifications.push(key.identification);
    }
    let rows = locked!(
        "asked.place",
        "FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
              WITH ORDINALITY AS asked (id, number, identification, organization, operation, operation_lock,
                                        idempotency_key, idempotency_lock, standing_lock, place)
         LEFT JOIN seal named ON named.identification = asked.identification
         LEFT JOIN log_seal ON log_seal.seal_number = COALESCE(asked.number, named.number)
         JOIN log ON log.id = COALESCE(asked.id, log_seal.log_id)
         WHERE pg_try_advisory_xact_lock_shared(asked.standing_lock)
           AND (asked.operation_lock IS NULL OR pg_try_advisory_xact_lock(asked.operation_lock))
           AND (asked.idempotency_lock IS NULL OR pg_try_advisory_xact_lock(asked.idempotency_lock))
           AND NOT EXISTS (SELECT FROM operation
                           WHERE operation.organization_id = asked.organization AND operation.operation_id = asked.operation)
           AND NOT EXISTS (SELECT FROM idempotency
                           WHERE idempotency.organization_id = asked.organization AND idempotency.key = asked.idempotency_key)
         FOR UPDATE OF log SKIP LOCKED",
        &ids as &[Option<Uuid>],
        &numbers as &[Option<String>],
        &identifications as &[Option<String>],
        &logs.organization,
        &logs.operation as &[Option<Uuid>],
        &logs.operation_lock as &[Option<i64>],
        &logs.idempotency_key as &[Option<String>],
        &logs.idempotency_lock as &[Option<i64>],
        &logs.standing_lock,
    )
    .fetch_all(&mut **tx)
    .await?;
    let placed = |row: Stored| {
        let index = usize::try_from(row.place - 1)
            .map_err(|_| Error::CorruptRow("a place before the first".into()))?;
        Ok((index, LockedLog::try_from(row)?))
    };
    rows.into_iter().map(placed).collect()
}

/// A new log, in the state after its first event.
pub struct NewLog {
    /// The head after the first event.
    pub head: NewHead,
    /// Its state.
    pub state: LogState,
    /// The harvest.
    pub harvest: HarvestId,
    /// The ticket.
    pub ticket: TicketId,
    /// Its issuer.
    pub issuer: OrganizationId,
}

/// Inserts logs of a harvest, in one round trip; `seal::stock::apply` records which seal each log bears.
pub async fn insert(tx: &mut Tx<'_>, logs: &[NewLog]) -> Result<()> {
    let mut columns = Columns::default();
    for log in logs {
        columns.push(&log.state, log.head.stored());
    }
    let salts: Vec<Vec<u8>> = logs.iter().map(|log| log.head.salt.0.to_vec()).collect();
    let harvests: Vec<Uuid> = logs.iter().map(|log| log.harvest.0).collect();
    let tickets: Vec<Uuid> = logs.iter().map(|log| log.ticket.0).collect();
    let issuers: Vec<Uuid> = logs.iter().map(|log| log.issuer.0).collect();
    let kinds: Vec<LogKind> = logs.iter().map(|log| log.state.kind).collect();
    let methods: Vec<MeasurementMethod> = logs.iter().map(|log| log.state.method).collect();
    sqlx::query!(
        "INSERT INTO log (id, salt, head_seq, head_hash, head_received_at, kind, species, wood, assortment, grade,
                          length_m, top_diameter_cm, pieces, volume_m3, table_volume_m3, measurement_method, felled_on,
                          harvest_id, ticket_id, line_id, issuer_id, seal_number, status, holder_id, owner_id,
                          last_type, last_on, last_region, last_occurred_at, own_use)
         SELECT id, salt, head_seq, head_hash, head_received_at, kind, species, wood, assortment, grade,
                length_m, top_diameter_cm, pieces, volume_m3, table_volume_m3, measurement_method, felled_on,
                harvest_id, ticket_id, line_id, issuer_id, seal_number, status, holder_id, owner_id,
                last_type, last_on, last_region, last_occurred_at, own_use
         FROM UNNEST($1::uuid[], $2::bytea[], $3::int[], $4::bytea[], $5::timestamptz[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::smallint[], $11::numeric[], $12::numeric[], $13::int[],
                     $14::numeric[], $15::numeric[], $16::text[], $17::date[], $18::uuid[], $19::uuid[], $20::uuid[],
                     $21::uuid[], $22::text[], $23::text[], $24::uuid[], $25::uuid[], $26::text[], $27::date[], $28::text[],
                     $29::timestamptz[], $30::boolean[])
              AS new (id, salt, head_seq, head_hash, head_received_at, kind, species, wood, assortment, grade,
                      length_m, top_diameter_cm, pieces, volume_m3, table_volume_m3, measurement_method, felled_on,
                      harvest_id, ticket_id, line_id, issuer_id, seal_number, status, holder_id, owner_id,
                      last_type, last_on, last_region, last_occurred_at, own_use)",
        &columns.id,
        &salts,
        &columns.head_seq,
        &columns.head_hash,
        &columns.head_received_at,
        &kinds as &[LogKind],
        &columns.species as &[Species],
        &columns.wood as &[Wood],
        &columns.assortment as &[Option<Assortment>],
        &columns.grade as &[Option<Grade>],
        &columns.length_m as &[Option<Length>],
        &columns.top_diameter_cm as &[Option<Diameter>],
        &columns.pieces as &[Option<Pieces>],
        &columns.volume_m3 as &[Volume],
        &columns.table_volume_m3 as &[Option<Volume>],
        &methods as &[MeasurementMethod],
        &columns.felled_on,
        &harvests,
        &tickets,
        &columns.line_id,
        &issuers,
        &columns.seal_number as &[SealNumber],
        &columns.status as &[Status],
        &columns.holder_id,
        &columns.owner_id,
        &columns.last_type as &[LogEventType],
        &columns.last_on,
        &columns.last_region as &[Option<Region>],
        &columns.last_occurred_at,
        &columns.own_use,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the states after events, and the new past parties.
///
/// Each element of `past` is a log, an organisation that neither holds nor owns the log any longer, and the
/// seq of the event with which the organisation ceased to hold or own it.
pub async fn save(
    tx: &mut Tx<'_>,
    logs: &[(LogState, StoredHead)],
    past: &[(LogId, OrganizationId, u32)],
) -> Result<()> {
    let mut columns = Columns::default();
    for (state, head) in logs {
        columns.push(state, *head);
    }
    let stored = sqlx::query!(
        "UPDATE log SET head_seq = new.head_seq, head_hash = new.head_hash, head_received_at = new.head_received_at,
                species = new.species, wood = new.wood, assortment = new.assortment, grade = new.grade,
                length_m = new.length_m, top_diameter_cm = new.top_diameter_cm, pieces = new.pieces,
                volume_m3 = new.volume_m3, table_volume_m3 = new.table_volume_m3,
                felled_on = new.felled_on, line_id = new.line_id, seal_number = new.seal_number,
                seal_void = new.seal_void, status = new.status, holder_id = new.holder_id, owner_id = new.owner_id,
                pending_from = new.pending_from, pending_to = new.pending_to, pending_of = new.pending_of,
                carrier_id = new.carrier_id, vehicle = new.vehicle, last_type = new.last_type, last_on = new.last_on,
                last_region = new.last_region, last_occurred_at = new.last_occurred_at, held_since = new.held_since,
                held_reason = new.held_reason, reseal = new.reseal, own_use = new.own_use
         FROM UNNEST($1::uuid[], $2::int[], $3::bytea[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                     $8::smallint[], $9::numeric[], $10::numeric[], $11::int[], $12::numeric[], $13::numeric[],
                     $14::date[], $15::uuid[], $16::text[], $17::boolean[], $18::text[], $19::uuid[], $20::uuid[], $21::uuid[],
                     $22::uuid[], $23::text[], $24::uuid[], $25::text[], $26::text[], $27::date[], $28::text[],
                     $29::timestamptz[], $30::timestamptz[], $31::text[], $32::boolean[], $33::boolean[])
              AS new (id, head_seq, head_hash, head_received_at, species, wood, assortment, grade, length_m,
                      top_diameter_cm, pieces, volume_m3, table_volume_m3, felled_on, line_id, seal_number, seal_void,
                      status, holder_id, owner_id, pending_from, pending_to, pending_of, carrier_id, vehicle,
                      last_type, last_on, last_region, last_occurred_at, held_since, held_reason, reseal, own_use)
         WHERE log.id = new.id",
        &columns.id,
        &columns.head_seq,
        &columns.head_hash,
        &columns.head_received_at,
        &columns.species as &[Species],
        &columns.wood as &[Wood],
        &columns.assortment as &[Option<Assortment>],
        &columns.grade as &[Option<Grade>],
        &columns.length_m as &[Option<Length>],
        &columns.top_diameter_cm as &[Option<Diameter>],
        &columns.pieces as &[Option<Pieces>],
        &columns.volume_m3 as &[Volume],
        &columns.table_volume_m3 as &[Option<Volume>],
        &columns.felled_on,
        &columns.line_id,
        &columns.seal_number as &[SealNumber],
        &columns.seal_void,
        &columns.status as &[Status],
        &columns.holder_id,
        &columns.owner_id,
        &columns.pending_from as &[Option<Uuid>],
        &columns.pending_to as &[Option<Uuid>],
        &columns.pending_of as &[Option<TransferOf>],
        &columns.carrier_id as &[Option<Uuid>],
        &columns.vehicle as &[Option<String>],
        &columns.last_type as &[LogEventType],
        &columns.last_on,
        &columns.last_region as &[Option<Region>],
        &columns.last_occurred_at,
        &columns.held_since as &[Option<DateTime<Utc>>],
        &columns.held_reason as &[Option<String>],
        &columns.reseal,
        &columns.own_use,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    debug_assert_eq!(stored, logs.len() as u64);
    record_past_parties(tx, past).await
}

/// Stores past parties, each with the last event that it may read; no round trip if there are none.
pub(crate) async fn record_past_parties(
    tx: &mut Tx<'_>,
    past: &[(LogId, OrganizationId, u32)],
) -> Result<()> {
    if past.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = past.iter().map(|(log, ..)| log.0).collect();
    let organizations: Vec<Uuid> = past.iter().map(|(_, organization, _)| organization.0).collect();
    let until: Vec<i32> = past.iter().map(|(.., seq)| i32::try_from(*seq).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "INSERT INTO past_party (log_id, organization_id, until_seq)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int[])
         ON CONFLICT (log_id, organization_id) DO UPDATE SET until_seq = EXCLUDED.until_seq",
        &ids,
        &organizations,
        &until
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The columns of table `log` that an event can change, for some rows: each column as one array.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) id: Vec<Uuid>,
    pub(crate) head_seq: Vec<i32>,
    pub(crate) head_hash: Vec<Vec<u8>>,
    pub(crate) head_received_at: Vec<DateTime<Utc>>,
    pub(crate) species: Vec<Species>,
    pub(crate) wood: Vec<Wood>,
    pub(crate) assortment: Vec<Option<Assortment>>,
    pub(crate) grade: Vec<Option<Grade>>,
    pub(crate) length_m: Vec<Option<Length>>,
    pub(crate) top_diameter_cm: Vec<Option<Diameter>>,
    pub(crate) pieces: Vec<Option<Pieces>>,
    pub(crate) volume_m3: Vec<Volume>,
    pub(crate) table_volume_m3: Vec<Option<Volume>>,
    pub(crate) felled_on: Vec<NaiveDate>,
    pub(crate) line_id: Vec<Uuid>,
    pub(crate) seal_number: Vec<SealNumber>,
    pub(crate) seal_void: Vec<bool>,
    pub(crate) status: Vec<Status>,
    pub(crate) holder_id: Vec<Uuid>,
    pub(crate) owner_id: Vec<Uuid>,
    pub(crate) pending_from: Vec<Option<Uuid>>,
    pub(crate) pending_to: Vec<Option<Uuid>>,
    pub(crate) pending_of: Vec<Option<TransferOf>>,
    pub(crate) carrier_id: Vec<Option<Uuid>>,
    pub(crate) vehicle: Vec<Option<String>>,
    pub(crate) last_type: Vec<LogEventType>,
    pub(crate) last_on: Vec<NaiveDate>,
    pub(crate) last_region: Vec<Option<Region>>,
    pub(crate) last_occurred_at: Vec<DateTime<Utc>>,
    pub(crate) held_since: Vec<Option<DateTime<Utc>>>,
    pub(crate) held_reason: Vec<Option<String>>,
    pub(crate) reseal: Vec<bool>,
    pub(crate) own_use: Vec<bool>,
}

impl Columns {
    pub(crate) fn push(&mut self, state: &LogState, head: StoredHead) {
        self.id.push(head.id);
        self.head_seq.push(head.seq);
        self.head_hash.push(head.hash.0.to_vec());
        self.head_received_at.push(head.received_at);
        self.species.push(state.species);
        self.wood.push(state.wood);
        self.assortment.push(state.assortment);
        self.grade.push(state.grade);
        self.length_m.push(state.length_m);
        self.top_diameter_cm.push(state.top_diameter_cm);
        self.pieces.push(state.pieces);
        self.volume_m3.push(state.volume_m3);
        self.table_volume_m3.push(state.table_volume_m3);
        self.felled_on.push(state.felled_on);
        self.line_id.push(state.line.0);
        self.seal_number.push(state.seal.clone());
        self.seal_void.push(state.seal_void);
        self.status.push(state.status);
        self.holder_id.push(state.holder.0);
        self.owner_id.push(state.owner.0);
        self.pending_from.push(state.pending.map(|p| p.from.0));
        self.pending_to.push(state.pending.map(|p| p.to.0));
        self.pending_of.push(state.pending.map(|p| p.of));
        self.carrier_id.push(state.carrier.map(|c| c.0));
        self.vehicle.push(state.vehicle.clone());
        self.last_type.push(state.last.event_type);
        self.last_on.push(state.last.on);
        self.last_region.push(state.last.region);
        self.last_occurred_at.push(state.last.occurred_at);
        self.held_since.push(state.hold.as_ref().map(|hold| hold.since));
        self.held_reason.push(state.hold.as_ref().map(|hold| hold.reason.clone()));
        self.reseal.push(state.reseal);
        self.own_use.push(state.keeper.is_some());
    }
}
