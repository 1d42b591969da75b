//! The request body of a custody event, sent by a holder, carrier, receiver or inspector.

use super::content::{DetailsPart, ObservedPart};
use super::departure::{Buyer, Permit};
use super::official::{Act, Official};
use crate::base::country::Country;
use crate::base::error::{FieldError, Invalid, Location};
use crate::base::geo::Position;
use crate::base::ids::{FindingId, OperationId};
use crate::base::input::{Errors, Node, input};
use crate::base::region::RegionCode;
use crate::base::units::{Diameter, Length, LocalDate, Moment, Pieces, Reference, Text, Volume};
use crate::timber::custody::harvest::request::ResponsiblePerson;
use crate::timber::event::parts::{DevicePart, DocumentPart, LocalTime, PlacePart};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{DocumentKind, Outcome, PlaceKind, TransferOf};
use crate::timber::party::bin::Bin;
use crate::timber::seal::SealName;
use crate::timber::seal::code::Code;
use crate::timber::seal::stock::VoidReason;
use crate::timber::wood::hs::HsCode;
use crate::timber::wood::species::{Assortment, Grade, Species, Wood};

input! {
    /// One event for up to 1,000 logs.
    pub struct NewCustodyEvent {
        /// Type of the event.
        pub r#type: LogEventType,
        /// The logs: seal numbers, identification codes, marking codes or ids.
        #[schema(value_type = Vec<String>)]
        pub logs: Vec<Code> [1..=1000],
        /// When it happened, with the local UTC offset.
        pub occurred_at: Moment,
        /// Where it happened.
        pub place: Option<Place>,
        /// The exact position.
        pub position: Option<Position>,
        /// Document that goes with the event.
        pub document: Option<Document>,
        /// Receiver of a transfer; for `confiscated` the new owner.
        pub to_bin: Option<Bin>,
        /// What a transfer hands over; `both` by default.
        pub of: Option<TransferOf>,
        /// Carrier, at loading.
        pub carrier_bin: Option<Bin>,
        /// Vehicle, at loading.
        pub vehicle: Option<Reference>,
        /// Country that the timber goes to, for `exported`.
        pub country: Option<Country>,
        /// HS code (ТН ВЭД), for `exported`.
        pub hs: Option<HsCode>,
        /// Permit for an export in a ban, for `exported`.
        pub permit: Option<Permit>,
        /// Buyer, for `sold`.
        pub buyer: Option<Buyer>,
        /// The organisation that holds a seized log from now on, for `seized`.
        pub custodian_bin: Option<Bin>,
        /// The result of an inspection, or a note.
        pub details: Option<Details>,
        /// The new seal, for `seal_replaced`.
        pub new_seal_number: Option<SealName>,
        /// The reason, for `seal_replaced` and `corrected`. A `seal_replaced` with the reason
        /// `recorded_in_error` says that the log never bore the old seal.
        pub reason: Option<Text<200>>,
        /// The event to correct, for `corrected`.
        pub corrects: Option<u32>,
        /// The correct values, for `corrected`.
        pub set: Option<Correction>,
        /// True if the corrected event did not happen, for `corrected`.
        pub reverse: Option<bool>,
        /// True if the log never was: its harvest was recorded in error, for `corrected`.
        pub annul: Option<bool>,
        /// The client's own id for this request.
        pub operation_id: Option<OperationId>,
        /// The device, if it records offline.
        pub device: Option<Device>,
    }
    => PartialCustodyEvent::check as PartialCustodyEvent;

    /// A named place.
    pub struct Place {
        /// Its name.
        #[schema(example = "Нижний склад, с. Бородулиха")]
        pub name: Text<100>,
        /// Region.
        pub region: Option<RegionCode>,
        /// The kind of place.
        pub kind: Option<PlaceKind>,
    }

    /// A document.
    pub struct Document {
        /// Kind.
        pub kind: DocumentKind,
        /// Number, with a letter or a digit.
        pub number: Reference,
        /// Day of issue.
        pub issued_on: Option<LocalDate>,
    }

    /// The device that recorded the event, and the number that it assigned.
    pub struct Device {
        /// Its id within the organisation.
        #[schema(example = "tablet-07")]
        pub id: Text<40>,
        /// A number that the device assigns only once.
        pub seq: i64,
        /// The device's own time.
        pub recorded_at: Moment,
    }

    /// The result of an inspection, the reason of a hold or its release, or a note.
    pub struct Details {
        /// Result of an inspection.
        pub outcome: Option<Outcome>,
        /// What was observed.
        pub observed: Option<Observed>,
        /// A note.
        pub note: Option<Text<150>>,
        /// Whether the inspection also stops the log (`detained`). By default yes for `mismatch` and
        /// `seal_missing`, no for `seal_damaged`; never for `match`.
        pub hold: Option<bool>,
        /// Reason of `detained` or `released`.
        pub reason: Option<Text<150>>,
        /// The finding that led to it.
        pub finding_id: Option<FindingId>,
        /// The official who decided: personal data, shown like the responsible person of a harvest.
        pub official: Option<Official>,
        /// The official record (act, protocol).
        pub act: Option<Act>,
    }

    /// Species and measures as observed by an inspector.
    pub struct Observed {
        /// Species.
        #[schema(value_type = Option<String>)]
        pub species: Option<Species>,
        /// Length.
        pub length_m: Option<Length>,
        /// Top diameter.
        pub top_diameter_cm: Option<Diameter>,
    }

    /// The correct values in place of wrongly recorded ones.
    pub struct Correction {
        /// Species.
        #[schema(value_type = Option<String>)]
        pub species: Option<Species>,
        /// Kind of wood.
        pub wood: Option<Wood>,
        /// Assortment.
        pub assortment: Option<Assortment>,
        /// Grade.
        pub grade: Option<Grade>,
        /// Length.
        pub length_m: Option<Length>,
        /// Top diameter.
        pub top_diameter_cm: Option<Diameter>,
        /// Pieces.
        pub pieces: Option<Pieces>,
        /// Volume.
        pub volume_m3: Option<Volume>,
        /// When it happened.
        pub occurred_at: Option<Moment>,
        /// Where it happened.
        pub place: Option<Place>,
        /// The person responsible for the harvest; stored separately and erasable.
        pub responsible_person: Option<ResponsiblePerson>,
    }
    => Correction::check;
}

