//! Reading logs: the row, a reader's access to it, and the response.

use super::find::Key;
use super::write::hold;
use crate::base::error::{Error, Result};
use crate::base::ids::{HarvestId, LogId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Pieces, Volume};
use crate::db::batching::BatchQuery;
use crate::evidence::chain::{Hash, Subject, SubjectKind};
use crate::timber::custody::state::Hold;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use crate::timber::party::key::{Caller, KeyRow, KeyUsage, TokenHash};
use crate::timber::party::reader::Reader;
use crate::timber::party::role::{OrganizationKind, Role};
use crate::timber::seal::{Code, MarkingCode, SealNumber};
use crate::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgExecutor};
use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// How much of a log a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The reader may see everything: it is the holder, owner, pending receiver or named carrier, or an
    /// inspector.
    Full,
    /// The reader sees the events up to `until` (0 if it was never a party). If `harvest` is true (the reader
    /// issued the ticket), it also sees all harvest data.
    Partial {
        /// Last event that may be read.
        until: u32,
        /// Whether harvest data that was recorded after `until` may be read too.
        harvest: bool,
    },
}

/// A log's row with its ticket and seal, before access is checked.
#[derive(Clone, Debug)]
pub struct LogRow {
    place: i64,
    pub(crate) id: LogId,
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
    harvest_id: HarvestId,
    ticket_id: TicketId,
    issuer_id: OrganizationId,
    seal_number: SealNumber,
    seal_void: bool,
    own_use: bool,
    marking_code: MarkingCode,
    status: Status,
    holder_id: OrganizationId,
    owner_id: OrganizationId,
    pending_from: Option<OrganizationId>,
    pending_to: Option<OrganizationId>,
    pending_of: Option<TransferOf>,
    carrier_id: Option<OrganizationId>,
    vehicle: Option<String>,
    held_since: Option<DateTime<Utc>>,
    held_reason: Option<String>,
    ticket_held_since: Option<DateTime<Utc>>,
    ticket_held_until: Option<DateTime<Utc>>,
    ticket_held_reason: Option<String>,
    last_type: LogEventType,
    last_on: NaiveDate,
    last_region: Option<Region>,
    series: String,
    number: String,
    region: Region,
    district: Option<String>,
    forestry: String,
    compartment: String,
    subcompartment: Option<String>,
    cutting_area: Option<String>,
    until_seq: Option<i32>,
    /// The erasure epoch: changes with every erasure of a person.
    erasures: Option<Vec<u8>>,
    /// The key that the query's token belongs to, and the key's organisation; `None` if the query had no
    /// token, or if the key is unknown or revoked.
    key_id: Option<Uuid>,
    key_organization: Option<Uuid>,
    key_expires_at: Option<DateTime<Utc>>,
    key_last_used_at: Option<DateTime<Utc>>,
    key_roles: Option<Vec<Role>>,
}

impl LogRow {
    /// How much of the log `reader` may see. `None` if it may see nothing: then the response must be the same
    /// as for a missing log.
    #[must_use]
    pub fn access(&self, reader: Reader) -> Option<Access> {
        let me = reader.organization;
        let concerned = [Some(self.holder_id), Some(self.owner_id), self.pending_to, self.carrier_id];
        let keeps = self.own_use && self.issuer_id == me;
        if reader.inspector || keeps || concerned.contains(&Some(me)) {
            return Some(Access::Full);
        }
        let until = self.until_seq.and_then(|seq| u32::try_from(seq).ok()).unwrap_or(0);
        let harvest = self.issuer_id == me;
        (until > 0 || harvest).then_some(Access::Partial { until, harvest })
    }

    /// The issuer of its ticket.
    #[must_use]
    pub fn issuer(&self) -> OrganizationId {
        self.issuer_id
    }

    /// The subject of its chain.
    pub(crate) fn subject(&self) -> Result<Subject> {
        Subject::stored(SubjectKind::Log, self.id.0, &self.salt, self.head_seq)
    }

    /// The erasure epoch at the time when this row was read.
    pub(crate) fn erasures(&self) -> Option<&Vec<u8>> {
        self.erasures.as_ref()
    }

