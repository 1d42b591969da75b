//! The annual allowable cut (расчётная лесосека): the volume that a forest owner's tickets may permit in a year.
//!
//! A cut is for all of a forest owner, or for one of its forestries, or for a group of species, or for both. A ticket
//! counts in every year in which a day of its felling term lies, with its permitted volume, or with the volume marked
//! under it once it is cancelled. In a year for which the owner has cuts, each line of a ticket must be within at least
//! one of them, and every cut that a line is within limits it.
//!
//! The cuts are locked while a ticket is issued or extended, so that concurrent tickets cannot exceed them together.
//! The issuer's row is locked first (shared): a new cut, which locks it exclusively, is not set while a ticket that
//! did not see it is being issued.

use crate::base::as_text;
use crate::base::error::{Error, Location, Result};
use crate::base::ids::{CutId, OrganizationId, TicketId};
use crate::base::units::{LocalDate, Text, Volume, utc_text};
use crate::evidence::chain::Tx;
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{DecisionDocument, DocumentPart};
use crate::timber::event::types::OrganizationEventType;
use crate::timber::event::vocabulary::DocumentKind;
use crate::timber::party::head::{self, OfficeEvent};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::wood::species::{Species, SpeciesGroup};
use chrono::Datelike;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use utoipa::ToSchema;

/// A cut to set.
#[derive(Clone, Debug)]
pub struct NewCut {
    /// Its id, if there is none yet for the same owner, year, forestry and group.
    pub id: CutId,
    /// The forest owner.
    pub forest_owner: OrganizationId,
    /// Only this forestry.
    pub forestry: Option<Text<100>>,
    /// The year.
    pub year: i32,
    /// Only species of this group.
    pub group: Option<SpeciesGroup>,
    /// The volume.
    pub volume: Volume,
    /// The document that decided it.
    pub document: DocumentPart,
    /// Where the request states the forestry, and the number of the document.
    pub at: [Location; 2],
}

/// The member `cut` of the business part of `allowable_cut_set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPart {
    /// Id.
    pub id: CutId,
    /// The forest owner.
    pub forest_owner: OrganizationId,
    /// Forestry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forestry: Option<String>,
    /// Year.
    pub year: i32,
    /// Group of species.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<SpeciesGroup>,
    /// Volume.
    #[serde(with = "as_text")]
    pub volume_m3: Volume,
}

/// The fields of the business part of `allowable_cut_set` besides those of every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutBusiness {
    /// The cut.
    pub cut: CutPart,
    /// The document that decided it.
    pub document: DocumentPart,
}

#[derive(Serialize)]
struct NothingPublic {}

/// The name of a forestry as it is compared: without case, spaces and quotes. A Latin letter that looks like a
/// Cyrillic one counts as that one, so that a ticket does not get past the cut of its forestry by one letter.
#[must_use]
pub fn forestry_key(name: &str) -> String {
    const LOOKS_LIKE: [(char, char); 14] = [
        ('a', 'а'),
        ('b', 'в'),
        ('c', 'с'),
        ('e', 'е'),
        ('ё', 'е'),
        ('h', 'н'),
        ('i', 'і'),
        ('k', 'к'),
        ('m', 'м'),
        ('o', 'о'),
        ('p', 'р'),
        ('t', 'т'),
        ('x', 'х'),
        ('y', 'у'),
    ];
    let is_quote = |c: char| "\"'`´«»‹›“”„‟‘’‚‛".contains(c);
    let small = name.chars().filter(|c| !c.is_whitespace() && !is_quote(*c)).flat_map(char::to_lowercase);
    let like = |c| LOOKS_LIKE.iter().find(|(latin, _)| *latin == c).map_or(c, |(_, cyrillic)| *cyrillic);
    small.map(like).collect()
}

