//! Batches of seals: registers existing seals and makes new ones.

use super::marking_code::MarkingCode;
use super::number::{SealNumber, SealRange};
use super::record::{self, BatchChange, ListDigest, receiver};
use super::signing::{KeyRing, Signature};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OrganizationId, SealBatchId};
use crate::base::input::{Errors, Node, Read, RequestErrors, input, no_rule};
use crate::evidence::chain::{LockedHead, SubjectKind, Tx, append};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::SealBatchEventType;
use crate::timber::party::bin::Bin;
use serde::Serialize;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Maximum number of rows per INSERT, so that the memory in use does not grow with the size of the batch.
const CHUNK: u32 = 10_000;
/// Prefix of generated seal numbers; nine digits follow.
const PREFIX: &str = "KZ";
/// Advisory lock held while a range of numbers is reserved: for three statements, or a few more if numbers
/// of the range are registered already.
const NUMBERING: i64 = i64::from_be_bytes(*b"sealnumb");

input! {
    /// An existing seal.
    pub struct NewSeal {
        /// The number printed on it.
        #[schema(example = "KZ-0000417")]
        pub number: SealNumber,
        /// Its complete marking code, in any form that a scanner sends.
        pub marking_code: MarkingCode,
    }
    => no_rule as PartialSeal;
}

/// A seal of a request, with the locations of its fields.
#[derive(Clone, Debug)]
pub struct LocatedSeal {
    /// The seal.
    pub seal: NewSeal,
    number_at: Location,
    code_at: Location,
}

/// What could be read of a seal, with the locations of its fields.
#[derive(Clone, Debug)]
pub struct PartialLocated {
    seal: PartialSeal,
    number_at: Location,
    code_at: Location,
}

impl Read for LocatedSeal {
    type Partial = PartialLocated;

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<PartialLocated> {
        let seal = NewSeal::read_partial(node, errors)?;
        let (number_at, code_at) = (node.at_field("number"), node.at_field("marking_code"));
        Some(PartialLocated { seal, number_at, code_at })
    }

    fn complete(partial: PartialLocated) -> Option<Self> {
        let PartialLocated { seal, number_at, code_at } = partial;
        Some(Self { seal: NewSeal::complete(seal)?, number_at, code_at })
    }
}

/// What a request claims about one seal, as far as it could be read.
pub struct SealClaim<'s> {
    number: Option<&'s SealNumber>,
    code: Option<&'s MarkingCode>,
    number_at: &'s Location,
    code_at: &'s Location,
}

impl<'s> From<&'s LocatedSeal> for SealClaim<'s> {
    fn from(LocatedSeal { seal, number_at, code_at }: &'s LocatedSeal) -> Self {
        Self { number: Some(&seal.number), code: Some(&seal.marking_code), number_at, code_at }
    }
}

impl<'s> From<&'s PartialLocated> for SealClaim<'s> {
    fn from(PartialLocated { seal, number_at, code_at }: &'s PartialLocated) -> Self {
        Self { number: seal.number.as_ref(), code: seal.marking_code.as_ref(), number_at, code_at }
    }
}

impl utoipa::PartialSchema for LocatedSeal {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <NewSeal as utoipa::PartialSchema>::schema()
    }
}

impl ToSchema for LocatedSeal {
    fn name() -> std::borrow::Cow<'static, str> {
        <NewSeal as ToSchema>::name()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        <NewSeal as ToSchema>::schemas(schemas);
    }
}

/// A batch that was registered or made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewBatch {
    /// The batch.
    pub id: SealBatchId,
    /// How many seals it has.
    pub quantity: u32,
    /// Least number.
    pub first_number: SealNumber,
    /// Greatest number.
    pub last_number: SealNumber,
}

/// Checks seals without the database. Reports duplicate numbers, duplicate codes, and forged codes: such a
/// code names a key of this system that did not sign it. Takes about 50 µs for each code that names a key of
/// this system.
#[must_use]
pub fn faults<'s>(ring: &KeyRing, seals: impl Iterator<Item = SealClaim<'s>>) -> Errors {
    let mut errors = Errors::new();
    let mut numbers = HashSet::with_capacity(seals.size_hint().0);
    let mut codes = HashSet::with_capacity(seals.size_hint().0);
    for SealClaim { number, code, number_at, code_at } in seals {
        if number.is_some_and(|number| !numbers.insert(number.as_str())) {
            let detail = "This number appears earlier in the same batch.";
            errors.push(FieldError::new(number_at.clone(), "duplicate-in-batch", detail));
        }
        if code.is_some_and(|code| !codes.insert(code.identification_str())) {
            let detail = "This identification appears earlier in the same batch.";
            errors.push(FieldError::new(code_at.clone(), "duplicate-in-batch", detail));
        }
        if code.is_some_and(|code| ring.verify(code) == Signature::Forged) {
            let detail = "The code names a signing key of this system, but that key did not sign it.";
            errors.push(FieldError::new(code_at.clone(), "forged-marking-code", detail));
        }
    }
    errors
}

