//! The content of a log event: its public and its business part, with the fields that `docs/CHAIN.md` lists.
//! Every fact is in exactly one of the two parts.
//!
//! Decimals are strings in minimal form and instants are UTC with microseconds, because the text of these
//! structs is hashed. A hashed field never changes its meaning; new fields may be added and are absent from
//! old events.

use super::departure::{BuyerPart, PermitPart};
use crate::base::as_text;
use crate::base::country::Country;
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, KeyId, LineId, LogId, OperationId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Pieces, Volume};
use crate::evidence::chain::Hash;
use crate::timber::event::parts::{
    ActPart, DevicePart, DocumentPart, LocalTime, PlacePart, PositionPart, TicketName,
};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Outcome, TransferOf};
use crate::timber::seal::{Identification, SealNumber};
use crate::timber::wood::hs::HsCode;
use crate::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The version that both parts of a new event have. In version 1, a day is the day at the client's UTC
/// offset, and the corrected felling day is computed from [`LogBusiness::right_occurred`]. In version 2, a
/// day is the day in Kazakhstan, and the corrected felling day is stored in [`LogBusiness::right_on`].
pub const VERSION: u8 = 2;

/// The part of an event that a buyer may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPublic {
    /// Version of this part.
    pub v: u8,
    /// `log` or `stack`.
    pub subject: LogKind,
    /// Type of the event.
    #[serde(rename = "type")]
    pub event_type: LogEventType,
    /// The day of the event in Kazakhstan; in version 1, the day at the client's UTC offset.
    pub on: NaiveDate,
    /// The region in which the event happened, as an ISO 3166-2 code.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub region: Option<Region>,
    /// Forestry of origin (first event).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forestry: Option<String>,
    /// The felling ticket (first event).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<TicketName>,
    /// Species (first event, or corrected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub species: Option<Species>,
    /// Length in metres (first event, or corrected).
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub length_m: Option<Length>,
    /// Top diameter in centimetres. Present in the first event, and in a correction of this value.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub top_diameter_cm: Option<Diameter>,
    /// Number of pieces. Present in the first event of a stack, and in a correction of this value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pieces: Option<Pieces>,
    /// Volume in dense cubic metres. Present in the first event, and in a correction of this value.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub volume_m3: Option<Volume>,
    /// Seal put on (first event, or replaced).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal: Option<SealNumber>,
    /// Identification part of that seal's marking code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identification: Option<Identification>,
}

impl LogPublic {
    /// A public part with only event type, kind, day and region.
    #[must_use]
    pub fn bare(event_type: LogEventType, subject: LogKind, on: NaiveDate, region: Option<Region>) -> Self {
        Self {
            v: VERSION,
            subject,
            event_type,
            on,
            region,
            forestry: None,
            ticket: None,
            species: None,
            length_m: None,
            top_diameter_cm: None,
            pieces: None,
            volume_m3: None,
            seal: None,
            identification: None,
        }
    }

    /// Reads a stored public part.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::CorruptRow(format!("event.public: {error}: {text}")))
    }
}

/// The organisations named in a business part, for code that needs nothing else from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Parties {
    /// The organisation that recorded it.
    pub organization: OrganizationId,
    /// The other side of a transfer.
    #[serde(default)]
    pub to: Option<OrganizationId>,
    /// Carrier named at loading.
    #[serde(default)]
    pub carrier: Option<OrganizationId>,
    /// Custodian of a seized log.
    #[serde(default)]
    pub custodian: Option<OrganizationId>,
}

impl Parties {
    /// Reads them from a stored business part.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::CorruptRow(format!("event.business: {error}: {text}")))
    }

    /// All of them.
    pub fn ids(self) -> impl Iterator<Item = OrganizationId> {
        [Some(self.organization), self.to, self.carrier, self.custodian].into_iter().flatten()
    }
}

/// The result of an inspection, the reason of a hold or its release, or a note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailsPart {
    /// Result of an inspection.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<Outcome>,
    /// The observed values that differ from the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed: Option<ObservedPart>,
    /// A note.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// In an inspection with an outcome other than `match`: whether the same request detained the log. Absent
    /// from inspections that were recorded before logs could be held; those have no effect on the state.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<bool>,
    /// The reason of a detention or release. If the server added the detention to an inspection or to the
    /// void of a seal, it is the outcome of the inspection or the reason of the void.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The finding that led to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<FindingId>,
    /// The official record (act, protocol) of an inspector.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub act: Option<ActPart>,
}

