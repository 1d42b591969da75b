//! Reading logs: the row as it stands, who may see how much of it, and its answer.

use super::find::Key;
use crate::base::error::{Error, Result};
use crate::base::ids::{HarvestId, LogId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Volume};
use crate::db::batching::Question;
use crate::evidence::chain::{Hash, Subject, SubjectKind};
use crate::timber::event::words::{EventType, Status, TransferOf};
use crate::timber::party::key::{Caller, KeyRow, Presented, Uses};
use crate::timber::party::reader::Reader;
use crate::timber::party::role::{OrganizationKind, Role};
use crate::timber::seal::Code;
use crate::timber::wood::species::{Assortment, LogKind, MeasurementMethod, Species, Wood};
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
pub enum Sight {
    /// Holder, owner, pending receiver, named carrier, inspector: everything there is.
    Whole,
    /// Those whose log it was, up to event `until` (0: never theirs), and, with `harvest`,
    /// the issuer of the ticket: what was harvested.
    Part {
        /// Last event that may be read.
        until: u32,
        /// Whether harvest data may be read whenever it was recorded.
        harvest: bool,
    },
}

/// A log's row with its ticket and seal, before anybody was asked whether he may see it.
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
    grade: Option<i16>,
    length_m: Option<Length>,
    top_diameter_cm: Option<Diameter>,
    pieces: Option<i32>,
    volume_m3: Volume,
    table_volume_m3: Option<Volume>,
    measurement_method: MeasurementMethod,
    felled_on: NaiveDate,
    harvest_id: HarvestId,
    ticket_id: TicketId,
    issuer_id: OrganizationId,
    seal_number: String,
    seal_void: bool,
    marking_code: String,
    status: Status,
    holder_id: OrganizationId,
    owner_id: OrganizationId,
    pending_from: Option<OrganizationId>,
    pending_to: Option<OrganizationId>,
    pending_of: Option<TransferOf>,
    carrier_id: Option<OrganizationId>,
    vehicle: Option<String>,
    last_type: EventType,
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
    /// Changes with every erasure of a person.
    erasures: Option<Vec<u8>>,
    /// The key whose token came with the question, and whose it is; none where none came or it is bad.
    key_id: Option<Uuid>,
    key_organization: Option<Uuid>,
    key_expires_at: Option<DateTime<Utc>>,
    key_last_used_at: Option<DateTime<Utc>>,
    key_roles: Option<Vec<Role>>,
}

impl LogRow {
    /// How much of it `reader` may see; nothing if it is as good as absent to him.
    #[must_use]
    pub fn sight(&self, reader: Reader) -> Option<Sight> {
        let me = reader.organization;
        let concerned = [Some(self.holder_id), Some(self.owner_id), self.pending_to, self.carrier_id];
        if reader.inspector || concerned.contains(&Some(me)) {
            return Some(Sight::Whole);
        }
        let until = self.until_seq.and_then(|seq| u32::try_from(seq).ok()).unwrap_or(0);
        let harvest = self.issuer_id == me;
        (until > 0 || harvest).then_some(Sight::Part { until, harvest })
    }

    /// The issuer of its ticket.
    #[must_use]
    pub fn issuer(&self) -> OrganizationId {
        self.issuer_id
    }

    /// What its chain is about.
    pub(crate) fn subject(&self) -> Result<Subject> {
        Subject::stored(SubjectKind::Log, self.id.0, &self.salt, self.head_seq)
    }

    /// The mark of erasures when it was read.
    pub(crate) fn erasures(&self) -> Option<&Vec<u8>> {
        self.erasures.as_ref()
    }

    /// Number of its events.
    pub(crate) fn head_seq(&self) -> Result<u32> {
        u32::try_from(self.head_seq).map_err(|_| self.bad("head_seq"))
    }