/// Checks holder and seals, as far as they could be read, against the database. Returns the holder. Adds to
/// `errors`:
/// - `unknown-organization` or `not-a-seal-holder` for the holder;
/// - the conflict `already-recorded` at `whole`, if a batch has exactly these seals;
/// - otherwise the conflict `seal-number-registered` for each number that is registered already, and
///   `marking-code-registered` for each identification that is registered already.
///
/// # Errors
/// From the database.
pub async fn check<'s>(
    tx: &mut Tx<'_>,
    holder: Option<&Bin>,
    [whole, holder_at]: [Location; 2],
    seals: impl Iterator<Item = SealClaim<'s>>,
    errors: &mut RequestErrors,
) -> Result<Option<OrganizationId>> {
    let holder = match holder {
        None => None,
        Some(bin) => receiver(tx, bin, holder_at, errors).await?,
    };
    let seals: Vec<SealClaim<'s>> = seals.collect();
    if let Some(batch) = recorded_before(tx, &seals).await? {
        let detail = format!("These seals were registered before, in the batch {batch}.");
        errors.conflict.push(FieldError::new(whole, "already-recorded", detail));
    } else {
        refuse_registered(tx, seals, errors).await?;
    }
    Ok(holder)
}

/// Registers existing seals as a batch of `holder`. The caller has checked them with [`faults`] and
/// [`check`].
///
/// # Errors
/// [`Error::Conflict`] if another transaction has registered one of the seals after [`check`].
pub async fn register(
    tx: &mut Tx<'_>,
    act: &Actor,
    holder: OrganizationId,
    seals: &[LocatedSeal],
) -> Result<NewBatch> {
    let mut sorted: Vec<&NewSeal> = seals.iter().map(|offered| &offered.seal).collect();
    sorted.sort_by(|a, b| a.number.cmp(&b.number));
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return Err(Error::Invalid(vec![FieldError::new(
            Location::Pointer("/seals".into()),
            "too-few",
            "No seals.",
        )]));
    };
    let quantity = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let batch = NewBatch {
        id: SealBatchId::new(),
        quantity,
        first_number: first.number.clone(),
        last_number: last.number.clone(),
    };
    let mut digest = ListDigest::default();
    let rows: Vec<(&SealNumber, &MarkingCode)> =
        sorted.iter().map(|seal| (&seal.number, &seal.marking_code)).collect();
    insert(tx, &batch, holder, &rows, &mut digest).await?;
    begin(tx, act, &batch, holder, digest, None).await?;
    Ok(batch)
}

/// The batch that has exactly these seals, each with its number and its marking code; `None` if there is no such
/// batch.
async fn recorded_before(tx: &mut Tx<'_>, seals: &[SealClaim<'_>]) -> Result<Option<SealBatchId>> {
    let pairs = seals.iter().map(|seal| Some((seal.number?.as_str(), seal.code?.as_str())));
    let Some((numbers, codes)) = pairs.collect::<Option<(Vec<&str>, Vec<&str>)>>() else { return Ok(None) };
    let batches = sqlx::query!(
        r#"SELECT b.id AS "id: SealBatchId", b.quantity, count(*) AS "seals!"
           FROM UNNEST($1::text[], $2::text[]) AS asked (number, marking_code)
           JOIN seal s ON s.number = asked.number AND s.marking_code = asked.marking_code
           JOIN seal_batch b ON b.id = s.batch_id
           GROUP BY b.id LIMIT 2"#,
        &numbers as &[&str],
        &codes as &[&str]
    )
    .fetch_all(&mut **tx)
    .await?;
    let [batch] = &batches[..] else { return Ok(None) };
    let asked = i64::try_from(seals.len()).unwrap_or(i64::MAX);
    Ok((batch.seals == asked && i64::from(batch.quantity) == asked).then_some(batch.id))
}