/// Species and measures as observed by an inspector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPart {
    /// Species.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub species: Option<Species>,
    /// Length in metres.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub length_m: Option<Length>,
    /// Top diameter in centimetres.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub top_diameter_cm: Option<Diameter>,
}

/// The state of a felling ticket's chain when a harvest was checked against the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketHead {
    /// The ticket.
    pub id: TicketId,
    /// Its newest event at that time.
    pub seq: u32,
    /// That event's hash.
    pub hash: Hash,
}

/// The event that a correction corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrects {
    /// Its seq in the same chain.
    pub seq: u32,
    /// Its hash.
    pub hash: Hash,
}

/// The part of an event that the parties and inspectors may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of an event, each a member of its text")]
pub struct LogBusiness {
    /// Version of this part.
    pub v: u8,
    /// Id of the log or stack.
    pub log: LogId,
    /// When it happened, as the client stated.
    pub occurred: LocalTime,
    /// The organisation that recorded it.
    pub organization: OrganizationId,
    /// The key it was recorded with.
    pub key: KeyId,
    /// Operation id of the write request.
    pub operation: OperationId,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<PlacePart>,
    /// Where exactly.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<PositionPart>,
    /// Document that goes with the event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<DocumentPart>,
    /// Device that recorded it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<DevicePart>,
    /// The other side of a transfer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<OrganizationId>,
    /// What the transfer hands over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<TransferOf>,
    /// Carrier named at loading.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub carrier: Option<OrganizationId>,
    /// The organisation that holds a seized log from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub custodian: Option<OrganizationId>,
    /// Vehicle named at loading.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vehicle: Option<String>,
    /// Country that an export goes to.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub country: Option<Country>,
    /// HS code of an export.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hs: Option<HsCode>,
    /// Permit of an export.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub permit: Option<PermitPart>,
    /// Buyer, when it was sold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub buyer: Option<BuyerPart>,
    /// Inspection or note.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<DetailsPart>,
    /// Kind of wood (first event, or corrected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wood: Option<Wood>,
    /// Assortment (first event, or corrected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assortment: Option<Assortment>,
    /// Grade (first event, or corrected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grade: Option<Grade>,
    /// How the volume was determined (first event).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<MeasurementMethod>,
    /// Volume by the table of GOST 2708-75, if the table covers the log's size.
    #[serde(with = "as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub table_volume_m3: Option<Volume>,
    /// Version of that table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    /// The state of the felling ticket when the harvest was checked against it. Only in the first event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<TicketHead>,
    /// The line of the felling ticket against which the volume counts. Present in the first event, and in a
    /// correction that moves the volume to another line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<LineId>,
    /// The individual that got the wood for its own use, if a forest owner recorded it. Only in the first event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub holder: Option<OrganizationId>,
    /// The event that this one corrects.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub corrects: Option<Corrects>,
    /// Whether the corrected event is undone.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub reverse: bool,
    /// Whether the log never was: the harvest that the correction names was recorded in error.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub annul: bool,
    /// The correct time of the corrected event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right_occurred: Option<LocalTime>,
    /// The corrected felling day: the day of [`LogBusiness::right_occurred`] in Kazakhstan. Absent in version
    /// 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right_on: Option<NaiveDate>,
    /// The correct place of the corrected event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right_place: Option<PlacePart>,
    /// The reason of a correction, of a replacement of the seal, or of a void of the seal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// At a receipt by the organisation to which the log was offered: the log was held, and the receipt did not
    /// accept the offer. Absent from receipts that were recorded before; those accepted it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub held: bool,
    /// True for a late event that the custody rules allowed at the time it happened. It is appended, but does
    /// not change the present state.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub out_of_order: bool,
}

impl LogBusiness {
    /// The corrected felling day. In version 1 it is the day of `right_occurred` at its UTC offset, in later
    /// versions `right_on`.
    #[must_use]
    pub fn right_day(&self) -> Option<NaiveDate> {
        match self.v {
            1 => Some(self.right_occurred?.moment().sent_day().day()),
            _ => self.right_on,
        }
    }

