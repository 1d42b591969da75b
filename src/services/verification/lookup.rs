//! Reads the row of each code. One statement serves many requests at once; it uses unique keys, and it is the
//! same whatever the verdict will be. [`super::verdict`] decides the verdict from a row.

use super::answer::Verification;
use crate::base::error::{Error, Invalid, Result};
use crate::base::ids::OrganizationId;
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Volume};
use crate::db::batching::BatchQuery;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Status;
use crate::timber::party::key::{KeyRow, KeyUsage, TokenHash};
use crate::timber::party::role::OrganizationKind;
use crate::timber::seal::signing::KeyRing;
use crate::timber::seal::{Code, SealStatus, VoidReason};
use crate::timber::wood::species::{LogKind, Species};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// The row for one code.
#[derive(Debug)]
pub struct CodeRow {
    pub(super) key_id: Option<Uuid>,
    pub(super) key_organization: Option<OrganizationId>,
    pub(super) key_expires_at: Option<DateTime<Utc>>,
    pub(super) key_last_used_at: Option<DateTime<Utc>>,
    /// The number and the code as they are stored: they are shown and compared, and never parsed.
    pub(super) number: Option<String>,
    pub(super) marking_code: Option<String>,
    pub(super) seal_status: Option<SealStatus>,
    pub(super) void_reason: Option<VoidReason>,
    pub(super) kind: Option<LogKind>,
    pub(super) species: Option<Species>,
    pub(super) length_m: Option<Length>,
    pub(super) top_diameter_cm: Option<Diameter>,
    pub(super) pieces: Option<i32>,
    pub(super) volume_m3: Option<Volume>,
    pub(super) felled_on: Option<NaiveDate>,
    pub(super) status: Option<Status>,
    pub(super) held_since: Option<DateTime<Utc>>,
    pub(super) ticket_held_since: Option<DateTime<Utc>>,
    pub(super) ticket_held_until: Option<DateTime<Utc>>,
    pub(super) reseal: Option<bool>,
    pub(super) own_use: Option<bool>,
    pub(super) pending_to: Option<Uuid>,
    pub(super) last_type: Option<LogEventType>,
    pub(super) last_on: Option<NaiveDate>,
    pub(super) as_recorded: bool,
    pub(super) last_region: Option<Region>,
    pub(super) series: Option<String>,
    pub(super) ticket_number: Option<String>,
    pub(super) region: Option<Region>,
    pub(super) forestry: Option<String>,
    pub(super) holder_name: Option<String>,
    pub(super) holder_kind: Option<OrganizationKind>,
    pub(super) holder_bin: Option<String>,
}

/// The codes to look up (at least one), split into columns for SQL, and the token that was sent with them.
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

/// The rows for the codes of a [`SealLookup`], in their order.
#[derive(Debug, Default)]
pub struct FoundCodes {
    /// A row for each code.
    pub rows: Vec<CodeRow>,
    /// The organisation of the token, if the lookup has one.
    pub caller: Option<OrganizationId>,
}

impl BatchQuery for SealLookup {
    /// `None` if the token is not valid.
    type Output = Option<FoundCodes>;

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
        let mut found = sqlx::query_file_as!(
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
            let rows: Vec<CodeRow> = found.by_ref().take(lookup.cost()).collect();
            let admitted = lookup.token.as_ref().is_none_or(|token| {
                let key = rows.first().and_then(CodeRow::key);
                key.is_some_and(|key| uses.admit(token, key))
            });
            let caller = rows.first().and_then(|row| row.key_organization);
            Ok(admitted.then_some(FoundCodes { rows, caller }))
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
    /// For each text, the code to look up instead if no seal is registered under the code as sent
    /// ([`Code::other_reading`]). `None` if the text cannot be read as another code.
    respelled: Vec<Option<Code>>,
}

impl<'t, T: AsRef<str>> Check<'t, T> {
    /// Parses the texts.
    #[must_use]
    pub fn of(texts: &'t [T]) -> Self {
        let read: Vec<_> = texts.iter().map(|text| Code::parse_public(text.as_ref())).collect();
        let respelled = read.iter().map(|code| code.as_ref().ok()?.other_reading()).collect();
        Self { texts, read, respelled }
    }

    /// All codes as sent, then the codes of `respelled`.
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

    /// A verdict for each text, in order, at the time `now`. `found` is the result of the query
    /// [`Check::lookup`].
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if a stored row cannot be decoded, or there are fewer rows than codes.
    pub fn verdicts(
        &self,
        found: Vec<CodeRow>,
        ring: &KeyRing,
        now: DateTime<Utc>,
    ) -> Result<Vec<Verification>> {
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
                    return other_row.verdict(other, ring, now);
                }
            }
            row.verdict(code, ring, now)
        });
        verdicts.collect()
    }
}

impl CodeRow {
    fn key(&self) -> Option<KeyRow> {
        let (expires_at, last_used_at) = (self.key_expires_at, self.key_last_used_at);
        self.key_id.map(|id| KeyRow { id, expires_at, last_used_at })
    }
}
