//! Reads tickets, as far as the caller may see them.

use super::lock::TicketHold;
use super::vocabulary::{FellingKind, TicketStatus};
use crate::base::error::{Error, Result};
use crate::base::geo::Plot;
use crate::base::ids::{LineId, OrganizationId, TicketId};
use crate::base::region::{Region, RegionNames};
use crate::base::units::{Area, LocalDate, Text, Volume, utc_text};
use crate::evidence::chain::{Subject, SubjectKind};
use crate::timber::event::vocabulary::HeldBy;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::{OrganizationKind, Role};
use crate::timber::wood::species::{Species, Wood};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// A felling ticket in its present state. It contains no personal data: a sole trader or a farm is named by
/// its id only.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    /// Id.
    pub id: TicketId,
    /// Series.
    #[schema(example = "АБ")]
    pub series: String,
    /// Number.
    #[schema(example = "0012345")]
    pub number: String,
    /// Day of issue.
    pub issued_on: LocalDate,
    /// Whether it is in force.
    pub status: TicketStatus,
    /// The forest owner that issued it.
    pub issuer_id: OrganizationId,
    /// The issuer's name; null for a sole trader or a farm.
    pub issuer_name: Option<String>,
    /// The organisation that may fell under it.
    pub holder_id: OrganizationId,
    /// The holder's BIN; null for a sole trader or a farm.
    pub holder_bin: Option<Bin>,
    /// The holder's name; null for a sole trader or a farm.
    pub holder_name: Option<String>,
    /// Kind of felling.
    pub felling_kind: FellingKind,
    /// Forest category.
    pub forest_category: String,
    /// Forest type.
    pub forest_type: String,
    /// Where the trees stand.
    pub origin: Origin,
    /// Area in hectares.
    pub area_ha: Option<Area>,
    /// Contour.
    pub plot: Option<Plot>,
    /// First day (in Kazakhstan) of felling.
    pub felling_from: LocalDate,
    /// Last day (in Kazakhstan) of felling, extensions included.
    pub felling_until: LocalDate,
    /// Last day (in Kazakhstan) of removal, extensions included.
    pub removal_until: Option<LocalDate>,
    /// Why it is stopped; null if it is not.
    pub held: Option<TicketHoldView>,
    /// The permitted volumes, in the order of the ticket.
    pub lines: Vec<LineView>,
}

/// Why a ticket is stopped.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketHoldView {
    /// `issuer` or `inspector`.
    pub by: HeldBy,
    /// Since when; UTC with microseconds.
    #[schema(value_type = DateTime<Utc>)]
    pub since: String,
    /// When the issuer's hold ends by itself, or an inspector's is overdue.
    #[schema(value_type = DateTime<Utc>)]
    pub until: String,
    /// The reason.
    pub reason: String,
}

/// Where the trees of a ticket stand.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Origin {
    /// Region.
    pub region: &'static RegionNames,
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

/// One line of a ticket, and the volume marked on it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineView {
    /// Id.
    pub id: LineId,
    /// Species.
    pub species: Species,
    /// Kind of wood.
    pub wood: Wood,
    /// Permitted volume.
    pub volume_m3: Volume,
    /// Volume marked on it, corrections included.
    pub marked_m3: Volume,
    /// Remaining volume; negative if more is marked than permitted, within the tolerance.
    pub remaining_m3: Volume,
}

/// One ticket without an access check, for a response to a known party of the ticket.
///
/// # Errors
/// Not found.
pub async fn view(db: &mut PgConnection, id: TicketId, now: DateTime<Utc>) -> Result<TicketView> {
    rows(db, &[id.0], None, now).await?.pop().ok_or(Error::NotFound)
}

/// One ticket, if `caller` may see it: as its issuer, its holder or an inspector.
///
/// # Errors
/// Not found, also for a ticket that the caller may not see.
pub async fn get(
    db: &mut PgConnection,
    caller: &Caller,
    id: TicketId,
    now: DateTime<Utc>,
) -> Result<TicketView> {
    rows(db, &[id.0], party(caller), now).await?.pop().ok_or(Error::NotFound)
}

/// Which tickets a list has.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only tickets of this series.
    pub series: Option<Text<20>>,
    /// Only tickets with this number.
    pub number: Option<Text<40>>,
    /// Only tickets of this holder.
    pub holder: Option<OrganizationId>,
    /// Only tickets with this status.
    pub status: Option<TicketStatus>,
}