    /// What the answer `what` to `reader` hangs on, in few characters: equal marks, equal answers.
    ///
    /// The chain's head stands for everything that events say; the columns that answers show are taken
    /// in beside it, so that a row that is put right says so. Names and personal parts change by erasures
    /// alone. What of all that is shown follows from the reader and the end of his sight.
    #[must_use]
    pub fn mark(&self, reader: Reader, what: &str) -> String {
        struct Digest(Sha256);
        impl Hasher for Digest {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut to = Digest(Sha256::new());
        (env!("CARGO_PKG_VERSION"), what, reader.organization, reader.inspector).hash(&mut to);
        (self.id, self.head_seq, &self.head_hash, self.until_seq, &self.erasures).hash(&mut to);
        (&self.seal_number, self.seal_void, self.status, self.holder_id, self.owner_id).hash(&mut to);
        (self.pending_from, self.pending_to, self.pending_of, self.carrier_id, &self.vehicle).hash(&mut to);
        (self.species, self.wood, self.assortment, self.grade, self.pieces).hash(&mut to);
        (self.length_m, self.top_diameter_cm, self.volume_m3, self.table_volume_m3).hash(&mut to);
        (self.last_type, self.last_on, self.last_region.map(Region::as_str), self.felled_on).hash(&mut to);
        hex::encode(&to.0.finalize()[..16])
    }

    /// Who asks for it, if his token is good now.
    fn caller(&mut self, token: &Presented, uses: &mut Uses) -> Option<Caller> {
        let (expires_at, last_used_at) = (self.key_expires_at, self.key_last_used_at);
        let key = self.key_id.map(|id| KeyRow { id, expires_at, last_used_at })?;
        let (organization, roles) = self.key_organization.zip(self.key_roles.take())?;
        let caller = || Caller { organization: organization.into(), key: key.id.into(), roles };
        uses.admit(token, key).then(caller)
    }

    fn bad(&self, column: &str) -> Error {
        Error::BadRow(format!("log.{column} of {}", self.id))
    }

    /// Every organisation that the whole answer names.
    pub(crate) fn parties(&self) -> impl Iterator<Item = OrganizationId> {
        let named =
            [Some(self.holder_id), Some(self.owner_id), self.pending_from, self.pending_to, self.carrier_id];
        named.into_iter().flatten()
    }

    /// The answer for who may see all of it.
    pub(crate) fn view(&self, names: &Names) -> Result<LogView> {
        let pending = match (self.pending_from, self.pending_to, self.pending_of) {
            (Some(from), Some(to), Some(of)) => {
                Some(PendingView { from: names.of(from), to: names.of(to), of })
            }
            (None, None, None) => None,
            _ => return Err(self.bad("pending_to")),
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
            grade: self.grade.and_then(|grade| u8::try_from(grade).ok()),
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
            last_event: Some(LastEventView {
                event_type: self.last_type,
                on: self.last_on,
                region: self.last_region,
            }),
            head: HeadView {
                seq: self.head_seq()?,
                hash: Hash::from_slice(&self.head_hash).ok_or_else(|| self.bad("head_hash"))?,
                received_at: crate::base::units::utc_text(self.head_received_at),
            },
        })
    }
}

/// An organisation by id and, where it may be told, name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PartyView {
    /// Its id.
    pub id: OrganizationId,
    /// Its name; null where it is a person's (a sole trader, a farm) and neither one's own nor an inspector's to see.
    pub name: Option<String>,
}

/// The seal on a log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SealView {
    /// The number printed on it.
    pub number: String,
    /// `applied`, or `void` until it is replaced.
    pub status: SealState,
    /// The whole marking code; null where the reader's sight ends before the seal that is on it now.
    pub marking_code: Option<String>,
}

crate::base::vocabulary::vocabulary! {
    /// What a seal that was put on a log can be.
    pub enum SealState: "unknown-seal-status" {
        /// On the log.
        Applied = "applied",
        /// Void.
        Void = "void",
    }
}

/// Where the timber was felled, as the ticket says.
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

/// The felling ticket by its names.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    /// Our id.
    pub id: TicketId,
    /// Series.
    pub series: String,
    /// Number.
    pub number: String,
}

/// A transfer that waits for the other side.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingView {
    /// Who offered.
    pub from: PartyView,
    /// To whom.
    pub to: PartyView,
    /// What.
    pub of: TransferOf,
}

/// The last thing that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastEventView {
    /// What.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// On which local day.
    pub on: NaiveDate,
    /// The last region that any event named.
    #[serde(serialize_with = "region_names_or_null")]
    pub region: Option<Region>,
}