async fn refuse_registered(
    tx: &mut Tx<'_>,
    seals: Vec<SealClaim<'_>>,
    errors: &mut RequestErrors,
) -> Result<()> {
    let numbers: Vec<&str> = seals.iter().filter_map(|seal| Some(seal.number?.as_str())).collect();
    let codes: Vec<&str> = seals.iter().filter_map(|seal| Some(seal.code?.identification_str())).collect();
    let known: HashSet<String> = sqlx::query_scalar!(
        r#"SELECT number AS "known!" FROM seal WHERE number = ANY($1)
           UNION ALL SELECT identification FROM seal WHERE identification = ANY($2)"#,
        &numbers as &[&str],
        &codes as &[&str]
    )
    .fetch_all(&mut **tx)
    .await?
    .into_iter()
    .collect();
    // `known` contains numbers and identifications. They cannot be confused, because `SealNumber` rejects
    // every number with the shape of an identification.
    for SealClaim { number, code, number_at, code_at } in seals {
        if number.is_some_and(|number| known.contains(number.as_str())) {
            let detail = "A seal with this number is registered already.";
            errors.conflict.push(FieldError::new(number_at.clone(), "seal-number-registered", detail));
        }
        if code.is_some_and(|code| known.contains(code.identification_str())) {
            let detail = "A seal with this marking code is registered already.";
            errors.conflict.push(FieldError::new(code_at.clone(), "marking-code-registered", detail));
        }
    }
    Ok(())
}

/// Returns the signed codes for a range of ordinals, in order.
pub type CodeSource = Arc<dyn Fn(Range<u32>) -> Vec<MarkingCode> + Send + Sync>;

/// Makes `quantity` seals with generated numbers and the codes of `codes_of`, as a batch of `holder`. The
/// batch's event names `key`, the public key that `codes_of` signs with, so every key in use is on record.
///
/// # Errors
/// [`Error::Conflict`] with `seal-numbers-exhausted` if too few nine-digit numbers are left.
pub async fn make(
    tx: &mut Tx<'_>,
    act: &Actor,
    holder: OrganizationId,
    quantity: u32,
    codes_of: CodeSource,
    key: &[u8; 32],
) -> Result<NewBatch> {
    let range = take_numbers(tx, quantity).await?;
    let batch = NewBatch {
        id: SealBatchId::new(),
        quantity,
        first_number: range.first().clone(),
        last_number: range.last(),
    };
    let mut digest = ListDigest::default();
    let sign = |from: u32| {
        let codes_of = Arc::clone(&codes_of);
        let to = from.saturating_add(CHUNK).min(quantity);
        tokio::task::spawn_blocking(move || codes_of(from..to))
    };
    let mut from = 0;
    let mut signing = sign(0);
    while from < quantity {
        let codes = signing.await.map_err(|error| Error::CorruptRow(format!("signing failed: {error}")))?;
        // The codes of the next chunk are signed in another thread while this chunk is stored.
        let next = from.saturating_add(CHUNK).min(quantity);
        signing = sign(next);
        let numbers: Vec<SealNumber> = (from..next).filter_map(|ordinal| range.nth(ordinal)).collect();
        if codes.len() != numbers.len() {
            return Err(Error::CorruptRow(format!("made {} codes for {} seals", codes.len(), numbers.len())));
        }
        let rows: Vec<(&SealNumber, &MarkingCode)> = numbers.iter().zip(&codes).collect();
        insert(tx, &batch, holder, &rows, &mut digest).await?;
        from = next;
    }
    begin(tx, act, &batch, holder, digest, Some(key)).await?;
    Ok(batch)
}