/// Sets a cut. A cut that was set for the same owner, year, forestry and group gets the new volume and document, and
/// keeps its id. Returns the id.
///
/// # Errors
/// `too-long-together`; not found, if there is no operator.
pub async fn set(tx: &mut Tx<'_>, act: &Actor, new: &NewCut) -> Result<CutId> {
    let head = head::lock_operator_and(tx, new.forest_owner).await?;
    let key = new.forestry.as_ref().map(|name| forestry_key(name.as_str())).unwrap_or_default();
    let group = new.group.map_or("", SpeciesGroup::as_str);
    let known = sqlx::query_scalar!(
        r#"SELECT id AS "id: CutId" FROM allowable_cut
           WHERE forest_owner_id = $1 AND year = $2 AND forestry_key = $3 AND species_group = $4 FOR UPDATE"#,
        new.forest_owner.0,
        new.year,
        key,
        group
    )
    .fetch_optional(&mut **tx)
    .await?;
    let id = known.unwrap_or(new.id);
    let business = CutBusiness {
        cut: CutPart {
            id,
            forest_owner: new.forest_owner,
            forestry: new.forestry.as_ref().map(|name| name.as_str().to_owned()),
            year: new.year,
            group: new.group,
            volume_m3: new.volume,
        },
        document: new.document.clone(),
    };
    let forestry = new.forestry.as_ref().map(Text::as_str).unwrap_or_default();
    let [forestry_at, number_at] = new.at.clone();
    let event = OfficeEvent {
        event_type: OrganizationEventType::AllowableCutSet,
        public: &NothingPublic {},
        business: &business,
        texts: &[(forestry_at, forestry), (number_at, &new.document.number)],
    };
    let head = head::add_office_event(tx, act, head, event).await?;
    sqlx::query!(
        "INSERT INTO allowable_cut (id, forest_owner_id, year, forestry, forestry_key, species_group, volume_m3,
                                    document_kind, document_number, document_issued_on, set_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (id) DO UPDATE
         SET forestry = $4, volume_m3 = $7, document_kind = $8, document_number = $9, document_issued_on = $10,
             set_at = $11",
        id.0,
        new.forest_owner.0,
        new.year,
        new.forestry.as_ref().map(Text::as_str),
        key,
        group,
        new.volume.decimal(),
        new.document.kind.as_str(),
        new.document.number,
        new.document.issued_on,
        head.received_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

/// An allowable cut, as the API returns it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AllowableCut)]
pub struct CutView {
    /// Id.
    pub id: CutId,
    /// The forest owner.
    pub forest_owner_id: OrganizationId,
    /// Only this forestry; null: all of the forest owner.
    pub forestry: Option<String>,
    /// Year.
    pub year: i32,
    /// Only species of this group; null: all.
    pub group: Option<SpeciesGroup>,
    /// The volume that may be felled.
    pub volume_m3: Volume,
    /// The document that decided it.
    pub document: DecisionDocument,
    /// When the operator set it.
    #[schema(value_type = DateTime<Utc>)]
    pub set_at: String,
}

/// One cut, without an access check.
///
/// # Errors
/// Not found.
pub async fn get(db: impl PgExecutor<'_>, id: CutId) -> Result<CutView> {
    rows(db, Some(id), None, None, 1).await?.pop().ok_or(Error::NotFound)
}

/// Cuts that `caller` may see, in the order in which they were first set, after the cut `after`: the operator and
/// inspectors see all, others their own.
///
/// # Errors
/// From the database.
pub async fn list(
    db: impl PgExecutor<'_>,
    caller: &Caller,
    after: Option<CutId>,
    limit: i64,
) -> Result<Vec<CutView>> {
    let sees_all = caller.is(Role::Operator) || caller.is(Role::Inspector);
    rows(db, None, (!sees_all).then_some(caller.organization), after, limit).await
}

async fn rows(
    db: impl PgExecutor<'_>,
    only: Option<CutId>,
    owner: Option<OrganizationId>,
    after: Option<CutId>,
    limit: i64,
) -> Result<Vec<CutView>> {
    let rows = sqlx::query!(
        r#"SELECT id, forest_owner_id, forestry, year, species_group, volume_m3 AS "volume_m3: Volume",
                  document_kind AS "document_kind: DocumentKind", document_number, document_issued_on, set_at
           FROM allowable_cut
           WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR forest_owner_id = $2)
             AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4"#,
        only.map(|id| id.0),
        owner.map(|id| id.0),
        after.map(|id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CutView {
                id: row.id.into(),
                forest_owner_id: row.forest_owner_id.into(),
                forestry: row.forestry,
                year: row.year,
                group: group(&row.species_group)?,
                volume_m3: row.volume_m3,
                document: DecisionDocument {
                    kind: row.document_kind,
                    number: row.document_number,
                    issued_on: row.document_issued_on,
                },
                set_at: utc_text(row.set_at),
            })
        })
        .collect()
}