/// Tickets that `caller` may see, after the ticket `after`, in the order of their ids, which is the order in
/// which they were issued.
pub async fn list(
    db: &mut PgConnection,
    caller: &Caller,
    filter: &Filter,
    after: Option<TicketId>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<TicketView>> {
    let (party, after) = (party(caller), after.map_or(Uuid::nil(), |id| id.0));
    let (series, holder) = (filter.series.as_ref().map(Text::as_str), filter.holder.map(|id| id.0));
    let cancelled = filter.status.map(|status| status == TicketStatus::Cancelled);
    // By number with the index of numbers. Else the issuer's and the holder's tickets are read separately, each with
    // its own index: a single condition with OR would scan all tickets.
    let ids = match (&filter.number, party) {
        (Some(number), party) => {
            sqlx::query_scalar!(
                "SELECT id FROM felling_ticket
                 WHERE number = $1 AND id > $2 AND ($3::uuid IS NULL OR issuer_id = $3 OR holder_id = $3)
                   AND ($5::text IS NULL OR series = $5) AND ($6::uuid IS NULL OR holder_id = $6)
                   AND ($7::boolean IS NULL OR (cancelled_at IS NOT NULL) = $7)
                 ORDER BY id LIMIT $4",
                number.as_str(),
                after,
                party.map(|id| id.0),
                limit,
                series,
                holder,
                cancelled
            )
            .fetch_all(&mut *db)
            .await?
        }
        (None, None) => {
            sqlx::query_scalar!(
                "SELECT id FROM felling_ticket
                 WHERE id > $1 AND ($3::text IS NULL OR series = $3) AND ($4::uuid IS NULL OR holder_id = $4)
                   AND ($5::boolean IS NULL OR (cancelled_at IS NOT NULL) = $5)
                 ORDER BY id LIMIT $2",
                after,
                limit,
                series,
                holder,
                cancelled
            )
            .fetch_all(&mut *db)
            .await?
        }
        (None, Some(party)) => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id!" FROM (
                       (SELECT id FROM felling_ticket
                        WHERE issuer_id = $1 AND id > $2 AND ($4::text IS NULL OR series = $4)
                          AND ($5::uuid IS NULL OR holder_id = $5)
                          AND ($6::boolean IS NULL OR (cancelled_at IS NOT NULL) = $6) ORDER BY id LIMIT $3)
                       UNION
                       (SELECT id FROM felling_ticket
                        WHERE holder_id = $1 AND id > $2 AND ($4::text IS NULL OR series = $4)
                          AND ($5::uuid IS NULL OR holder_id = $5)
                          AND ($6::boolean IS NULL OR (cancelled_at IS NOT NULL) = $6) ORDER BY id LIMIT $3)
                   ) either ORDER BY id LIMIT $3"#,
                party.0,
                after,
                limit,
                series,
                holder,
                cancelled
            )
            .fetch_all(&mut *db)
            .await?
        }
    };
    rows(db, &ids, party, now).await
}

/// A line of a ticket that is nearly full.
#[derive(Clone, Debug)]
pub struct FullLine {
    /// The ticket.
    pub ticket: TicketId,
    /// Its series.
    pub series: String,
    /// Its number.
    pub number: String,
    /// Species.
    pub species: Species,
    /// Kind of wood.
    pub wood: Wood,
    /// Permitted volume.
    pub permitted: Volume,
    /// Volume marked on it.
    pub marked: Volume,
}