    /// Number of its events.
    pub(crate) fn head_seq(&self) -> Result<u32> {
        u32::try_from(self.head_seq).map_err(|_| self.corrupt("head_seq"))
    }

    /// ETag input for a reader that may see everything: a digest of all data on which the response named
    /// `what` depends. Equal digests mean equal responses.
    ///
    /// The chain's head covers the content of all events. The columns shown in responses are included too, so
    /// that the repair of a row changes the digest. Names and personal parts change only by erasures. Which
    /// parts are shown follows from the reader and the last event that it may see.
    #[must_use]
    pub fn etag_input(&self, reader: Reader, what: &str) -> String {
        struct Digest(Sha256);
        impl Hasher for Digest {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut digest = Digest(Sha256::new());
        (env!("CARGO_PKG_VERSION"), what, reader.organization, reader.inspector).hash(&mut digest);
        (self.id, self.head_seq, &self.head_hash, self.until_seq, &self.erasures).hash(&mut digest);
        (&self.seal_number, self.seal_void, self.status, self.holder_id, self.owner_id).hash(&mut digest);
        (self.pending_from, self.pending_to, self.pending_of, self.carrier_id, &self.vehicle)
            .hash(&mut digest);
        (self.held_since, &self.held_reason).hash(&mut digest);
        (self.ticket_held_since, self.ticket_held_until, &self.ticket_held_reason).hash(&mut digest);
        (self.species, self.wood, self.assortment, self.grade, self.pieces).hash(&mut digest);
        (self.length_m, self.top_diameter_cm, self.volume_m3, self.table_volume_m3).hash(&mut digest);
        (self.last_type, self.last_on, self.last_region.map(Region::as_str), self.felled_on)
            .hash(&mut digest);
        hex::encode(&digest.0.finalize()[..16])
    }

    /// ETag input for a reader that may see only some of the events: a digest of the log as that reader sees
    /// it. Of the row itself only `until_seq` and the erasure epoch are included: an ETag that changed with
    /// later events would disclose them.
    ///
    /// # Errors
    /// Never in practice: a log that cannot be serialised.
    pub fn partial_etag_input(&self, reader: Reader, what: &str, seen: &LogView) -> Result<String> {
        let input =
            (env!("CARGO_PKG_VERSION"), what, reader.organization, self.until_seq, &self.erasures, seen);
        let input = serde_json::to_vec(&input).map_err(|error| self.corrupt(&error.to_string()))?;
        Ok(hex::encode(&Sha256::digest(input)[..16]))
    }

    /// The caller, if its token is valid now. Whether it is suspended is not read: that limits writes only.
    fn caller(&mut self, token: &TokenHash, uses: &mut KeyUsage) -> Option<Caller> {
        let (expires_at, last_used_at) = (self.key_expires_at, self.key_last_used_at);
        let key = self.key_id.map(|id| KeyRow { id, expires_at, last_used_at })?;
        let (organization, roles) = self.key_organization.zip(self.key_roles.take())?;
        let caller =
            || Caller { organization: organization.into(), key: key.id.into(), roles, suspended: false };
        uses.admit(token, key).then(caller)
    }

    /// The row as of `now`: a hold of its ticket that has ended by itself is removed.
    fn at(mut self, now: DateTime<Utc>) -> Self {
        if self.ticket_held_until.is_some_and(|until| until <= now) {
            (self.ticket_held_since, self.ticket_held_until, self.ticket_held_reason) = (None, None, None);
        }
        self
    }

    /// The log's own hold or that of its ticket, if there is one.
    pub(crate) fn held(&self) -> Option<Hold> {
        let own = hold(self.held_since, None, self.held_reason.clone());
        own.or_else(|| hold(self.ticket_held_since, self.ticket_held_until, self.ticket_held_reason.clone()))
    }

    fn corrupt(&self, column: &str) -> Error {
        Error::CorruptRow(format!("log.{column} of {}", self.id))
    }

    /// Every organisation that the complete response names.
    pub(crate) fn parties(&self) -> impl Iterator<Item = OrganizationId> {
        let named =
            [Some(self.holder_id), Some(self.owner_id), self.pending_from, self.pending_to, self.carrier_id];
        named.into_iter().flatten()
    }

    /// The response for a reader that may see all of the log.
    pub(crate) fn view(&self, names: &Names) -> Result<LogView> {
        let pending = match (self.pending_from, self.pending_to, self.pending_of) {
            (Some(from), Some(to), Some(of)) => {
                Some(PendingView { from: names.of(from), to: names.of(to), of })
            }
            (None, None, None) => None,
            _ => return Err(self.corrupt("pending_to")),
        };
        Ok(LogView {
            id: self.id,
            seal: SealView {
                number: self.seal_number.clone(),
                status: if self.seal_void { SealState::Void } else { SealState::Applied },
                marking_code: Some(self.marking_code.clone()),
            },
            kind: self.kind,
            species: self.species,
            wood: self.wood,
            assortment: self.assortment,
            grade: self.grade,
            length_m: self.length_m,
            top_diameter_cm: self.top_diameter_cm,
            pieces: self.pieces,
            volume_m3: self.volume_m3,
            table_volume_m3: self.table_volume_m3,
            measurement_method: self.measurement_method,
            felled_on: self.felled_on,
            harvest_id: self.harvest_id,
            origin: OriginView {
                region: self.region,
                district: self.district.clone(),
                forestry: self.forestry.clone(),
                compartment: self.compartment.clone(),
                subcompartment: self.subcompartment.clone(),
                cutting_area: self.cutting_area.clone(),
            },
            felling_ticket: TicketView {
                id: self.ticket_id,
                series: self.series.clone(),
                number: self.number.clone(),
            },
            status: Some(self.status),
            holder: Some(names.of(self.holder_id)),
            owner: Some(names.of(self.owner_id)),
            pending,
            carrier: self.carrier_id.map(|carrier| names.of(carrier)),
            vehicle: self.vehicle.clone(),
            held: self.held().map(HoldView::of),
            own_use: self.own_use,
            last_event: Some(LastEventView {
                event_type: self.last_type,
                on: self.last_on,
                region: self.last_region,
            }),
            head: HeadView {
                seq: self.head_seq()?,
                hash: Hash::from_slice(&self.head_hash).ok_or_else(|| self.corrupt("head_hash"))?,
                received_at: crate::base::units::utc_text(self.head_received_at),
            },
        })
    }
}

/// An organisation by id and, if the reader may see it, name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PartyView {
    /// Its id.
    pub id: OrganizationId,
    /// The organisation's name; null if it is the name of a person (of a sole trader or a farm) and the
    /// reader is neither that organisation nor an inspector.
    pub name: Option<String>,
}