    /// A business part with only log, time, organisation, key and operation id.
    #[must_use]
    pub fn bare(
        log: LogId,
        occurred: LocalTime,
        organization: OrganizationId,
        key: KeyId,
        operation: OperationId,
    ) -> Self {
        Self {
            v: VERSION,
            log,
            occurred,
            organization,
            key,
            operation,
            place: None,
            position: None,
            document: None,
            device: None,
            to: None,
            of: None,
            carrier: None,
            custodian: None,
            vehicle: None,
            country: None,
            hs: None,
            permit: None,
            buyer: None,
            details: None,
            wood: None,
            assortment: None,
            grade: None,
            method: None,
            table_volume_m3: None,
            table: None,
            ticket: None,
            line: None,
            holder: None,
            corrects: None,
            reverse: false,
            annul: false,
            right_occurred: None,
            right_on: None,
            right_place: None,
            reason: None,
            held: false,
            out_of_order: false,
        }
    }

    /// Reads a stored business part.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::CorruptRow(format!("event.business: {error}: {text}")))
    }
}

/// One event of a log, parsed from its parts.
#[derive(Clone, Debug)]
pub struct Content {
    /// Seq in the chain.
    pub seq: u32,
    /// Public part.
    pub public: LogPublic,
    /// Business part.
    pub business: LogBusiness,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Moment;
    use crate::evidence::chain::bytes::{Part, Salt, commit};
    use crate::evidence::chain::canonical;
    use crate::timber::event::vocabulary::DocumentKind;
    use crate::timber::ticket::content::HARVEST_BYTES_BESIDE_NAMES;

    /// [`HARVEST_BYTES_BESIDE_NAMES`] is the size of the public part if every field has its maximum length,
    /// without the forestry and without the ticket's series and number.
    #[test]
    fn the_longest_harvest_beside_the_names_of_its_ticket() {
        let species = Species::all().max_by_key(|species| species.as_str().len());
        let serial = "Z".repeat(20);
        let names = TicketName { number: "ЛБ-«7»".to_owned(), series: "\"А\"".to_owned() };
        let text = |forestry: Option<&str>, ticket: Option<&TicketName>| {
            canonical::text(&LogPublic {
                forestry: forestry.map(str::to_owned),
                ticket: ticket.cloned(),
                species,
                length_m: Some(Length::parse("29.99").unwrap()),
                top_diameter_cm: Some(Diameter::parse("299.9").unwrap()),
                pieces: Some(Pieces::new(10_000).unwrap()),
                volume_m3: Some(Volume::parse("999.9999").unwrap()),
                seal: Some(SealNumber::parse(&"Z".repeat(20)).unwrap()),
                identification: Some(Identification::parse(&format!("010460711234567621{serial}")).unwrap()),
                ..LogPublic::bare(
                    LogEventType::Harvested,
                    LogKind::Stack,
                    NaiveDate::default(),
                    Region::parse("KZ-10").ok(),
                )
            })
        };
        let alone = canonical::text(&serde_json::json!({"forestry": "Урджарское", "ticket": names}));
        let beside = text(Some("Урджарское"), Some(&names)).len() - alone.len();
        assert_eq!(beside, HARVEST_BYTES_BESIDE_NAMES);
    }

    /// Checks the test vector of version 2 in `docs/CHAIN.md`, which was computed with Python's hashlib.
    #[test]
    fn a_correction_of_version_2_has_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let time = |text: &str| LocalTime::of(Moment::parse(text).unwrap());
        let day = "2026-11-28".parse().unwrap();
        let public = LogPublic::bare(LogEventType::Corrected, LogKind::Log, day, None);
        let business = LogBusiness {
            corrects: Some(Corrects {
                seq: 1,
                hash: Hash::from_hex("845ceb06f3585e116ff9b0f56d0f3bfd4bc7478a6e4eaa12bdb19040fc2140b7")
                    .unwrap(),
            }),
            reason: Some("The tablet had the time of another zone.".to_owned()),
            right_occurred: Some(time("2026-11-25T07:30:00-12:00")),
            right_on: Some(Moment::parse("2026-11-25T07:30:00-12:00").unwrap().day().day()),
            ..LogBusiness::bare(
                LogId(id(99)),
                time("2026-11-28T09:00:00+05:00"),
                id(2).into(),
                id(3).into(),
                OperationId(id(4)),
            )
        };
        let page = include_str!("../../../docs/CHAIN.md");
        let texts = [canonical::text(&public), canonical::text(&business)];
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        for ((part, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
            let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
            assert!(page.contains(text.as_str()), "{text}");
            assert!(page.contains(&commit(part, &salt, text).to_string()), "{text}");
        }
        assert_eq!(business.right_day().unwrap().to_string(), "2026-11-26");
        let first = LogBusiness { v: 1, right_on: None, ..business };
        assert_eq!(first.right_day().unwrap().to_string(), "2026-11-25", "version 1 keeps the sender's day");
    }

