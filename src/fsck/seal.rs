//! Seals made again from the chains of their batches and of the logs that bear them: `seal_batch`,
//! `seal`, `seal_move`; and the public keys that their codes are checked with.

use super::Failure;
use super::load::EventRow;
use super::report::{Code, Report};
use super::row::{Row, Want, compare};
use super::snapshot::{Range, Reader};
use crate::seal::marking_code::MarkingCode;
use crate::seal::record::{Business, Done, ListDigest, REGISTERED, TRANSFERRED, VOIDED};
use crate::seal::signing::{KeyRing, Signature};
use crate::seal::stock::VoidReason;
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Batches looked at for one snapshot, and seals after which no further batch is taken into it. A
/// batch is compared in one snapshot, since a transfer changes many of its seals at once.
const BATCHES: i64 = 200;
const SEALS: i64 = 20_000;
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
    let mut low = Some(Uuid::nil());
    while let Some(from) = low {
        reader.begin().await?;
        let range = next_range(reader, from).await?;
        let seals = check_range(reader, report, range, &ring).await?;
        reader.end().await?;
        report.went_on("seals", seals, 0);
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

async fn next_range(reader: &mut Reader<'_>, low: Uuid) -> Result<Range, Failure> {
    let batches = sqlx::query!(
        r#"SELECT id AS "id!", quantity AS "quantity?" FROM seal_batch WHERE id >= $1 ORDER BY id LIMIT $2"#,
        low,
        BATCHES
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let whole = batches.len() < usize::try_from(BATCHES).unwrap_or_default();
    let mut seals = 0;
    for (index, batch) in batches.iter().enumerate() {
        if seals >= SEALS {
            return Ok(Range::before(low, Some(batch.id)));
        }
        if index + 1 == batches.len() && !whole && index > 0 {
            return Ok(Range::before(low, Some(batch.id)));
        }
        seals += i64::from(batch.quantity.unwrap_or_default());
    }
    Ok(Range::before(low, None))
}

async fn check_range(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    range: Range,
    ring: &KeyRing,
) -> Result<usize, Failure> {
    let events = sqlx::query!(
        r#"SELECT e.subject_id AS "batch!", e.seq AS "seq!", e.public AS "public?", e.business AS "business?"
           FROM seal_batch b JOIN event e ON e.subject_id = b.id
           WHERE b.id BETWEEN $1 AND $2 ORDER BY b.id, e.seq"#,
        range.low,
        range.high
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let mut batches: BTreeMap<Uuid, Batch> = BTreeMap::new();
    for event in events {
        let named = serde_json::from_str::<super::load::Named>(event.public.as_deref().unwrap_or_default());
        let business = Business::parse(event.business.as_deref().unwrap_or_default());
        let batch = batches.entry(event.batch).or_default();
        if let (Ok(named), Ok(business)) = (named, business) {
            batch.events.insert(event.seq, (named.event_type, business.done));
        } else {
            report.event(Code::EventUnreadable, event.batch, event.seq, "its parts cannot be read");
        }
    }
    let mut seals = sqlx::query!(
        r#"SELECT s.batch_id AS "batch!", row_to_json(s)::text AS "row!", ls.log_id AS "log?", ls.from_seq AS "from?",
                  ls.until_seq AS "until?",
                  ARRAY(SELECT m.seq FROM seal_move m WHERE m.number = s.number AND m.batch_id = s.batch_id ORDER BY m.seq) AS "moves!"
           FROM seal s LEFT JOIN log_seal ls ON ls.seal_number = s.number
           WHERE s.batch_id BETWEEN $1 AND $2 ORDER BY s.batch_id, s.number"#,
        range.low,
        range.high
    )
    .fetch(&mut *reader.db);
    let mut count = 0;
    while let Some(found) = seals.try_next().await? {
        count += 1;
        let row = Row::parse(&found.row);
        let number = row.text("number").unwrap_or_default();
        let Some(batch) = batches.get_mut(&found.batch) else {
            let detail = format!("there is no batch {} with an event", found.batch);
            report.find(Code::RowUnexplained, "seal", number, None, detail);
            continue;
        };
        let hammered = found.log.map(|log| Hammered { log, from: found.from, until: found.until });
        check_seal(report, batch, found.batch, &row, hammered.as_ref(), &found.moves);
        check_code(report, ring, found.batch, number, &row);
    }
    drop(seals);
    for (id, batch) in batches {
        batch.finish(report, id);
    }
    Ok(count)
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
        reader.end().await?;
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