impl Correction {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        if !self.is_of_harvest() && self.occurred_at.is_none() && self.place.is_none() {
            errors.refuse(node, Invalid::new("required", "A correction sets at least one value."));
        }
    }

    /// Whether the correction sets a value that only a harvest records.
    #[must_use]
    pub fn is_of_harvest(&self) -> bool {
        self.species.is_some()
            || self.wood.is_some()
            || self.assortment.is_some()
            || self.grade.is_some()
            || self.length_m.is_some()
            || self.top_diameter_cm.is_some()
            || self.pieces.is_some()
            || self.volume_m3.is_some()
            || self.responsible_person.is_some()
    }
}

/// The members that events of this type require (`true`) or allow (`false`), and that are not allowed for
/// some other types. The members that this function lists for no type are allowed for every type, and so are
/// [`ALWAYS_ALLOWED`]. The members within `details` are listed by [`details_of`]. The OpenAPI document states the same rules.
#[must_use]
pub const fn members_of(event: LogEventType) -> &'static [(&'static str, bool)] {
    match event {
        LogEventType::Transferred => &[("to_bin", true), ("of", false)],
        LogEventType::Loaded => &[("carrier_bin", false), ("vehicle", false)],
        LogEventType::Exported => &[("country", false), ("hs", false), ("permit", false)],
        LogEventType::Sold => &[("buyer", false)],
        LogEventType::SealReplaced => &[("new_seal_number", true), ("reason", true)],
        LogEventType::Corrected => {
            &[("corrects", true), ("reason", true), ("set", false), ("reverse", false), ("annul", false)]
        }
        LogEventType::Seized => &[("custodian_bin", true), ("place", true), ("document", true)],
        LogEventType::Confiscated => &[("to_bin", true), ("document", true)],
        LogEventType::Inspected | LogEventType::Detained | LogEventType::Released => &[("details", true)],
        _ => &[],
    }
}

/// The members that some types require and all others allow.
pub const ALWAYS_ALLOWED: [&str; 3] = ["details", "place", "document"];

