//! Seals made again from the chains of their batches and of the logs that bear them: `seal_batch`,
//! `seal`, `seal_move`; and the public keys that their codes are checked with.

use super::Failure;
use super::load::EventRow;
use super::report::{Code, Finding, Report};
use super::row::{Row, Want, compare};
use super::snapshot::{Range, Reader};
use crate::seal::marking_code::MarkingCode;
use crate::seal::record::{Business, Done, ListDigest, REGISTERED, TRANSFERRED, VOIDED};
use crate::seal::signing::{KeyRing, Signature};
use crate::seal::stock::VoidReason;
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Batches looked at for one snapshot, and seals after which no further batch is taken into it. A batch
/// of more is compared page by page, and begun again if it was changed between two: a transfer
/// changes many of its seals at once.
const BATCHES: i64 = 200;
const SEALS: i64 = 10_000;
/// How often a large batch is begun; the last time in one snapshot, so that it comes to its end.
const TRIES: u32 = 3;
/// Moves a snapshot.
const MOVES: i64 = 50_000;

/// What a batch's row shall say, but for its head; nothing if the event cannot be read.
pub(super) fn wants(first: &EventRow) -> Option<Vec<(&'static str, Want)>> {
    let said = Business::parse(first.business()).ok()?;
    let done = said.done;
    Some(vec![
        ("registered_by", Want::text(said.organization)),
        ("allotted_to", Want::maybe(done.to)),
        ("quantity", done.quantity.map_or(Want::Null, Want::int)),
        ("first_number", Want::maybe(done.first)),
        ("last_number", Want::maybe(done.last)),
        ("list_digest", Want::maybe(done.digest.map(|digest| format!("\\x{digest}")))),
        ("created_at", Want::time(first.received())),
    ])
}

/// A list of seals as an event tells it and as the rows give it.
#[derive(Default)]
struct List {
    digest: ListDigest,
    count: u32,
    first: Option<String>,
    last: Option<String>,
}

impl List {
    fn add(&mut self, number: &str, identification: Option<&str>) {
        match identification {
            Some(identification) => self.digest.add_seal(number, identification),
            None => self.digest.add_number(number),
        }
        self.count += 1;
        self.first.get_or_insert_with(|| number.to_owned());
        self.last = Some(number.to_owned());
    }

    fn is(self, done: &Done) -> bool {
        done.quantity == Some(self.count)
            && done.first == self.first
            && done.last == self.last
            && done.digest == Some(hex::encode(self.digest.finish()))
    }
}

/// A batch's chain, by seq.
#[derive(Default)]
struct Batch {
    events: BTreeMap<i32, (String, Done)>,
    lists: BTreeMap<i32, List>,
    /// Voids that a seal's moves name.
    voided: Vec<i32>,
}

/// Compares all seals with the chains of their batches and logs.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let ring = keys(reader, report).await?;
    let of = reader.about("seal").await?;
    let large = SEALS.min(reader.rows.saturating_mul(2));
    let mut low = Some(Uuid::nil());
    while let Some(from) = low {
        reader.begin().await?;
        let (range, seals) = next_range(reader, from, large).await?;
        let seals = if seals > large {
            reader.end().await?;
            check_large(reader, report, range, &ring, large).await?
        } else {
            let mut batches = batches(reader, report, range).await?;
            let seals = page(reader, range, None, None).await?;
            reader.end().await?;
            check_page(report, &mut batches, &seals, &ring);
            finish(report, batches);
            seals.len()
        };
        report.went_on("seals", seals, of);
        low = range.next();
    }
    strays(reader, report).await
}