/// Reserves the next range of numbers that contains no registered number.
///
/// `nextval` and `setval` are not transactional, so the advisory lock need not last until the commit: it is
/// released by rolling back to a savepoint, and the numbers stay reserved. If the batch then fails, its
/// numbers are never used.
async fn take_numbers(tx: &mut Tx<'_>, quantity: u32) -> Result<SealRange> {
    use sqlx::Connection as _;
    let exhausted = || {
        let detail = "Too few nine-digit seal numbers are left for this quantity.";
        Error::Conflict(vec![FieldError::new(
            Location::Pointer("/quantity".into()),
            "seal-numbers-exhausted",
            detail,
        )])
    };
    let mut lock_tx = tx.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", NUMBERING).execute(&mut *lock_tx).await?;
    let mut first = sqlx::query_scalar!(r#"SELECT nextval('seal_number_seq') AS "next!""#)
        .fetch_one(&mut *lock_tx)
        .await?;
    let range = loop {
        let run = u32::try_from(first)
            .ok()
            .and_then(|first| SealNumber::parse(&format!("{PREFIX}{first:09}")).ok())
            .and_then(|first| SealRange::starting_at(first, quantity))
            .ok_or_else(exhausted)?;
        let last = run.last();
        let highest = sqlx::query_scalar!(
            "SELECT max(number) FROM seal WHERE number BETWEEN $1 AND $2 AND number ~ '^KZ[0-9]{9}$'",
            run.first().as_str(),
            last.as_str()
        )
        .fetch_one(&mut *lock_tx)
        .await?;
        match highest.as_deref().and_then(|number| number.strip_prefix(PREFIX)?.parse::<i64>().ok()) {
            Some(highest) => first = highest + 1,
            None => break run,
        }
    };
    sqlx::query_scalar!("SELECT setval('seal_number_seq', $1)", first + i64::from(quantity) - 1)
        .fetch_one(&mut *lock_tx)
        .await?;
    lock_tx.rollback().await?;
    Ok(range)
}

/// Stores seals in the order of their numbers and adds them to the digest.
async fn insert(
    tx: &mut Tx<'_>,
    batch: &NewBatch,
    holder: OrganizationId,
    rows: &[(&SealNumber, &MarkingCode)],
    digest: &mut ListDigest,
) -> Result<()> {
    let mut numbers = Vec::with_capacity(rows.len());
    let mut identifications = Vec::with_capacity(rows.len());
    let mut codes = Vec::with_capacity(rows.len());
    for (number, code) in rows {
        digest.add_seal(number.as_str(), code.identification_str());
        numbers.push(number.as_str());
        identifications.push(code.identification_str());
        codes.push(code.as_str());
    }
    sqlx::query!(
        "INSERT INTO seal (number, identification, marking_code, batch_id, holder_id)
         SELECT n, i, m, $4, $5 FROM UNNEST($1::text[], $2::text[], $3::text[]) AS new (n, i, m)",
        &numbers as &[&str],
        &identifications as &[&str],
        &codes as &[&str],
        batch.id.0,
        holder.0
    )
    .execute(&mut **tx)
    .await
    .map_err(registered_meanwhile)?;
    Ok(())
}

/// Maps a violated unique constraint to a conflict: another transaction registered the same seal after
/// [`refuse_registered`] had checked.
fn registered_meanwhile(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    let (code, detail) = match constraint {
        Some("seal_pkey") => {
            ("seal-number-registered", "Another request has just registered a number of this batch.")
        }
        Some("seal_identification_key") => {
            ("marking-code-registered", "Another request has just registered a marking code of this batch.")
        }
        _ => return Error::Database(error),
    };
    Error::Conflict(vec![FieldError::new(Location::Pointer(String::new()), code, detail)])
}

/// Appends the first event of a batch's chain and inserts the batch's row. The seals are stored already.
async fn begin(
    tx: &mut Tx<'_>,
    act: &Actor,
    batch: &NewBatch,
    holder: OrganizationId,
    digest: ListDigest,
    key: Option<&[u8; 32]>,
) -> Result<()> {
    let digest = digest.finish();
    let done = BatchChange {
        to: Some(holder),
        quantity: Some(batch.quantity),
        first: Some(batch.first_number.to_string()),
        last: Some(batch.last_number.to_string()),
        digest: Some(hex::encode(digest)),
        marking_key: key.map(hex::encode),
        ..BatchChange::default()
    };
    let fresh = LockedHead::fresh(SubjectKind::SealBatch, batch.id.0);
    let drafts = record::drafts(act, SealBatchEventType::Registered, vec![(fresh, done)]);
    for head in append(tx, act.at(), drafts).await? {
        let id: Uuid = head.id;
        sqlx::query!(
            "INSERT INTO seal_batch (id, salt, head_seq, head_hash, head_received_at, registered_by, allotted_to,
                                     quantity, first_number, last_number, list_digest, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            id,
            head.salt.0.as_slice(),
            head.seq_i32(),
            head.hash.0.as_slice(),
            head.received_at,
            act.organization.0,
            holder.0,
            i32::try_from(batch.quantity).unwrap_or(i32::MAX),
            batch.first_number.as_str(),
            batch.last_number.as_str(),
            digest.as_slice(),
            act.at()
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