/// The members of `details` that an event of this type requires (`true`) or allows (`false`).
#[must_use]
pub const fn details_of(event: LogEventType) -> &'static [(&'static str, bool)] {
    match event {
        LogEventType::Inspected => &[
            ("outcome", true),
            ("observed", false),
            ("note", false),
            ("hold", false),
            ("official", false),
            ("act", false),
        ],
        LogEventType::Detained | LogEventType::Released => {
            &[("reason", true), ("finding_id", false), ("note", false), ("official", false), ("act", false)]
        }
        LogEventType::Seized | LogEventType::Confiscated => {
            &[("note", false), ("official", false), ("act", false)]
        }
        _ => &[("note", false)],
    }
}

impl PartialCustodyEvent {
    /// Checks the rules that concern more than one member. A member that could not be read counts as present.
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        use LogEventType as E;
        let Some(event) = self.r#type else { return };
        if !event.is_posted() {
            let endpoint =
                if event == E::Harvested { "POST /v1/harvests" } else { "POST /v1/seals/{number}/void" };
            errors.refuse_field(
                node,
                "type",
                Invalid::new("not-posted-here", format!("`{event}` is recorded by {endpoint}.")),
            );
            self.r#type = None;
            return;
        }
        // Whether the member is refused.
        let mut field = |name: &str, present: bool, allowed: bool, required: bool| {
            if present && !allowed {
                let detail = format!("`{name}` does not go with `{event}`.");
                errors.refuse_field(node, name, Invalid::new("not-for-this-type", detail));
            } else if required && !present {
                errors.push(FieldError::new(
                    node.at_field(name),
                    "required",
                    format!("`{event}` needs `{name}`."),
                ));
            }
            present && !allowed || required && !present
        };
        let correction = event == E::Corrected;
        let replacement = event == E::SealReplaced;
        let is_reversal = self.reverse == Some(Some(true));
        let (set, lacks_set) = (!matches!(self.set, Some(None)), matches!(self.set, Some(None)));
        let is_annulment = self.annul == Some(Some(true));
        let may_reverse = correction && lacks_set && !is_annulment;
        let may_annul = correction && lacks_set;
        let both_read = self.reverse.is_some() && self.annul.is_some();
        let needs_set = correction && both_read && !is_reversal && !is_annulment;
        let members = members_of(event);
        macro_rules! members {
            ($($name:ident),+) => {$(
                let member = members.iter().find(|(member, _)| *member == stringify!($name));
                let present = !matches!(self.$name, Some(None));
                let required = member.is_some_and(|(_, required)| *required);
                if field(stringify!($name), present, member.is_some(), required) {
                    self.$name = None;
                }
            )+};
        }
        members!(
            to_bin,
            of,
            carrier_bin,
            vehicle,
            custodian_bin,
            country,
            hs,
            permit,
            buyer,
            new_seal_number,
            reason,
            corrects
        );
        for (name, absent) in
            [("place", matches!(self.place, Some(None))), ("document", matches!(self.document, Some(None)))]
        {
            let required = members.iter().any(|(member, required)| *member == name && *required);
            field(name, !absent, true, required);
        }
        if field("set", set, correction, needs_set) {
            self.set = None;
        }
        if field("reverse", is_reversal, may_reverse, false) {
            self.reverse = None;
        }
        if field("annul", is_annulment, may_annul, false) {
            self.annul = None;
        }
        if let Some(details) = &self.details {
            let present = details.as_ref().map_or(Vec::new(), Details::present);
            for (name, required) in details_of(event) {
                if *required && !present.contains(name) {
                    let at = details
                        .as_ref()
                        .map_or(node.at_field("details"), |_| pointer(&format!("/details/{name}")));
                    let detail = format!("`{event}` needs `details.{name}`.");
                    errors.push(FieldError::new(at, "required", detail));
                }
            }
            for name in present {
                if !details_of(event).iter().any(|(member, _)| *member == name) {
                    let detail = format!("`details.{name}` does not go with `{event}`.");
                    let at = pointer(&format!("/details/{name}"));
                    errors.push(FieldError::new(at, "not-for-this-type", detail));
                }
            }
            let held = details
                .as_ref()
                .is_some_and(|details| details.hold == Some(true) && details.outcome == Some(Outcome::Match));
            if held {
                let detail =
                    "A log that is the one recorded is not stopped; `detained` stops it for another reason.";
                errors.push(FieldError::new(pointer("/details/hold"), "not-for-this-type", detail));
            }
        }
        if (correction || replacement) && self.logs.as_ref().is_some_and(|logs| logs.len() > 1) {
            let detail = format!("`{event}` applies to one log at a time.");
            errors.refuse_field(node, "logs", Invalid::new("too-many", detail));
            (self.corrects, self.new_seal_number) = (None, None);
        }
    }

    /// Whether the request names another organisation by a BIN that could be read.
    #[must_use]
    pub fn names_others(&self) -> bool {
        [&self.to_bin, &self.carrier_bin, &self.custodian_bin]
            .into_iter()
            .any(|bin| matches!(bin, Some(Some(_))))
    }

    /// The request without the members that could not be read, and a [`Readable`] that states which checks
    /// are possible on the other members. An unreadable type is replaced with `stored`, and an unreadable
    /// time with `now`.
    #[must_use]
    pub(super) fn readable(self, now: Moment) -> (NewCustodyEvent, Readable) {
        let readable = Readable {
            positions: self
                .logs
                .iter()
                .flatten()
                .enumerate()
                .filter(|(_, log)| log.is_some())
                .map(|(at, _)| at)
                .collect(),
            transition: self.r#type.is_some()
                && self.device.as_ref().is_some_and(|device| device.is_none() || self.occurred_at.is_some())
                && (self.r#type != Some(LogEventType::Transferred) || self.of.is_some()),
            content: self.to_bin.is_some()
                && self.carrier_bin.is_some()
                && self.custodian_bin.is_some()
                && self.vehicle.is_some(),
            departure: self.r#type.is_some()
                && self.occurred_at.is_some()
                && self.country.is_some()
                && self.hs.is_some()
                && self.permit.is_some()
                && self.buyer.is_some(),
            correction: match (&self.corrects, &self.set, self.reverse.zip(self.annul)) {
                (None, ..) => ReadableCorrection::Nothing,
                (Some(_), Some(_), Some(_)) => ReadableCorrection::All,
                _ => ReadableCorrection::Event,
            },
        };
        let request = NewCustodyEvent {
            r#type: self.r#type.unwrap_or(LogEventType::Stored),
            logs: self.logs.into_iter().flatten().flatten().collect(),
            occurred_at: self.occurred_at.unwrap_or(now),
            place: self.place.flatten(),
            position: self.position.flatten(),
            document: self.document.flatten(),
            to_bin: self.to_bin.flatten(),
            of: self.of.flatten(),
            carrier_bin: self.carrier_bin.flatten(),
            vehicle: self.vehicle.flatten(),
            country: self.country.flatten(),
            hs: self.hs.flatten(),
            permit: self.permit.flatten(),
            buyer: self.buyer.flatten(),
            custodian_bin: self.custodian_bin.flatten(),
            details: self.details.flatten(),
            new_seal_number: self.new_seal_number.flatten(),
            reason: self.reason.flatten(),
            corrects: self.corrects.flatten(),
            set: self.set.flatten(),
            reverse: self.reverse.flatten(),
            annul: self.annul.flatten(),
            operation_id: self.operation_id.flatten(),
            device: self.device.flatten(),
        };
        (request, readable)
    }
}

