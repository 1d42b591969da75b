//! Bans: days on which nothing of a kind may be felled or exported. The operator records them on its chain.
//!
//! A ban is in force from its first to its last day in Kazakhstan, or until the day before it was ended. A ticket is
//! refused if its term shares a day with a felling ban; a harvest is judged by the day of felling, an export by the day
//! on which it happened.

use super::vocabulary::BanKind;
use crate::base::as_text;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{BanId, LogId, OrganizationId};
use crate::base::region::{Region, RegionCode};
use crate::base::units::{LocalDate, Text, utc_text};
use crate::evidence::chain::Tx;
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{DecisionDocument, DocumentPart};
use crate::timber::event::types::OrganizationEventType;
use crate::timber::event::vocabulary::DocumentKind;
use crate::timber::party::head::{self, OfficeEvent};
use crate::timber::wood::hs::HsCode;
use crate::timber::wood::species::Species;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// A ban to record. The code that builds it has checked that its fields are consistent.
#[derive(Clone, Debug)]
pub struct NewBan {
    /// Its id.
    pub id: BanId,
    /// What it is on.
    pub kind: BanKind,
    /// Only timber of this region.
    pub region: Option<Region>,
    /// Only timber felled on tickets of this organisation.
    pub forest_owner: Option<OrganizationId>,
    /// Only this species.
    pub species: Option<Species>,
    /// The goods that an export ban is on; empty: all.
    pub hs: Vec<HsCode>,
    /// First day.
    pub from: LocalDate,
    /// Last day.
    pub until: LocalDate,
    /// Whether a felling ban also stops harvests under tickets that were issued before it.
    pub existing_tickets: bool,
    /// The document that decided it.
    pub document: DocumentPart,
    /// Where the request states the number of the document.
    pub document_number_at: Location,
}

/// The member `ban` of the public part of `ban_set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanPart {
    /// Id.
    pub id: BanId,
    /// What it is on.
    pub kind: BanKind,
    /// Region, as an ISO 3166-2 code.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub region: Option<Region>,
    /// Species.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub species: Option<Species>,
    /// HS codes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hs: Vec<HsCode>,
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub until: NaiveDate,
    /// Of a felling ban: whether it also stops harvests under older tickets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub existing_tickets: Option<bool>,
}

#[derive(Serialize)]
struct Public<'a, T> {
    ban: &'a T,
}

#[derive(Serialize)]
struct Ended {
    id: BanId,
}

/// The fields of the business part of `ban_set` besides those of every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanBusiness {
    /// The document that decided it.
    pub document: DocumentPart,
    /// The issuer of the tickets that it is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forest_owner: Option<OrganizationId>,
}

#[derive(Serialize)]
struct EndedBusiness<'a> {
    reason: &'a str,
}

impl NewBan {
    fn parts(&self) -> (BanPart, BanBusiness) {
        let part = BanPart {
            id: self.id,
            kind: self.kind,
            region: self.region,
            species: self.species,
            hs: self.hs.clone(),
            from: self.from.day(),
            until: self.until.day(),
            existing_tickets: (self.kind == BanKind::Felling).then_some(self.existing_tickets),
        };
        (part, BanBusiness { document: self.document.clone(), forest_owner: self.forest_owner })
    }
}