/// The lines of which at least 80 % is marked, of the tickets in force on `day` that `caller` may see; the fullest line
/// first. One round trip.
///
/// # Errors
/// From the database.
pub async fn full_lines(
    db: impl PgExecutor<'_>,
    caller: &Caller,
    day: LocalDate,
    limit: i64,
) -> Result<Vec<FullLine>> {
    let rows = sqlx::query_as!(
        FullLine,
        r#"SELECT t.id AS "ticket: TicketId", t.series, t.number, l.species AS "species: Species", l.wood AS "wood: Wood",
                  l.permitted_m3 AS "permitted: Volume", l.marked_m3 AS "marked: Volume"
           FROM felling_ticket t JOIN ticket_line l ON l.ticket_id = t.id
           WHERE ($1::uuid IS NULL OR t.holder_id = $1 OR t.issuer_id = $1) AND t.cancelled_at IS NULL
             AND t.felling_until >= $2 AND l.marked_m3 >= 0.8 * l.permitted_m3
           ORDER BY l.marked_m3 / l.permitted_m3 DESC, l.id LIMIT $3"#,
        party(caller).map(|id| id.0),
        day.day(),
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// The chain of a ticket, without an access check: call [`get`] first.
///
/// # Errors
/// Not found, or a corrupt row.
pub async fn subject(db: impl PgExecutor<'_>, id: TicketId) -> Result<Subject> {
    let row = sqlx::query!("SELECT salt, head_seq FROM felling_ticket WHERE id = $1", id.0)
        .fetch_optional(db)
        .await?
        .ok_or(Error::NotFound)?;
    Subject::stored(SubjectKind::FellingTicket, id.0, &row.salt, row.head_seq)
}

/// `caller` may see only the tickets that this organisation issued or holds. `None` for an inspector, who
/// sees all.
fn party(caller: &Caller) -> Option<OrganizationId> {
    (!caller.is(Role::Inspector)).then_some(caller.organization)
}

async fn rows(
    db: &mut PgConnection,
    ids: &[Uuid],
    party: Option<OrganizationId>,
    now: DateTime<Utc>,
) -> Result<Vec<TicketView>> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.issuer_id, t.holder_id, t.series, t.number, t.issued_on AS "issued_on: LocalDate",
                  t.felling_kind AS "felling_kind: FellingKind", t.forest_category, t.forest_type,
                  t.region AS "region: Region", t.district, t.forestry, t.compartment, t.subcompartment,
                  t.cutting_area, t.area_ha AS "area_ha: Area", t.plot, t.felling_from AS "felling_from: LocalDate",
                  t.felling_until AS "felling_until: LocalDate", t.removal_until AS "removal_until: LocalDate",
                  t.cancelled_at, t.held_since, t.held_until, t.held_reason, t.held_by AS "held_by: HeldBy",
                  i.bin AS issuer_bin, i.name AS issuer_name, i.kind AS "issuer_kind: OrganizationKind",
                  h.name AS holder_name, h.bin AS "holder_bin: Bin", h.kind AS "holder_kind: OrganizationKind"
           FROM felling_ticket t
           JOIN organization i ON i.id = t.issuer_id
           JOIN organization h ON h.id = t.holder_id
           WHERE t.id = ANY($1) AND ($2::uuid IS NULL OR t.issuer_id = $2 OR t.holder_id = $2)
           ORDER BY t.id"#,
        ids,
        party.map(|id| id.0)
    )
    .fetch_all(&mut *db)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut lines = lines(db, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let legal = |kind: OrganizationKind, bin: Option<&str>| {
                kind.known_by(bin) == OrganizationKind::LegalEntity
            };
            let has_issuer_name = legal(row.issuer_kind, row.issuer_bin.as_deref());
            let has_holder_name = legal(row.holder_kind, row.holder_bin.as_ref().map(Bin::as_str));
            let plot = row.plot.as_deref().map(|text| stored_plot(row.id.into(), text)).transpose()?;
            let held = match (row.held_by, row.held_since, row.held_until, row.held_reason) {
                (Some(by), Some(since), Some(until), Some(reason)) => {
                    Some((TicketHold { by, until }, since, reason))
                }
                _ => None,
            };
            let held = held.filter(|(hold, ..)| hold.stands(now)).map(|(hold, since, reason)| {
                TicketHoldView { by: hold.by, since: utc_text(since), until: utc_text(hold.until), reason }
            });
            Ok(TicketView {
                id: row.id.into(),
                series: row.series,
                number: row.number,
                issued_on: row.issued_on,
                status: if row.cancelled_at.is_some() { TicketStatus::Cancelled } else { TicketStatus::Open },
                issuer_id: row.issuer_id.into(),
                issuer_name: row.issuer_name.filter(|_| has_issuer_name),
                holder_id: row.holder_id.into(),
                holder_bin: row.holder_bin.filter(|_| has_holder_name),
                holder_name: row.holder_name.filter(|_| has_holder_name),
                felling_kind: row.felling_kind,
                forest_category: row.forest_category,
                forest_type: row.forest_type,
                origin: Origin {
                    region: row.region.names(),
                    district: row.district,
                    forestry: row.forestry,
                    compartment: row.compartment,
                    subcompartment: row.subcompartment,
                    cutting_area: row.cutting_area,
                },
                area_ha: row.area_ha,
                plot,
                felling_from: row.felling_from,
                felling_until: row.felling_until,
                removal_until: row.removal_until,
                held,
                lines: lines.remove(&row.id).unwrap_or_default(),
            })
        })
        .collect()
}

async fn lines(db: &mut PgConnection, tickets: &[Uuid]) -> Result<HashMap<Uuid, Vec<LineView>>> {
    let rows = sqlx::query!(
        r#"SELECT id, ticket_id, species AS "species: Species", wood AS "wood: Wood",
                  permitted_m3 AS "permitted: Volume", marked_m3 AS "marked: Volume"
           FROM ticket_line WHERE ticket_id = ANY($1) ORDER BY ticket_id, position"#,
        tickets
    )
    .fetch_all(&mut *db)
    .await?;
    let mut lines: HashMap<Uuid, Vec<LineView>> = HashMap::with_capacity(tickets.len());
    for row in rows {
        let remaining = row.permitted.checked_sub(row.marked);
        let remaining_m3 =
            remaining.ok_or_else(|| Error::CorruptRow(format!("ticket_line.marked_m3 of {}", row.id)))?;
        lines.entry(row.ticket_id).or_default().push(LineView {
            id: row.id.into(),
            species: row.species,
            wood: row.wood,
            volume_m3: row.permitted,
            marked_m3: row.marked,
            remaining_m3,
        });
    }
    Ok(lines)
}

/// Reads a plot from its stored text.
pub(super) fn stored_plot(ticket: TicketId, text: &str) -> Result<Plot> {
    Plot::from_stored(text)
        .map_err(|error| Error::CorruptRow(format!("felling_ticket.plot of {ticket}: {error}")))
}