/// What could be read of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadableCorrection {
    /// Not even which event it corrects.
    Nothing,
    /// The event that it corrects.
    Event,
    /// All of it.
    All,
}

/// What may be checked of a request with errors.
pub(super) struct Readable {
    /// The positions, within the request, of the logs that could be read.
    positions: Vec<usize>,
    /// Whether the members that decide if the log's state allows the event could be read.
    pub(super) transition: bool,
    /// Whether the members that determine the log's next state could be read.
    pub(super) content: bool,
    /// Whether the members that say where the timber goes could be read.
    pub(super) departure: bool,
    /// What could be read of a correction.
    pub(super) correction: ReadableCorrection,
}

impl Readable {
    /// All of `request`.
    #[must_use]
    pub(super) fn all(request: &NewCustodyEvent) -> Self {
        let positions = (0..request.logs.len()).collect();
        Self {
            positions,
            transition: true,
            content: true,
            departure: true,
            correction: ReadableCorrection::All,
        }
    }

    /// Location of the readable log at `index`.
    #[must_use]
    pub(super) fn log(&self, index: usize) -> Location {
        pointer(&format!("/logs/{}", self.positions.get(index).copied().unwrap_or(index)))
    }
}

/// The reason of a `seal_replaced` that corrects a wrongly recorded seal number.
const RECORDED_IN_ERROR: &str = "recorded_in_error";