/// Records a ban.
///
/// # Errors
/// `too-long-together`; not found, if there is no operator.
pub async fn set(tx: &mut Tx<'_>, act: &Actor, new: &NewBan) -> Result<()> {
    let head = head::lock_operator(tx).await?;
    let (part, business) = new.parts();
    let event = OfficeEvent {
        event_type: OrganizationEventType::BanSet,
        public: &Public { ban: &part },
        business: &business,
        texts: &[(new.document_number_at.clone(), &new.document.number)],
    };
    let head = head::add_office_event(tx, act, head, event).await?;
    let hs: Vec<String> = new.hs.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "INSERT INTO ban (id, kind, region, forest_owner_id, species, hs, from_day, until_day, existing_tickets,
                          document_kind, document_number, document_issued_on, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        new.id.0,
        new.kind.as_str(),
        new.region.map(Region::as_str),
        new.forest_owner.map(|owner| owner.0),
        new.species.map(Species::as_str),
        &hs,
        new.from.day(),
        new.until.day(),
        new.existing_tickets,
        new.document.kind.as_str(),
        new.document.number,
        new.document.issued_on,
        head.received_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a ban: it is not in force from today on.
///
/// # Errors
/// Not found. Conflict `ban-ended` at `whole`, if it was ended before.
pub async fn end(tx: &mut Tx<'_>, act: &Actor, ban: BanId, reason: (&Text<200>, Location)) -> Result<()> {
    let head = head::lock_operator(tx).await?;
    // Under the lock of the operator's chain: if two requests end a ban at once, only one records an event.
    let ended = sqlx::query_scalar!(
        r#"SELECT ended_on IS NOT NULL AS "ended!" FROM ban WHERE id = $1 FOR UPDATE"#,
        ban.0
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::NotFound)?;
    if ended {
        let error = FieldError::new(Location::body(), "ban-ended", "This ban was ended before.");
        return Err(Error::Conflict(vec![error]));
    }
    let (reason, at) = reason;
    let event = OfficeEvent {
        event_type: OrganizationEventType::BanEnded,
        public: &Public { ban: &Ended { id: ban } },
        business: &EndedBusiness { reason: reason.as_str() },
        texts: &[(at, reason.as_str())],
    };
    head::add_office_event(tx, act, head, event).await.map(drop)?;
    sqlx::query!(
        "UPDATE ban SET ended_on = $2, end_reason = $3 WHERE id = $1",
        ban.0,
        act.on(),
        reason.as_str()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A ban, as the API returns it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Ban)]
pub struct BanView {
    /// Id.
    pub id: BanId,
    /// What it is on.
    pub kind: BanKind,
    /// Only timber of this region; null: of all.
    #[schema(value_type = Option<RegionCode>)]
    pub region: Option<&'static str>,
    /// Only timber felled on tickets of this forest owner; null: of all.
    pub forest_owner_id: Option<OrganizationId>,
    /// Only this species; null: all.
    #[schema(value_type = Option<String>)]
    pub species: Option<Species>,
    /// The goods that an export ban is on; empty: all.
    pub hs: Vec<HsCode>,
    /// First day (in Kazakhstan).
    pub from: LocalDate,
    /// Last day (in Kazakhstan), unless it was ended before.
    pub until: LocalDate,
    /// Whether a felling ban also stops harvests under tickets that were issued before it.
    pub existing_tickets: bool,
    /// The document that decided it.
    pub document: DecisionDocument,
    /// When the operator recorded it.
    #[schema(value_type = DateTime<Utc>)]
    pub made_at: String,
    /// First day (in Kazakhstan) on which it is not in force any more, if it was ended; null: it was not.
    pub ended_on: Option<LocalDate>,
    /// Why it was ended.
    pub end_reason: Option<String>,
}

/// One ban.
///
/// # Errors
/// Not found.
pub async fn get(db: impl PgExecutor<'_>, id: BanId) -> Result<BanView> {
    rows(db, Some(id), None, 1).await?.pop().ok_or(Error::NotFound)
}

/// Bans in the order in which they were recorded, after the ban `after`.
///
/// # Errors
/// From the database.
pub async fn list(db: impl PgExecutor<'_>, after: Option<BanId>, limit: i64) -> Result<Vec<BanView>> {
    rows(db, None, after, limit).await
}

async fn rows(
    db: impl PgExecutor<'_>,
    only: Option<BanId>,
    after: Option<BanId>,
    limit: i64,
) -> Result<Vec<BanView>> {
    let rows = sqlx::query!(
        r#"SELECT id, kind AS "kind: BanKind", region AS "region: Region", forest_owner_id, species AS "species: Species",
                  hs, from_day AS "from_day: LocalDate", until_day AS "until_day: LocalDate", existing_tickets,
                  document_kind AS "document_kind: DocumentKind", document_number, document_issued_on, made_at,
                  ended_on AS "ended_on: LocalDate", end_reason
           FROM ban WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        only.map(|id| id.0),
        after.map(|id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(BanView {
                id: row.id.into(),
                kind: row.kind,
                region: row.region.map(Region::as_str),
                forest_owner_id: row.forest_owner_id.map(Into::into),
                species: row.species,
                hs: codes(&row.hs)?,
                from: row.from_day,
                until: row.until_day,
                existing_tickets: row.existing_tickets,
                document: DecisionDocument {
                    kind: row.document_kind,
                    number: row.document_number,
                    issued_on: row.document_issued_on,
                },
                made_at: utc_text(row.made_at),
                ended_on: row.ended_on,
                end_reason: row.end_reason,
            })
        })
        .collect()
}

fn codes(hs: &[String]) -> Result<Vec<HsCode>> {
    let read = |text: &String| {
        HsCode::parse(text).map_err(|error| Error::CorruptRow(format!("ban.hs: {error}: {text}")))
    };
    hs.iter().map(read).collect()
}

/// A felling ban on a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TicketBan {
    /// Only this species.
    pub species: Option<Species>,
    /// First day.
    pub from: NaiveDate,
    /// Last day on which it is in force.
    pub until: NaiveDate,
    /// Whether it also stops harvests under tickets that were issued before it.
    pub existing_tickets: bool,
    /// Number of the document that decided it.
    pub number: String,
}