/// The seal on a log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SealView {
    /// The number printed on it.
    #[schema(value_type = String)]
    pub number: SealNumber,
    /// `applied`, or `void` until it is replaced.
    pub status: SealState,
    /// The complete marking code; null if the reader's access ends before the seal that is on the log now.
    #[schema(value_type = Option<String>)]
    pub marking_code: Option<MarkingCode>,
}

crate::base::vocabulary::vocabulary! {
    /// Status of a seal that was put on a log.
    pub enum SealState: "unknown-seal-status" {
        /// On the log.
        Applied = "applied",
        /// Void.
        Void = "void",
    }
}

/// Where the timber was felled, according to the ticket.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OriginView {
    #[serde(serialize_with = "region_names")]
    /// The region.
    pub region: Region,
    /// District.
    pub district: Option<String>,
    /// Forestry.
    pub forestry: String,
    /// Compartment.
    pub compartment: String,
    /// Sub-compartment.
    pub subcompartment: Option<String>,
    /// Cutting area.
    pub cutting_area: Option<String>,
}

/// The felling ticket by id, series and number.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TicketReference)]
pub struct TicketView {
    /// Its id.
    pub id: TicketId,
    /// Series.
    pub series: String,
    /// Number.
    pub number: String,
}

/// A transfer that was offered and is not yet accepted, rejected or withdrawn.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingView {
    /// The organisation that offered it.
    pub from: PartyView,
    /// The organisation it is offered to.
    pub to: PartyView,
    /// What it hands over.
    pub of: TransferOf,
}

/// Why a log is stopped.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HoldView {
    /// Since when; UTC with microseconds.
    #[schema(value_type = DateTime<Utc>)]
    pub since: String,
    /// The reason that the inspector gave, or the outcome of the inspection.
    pub reason: String,
}

