//! From codes to verdicts: one statement over unique keys, the same for every verdict, and batched for many
//! requests.

use super::answer::{
    ParsedCode, Signature, SpeciesName, Texts, Verification, VerifiedEvent, VerifiedLog, VerifiedOrigin,
    VerifiedRegion,
};
use super::cached_json::{CachedJson, JsonCache};
use crate::base::error::{Error, Invalid, Result};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Volume};
use crate::db::batching::BatchQuery;
use crate::timber::event::vocabulary::{EventType, Status};
use crate::timber::party::key::{KeyRow, KeyUsage, TokenHash};
use crate::timber::party::role::OrganizationKind;
use crate::timber::seal::signing::{self, KeyRing};
use crate::timber::seal::{Code, MarkingCode};
use crate::timber::wood::species::{LogKind, Species};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// The row for one code.
#[derive(Debug)]
pub struct CodeRow {
    key_id: Option<Uuid>,
    key_expires_at: Option<DateTime<Utc>>,
    key_last_used_at: Option<DateTime<Utc>>,
    number: Option<String>,
    marking_code: Option<String>,
    seal_status: Option<String>,
    void_reason: Option<String>,
    kind: Option<LogKind>,
    species: Option<Species>,
    length_m: Option<Length>,
    top_diameter_cm: Option<Diameter>,
    pieces: Option<i32>,
    volume_m3: Option<Volume>,
    felled_on: Option<NaiveDate>,
    status: Option<Status>,
    last_type: Option<EventType>,
    last_on: Option<NaiveDate>,
    last_region: Option<Region>,
    series: Option<String>,
    ticket_number: Option<String>,
    region: Option<Region>,
    forestry: Option<String>,
    holder_name: Option<String>,
    holder_kind: Option<OrganizationKind>,
}

/// Codes to look up, split into columns for SQL, at least one; and the token sent with them.
#[derive(Debug, Default)]
pub struct SealLookup {
    numbers: Vec<Option<String>>,
    identifications: Vec<Option<String>>,
    token: Option<TokenHash>,
}

impl SealLookup {
    fn of<'c>(codes: impl Iterator<Item = &'c Code>, token: Option<TokenHash>) -> Self {
        let mut lookup = Self { token, ..Self::default() };
        for code in codes {
            match code {
                Code::SealNumber(number) => lookup.add(Some(number.as_str().to_owned()), None),
                code => lookup.add(None, code.identification().map(|part| part.as_str().to_owned())),
            }
        }
        lookup
    }

    fn add(&mut self, number: Option<String>, identification: Option<String>) {
        self.numbers.push(number);
        self.identifications.push(identification);
    }
}

impl BatchQuery for SealLookup {
    /// `None` if the token is not valid.
    type Output = Option<Vec<CodeRow>>;

    fn cost(&self) -> usize {
        self.numbers.len()
    }

    async fn load(db: &mut PgConnection, lookups: &[&Self]) -> sqlx::Result<Vec<Result<Self::Output>>> {
        let numbers: Vec<_> =
            lookups.iter().flat_map(|lookup| &lookup.numbers).map(Option::as_deref).collect();
        let identifications: Vec<_> =
            lookups.iter().flat_map(|lookup| &lookup.identifications).map(Option::as_deref).collect();
        let mut tokens = vec![None; numbers.len()];
        let mut first = 0;
        for lookup in lookups {
            tokens[first] = lookup.token.as_ref().map(TokenHash::hash);
            first += lookup.cost();
        }
        let mut rows = sqlx::query_file_as!(
            CodeRow,
            "src/services/verification/lookup.sql",
            &numbers as &[Option<&str>],
            &identifications as &[Option<&str>],
            &tokens as &[Option<&[u8]>],
        )
        .fetch_all(&mut *db)
        .await?
        .into_iter();
        let mut uses = KeyUsage::default();
        let results = lookups.iter().map(|lookup| {
            let found: Vec<CodeRow> = rows.by_ref().take(lookup.cost()).collect();
            let admitted = lookup.token.as_ref().is_none_or(|token| {
                let key = found.first().and_then(CodeRow::key);
                key.is_some_and(|key| uses.admit(token, key))
            });
            Ok(admitted.then_some(found))
        });
        let results = results.collect();
        uses.note(db).await?;
        Ok(results)
    }
}