impl TicketBan {
    /// Whether it forbids to fell this species on a day.
    #[must_use]
    pub fn forbids(&self, species: Species, day: NaiveDate) -> bool {
        self.species.is_none_or(|only| only == species) && (self.from..=self.until).contains(&day)
    }

    /// The sentence for a client that is refused.
    #[must_use]
    pub fn sentence(&self) -> String {
        let of = self.species.map_or_else(String::new, |species| format!(" of {species}"));
        format!("Felling{of} is banned here from {} to {} (document {}).", self.from, self.until, self.number)
    }
}

/// The felling bans with which the term of a ticket shares a day.
///
/// # Errors
/// From the database.
pub async fn felling_bans(
    tx: &mut Tx<'_>,
    region: Region,
    issuer: OrganizationId,
    (from, until): (LocalDate, LocalDate),
) -> Result<Vec<TicketBan>> {
    // LEAST ignores NULL, the `ended_on` of a ban that was not ended.
    let rows = sqlx::query!(
        r#"SELECT species AS "species: Species", from_day, LEAST(until_day, ended_on - 1) AS "until!", existing_tickets,
                  document_number
           FROM ban
           WHERE kind = 'felling' AND (region IS NULL OR region = $1)
             AND (forest_owner_id IS NULL OR forest_owner_id = $2)
             AND from_day <= $4 AND LEAST(until_day, ended_on - 1) >= GREATEST(from_day, $3)
           ORDER BY from_day, id"#,
        region.as_str(),
        issuer.0,
        from.day(),
        until.day()
    )
    .fetch_all(&mut **tx)
    .await?;
    let ban = |species, from, until, existing_tickets, number| TicketBan {
        species,
        from,
        until,
        existing_tickets,
        number,
    };
    Ok(rows
        .into_iter()
        .map(|row| ban(row.species, row.from_day, row.until, row.existing_tickets, row.document_number))
        .collect())
}

/// An export ban on a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportBan {
    /// The log.
    pub log: LogId,
    /// First day.
    pub from: NaiveDate,
    /// Last day on which it is in force.
    pub until: NaiveDate,
    /// Number of the document that decided it.
    pub number: String,
}

impl ExportBan {
    /// Whether it is in force on a day.
    #[must_use]
    pub fn covers(&self, day: NaiveDate) -> bool {
        (self.from..=self.until).contains(&day)
    }
}