fn group(word: &str) -> Result<Option<SpeciesGroup>> {
    let read = |word| SpeciesGroup::parse(word).map(Some);
    let corrupt = |error| Error::CorruptRow(format!("allowable_cut.species_group: {error}"));
    if word.is_empty() { Ok(None) } else { read(word).map_err(corrupt) }
}

/// A volume of a species in a forestry, in a year.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Permitted {
    year: i32,
    forestry_key: String,
    species: Species,
    volume: Decimal,
}

/// A cut, as tickets are checked against it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    year: i32,
    forestry_key: String,
    group: Option<SpeciesGroup>,
    volume: Decimal,
}

impl Cut {
    fn covers(&self, permitted: &Permitted) -> bool {
        self.year == permitted.year
            && (self.forestry_key.is_empty() || self.forestry_key == permitted.forestry_key)
            && self.group.is_none_or(|group| group == permitted.species.group())
    }
}

/// What the cuts say against a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// No cut of this year covers this species in the ticket's forestry, although the owner has cuts that year.
    NotCovered {
        /// The year.
        year: i32,
        /// The species.
        species: Species,
    },
    /// The ticket would exceed a cut.
    Exceeded {
        /// The year.
        year: i32,
        /// The volume of the cut.
        cut: Decimal,
        /// The volume of the other tickets within it.
        used: Decimal,
        /// The volume of this ticket within it.
        asked: Decimal,
    },
}

impl Against {
    /// The code of the conflict.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotCovered { .. } => "no-cut-for-forestry",
            Self::Exceeded { .. } => "allowable-cut-exceeded",
        }
    }

    /// The sentence of the conflict.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotCovered { year, species } => format!(
                "You have allowable cuts for {year}, but none for {species} in this forestry; the operator sets them."
            ),
            Self::Exceeded { year, cut, used, asked } => format!(
                "The allowable cut of {year} is {cut} m³; your other tickets have {used} m³ of it, and {asked} m³ more \
                 would exceed it."
            ),
        }
    }
}

/// What the allowable cuts say about a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Against it.
    pub against: Vec<Against>,
    /// Years for which its issuer has no cut at all.
    pub without: Vec<i32>,
}

/// A ticket that is checked against the cuts.
#[derive(Clone, Debug)]
pub struct TicketVolumes<'t> {
    /// The issuer.
    pub issuer: OrganizationId,
    /// The ticket, if it exists already: it does not count among the other tickets.
    pub ticket: Option<TicketId>,
    /// Forestry.
    pub forestry: &'t str,
    /// Species and permitted volume of each line.
    pub lines: &'t [(Species, Volume)],
}

/// The years of a felling term.
#[must_use]
pub fn years(from: LocalDate, until: LocalDate) -> RangeInclusive<i32> {
    from.day().year()..=until.day().year()
}