/// The keys of the marking codes; each one's id follows from itself.
async fn keys(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<KeyRing, Failure> {
    let rows = sqlx::query!(
        r#"SELECT key_id AS "key_id?", public_key AS "public_key?" FROM marking_key ORDER BY key_id"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let mut ring = KeyRing::new();
    for row in rows {
        let public = row.public_key.and_then(|key| <[u8; 32]>::try_from(key).ok());
        let id = public.and_then(|public| ring.add(&public).ok());
        let key_id = row.key_id.unwrap_or_default();
        if id.as_ref().is_none_or(|id| id.as_str() != key_id) {
            let given = id.as_ref().map(|id| format!(" or {}", id.as_str())).unwrap_or_default();
            let detail = "the public key is not the one that its id was made from";
            report.find(Code::StateDiffers, "marking_key", format!("{key_id}{given}"), None, detail);
        }
    }
    Ok(ring)
}

/// The next batches, and about how many seals they have; one of more than `large` comes alone.
async fn next_range(reader: &mut Reader<'_>, low: Uuid, large: i64) -> Result<(Range, i64), Failure> {
    let batches = sqlx::query!(
        r#"SELECT id AS "id!", quantity AS "quantity?" FROM seal_batch WHERE id >= $1 ORDER BY id LIMIT $2"#,
        low,
        BATCHES
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let all = batches.len() < usize::try_from(BATCHES).unwrap_or_default();
    let mut seals = 0;
    for (index, batch) in batches.iter().enumerate() {
        let quantity = i64::from(batch.quantity.unwrap_or_default());
        let full = seals + quantity > large || index + 1 == batches.len() && !all;
        if index > 0 && full {
            return Ok((Range::before(low, Some(batch.id)), seals));
        }
        seals += quantity;
    }
    Ok((Range::before(low, None), seals))
}

/// Compares a batch page by page. What is found is told once the whole was seen unchanged.
async fn check_large(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    range: Range,
    ring: &KeyRing,
    rows: i64,
) -> Result<usize, Failure> {
    for attempt in 1..=TRIES {
        let mut found: Vec<Finding> = Vec::new();
        let mut own = Report::new(&mut found);
        reader.begin().await?;
        let begun = heads(reader, range).await?;
        let mut batches = batches(reader, &mut own, range).await?;
        let (mut count, mut after) = (0, None);
        let whole = loop {
            let seals = page(reader, range, after.take(), Some(rows)).await?;
            let Some(last) = seals.last() else { break true };
            after = Some((last.batch, last.number.clone()));
            count += seals.len();
            if attempt == TRIES {
                check_page(&mut own, &mut batches, &seals, ring);
                continue;
            }
            reader.end().await?;
            check_page(&mut own, &mut batches, &seals, ring);
            reader.begin().await?;
            if heads(reader, range).await? != begun {
                break false;
            }
        };
        reader.end().await?;
        if whole {
            finish(&mut own, batches);
            for finding in found {
                report.find(finding.code, finding.table, finding.key, finding.event, finding.detail);
            }
            return Ok(count);
        }
    }
    Ok(0)
}

/// How many events the batches have: with each change of a seal that its batch tells, one more.
async fn heads(reader: &mut Reader<'_>, range: Range) -> Result<i64, Failure> {
    let heads = sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(head_seq), 0)::bigint AS "heads!" FROM seal_batch WHERE id BETWEEN $1 AND $2"#,
        range.low,
        range.high
    );
    Ok(heads.fetch_one(&mut *reader.db).await?)
}

/// The chains of the batches.
async fn batches(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    range: Range,
) -> Result<BTreeMap<Uuid, Batch>, Failure> {
    let mut events = sqlx::query!(
        r#"SELECT e.subject_id AS "batch!", e.seq AS "seq!", e.public AS "public?", e.business AS "business?"
           FROM seal_batch b JOIN event e ON e.subject_id = b.id
           WHERE b.id BETWEEN $1 AND $2 ORDER BY b.id, e.seq"#,
        range.low,
        range.high
    )
    .fetch(&mut *reader.db);
    let mut batches: BTreeMap<Uuid, Batch> = BTreeMap::new();
    while let Some(event) = events.try_next().await? {
        let named = serde_json::from_str::<super::load::Named>(event.public.as_deref().unwrap_or_default());
        let business = Business::parse(event.business.as_deref().unwrap_or_default());
        let batch = batches.entry(event.batch).or_default();
        if let (Ok(named), Ok(business)) = (named, business) {
            batch.events.insert(event.seq, (named.event_type, business.done));
        } else {
            report.event(Code::EventUnreadable, event.batch, event.seq, "its parts cannot be read");
        }
    }
    Ok(batches)
}

/// A seal, and what else there is about it.
struct Found {
    batch: Uuid,
    number: String,
    row: String,
    log: Option<Uuid>,
    from: Option<i32>,
    until: Option<i32>,
    moves: Vec<i32>,
}

/// The seals of batches after one of them, so many or all.
async fn page(
    reader: &mut Reader<'_>,
    range: Range,
    after: Option<(Uuid, String)>,
    limit: Option<i64>,
) -> Result<Vec<Found>, Failure> {
    let (low, after) = after.map_or((range.low, None), |(batch, number)| (batch, Some(number)));
    let seals = sqlx::query_as!(
        Found,
        r#"SELECT s.batch_id AS "batch!", s.number AS "number!", row_to_json(s)::text AS "row!", ls.log_id AS "log?",
                  ls.from_seq AS "from?", ls.until_seq AS "until?",
                  ARRAY(SELECT m.seq FROM seal_move m WHERE m.number = s.number AND m.batch_id = s.batch_id ORDER BY m.seq) AS "moves!"
           FROM seal s LEFT JOIN log_seal ls ON ls.seal_number = s.number
           WHERE s.batch_id BETWEEN $1 AND $2 AND ($3::text IS NULL OR (s.batch_id, s.number) > ($1, $3))
           ORDER BY s.batch_id, s.number LIMIT $4"#,
        low,
        range.high,
        after,
        limit
    );
    Ok(seals.fetch_all(&mut *reader.db).await?)
}

/// Compares seals with their batches' chains. Signatures take time: no snapshot waits for them.
fn check_page(report: &mut Report<'_>, batches: &mut BTreeMap<Uuid, Batch>, seals: &[Found], ring: &KeyRing) {
    for found in seals {
        let row = Row::parse(&found.row);
        let number = &found.number;
        let Some(batch) = batches.get_mut(&found.batch) else {
            let detail = format!("there is no batch {} with an event", found.batch);
            report.find(Code::RowUnexplained, "seal", number, None, detail);
            continue;
        };
        let hammered = found.log.map(|log| Hammered { log, from: found.from, until: found.until });
        check_seal(report, batch, found.batch, &row, hammered.as_ref(), &found.moves);
        check_code(report, ring, found.batch, number, &row);
    }
}

fn finish(report: &mut Report<'_>, batches: BTreeMap<Uuid, Batch>) {
    for (id, batch) in batches {
        batch.finish(report, id);
    }
}

/// On which log a seal is, or was.
struct Hammered {
    log: Uuid,
    from: Option<i32>,
    until: Option<i32>,
}

/// Compares one seal, and takes it into the lists of its batch's events.
fn check_seal(
    report: &mut Report<'_>,
    batch: &mut Batch,
    id: Uuid,
    row: &Row,
    hammered: Option<&Hammered>,
    moves: &[i32],
) {
    let number = row.text("number").unwrap_or_default();
    let identification = row.text("identification").unwrap_or_default();
    batch.lists.entry(1).or_default().add(number, Some(identification));
    let mut holder = batch.events.get(&1).and_then(|(_, done)| done.to);
    let (mut void, mut event) = (None, Some((id, 1)));
    for seq in moves {
        let at = Some((id, *seq));
        match batch.events.get(seq) {
            Some((what, done)) if what == TRANSFERRED => {
                batch.lists.entry(*seq).or_default().add(number, None);
                holder = done.to;
                event = at;
            }
            Some((what, done)) if what == VOIDED && done.number.as_deref() == Some(number) => {
                void.clone_from(&done.reason);
                batch.voided.push(*seq);
                event = at;
            }
            _ => {
                let detail = "its batch has no such event about this seal";
                report.find(Code::RowUnexplained, "seal_move", format!("{number}/{seq}"), at, detail);
            }
        }
    }
    let replaced = void.as_deref() == Some(VoidReason::Replaced.as_str());
    match hammered {
        // Its log says that it was taken off: then its batch says that it is void, by this or before.
        Some(Hammered { log, until: Some(until), .. }) if void.is_none() => {
            event = Some((*log, *until));
            let detail = "another seal took its place on its log, and its batch has no event that it is void";
            report.find(Code::EventMissing, "seal", number, event, detail);
        }
        Some(Hammered { until: Some(_), .. }) => {}
        // And the other way round.
        _ if replaced => {
            let detail = "its batch says that another seal took its place, and no log says so";
            report.find(Code::EventMissing, "seal", number, event, detail);
        }
        Some(Hammered { log, from: Some(from), .. }) if void.is_none() => {
            event = Some((*log, *from));
        }
        _ => {}
    }
    let status = match (&void, hammered) {
        (Some(_), _) => "void",
        (None, Some(_)) => "applied",
        (None, None) => "issued",
    };
    let wants = [
        ("number", Want::Elsewhere),
        ("identification", Want::Elsewhere),
        ("marking_code", Want::Elsewhere),
        ("batch_id", Want::Elsewhere),
        ("holder_id", Want::maybe(holder)),
        ("status", Want::text(status)),
        ("log_id", Want::maybe(hammered.map(|on| on.log))),
        ("void_reason", Want::maybe(void)),
    ];
    compare(report, "seal", &number, event, &wants, row);
}

/// A code has its seal's identification; one that names a key of ours is signed by it.
fn check_code(report: &mut Report<'_>, ring: &KeyRing, batch: Uuid, number: &str, row: &Row) {
    let text = row.text("marking_code").unwrap_or_default();
    let code = MarkingCode::parse(text).ok().filter(|code| code.as_str() == text);
    let fits =
        code.as_ref().is_some_and(|code| Some(code.identification_str()) == row.text("identification"));
    let forged = code.as_ref().is_some_and(|code| ring.verify(code) == Signature::Forged);
    if !fits || forged {
        let detail = if fits {
            "marking_code is not signed by the key it names"
        } else {
            "marking_code is another seal's"
        };
        report.find(Code::StateDiffers, "seal", number, Some((batch, 1)), detail);
    }
}

impl Batch {
    /// Compares the lists that its events tell of, once all its seals were seen.
    fn finish(mut self, report: &mut Report<'_>, id: Uuid) {
        for (seq, (what, done)) in &self.events {
            let at = Some((id, *seq));
            let differs = !self.lists.remove(seq).unwrap_or_default().is(done);
            match what.as_str() {
                REGISTERED if *seq == 1 && differs => {
                    let detail =
                        "number, identification or batch of its seals are not those that were registered";
                    report.find(Code::StateDiffers, "seal", format!("of batch {id}"), at, detail);
                }
                TRANSFERRED if differs => {
                    let detail = "the seals it is kept for are not those that the event transferred";
                    report.find(Code::StateDiffers, "seal_move", format!("of batch {id} {seq}"), at, detail);
                }
                VOIDED if !self.voided.contains(seq) => {
                    let number = done.number.as_deref().unwrap_or_default();
                    let detail = "the event voids this seal";
                    report.find(Code::RowMissing, "seal_move", format!("{number}/{seq}"), at, detail);
                }
                _ => {}
            }
        }
    }
}

/// Moves that are of no seal of the batch they name.
async fn strays(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let of = reader.about("seal_move").await?;
    let mut from = String::new();
    loop {
        reader.begin().await?;
        let next = sqlx::query_scalar!(
            "SELECT number FROM seal_move WHERE number >= $1 ORDER BY number, seq OFFSET $2 LIMIT 1",
            from,
            MOVES
        )
        .fetch_optional(&mut *reader.db)
        .await?;
        let next = next.filter(|next| *next != from);
        let strays = sqlx::query!(
            r#"SELECT m.number AS "number!", m.seq AS "seq!", m.batch_id AS "batch?" FROM seal_move m
               LEFT JOIN seal s ON s.number = m.number AND s.batch_id = m.batch_id
               WHERE m.number >= $1 AND ($2::text IS NULL OR m.number < $2) AND s.number IS NULL"#,
            from,
            next
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let moves = sqlx::query_scalar!(
            r#"SELECT count(*) AS "moves!" FROM seal_move WHERE number >= $1 AND ($2::text IS NULL OR number < $2)"#,
            from,
            next
        )
        .fetch_one(&mut *reader.db)
        .await?;
        reader.end().await?;
        report.went_on("seal moves", usize::try_from(moves).unwrap_or_default(), of);
        for stray in strays {
            let at = stray.batch.map(|batch| (batch, stray.seq));
            let key = format!("{}/{}", stray.number, stray.seq);
            report.find(Code::RowUnexplained, "seal_move", key, at, "its batch has no such seal");
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}
