//! The hashed parts of a ticket's events.
//!
//! The list of lines and the plot's contour may be long, so the event contains a digest of each:
//! - `lines_digest`: SHA-256 of the canonical text (JCS) of the list
//!   `[{"id", "species", "volume_m3", "wood"}]` in the ticket's order, volumes as strings in minimal form;
//! - `plot_digest`: SHA-256 of the GeoJSON text as stored and returned.

use crate::base::as_text;
use crate::base::error::{Error, Location, Result};
use crate::base::geo::Plot;
use crate::base::ids::{LineId, LogId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{Area, LocalDate, Volume};
use crate::evidence::chain::size::{self, MAX_BUSINESS_BYTES, MAX_PUBLIC_BYTES};
use crate::evidence::chain::{Hash, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{LocalTime, TicketName};
use crate::timber::event::types::TicketEventType;
use crate::timber::event::vocabulary::HeldBy;
use crate::timber::wood::species::{Species, Wood};
use chrono::NaiveDate;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The public part of every event of a ticket.
#[derive(Serialize)]
pub struct TicketPublic<'a> {
    /// Version.
    pub v: u8,
    /// `felling_ticket`.
    pub subject: &'static str,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: TicketEventType,
    /// The day in Kazakhstan.
    pub on: NaiveDate,
    /// Region, as an ISO 3166-2 code.
    #[serde(with = "as_text")]
    pub region: Region,
    /// Forestry.
    pub forestry: &'a str,
    /// Series and number.
    pub ticket: &'a TicketName,
}

/// The business part of `ticket_issued`.
#[derive(Serialize)]
pub struct Issued<'a> {
    /// Version.
    pub v: u8,
    /// Recording organisation, its key, and the time.
    #[serde(flatten)]
    pub act: &'a Actor,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The organisation that may fell.
    pub holder: OrganizationId,
    /// Day of issue.
    pub issued_on: LocalDate,
    /// Kind of felling.
    pub felling_kind: &'a str,
    /// Forest category.
    pub forest_category: &'a str,
    /// Forest type.
    pub forest_type: &'a str,
    /// District.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<&'a str>,
    /// Compartment.
    pub compartment: &'a str,
    /// Sub-compartment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subcompartment: Option<&'a str>,
    /// Cutting area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutting_area: Option<&'a str>,
    /// Area in hectares.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none")]
    pub area_ha: Option<Area>,
    /// Digest of the contour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plot_digest: Option<Hash>,
    /// First day (in Kazakhstan) of felling.
    pub felling_from: LocalDate,
    /// Last day (in Kazakhstan) of felling.
    pub felling_until: LocalDate,
    /// Last day (in Kazakhstan) of removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal_until: Option<LocalDate>,
    /// Digest of the lines.
    pub lines_digest: Hash,
}

/// A ticket's hold and the logs that it stops, in the form that is hashed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeldLogs {
    /// The side that holds the ticket.
    pub held_by: HeldBy,
    /// When it ends by itself (the issuer's), or is overdue (an inspector's).
    pub until: LocalTime,
    /// How many logs it stops.
    pub logs: u32,
    /// SHA-256 over the lines `log id LF`, sorted by id.
    pub logs_digest: Hash,
}

/// The business part of every event of a ticket after the first.
#[derive(Serialize)]
pub struct Changed<'a> {
    /// Version.
    pub v: u8,
    /// Recording organisation, its key, and the time.
    #[serde(flatten)]
    pub act: &'a Actor,
    /// The ticket.
    pub ticket_id: TicketId,
    /// New last day of felling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub felling_until: Option<LocalDate>,
    /// New last day of removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal_until: Option<LocalDate>,
    /// Digest of the new contour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plot_digest: Option<Hash>,
    /// The logs that it stops, if it holds the ticket.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldLogs>,
    /// Reason of the change.
    pub reason: &'a str,
}

/// SHA-256 over one line per log, its id and a line feed, in the order of `logs`. The caller passes the ids in
/// ascending order.
#[must_use]
pub fn logs_digest(logs: &[LogId]) -> Hash {
    use std::fmt::Write as _;
    let mut lines = String::with_capacity(logs.len() * 37);
    for log in logs {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{log}");
    }
    digest(&lines)
}

/// One line, in the form that is hashed.
#[derive(Serialize)]
struct Line {
    id: LineId,
    species: Species,
    wood: Wood,
    #[serde(with = "as_text")]
    volume_m3: Volume,
}

/// Digest of a ticket's lines, in the ticket's order.
pub fn lines_digest(lines: impl Iterator<Item = (LineId, Species, Wood, Volume)>) -> Hash {
    let lines: Vec<_> =
        lines.map(|(id, species, wood, volume_m3)| Line { id, species, wood, volume_m3 }).collect();
    digest(&canonical::text(&lines))
}

/// Digest of a contour.
#[must_use]
pub fn plot_digest(plot: &Plot) -> Hash {
    digest(plot.as_str())
}