/// The texts of a request, parsed as codes.
pub struct Check<'t, T> {
    texts: &'t [T],
    read: Vec<Result<Code, Invalid>>,
    /// The other reading of each code, for a code that is not registered as it is.
    respelled: Vec<Option<Code>>,
}

impl<'t, T: AsRef<str>> Check<'t, T> {
    /// Parses the texts.
    #[must_use]
    pub fn of(texts: &'t [T]) -> Self {
        let read: Vec<_> = texts.iter().map(|text| Code::parse_public(text.as_ref())).collect();
        let other = |code: &Code, text: &T| code.respelled().or_else(|| code.regrouped(text.as_ref()));
        let respelled = read.iter().zip(texts).map(|(code, text)| other(code.as_ref().ok()?, text)).collect();
        Self { texts, read, respelled }
    }

    /// The codes as they are, then the other readings.
    fn codes(&self) -> impl Iterator<Item = &Code> {
        self.read.iter().filter_map(|code| code.as_ref().ok()).chain(self.respelled.iter().flatten())
    }

    /// Whether none of the texts is a code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes().next().is_none()
    }

    /// The query for all codes, with the token of the request.
    #[must_use]
    pub fn lookup(&self, token: Option<TokenHash>) -> SealLookup {
        SealLookup::of(self.codes(), token)
    }

    /// A verdict for each text, in order. `found` is the result of the query [`Check::lookup`].
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if a stored row cannot be decoded, or there are fewer rows than codes.
    pub fn verdicts(&self, found: Vec<CodeRow>, ring: &KeyRing) -> Result<Vec<Verification>> {
        let mut literal = found;
        let count = self.read.iter().filter(|code| code.is_ok()).count();
        let mut others = literal.split_off(count.min(literal.len())).into_iter();
        let mut literal = literal.into_iter();
        let missing = || Error::CorruptRow("verify: fewer rows than codes".into());
        let verdicts = self.read.iter().zip(&self.respelled).zip(self.texts).map(|((code, other), text)| {
            let code = match code {
                Ok(code) => code,
                Err(why) => return Ok(Verification::unreadable(text.as_ref(), why)),
            };
            let row = literal.next().ok_or_else(missing)?;
            if let Some(other) = other {
                let other_row = others.next().ok_or_else(missing)?;
                if row.seal_status.is_none() && other_row.seal_status.is_some() {
                    return other_row.verdict(other, ring);
                }
            }
            row.verdict(code, ring)
        });
        verdicts.collect()
    }
}

impl CodeRow {
    fn key(&self) -> Option<KeyRow> {
        let (expires_at, last_used_at) = (self.key_expires_at, self.key_last_used_at);
        self.key_id.map(|id| KeyRow { id, expires_at, last_used_at })
    }

    fn verdict(mut self, code: &Code, ring: &KeyRing) -> Result<Verification> {
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
            let typed =
                if let Code::SealNumber(number) = code { number.has_letter_like_digit() } else { false };
            return Ok(Verification::not_registered(parsed, typed));
        };
        if self.is_forged(code, signature) {
            return Ok(Verification::forged(parsed));
        }
        let number = parsed.seal_number.clone().unwrap_or_default();
        let reason = self.void_reason.take();
        let open = self.status.is_some_and(Status::is_open);
        match (seal_status.as_str(), reason, self.log(&number)?) {
            ("void", Some(reason), log) => Ok(Verification::void(parsed, &reason, log)),
            ("applied", None, Some(log)) if open => Ok(Verification::valid(parsed, log)),
            ("applied", None, Some(log)) => Ok(Verification::closed(parsed, log)),
            ("issued", None, None) => Ok(Verification::unused(parsed)),
            (status, _, _) => Err(Error::CorruptRow(format!("seal {number}: status {status}"))),
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
            // A sole trader's or a farm's name is a person's.
            holder_name: self.holder_name.filter(|_| self.holder_kind == Some(OrganizationKind::LegalEntity)),
            last_event: VerifiedEvent {
                kind: self.last_type.ok_or_else(|| missing("last_type"))?.as_str().to_owned(),
                on: self.last_on.ok_or_else(|| missing("last_on"))?,
                region: self.last_region.map(region_name),
            },
        }))
    }

    /// True if the signature names a key of ours and does not verify. Also true if it names an unknown key,
    /// which allows only a comparison, and the code differs from the one that this seal was registered with.
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