/// The end of the chain as far as the reader sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HeadView {
    /// The event's place.
    pub seq: u32,
    /// Its hash.
    pub hash: Hash,
    /// When it was received; UTC with microseconds.
    #[schema(value_type = DateTime<Utc>)]
    pub received_at: String,
}

/// A log or stack as it stands now, or, for who may see a part, as that part leaves it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Log)]
pub struct LogView {
    /// Its id.
    pub id: LogId,
    /// The seal it bears now, or bore last.
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
    pub grade: Option<u8>,
    /// Length in metres.
    pub length_m: Option<Length>,
    /// Diameter at the top end in centimetres.
    pub top_diameter_cm: Option<Diameter>,
    /// Pieces of a stack.
    pub pieces: Option<i32>,
    /// Declared volume in dense cubic metres.
    pub volume_m3: Volume,
    /// Volume of GOST 2708-75 for the same diameter and length, where the table covers it.
    pub table_volume_m3: Option<Volume>,
    /// How the volume was arrived at.
    pub measurement_method: MeasurementMethod,
    /// Local day of felling.
    pub felled_on: NaiveDate,
    /// The posting that recorded it.
    pub harvest_id: HarvestId,
    /// Where it was felled.
    pub origin: OriginView,
    /// Under which ticket.
    pub felling_ticket: TicketView,
    /// Where it stands; null, like all of custody below, for a ticket's issuer, who sees harvest data.
    pub status: Option<Status>,
    /// Who has it.
    pub holder: Option<PartyView>,
    /// Whose it is.
    pub owner: Option<PartyView>,
    /// A transfer that waits.
    pub pending: Option<PendingView>,
    /// The carrier named at loading, until received.
    pub carrier: Option<PartyView>,
    /// The vehicle named at loading, until received.
    pub vehicle: Option<String>,
    /// What happened last.
    pub last_event: Option<LastEventView>,
    /// The end of its chain, as far as the reader sees.
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

/// What organisations are called, before anybody was asked whether he may be told.
pub type KnownNames = HashMap<Uuid, (Option<String>, OrganizationKind)>;

/// Names of organisations, as one reader may be told them.
#[derive(Clone, Debug)]
pub struct Names {
    known: Arc<KnownNames>,
    reader: Reader,
}

impl Names {
    /// Of what is known, as much as `reader` may be told.
    #[must_use]
    pub fn new(known: Arc<KnownNames>, reader: Reader) -> Self {
        Self { known, reader }
    }

    /// Reads the names of `ids`. One round trip.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(db: impl PgExecutor<'_>, reader: Reader, ids: Vec<OrganizationId>) -> Result<Self> {
        let mut ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = sqlx::query!(
            r#"SELECT id, name, kind AS "kind: OrganizationKind" FROM organization WHERE id = ANY($1)"#,
            &ids
        )
        .fetch_all(db)
        .await?;
        let known = rows.into_iter().map(|row| (row.id, (row.name, row.kind)));
        Ok(Self::new(Arc::new(known.collect()), reader))
    }

    /// The organisation with its name, if that may be told.
    #[must_use]
    pub fn of(&self, id: OrganizationId) -> PartyView {
        let own = self.reader.inspector || id == self.reader.organization;
        let name = self
            .known
            .get(&id.0)
            .and_then(|(name, kind)| name.as_ref().filter(|_| own || *kind == OrganizationKind::LegalEntity));
        PartyView { id, name: name.cloned() }
    }
}

/// A log that somebody asks for, by whatever names it; and who asks.
///
/// One statement, the same for a log that is not there and for one that is not his. How much of it he may
/// see says [`LogRow::sight`].
#[derive(Debug)]
pub struct Look {
    key: Key,
    token: Presented,
}

impl Look {
    /// The log that `code` names, for whoever holds `token`.
    #[must_use]
    pub fn new(code: &Code, token: Presented) -> Self {
        Self { key: Key::of(code), token }
    }
}

impl Question for Look {
    /// Nothing, if there is no such log, or if the token is bad.
    type Answer = Option<(Caller, LogRow)>;