fn digest(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

/// The canonical texts of both parts. `request_texts` lists those texts of the request that the business part
/// contains, with their locations.
///
/// # Errors
/// `too-long-together` if these texts, each within its own limit, exceed the limit of the part in total.
pub fn texts(
    public: &TicketPublic<'_>,
    business: &impl Serialize,
    request_texts: &[(Location, &str)],
) -> Result<(String, String)> {
    let (public, business) = (canonical::text(public), canonical::text(business));
    // `&[]`: no text of the request can make the public part too long. The names in it were checked by
    // `check_names` when the ticket was issued, and they fit into the longest event that repeats them.
    size::check(&public, MAX_PUBLIC_BYTES, &[]).map_err(Error::Invalid)?;
    size::check(&business, MAX_BUSINESS_BYTES, request_texts).map_err(Error::Invalid)?;
    Ok((public, business))
}

/// Size in bytes of the longest public part of a `harvested` event, without the forestry and the ticket's
/// series and number. The part is defined in `timber::custody::content`, which this folder may not use; a
/// test in that module checks this number.
pub const HARVEST_BYTES_BESIDE_NAMES: usize = 282;

/// Checks that a ticket's names fit into every event that repeats them; the longest is `harvested`.
///
/// # Errors
/// `too-long-together`, with the locations of the names.
pub fn check_names(forestry: &str, name: &TicketName) -> Result<()> {
    #[derive(Serialize)]
    struct Names<'a> {
        forestry: &'a str,
        ticket: &'a TicketName,
    }
    let names = canonical::text(&Names { forestry, ticket: name });
    let at = |pointer: &str| Location::Pointer(pointer.to_owned());
    let request_texts = [
        (at("/origin/forestry"), forestry),
        (at("/number"), name.number.as_str()),
        (at("/series"), name.series.as_str()),
    ];
    size::check(&names, MAX_PUBLIC_BYTES - HARVEST_BYTES_BESIDE_NAMES, &request_texts).map_err(Error::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Moment;
    use crate::evidence::chain::bytes::{Part, Salt, commit};

    /// The vector "A ticket is held" in `docs/CHAIN.md`; its commitments were made with Python's hashlib.
    #[test]
    fn a_hold_has_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let now = "2026-11-28T04:00:00Z".parse().unwrap();
        let act = Actor::in_operation(id(2).into(), id(3).into(), crate::base::ids::OperationId(id(4)), now)
            .unwrap();
        let name = TicketName { number: "0001245".into(), series: "АБ".into() };
        let public = TicketPublic {
            v: 1,
            subject: "felling_ticket",
            event_type: TicketEventType::Held,
            on: act.on(),
            region: Region::parse("KZ-10").unwrap(),
            forestry: "Бородулиха",
            ticket: &name,
        };
        let business = Changed {
            v: 1,
            act: &act,
            ticket_id: TicketId(id(6)),
            felling_until: None,
            removal_until: None,
            plot_digest: None,
            held: Some(HeldLogs {
                held_by: HeldBy::Inspector,
                until: LocalTime::of(Moment::parse("2026-12-08T09:00:00+05:00").unwrap()),
                logs: 1,
                logs_digest: logs_digest(&[LogId(id(99))]),
            }),
            reason: "Stumps to be counted",
        };
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        let texts = [canonical::text(&public), canonical::text(&business)];
        for ((kind, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
            let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
            assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
        }
    }

    /// The vector "The plot of a ticket is replaced" in `docs/CHAIN.md`; its commitments were made with Python's hashlib.
    #[test]
    fn a_replaced_plot_has_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let now = "2026-11-28T04:00:00Z".parse().unwrap();
        let act = Actor::in_operation(id(2).into(), id(3).into(), crate::base::ids::OperationId(id(4)), now)
            .unwrap();
        let name = TicketName { number: "0001245".into(), series: "АБ".into() };
        let public = TicketPublic {
            v: 1,
            subject: "felling_ticket",
            event_type: TicketEventType::PlotReplaced,
            on: act.on(),
            region: Region::parse("KZ-10").unwrap(),
            forestry: "Бородулиха",
            ticket: &name,
        };
        let plot = Plot::from_stored(
            r#"{"coordinates":[[[80,50.7],[80.01,50.7],[80.01,50.71],[80,50.7]]],"type":"Polygon"}"#,
        );
        let business = Changed {
            v: 1,
            act: &act,
            ticket_id: TicketId(id(6)),
            felling_until: None,
            removal_until: None,
            plot_digest: Some(plot_digest(&plot.unwrap())),
            held: None,
            reason: "Surveyed again",
        };
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        let texts = [canonical::text(&public), canonical::text(&business)];
        for ((kind, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
            let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
            assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
        }
    }

    #[test]
    fn the_digest_of_lines_by_hand() {
        let id: LineId = "01999999-9999-7999-8999-999999999999".parse().unwrap();
        let line = (
            id,
            Species::parse("pinus_sylvestris").unwrap(),
            Wood::Commercial,
            Volume::parse("120.50").unwrap(),
        );
        let text = r#"[{"id":"01999999-9999-7999-8999-999999999999","species":"pinus_sylvestris","volume_m3":"120.5","wood":"commercial"}]"#;
        assert_eq!(lines_digest(std::iter::once(line)), digest(text));
    }
}