/// Locks the issuer's cuts of these years, and checks the ticket against them.
///
/// # Errors
/// From the database.
pub async fn judge(
    tx: &mut Tx<'_>,
    ticket: &TicketVolumes<'_>,
    years: RangeInclusive<i32>,
) -> Result<Judged> {
    if years.is_empty() {
        return Ok(Judged::default());
    }
    let issuer = ticket.issuer.0;
    sqlx::query_scalar!(r#"SELECT 1 AS "one!" FROM organization WHERE id = $1 FOR KEY SHARE"#, issuer)
        .fetch_optional(&mut **tx)
        .await?;
    let cuts = sqlx::query!(
        r#"SELECT year, forestry_key, species_group, volume_m3 FROM allowable_cut
           WHERE forest_owner_id = $1 AND year BETWEEN $2 AND $3 ORDER BY id FOR UPDATE"#,
        issuer,
        years.start(),
        years.end()
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut read = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let (year, forestry_key, volume) = (cut.year, cut.forestry_key, cut.volume_m3);
        read.push(Cut { year, forestry_key, group: group(&cut.species_group)?, volume });
    }
    let with_cuts: Vec<i32> = read.iter().map(|cut| cut.year).collect::<BTreeSet<_>>().into_iter().collect();
    let mut others = Vec::new();
    if !with_cuts.is_empty() {
        // After the locks: a ticket that was issued before them is counted.
        let rows = sqlx::query!(
            r#"SELECT y.year AS "year!", t.forestry, l.species AS "species: Species",
                      sum(CASE WHEN t.cancelled_at IS NULL THEN l.permitted_m3 ELSE l.marked_m3 END) AS "volume!"
               FROM felling_ticket t
               JOIN ticket_line l ON l.ticket_id = t.id
               JOIN UNNEST($2::int[]) AS y (year)
                 ON t.felling_from <= make_date(y.year, 12, 31) AND t.felling_until >= make_date(y.year, 1, 1)
               WHERE t.issuer_id = $1 AND ($3::uuid IS NULL OR t.id <> $3)
               GROUP BY y.year, t.forestry, l.species"#,
            issuer,
            &with_cuts,
            ticket.ticket.map(|id| id.0)
        )
        .fetch_all(&mut **tx)
        .await?;
        others.extend(rows.into_iter().map(|row| Permitted {
            year: row.year,
            forestry_key: forestry_key(&row.forestry),
            species: row.species,
            volume: row.volume,
        }));
    }
    Ok(weigh(&read, &others, ticket, years))
}

/// Checks a ticket against cuts, given what the other tickets permit.
fn weigh(
    cuts: &[Cut],
    others: &[Permitted],
    ticket: &TicketVolumes<'_>,
    years: RangeInclusive<i32>,
) -> Judged {
    let mut judged = Judged::default();
    let key = forestry_key(ticket.forestry);
    for year in years {
        if !cuts.iter().any(|cut| cut.year == year) {
            judged.without.push(year);
            continue;
        }
        let own = ticket.lines.iter().map(|(species, volume)| Permitted {
            year,
            forestry_key: key.clone(),
            species: *species,
            volume: volume.decimal(),
        });
        let own: Vec<Permitted> = own.collect();
        let uncovered: BTreeSet<Species> = own
            .iter()
            .filter(|line| !cuts.iter().any(|cut| cut.covers(line)))
            .map(|line| line.species)
            .collect();
        judged.against.extend(uncovered.into_iter().map(|species| Against::NotCovered { year, species }));
        for cut in cuts {
            let sum = |of: &[Permitted]| -> Decimal {
                of.iter().filter(|permitted| cut.covers(permitted)).map(|permitted| permitted.volume).sum()
            };
            let (used, asked) = (sum(others), sum(&own));
            if !asked.is_zero() && cut.year == year && used + asked > cut.volume {
                let (cut, used, asked) = (cut.volume.normalize(), used.normalize(), asked.normalize());
                judged.against.push(Against::Exceeded { year, cut, used, asked });
            }
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::party::head::assert_in_specification;
    use uuid::Uuid;

    fn id(last: u32) -> Uuid {
        format!("01999999-9999-7999-8999-9999999999{last:02}").parse().unwrap()
    }

    fn species(code: &str) -> Species {
        Species::parse(code).unwrap()
    }

    /// The vector "The allowable cut of a forestry" in `docs/CHAIN.md`; its commitments were made with Python's
    /// hashlib.
    #[test]
    fn a_cut_has_the_bytes_of_the_specification() {
        let business = CutBusiness {
            cut: CutPart {
                id: CutId(id(11)),
                forest_owner: OrganizationId(id(8)),
                forestry: Some("Жаңа Семей".to_owned()),
                year: 2027,
                group: Some(SpeciesGroup::Conifer),
                volume_m3: Volume::parse("12500.50").unwrap(),
            },
            document: DocumentPart {
                kind: DocumentKind::Other,
                number: "18-02/1".to_owned(),
                issued_on: Some("2026-11-20".parse().unwrap()),
            },
        };
        let event_type = OrganizationEventType::AllowableCutSet;
        let public = NothingPublic {};
        assert_in_specification(&OfficeEvent {
            event_type,
            public: &public,
            business: &business,
            texts: &[],
        });
    }

    #[test]
    fn a_forestry_is_compared_without_case_spaces_and_quotes() {
        let key = forestry_key("Жаңа Семей");
        for name in ["жаңа семей", "ЖАҢА  СЕМЕЙ", "«Жаңа Семей»", "\"Жаңа\u{a0}Семей\"", "Жаңа'Семей"]
        {
            assert_eq!(forestry_key(name), key, "{name}");
        }
        assert_ne!(forestry_key("Жаңа Семей 2"), key);
        // The second of each pair has Latin letters.
        for (name, imitation) in [("Семей", "Ceмeй"), ("НОВАЯ", "HOBAЯ"), ("Берёзовка", "Березовкa")]
        {
            assert_eq!(forestry_key(name), forestry_key(imitation), "{name}");
        }
    }

    fn cut(forestry: &str, group: Option<SpeciesGroup>, volume: i64) -> Cut {
        Cut { year: 2026, forestry_key: forestry_key(forestry), group, volume: Decimal::from(volume) }
    }

    fn judged(cuts: &[Cut], others: &[(&str, &str, i64)], forestry: &str, lines: &[(&str, &str)]) -> Judged {
        let others: Vec<_> = others
            .iter()
            .map(|(forestry, code, volume)| Permitted {
                year: 2026,
                forestry_key: forestry_key(forestry),
                species: species(code),
                volume: Decimal::from(*volume),
            })
            .collect();
        let lines: Vec<_> =
            lines.iter().map(|(code, volume)| (species(code), Volume::parse(volume).unwrap())).collect();
        let ticket = TicketVolumes { issuer: OrganizationId(id(8)), ticket: None, forestry, lines: &lines };
        weigh(cuts, &others, &ticket, 2026..=2026)
    }

    fn codes(judged: &Judged) -> Vec<&'static str> {
        judged.against.iter().map(Against::code).collect()
    }

    #[test]
    fn a_ticket_stays_within_every_cut_that_covers_it() {
        let (pine, birch) = ("pinus_sylvestris", "betula_pendula");
        let owner = [cut("", None, 100)];
        assert_eq!(codes(&judged(&owner, &[("Аягөз", birch, 60)], "Семей", &[(pine, "40")])), [""; 0]);
        let over = judged(&owner, &[("Аягөз", birch, 60)], "Семей", &[(pine, "40.0001")]);
        assert_eq!(codes(&over), ["allowable-cut-exceeded"]);
        assert_eq!(judged(&[], &[], "Семей", &[(pine, "1")]).without, [2026]);

        let forestry = [cut("Семей", None, 50), cut("", None, 1_000)];
        assert_eq!(codes(&judged(&forestry, &[("Аягөз", pine, 500)], "«семей»", &[(pine, "50")])), [""; 0]);
        assert_eq!(codes(&judged(&forestry, &[], "Семей", &[(pine, "51")])), ["allowable-cut-exceeded"]);
        assert_eq!(codes(&judged(&forestry[..1], &[], "Аягөз", &[(pine, "1")])), ["no-cut-for-forestry"]);

        // A cut for conifers alone permits no birch.
        let conifers = [cut("Семей", Some(SpeciesGroup::Conifer), 50)];
        assert_eq!(codes(&judged(&conifers, &[], "Семей", &[(pine, "50")])), [""; 0]);
        assert_eq!(
            codes(&judged(&conifers, &[], "Семей", &[(pine, "50"), (birch, "1")])),
            ["no-cut-for-forestry"]
        );
        assert_eq!(codes(&judged(&conifers, &[("Семей", birch, 999)], "Семей", &[(pine, "50")])), [""; 0]);
    }
}