    fn cost(&self) -> usize {
        1
    }

    async fn ask(db: &mut PgConnection, looks: &[&Self]) -> sqlx::Result<Vec<Result<Self::Answer>>> {
        let mut found: Vec<_> = looks.iter().map(|_| Ok(None)).collect();
        let mut uses = Uses::default();
        for mut row in rows(db, looks.iter().map(|look| (&look.key, Some(&look.token)))).await? {
            let place = usize::try_from(row.place - 1).ok();
            let asked = place.and_then(|place| looks.get(place).zip(found.get_mut(place)));
            if let Some((look, found)) = asked {
                *found = Ok(row.caller(&look.token, &mut uses).map(|caller| (caller, row)));
            }
        }
        uses.note(db).await?;
        Ok(found)
    }
}

/// The rows of `ids`, in their order, for present parties and inspectors; ids of no log are passed over.
/// One round trip.
///
/// # Errors
/// Those of the database.
pub async fn fetch(db: &mut PgConnection, ids: &[LogId]) -> Result<Vec<LogRow>> {
    let keys: Vec<Key> = ids.iter().map(|id| Key::of(&Code::LogId(*id))).collect();
    Ok(rows(db, keys.iter().map(|key| (key, None))).await?)
}

async fn rows<'k>(
    db: &mut PgConnection,
    asked: impl ExactSizeIterator<Item = (&'k Key, Option<&'k Presented>)>,
) -> sqlx::Result<Vec<LogRow>> {
    let mut ids = Vec::with_capacity(asked.len());
    let mut numbers = Vec::with_capacity(asked.len());
    let mut identifications = Vec::with_capacity(asked.len());
    let mut tokens = Vec::with_capacity(asked.len());
    for (key, token) in asked {
        ids.push(key.id);
        numbers.push(key.number.as_deref());
        identifications.push(key.identification.as_deref());
        tokens.push(token.map(Presented::hash));
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

/// Which logs a list shall have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Only those the reader holds; else those he holds or owns, and all for an inspector.
    pub held: bool,
    /// Only of this status.
    pub status: Option<Status>,
    /// Only of this species.
    pub species: Option<Species>,
    /// Only of this felling ticket.
    pub ticket: Option<TicketId>,
    /// Only those after this one.
    pub after: Option<LogId>,
    /// At most so many.
    pub limit: i64,
}

/// The ids of a page of logs, in the order of their ids. One round trip.
///
/// # Errors
/// Those of the database.
pub async fn list(db: impl PgExecutor<'_>, reader: Reader, wanted: Wanted) -> Result<Vec<LogId>> {
    let after = wanted.after.map_or(Uuid::nil(), |id| id.0);
    let (status, species) = (wanted.status.map(Status::as_str), wanted.species.map(Species::as_str));
    let ticket = wanted.ticket.map(|ticket| ticket.0);
    if reader.inspector && !wanted.held {
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id: LogId" FROM log
               WHERE id > $1 AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR species = $3)
                 AND ($4::uuid IS NULL OR ticket_id = $4)
               ORDER BY id LIMIT $5"#,
            after,
            status,
            species,
            ticket,
            wanted.limit
        );
        return Ok(ids.fetch_all(db).await?);
    }
    // Two sets without overlap, each in the order of an index of its own.
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!: LogId" FROM (
               (SELECT id FROM log
                WHERE holder_id = $6 AND id > $1 AND ($2::text IS NULL OR status = $2)
                  AND ($3::text IS NULL OR species = $3) AND ($4::uuid IS NULL OR ticket_id = $4)
                ORDER BY id LIMIT $5)
               UNION ALL
               (SELECT id FROM log
                WHERE NOT $7 AND owner_id = $6 AND owner_id <> holder_id AND id > $1
                  AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR species = $3)
                  AND ($4::uuid IS NULL OR ticket_id = $4)
                ORDER BY id LIMIT $5)
           ) AS mine ORDER BY id LIMIT $5"#,
        after,
        status,
        species,
        ticket,
        wanted.limit,
        reader.organization.0,
        wanted.held
    );
    Ok(ids.fetch_all(db).await?)
}