impl HoldView {
    /// As the response shows it.
    #[must_use]
    pub fn of(hold: Hold) -> Self {
        Self { since: crate::base::units::utc_text(hold.since), reason: hold.reason }
    }
}

/// The last event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastEventView {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: LogEventType,
    /// The day on which the event happened: the day in Kazakhstan; in events of content version 1, the day at
    /// the client's offset.
    pub on: NaiveDate,
    /// The last region that any event named.
    #[serde(serialize_with = "region_names_or_null")]
    pub region: Option<Region>,
}

/// The last event of the chain that the reader may see.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HeadView {
    /// The event's seq.
    pub seq: u32,
    /// Its hash.
    pub hash: Hash,
    /// When it was received; UTC with microseconds.
    #[schema(value_type = DateTime<Utc>)]
    pub received_at: String,
}

/// A log or stack in its present state; for a reader that may see only some of its events, in the state
/// after those.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Log)]
pub struct LogView {
    /// Its id.
    pub id: LogId,
    /// The seal that the log bears now, or bore last.
    pub seal: SealView,
    /// `log` or `stack`.
    pub kind: LogKind,
    /// Species.
    pub species: Species,
    /// Kind of wood, as on the ticket's line.
    pub wood: Wood,
    /// Assortment.
    pub assortment: Option<Assortment>,
    /// Grade, 1 to 4.
    #[schema(value_type = Option<u8>)]
    pub grade: Option<Grade>,
    /// Length in metres.
    pub length_m: Option<Length>,
    /// Diameter at the top end in centimetres.
    pub top_diameter_cm: Option<Diameter>,
    /// Pieces of a stack.
    #[schema(value_type = Option<i32>)]
    pub pieces: Option<Pieces>,
    /// Declared volume in dense cubic metres.
    pub volume_m3: Volume,
    /// The volume that the table of GOST 2708-75 gives for the log's top diameter and length; null if the
    /// table does not cover them.
    pub table_volume_m3: Option<Volume>,
    /// How the volume was determined.
    pub measurement_method: MeasurementMethod,
    /// Local day of felling.
    pub felled_on: NaiveDate,
    /// The harvest that recorded it.
    pub harvest_id: HarvestId,
    /// Where it was felled.
    pub origin: OriginView,
    /// The ticket it was felled under.
    pub felling_ticket: TicketView,
    /// The log's status. It is null for the issuer of the ticket, which sees only harvest data, and so are
    /// the other custody fields below.
    pub status: Option<Status>,
    /// The organisation that holds it.
    pub holder: Option<PartyView>,
    /// The organisation that owns it.
    pub owner: Option<PartyView>,
    /// The pending transfer.
    pub pending: Option<PendingView>,
    /// The carrier named at loading, until received.
    pub carrier: Option<PartyView>,
    /// The vehicle named at loading, until received.
    pub vehicle: Option<String>,
    /// Why the log is stopped; null if it is not stopped.
    pub held: Option<HoldView>,
    /// Whether it is an individual's, for own use: then the ticket's issuer records for its holder, and it cannot be
    /// transferred or sold.
    pub own_use: bool,
    /// The last event.
    pub last_event: Option<LastEventView>,
    /// The last event of the log's chain that the reader may see.
    pub head: HeadView,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn region_names<S: serde::Serializer>(region: &Region, to: S) -> Result<S::Ok, S::Error> {
    region.names().serialize(to)
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn region_names_or_null<S: serde::Serializer>(region: &Option<Region>, to: S) -> Result<S::Ok, S::Error> {
    region.map(Region::names).serialize(to)
}

/// Names of organisations, before access is checked.
pub type KnownNames = HashMap<Uuid, (Option<String>, OrganizationKind)>;

/// Names of organisations, limited to those that one reader may see.
#[derive(Clone, Debug)]
pub struct Names {
    known: Arc<KnownNames>,
    reader: Reader,
}

impl Names {
    /// The names in `known`, limited to those that `reader` may see.
    #[must_use]
    pub fn new(known: Arc<KnownNames>, reader: Reader) -> Self {
        Self { known, reader }
    }

    /// Reads the names of `ids`. One round trip.
    ///
    /// # Errors
    /// Database errors.
    pub async fn read(db: impl PgExecutor<'_>, reader: Reader, ids: Vec<OrganizationId>) -> Result<Self> {
        let mut ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = sqlx::query!(
            r#"SELECT id, bin, name, kind AS "kind: OrganizationKind" FROM organization WHERE id = ANY($1)"#,
            &ids
        )
        .fetch_all(db)
        .await?;
        let known = rows.into_iter().map(|row| (row.id, (row.name, row.kind.known_by(row.bin.as_deref()))));
        Ok(Self::new(Arc::new(known.collect()), reader))
    }

    /// The organisation, with its name if the reader may see it.
    #[must_use]
    pub fn of(&self, id: OrganizationId) -> PartyView {
        let is_own = self.reader.inspector || id == self.reader.organization;
        let name = self.known.get(&id.0).and_then(|(name, kind)| {
            name.as_ref().filter(|_| is_own || *kind == OrganizationKind::LegalEntity)
        });
        PartyView { id, name: name.cloned() }
    }
}

/// A lookup of a log by any of its codes, with the caller's token.
///
/// The statement is the same for a missing log and for a log that the caller may not see. [`LogRow::access`]
/// returns the caller's access.
#[derive(Debug)]
pub struct LogLookup {
    key: Key,
    token: TokenHash,
}

impl LogLookup {
    /// Looks up the log that `code` names, for the holder of `token`.
    #[must_use]
    pub fn new(code: &Code, token: TokenHash) -> Self {
        Self { key: Key::of(code), token }
    }
}

impl BatchQuery for LogLookup {
    /// `None` if there is no such log or the token is not valid.
    type Output = Option<(Caller, LogRow)>;

    fn cost(&self) -> usize {
        1
    }

    async fn load(db: &mut PgConnection, lookups: &[&Self]) -> sqlx::Result<Vec<Result<Self::Output>>> {
        let mut results: Vec<_> = lookups.iter().map(|_| Ok(None)).collect();
        let mut uses = KeyUsage::default();
        for row in rows(db, lookups.iter().map(|lookup| (&lookup.key, Some(&lookup.token)))).await? {
            let index = usize::try_from(row.place - 1).ok();
            let slot = index.and_then(|index| lookups.get(index).zip(results.get_mut(index)));
            if let Some((lookup, result)) = slot {
                let mut row = row.at(lookup.token.now());
                *result = Ok(row.caller(&lookup.token, &mut uses).map(|caller| (caller, row)));
            }
        }
        uses.note(db).await?;
        Ok(results)
    }
}

/// The rows of `ids` as of `now`, in the order of `ids`, for present parties and inspectors; ids without a
/// log are skipped. One round trip.
///
/// # Errors
/// Database errors.
pub async fn fetch(db: &mut PgConnection, ids: &[LogId], now: DateTime<Utc>) -> Result<Vec<LogRow>> {
    let keys: Vec<Key> = ids.iter().map(|id| Key::of(&Code::LogId(*id))).collect();
    let rows = rows(db, keys.iter().map(|key| (key, None))).await?;
    Ok(rows.into_iter().map(|row| row.at(now)).collect())
}

async fn rows<'k>(
    db: &mut PgConnection,
    keys: impl ExactSizeIterator<Item = (&'k Key, Option<&'k TokenHash>)>,
) -> sqlx::Result<Vec<LogRow>> {
    let mut ids = Vec::with_capacity(keys.len());
    let mut numbers = Vec::with_capacity(keys.len());
    let mut identifications = Vec::with_capacity(keys.len());
    let mut tokens = Vec::with_capacity(keys.len());
    for (key, token) in keys {
        ids.push(key.id);
        numbers.push(key.number.as_deref());
        identifications.push(key.identification.as_deref());
        tokens.push(token.map(TokenHash::hash));
    }
    sqlx::query_file_as!(
        LogRow,
        "src/timber/custody/log/rows.sql",
        &ids as &[Option<Uuid>],
        &numbers as &[Option<&str>],
        &identifications as &[Option<&str>],
        &tokens as &[Option<&[u8]>],
    )
    .fetch_all(db)
    .await
}