/// The export bans that are on these logs, on at least one of two days: that of the export and that of its receipt.
/// Without a code, every export ban counts that is on the timber.
///
/// # Errors
/// From the database.
pub async fn export_bans(
    tx: &mut Tx<'_>,
    logs: &[LogId],
    hs: Option<&HsCode>,
    days: [NaiveDate; 2],
) -> Result<Vec<ExportBan>> {
    let logs: Vec<Uuid> = logs.iter().map(|log| log.0).collect();
    let rows = sqlx::query!(
        r#"SELECT log.id AS "log: LogId", ban.from_day, LEAST(ban.until_day, ban.ended_on - 1) AS "until!",
                  ban.document_number, ban.hs
           FROM ban
           JOIN log ON log.id = ANY($1) AND (ban.species IS NULL OR ban.species = log.species)
           JOIN felling_ticket ticket ON ticket.id = log.ticket_id
                AND (ban.region IS NULL OR ban.region = ticket.region)
                AND (ban.forest_owner_id IS NULL OR ban.forest_owner_id = ticket.issuer_id)
           WHERE ban.kind = 'export'
             AND ($2::date BETWEEN ban.from_day AND LEAST(ban.until_day, ban.ended_on - 1)
                  OR $3::date BETWEEN ban.from_day AND LEAST(ban.until_day, ban.ended_on - 1))
           ORDER BY log.id, ban.from_day, ban.id"#,
        &logs,
        days[0],
        days[1]
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut bans = Vec::new();
    for row in rows {
        let goods = codes(&row.hs)?;
        let on_goods = goods.is_empty() || hs.is_none_or(|hs| goods.iter().any(|code| code.meets(hs)));
        if on_goods {
            let (log, from, until, number) = (row.log, row.from_day, row.until, row.document_number);
            bans.push(ExportBan { log, from, until, number });
        }
    }
    Ok(bans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::party::head::assert_in_specification;

    fn id(last: u32) -> Uuid {
        format!("01999999-9999-7999-8999-9999999999{last:02}").parse().unwrap()
    }

    fn document() -> DocumentPart {
        DocumentPart {
            kind: DocumentKind::Other,
            number: "18-02/1".to_owned(),
            issued_on: Some("2026-11-20".parse().unwrap()),
        }
    }

    fn felling() -> NewBan {
        NewBan {
            id: BanId(id(7)),
            kind: BanKind::Felling,
            region: Some(Region::parse("KZ-10").unwrap()),
            forest_owner: Some(OrganizationId(id(8))),
            species: Some(Species::parse("pinus_sylvestris").unwrap()),
            hs: Vec::new(),
            from: LocalDate::parse("2026-12-01").unwrap(),
            until: LocalDate::parse("2027-03-31").unwrap(),
            existing_tickets: false,
            document: document(),
            document_number_at: Location::body(),
        }
    }

    fn assert_set(new: &NewBan) {
        let (part, business) = new.parts();
        let event_type = OrganizationEventType::BanSet;
        let public = Public { ban: &part };
        assert_in_specification(&OfficeEvent {
            event_type,
            public: &public,
            business: &business,
            texts: &[],
        });
    }

    /// The vectors of bans in `docs/CHAIN.md`; their commitments were made with Python's hashlib.
    #[test]
    fn bans_have_the_bytes_of_the_specification() {
        assert_set(&felling());
        assert_set(&NewBan {
            id: BanId(id(9)),
            kind: BanKind::Export,
            region: None,
            forest_owner: None,
            species: None,
            hs: vec![HsCode::parse("4403").unwrap()],
            until: LocalDate::parse("2027-05-31").unwrap(),
            ..felling()
        });
        assert_in_specification(&OfficeEvent {
            event_type: OrganizationEventType::BanEnded,
            public: &Public { ban: &Ended { id: BanId(id(7)) } },
            business: &EndedBusiness { reason: "Order 18-02/1 was revoked" },
            texts: &[],
        });
    }
}
