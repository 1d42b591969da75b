//! The request body that an enterprise sends after felling and sealing.

use crate::base::error::Invalid;
use crate::base::geo::Position;
use crate::base::ids::{OperationId, TicketId};
use crate::base::input::{Errors, Layout, Node, input};
use crate::base::units::{Diameter, Length, Moment, Pieces, Text, Volume, lost_letters};
use crate::evidence::chain::canonical;
use crate::timber::custody::request::Device;
use crate::timber::party::bin::Bin;
use crate::timber::seal::SealName;
use crate::timber::wood::bounds::Measures;
use crate::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use serde::Serialize;
use std::collections::HashMap;

/// Maximum number of logs and stacks of one harvest.
pub const MAX_LOGS: usize = 5_000;

input! {
    /// A harvest of timber.
    pub struct NewHarvest {
        /// The ticket it was felled under.
        pub felling_ticket_id: TicketId,
        /// The person responsible for the harvest; stored separately and erasable.
        pub responsible_person: ResponsiblePerson,
        /// The logs and stacks.
        pub logs: Vec<NewLog> [1..=5000],
        /// The client's own id for this request.
        pub operation_id: Option<OperationId>,
        /// The device, if it records offline.
        pub device: Option<Device>,
    }
    => PartialHarvest::check as PartialHarvest;

    /// The person responsible for a harvest.
    pub struct ResponsiblePerson {
        /// Full name.
        #[schema(example = "Ерлан Оспанов")]
        pub name: Text<200>,
        /// Individual identification number.
        pub iin: Option<Bin>,
    }
    => PartialPerson::check as PartialPerson;

    /// One log or stack, measured and sealed.
    pub struct NewLog {
        /// The seal that was hammered into the log: its number, or its marking code as a scanner sends it.
        pub seal_number: SealName,
        /// A log, or a stack of small pieces.
        pub kind: LogKind,
        /// Species.
        #[schema(value_type = String, example = "pinus_sylvestris")]
        pub species: Species,
        /// Kind of wood, as on the ticket.
        pub wood: Wood,
        /// The product that it was cut for.
        pub assortment: Option<Assortment>,
        /// Quality grade.
        pub grade: Option<Grade>,
        /// Length; a log must have one. For a stack, the length of its pieces.
        pub length_m: Option<Length>,
        /// Top-end diameter; a log must have one. For a stack, that of its pieces on average.
        pub top_diameter_cm: Option<Diameter>,
        /// Number of pieces in a stack; a stack must have it. A log is one piece: it may state 1, and no other number.
        pub pieces: Option<Pieces>,
        /// Declared volume. It must be possible for the measures: `volume-unlike-measures`, `volume-unlike-table`.
        pub volume_m3: Volume,
        /// How the volume was determined.
        pub measurement_method: MeasurementMethod,
        /// When it was felled, with the local UTC offset.
        pub occurred_at: Moment,
        /// Where it was felled.
        pub position: Option<Position>,
    }
    => PartialLog::check as PartialLog;
}

impl ResponsiblePerson {
    /// The personal part, as it is hashed.
    #[must_use]
    pub fn part(&self) -> String {
        #[derive(Serialize)]
        struct PersonalPart<'a> {
            v: u8,
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            iin: Option<&'a str>,
        }
        let iin = self.iin.as_ref().map(Bin::as_str);
        canonical::text(&PersonalPart { v: 1, name: self.name.as_str(), iin })
    }
}

impl PartialPerson {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if let Some(invalid) = self.name.as_ref().and_then(|name| lost_letters(name.as_str())) {
            errors.refuse_field(node, "name", invalid);
            self.name = None;
        }
    }
}

impl PartialLog {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if let Some((volume, kind)) = self.volume_m3.zip(self.kind)
            && let Err(invalid) = volume.fits(kind)
        {
            errors.refuse_field(node, "volume_m3", invalid);
            self.volume_m3 = None;
        }
        if self.kind == Some(LogKind::Log) {
            let required =
                |what| Invalid::new("required", format!("A log needs a {what}; only a stack may omit it."));
            if matches!(self.length_m, Some(None)) {
                errors.refuse_field(node, "length_m", required("length"));
                self.length_m = None;
            }
            if matches!(self.top_diameter_cm, Some(None)) {
                errors.refuse_field(node, "top_diameter_cm", required("top diameter"));
                self.top_diameter_cm = None;
            }
        }
        if let Some((pieces, kind)) = self.pieces.flatten().zip(self.kind)
            && let Err(invalid) = pieces.fits(kind)
        {
            errors.refuse_field(node, "pieces", invalid);
            self.pieces = None;
        }
        if self.kind == Some(LogKind::Stack) && matches!(self.pieces, Some(None)) {
            let detail = "A stack needs the number of its pieces.";
            errors.refuse_field(node, "pieces", Invalid::new("required", detail));
            self.pieces = None;
        }
    }

    /// The declared volume and what it is compared with, if all of it could be read. A method that could not
    /// be read counts as [`MeasurementMethod::Other`], which has the widest bounds.
    pub(super) fn measures(&self) -> Option<Measures> {
        Some(Measures {
            kind: self.kind?,
            method: self.measurement_method.unwrap_or(MeasurementMethod::Other),
            top_diameter: self.top_diameter_cm?,
            length: self.length_m?,
            // A log's pieces do not matter: another number than 1 is an error of its own.
            pieces: if self.kind? == LogKind::Log { None } else { self.pieces? },
            volume: self.volume_m3?,
        })
    }
}

impl NewLog {
    /// The declared volume and what it is compared with.
    #[must_use]
    pub fn measures(&self) -> Measures {
        Measures {
            kind: self.kind,
            method: self.measurement_method,
            top_diameter: self.top_diameter_cm,
            length: self.length_m,
            pieces: self.pieces,
            volume: self.volume_m3,
        }
    }
}

impl PartialHarvest {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        let Some(logs) = &mut self.logs else { return };
        let Some(items) = node.get("logs").and_then(|logs| logs.items().ok()) else { return };
        let mut seen = HashMap::with_capacity(logs.len());
        let mut repeated = Vec::new();
        for (index, (log, item)) in logs.iter().zip(items).enumerate() {
            let Some(seal) = log.as_ref().and_then(|log| log.seal_number.as_ref()) else { continue };
            let place = item.line().map_or_else(|| format!("item {index}"), |line| format!("line {line}"));
            if let Some(first) = seen.insert(seal, place) {
                let detail = format!("Seal {seal} is already used by {first} of this harvest.");
                errors.refuse_field(item, "seal_number", Invalid::new("duplicate-in-batch", detail));
                repeated.push(index);
            }
        }
        // If several logs have the same seal, only the first log keeps it. The other logs count as not read
        // completely, so neither their seal nor their volume causes further errors.
        for index in repeated {
            if let Some(log) = &mut logs[index] {
                log.seal_number = None;
            }
        }
    }
}

/// The columns of a harvest sent as CSV.
#[must_use]
pub fn layout() -> Layout {
    Layout::rows("logs")
        .columns(&[
            "seal_number",
            "kind",
            "species",
            "wood",
            "assortment",
            "grade",
            "length_m",
            "top_diameter_cm",
            "pieces",
            "volume_m3",
            "measurement_method",
            "occurred_at",
        ])
        .column("lat", &["position", "lat"])
        .column("lon", &["position", "lon"])
        .column("accuracy_m", &["position", "accuracy_m"])
        .shared("responsible_name", &["responsible_person", "name"])
        .shared("responsible_iin", &["responsible_person", "iin"])
}