    /// The vectors "Holds" in `docs/CHAIN.md`; their commitments were made with Python's hashlib.
    #[test]
    fn a_detention_and_a_release_have_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let day: NaiveDate = "2026-11-28".parse().unwrap();
        let part = |event_type, details: DetailsPart| {
            let public = LogPublic::bare(event_type, LogKind::Log, day, None);
            let business = LogBusiness {
                details: Some(details),
                ..LogBusiness::bare(
                    LogId(id(99)),
                    LocalTime::of(Moment::parse("2026-11-28T09:00:00+05:00").unwrap()),
                    id(2).into(),
                    id(3).into(),
                    OperationId(id(4)),
                )
            };
            [canonical::text(&public), canonical::text(&business)]
        };
        let detained = DetailsPart {
            reason: Some("No papers".to_owned()),
            finding: Some(FindingId(id(5))),
            act: Some(ActPart { number: "17-Б".to_owned(), date: day }),
            ..DetailsPart::default()
        };
        let released = DetailsPart { reason: Some("Papers found".to_owned()), ..DetailsPart::default() };
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        for texts in [part(LogEventType::Detained, detained), part(LogEventType::Released, released)] {
            for ((kind, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
                let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
                assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
            }
        }
    }

    /// The vectors "Slips and seizures" in `docs/CHAIN.md`; their commitments were made with Python's hashlib.
    #[test]
    fn slips_and_seizures_have_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let day: NaiveDate = "2026-11-28".parse().unwrap();
        let public = |event_type| LogPublic::bare(event_type, LogKind::Log, day, None);
        let bare = LogBusiness::bare(
            LogId(id(99)),
            LocalTime::of(Moment::parse("2026-11-28T09:00:00+05:00").unwrap()),
            id(2).into(),
            id(3).into(),
            OperationId(id(4)),
        );
        let hash =
            Hash::from_hex("845ceb06f3585e116ff9b0f56d0f3bfd4bc7478a6e4eaa12bdb19040fc2140b7").unwrap();
        let document = |number: &str| {
            Some(DocumentPart { kind: DocumentKind::Act, number: number.to_owned(), issued_on: None })
        };
        let corrected = |reason: &str, annul| LogBusiness {
            corrects: Some(Corrects { seq: 1, hash }),
            annul,
            reason: Some(reason.to_owned()),
            ..bare.clone()
        };
        let place = PlacePart { name: "Қойма № 2".to_owned(), region: None, kind: None };
        let seized = LogBusiness {
            custodian: Some(id(7).into()),
            document: document("21-Х"),
            place: Some(place),
            ..bare.clone()
        };
        let confiscated =
            LogBusiness { to: Some(id(8).into()), document: document("Сот-4"), ..bare.clone() };
        let resealed = LogPublic {
            seal: SealNumber::parse("KZ000000002").ok(),
            identification: Identification::parse("01048700000000122150GQ4T1ZB").ok(),
            ..public(LogEventType::SealReplaced)
        };
        let in_error = LogBusiness { reason: Some("recorded_in_error".to_owned()), ..bare.clone() };
        let voided = LogBusiness {
            reason: Some("seized".to_owned()),
            details: Some(DetailsPart {
                note: Some("Torn off at the sawmill".to_owned()),
                act: Some(ActPart { number: "17-Б".to_owned(), date: day }),
                ..DetailsPart::default()
            }),
            ..bare.clone()
        };
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        for (public, business) in [
            (public(LogEventType::Corrected), corrected("Recorded twice", true)),
            (public(LogEventType::Corrected), corrected("Other brigade", false)),
            (public(LogEventType::Unloaded), bare.clone()),
            (public(LogEventType::Seized), seized),
            (public(LogEventType::Confiscated), confiscated),
            (resealed, in_error),
            (public(LogEventType::SealVoided), voided),
            (public(LogEventType::Received), LogBusiness { held: true, ..bare.clone() }),
        ] {
            let texts = [canonical::text(&public), canonical::text(&business)];
            for ((kind, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
                let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
                assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
            }
        }
    }
}
