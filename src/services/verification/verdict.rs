//! The buyer's verdict on a code: decided from the row of its seal and its log, and the code's signature.

use super::answer::{
    NotForSale, ParsedCode, Signature, SpeciesName, Texts, Verification, VerifiedEvent, VerifiedLog,
    VerifiedOrigin, VerifiedRegion,
};
use super::cached_json::{CachedJson, JsonCache};
use super::lookup::CodeRow;
use crate::base::error::{Error, Result};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length};
use crate::timber::event::vocabulary::Status;
use crate::timber::party::role::OrganizationKind;
use crate::timber::seal::signing::{self, KeyRing};
use crate::timber::seal::{Code, MarkingCode, SealStatus};
use crate::timber::wood::species::Species;
use chrono::{DateTime, Utc};

impl CodeRow {
    pub(super) fn verdict(mut self, code: &Code, ring: &KeyRing, now: DateTime<Utc>) -> Result<Verification> {
        let signature = match code {
            Code::MarkingCode(code) => match ring.verify(code) {
                signing::Signature::Valid => Signature::Valid,
                signing::Signature::Forged => Signature::Forged,
                signing::Signature::UnknownKey => Signature::UnknownKey,
                signing::Signature::Absent => Signature::Absent,
            },
            _ => Signature::Absent,
        };
        let plain = code.identification().map_or_else(|| code.to_string(), |part| part.as_str().to_owned());
        let parsed = ParsedCode { code: plain, seal_number: self.number.take(), signature };
        let Some(seal_status) = self.seal_status.take() else {
            return Ok(Verification::not_registered(parsed, code));
        };
        if self.is_forged(code, signature) {
            return Ok(Verification::forged(parsed));
        }
        let number = parsed.seal_number.clone().unwrap_or_default();
        let reason = self.void_reason.take();
        let open = self.status.is_some_and(Status::is_open);
        let (held, why_not) = (self.is_held(now), self.why_not_for_sale());
        match (seal_status, reason, self.log(&number)?) {
            (SealStatus::Void, Some(reason), log) => Ok(Verification::void(parsed, reason, log)),
            (SealStatus::Applied, None, Some(log)) if open && held => Ok(Verification::held(parsed, log)),
            (SealStatus::Applied, None, Some(log)) if open => Ok(Verification::valid(parsed, log, why_not)),
            (SealStatus::Applied, None, Some(log)) => Ok(Verification::closed(parsed, log)),
            (SealStatus::Issued, None, None) => Ok(Verification::unused(parsed)),
            (status, _, _) => Err(Error::CorruptRow(format!("seal {number}: status {status}"))),
        }
    }

    fn is_held(&self, now: DateTime<Utc>) -> bool {
        let by_ticket =
            self.ticket_held_since.is_some() && self.ticket_held_until.is_none_or(|until| now < until);
        self.held_since.is_some() || by_ticket
    }

    fn why_not_for_sale(&self) -> Option<NotForSale> {
        match self.status? {
            _ if self.own_use == Some(true) => Some(NotForSale::OwnUse),
            _ if self.reseal == Some(true) => Some(NotForSale::Reseal),
            Status::Loaded | Status::InTransit | Status::Arrived => Some(NotForSale::OnTheRoad),
            _ => self.pending_to.map(|_| NotForSale::Promised),
        }
    }

    fn log(self, seal: &str) -> Result<Option<VerifiedLog>> {
        let Some(kind) = self.kind else { return Ok(None) };
        let missing = |what: &str| Error::CorruptRow(format!("log of seal {seal}: no {what}"));
        let species = self.species.ok_or_else(|| missing("species"))?;
        let ticket = self.series.zip(self.ticket_number).ok_or_else(|| missing("ticket"))?;
        Ok(Some(VerifiedLog {
            species: species.as_str().to_owned(),
            species_name: species_name(species),
            kind: kind.as_str().to_owned(),
            length_m: self.length_m.map(Length::decimal),
            top_diameter_cm: self.top_diameter_cm.map(Diameter::decimal),
            pieces: self.pieces.and_then(|pieces| u32::try_from(pieces).ok()),
            volume_m3: self.volume_m3.ok_or_else(|| missing("volume_m3"))?.decimal(),
            origin: VerifiedOrigin {
                region: region_name(self.region.ok_or_else(|| missing("region"))?),
                forestry: self.forestry.ok_or_else(|| missing("forestry"))?,
            },
            felled_on: self.felled_on.ok_or_else(|| missing("felled_on"))?,
            felling_ticket: format!("{} {}", ticket.0, ticket.1),
            status: self.status.ok_or_else(|| missing("status"))?.as_str().to_owned(),
            // The name of a sole trader or a farm is the name of a person, so it is left out.
            holder_name: self.holder_name.filter(|_| {
                let kind = self.holder_kind.map(|kind| kind.known_by(self.holder_bin.as_deref()));
                kind == Some(OrganizationKind::LegalEntity)
            }),
            last_event: VerifiedEvent {
                kind: self.last_type.ok_or_else(|| missing("last_type"))?.as_str().to_owned(),
                on: self.last_on.ok_or_else(|| missing("last_on"))?,
                as_recorded: self.as_recorded,
                region: self.last_region.map(region_name),
            },
        }))
    }

    /// Whether the code is forged. A code that names a key of this system is forged if that key did not make
    /// its signature. The signature of an unknown key cannot be verified; such a code is forged if this seal
    /// was registered with another code.
    fn is_forged(&self, code: &Code, signature: Signature) -> bool {
        match (code, signature) {
            (_, Signature::Forged) => true,
            (Code::MarkingCode(code), Signature::UnknownKey) => self.differs(code),
            _ => false,
        }
    }

    fn differs(&self, code: &MarkingCode) -> bool {
        self.marking_code.as_deref() != Some(code.as_str())
    }
}

fn species_name(species: Species) -> CachedJson<SpeciesName> {
    static NAMES: JsonCache<Species, SpeciesName> = JsonCache::new();
    NAMES.get(species, |species| {
        let row = species.row();
        SpeciesName { kk: row.kk.into(), ru: row.ru.into(), latin: row.latin.into() }
    })
}

fn region_name(region: Region) -> CachedJson<VerifiedRegion> {
    static REGIONS: JsonCache<&str, VerifiedRegion> = JsonCache::new();
    let names = region.names();
    REGIONS.get(names.code, |code| {
        let name = Texts { kk: names.kk.into(), ru: names.ru.into(), en: names.en.into() };
        VerifiedRegion { code: (*code).into(), name }
    })
}