impl NewCustodyEvent {
    /// Why a replacement makes the old seal void.
    #[must_use]
    pub fn void_reason(&self) -> VoidReason {
        let in_error = self.reason.as_ref().is_some_and(|reason| reason.as_str() == RECORDED_IN_ERROR);
        if in_error { VoidReason::RecordedInError } else { VoidReason::Replaced }
    }

    /// The free texts and their locations.
    #[must_use]
    pub fn texts(&self) -> Vec<(Location, &str)> {
        let place = self.place.as_ref().map(|place| place.name.as_str());
        let set = self.set.as_ref().and_then(|set| set.place.as_ref()).map(|place| place.name.as_str());
        let details = self.details.as_ref();
        let note = details.and_then(|details| details.note.as_ref());
        let why = details.and_then(|details| details.reason.as_ref());
        let act = details.and_then(|details| details.act.as_ref());
        let texts = [
            ("/place/name", place),
            ("/document/number", self.document.as_ref().map(|document| document.number.as_str())),
            ("/vehicle", self.vehicle.as_ref().map(Reference::as_str)),
            ("/details/note", note.map(Text::as_str)),
            ("/details/reason", why.map(Text::as_str)),
            ("/details/act/number", act.map(|act| act.number.as_str())),
            ("/permit/number", self.permit.as_ref().map(|permit| permit.number.as_str())),
            ("/permit/issuer", self.permit.as_ref().map(|permit| permit.issuer.as_str())),
            ("/reason", self.reason.as_ref().map(Text::as_str)),
            ("/set/place/name", set),
            ("/device/id", self.device.as_ref().map(|device| device.id.as_str())),
        ];
        texts.into_iter().filter_map(|(at, text)| Some((pointer(at), text?))).collect()
    }
}

fn pointer(text: &str) -> Location {
    Location::Pointer(text.to_owned())
}

impl Place {
    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> PlacePart {
        PlacePart {
            name: self.name.as_str().to_owned(),
            region: self.region.map(|region| region.0),
            kind: self.kind,
        }
    }
}

impl Document {
    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> DocumentPart {
        DocumentPart {
            kind: self.kind,
            number: self.number.as_str().to_owned(),
            issued_on: self.issued_on.map(LocalDate::day),
        }
    }
}

impl Device {
    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> DevicePart {
        DevicePart {
            id: self.id.as_str().to_owned(),
            seq: self.seq,
            recorded_at: LocalTime::of(self.recorded_at),
        }
    }
}

impl Details {
    /// The names of the members that are present.
    fn present(&self) -> Vec<&'static str> {
        let members = [
            ("outcome", self.outcome.is_some()),
            ("observed", self.observed.is_some()),
            ("note", self.note.is_some()),
            ("hold", self.hold.is_some()),
            ("reason", self.reason.is_some()),
            ("finding_id", self.finding_id.is_some()),
            ("official", self.official.is_some()),
            ("act", self.act.is_some()),
        ];
        members.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    }

    /// Whether an inspection with these details stops the log. `None` if there is no outcome, or the outcome
    /// is `match`.
    #[must_use]
    pub fn detains(&self) -> Option<bool> {
        let by_default = match self.outcome? {
            Outcome::Match => return None,
            Outcome::Mismatch | Outcome::SealMissing => true,
            Outcome::SealDamaged => false,
        };
        Some(self.hold.unwrap_or(by_default))
    }

    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> DetailsPart {
        DetailsPart {
            hold: self.detains(),
            reason: self.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            finding: self.finding_id,
            act: self.act.as_ref().map(Act::part),
            outcome: self.outcome,
            observed: self.observed.as_ref().map(|seen| ObservedPart {
                species: seen.species,
                length_m: seen.length_m,
                top_diameter_cm: seen.top_diameter_cm,
            }),
            note: self.note.as_ref().map(|note| note.as_str().to_owned()),
        }
    }
}
