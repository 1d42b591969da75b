//! Rebuilds seals from the chains of their batches and of the logs that bear them: `seal_batch`, `seal`,
//! `seal_move`.

use super::Failure;
use super::batch::{Batch, BatchEvent};
use super::load::EventRow;
use super::marking_key;
use super::report::{Code, FsckError, Report};
use super::row::{Expected, Row, compare};
use super::snapshot::{Range, Reader};
use super::subject::KindCheck;
use super::sweep::Context;
use crate::base::ids::OrganizationId;
use crate::evidence::idempotency::operation::OperationKind;
use crate::timber::event::types::{EventType, SealBatchEventType};
use crate::timber::seal::SealNumber;
use crate::timber::seal::marking_code::MarkingCode;
use crate::timber::seal::record::BatchChange;
use crate::timber::seal::signing::{KeyRing, Signature};
use crate::timber::seal::stock::VoidReason;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// Maximum number of batches per range and of rows per page (a row is a seal with one of its moves). A range
/// with more rows is compared page by page. If a batch changes between two pages, the comparison starts
/// again, because one transfer changes many seals at once.
const BATCHES: i64 = 200;
const SEALS: i64 = 10_000;
/// How often the check of a range with more rows than a page is attempted. An attempt fails if a batch
/// changes meanwhile. The last attempt uses a single snapshot, so that it always completes.
const MAX_ATTEMPTS: u32 = 3;
/// Moves per snapshot when moves without a seal are searched.
const MOVES: i64 = 50_000;

/// The check of a batch's row, which follows from its first event; [`check`] compares its seals.
#[derive(Default)]
pub(super) struct BatchCheck;

impl KindCheck for BatchCheck {
    fn apply(&mut self, _: &mut Context<'_, '_, '_>, _id: Uuid, _events: &[EventRow], _is_first: bool) {}

    fn expected_row(
        self: Box<Self>,
        _context: &mut Context<'_, '_, '_>,
        _id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let done = BatchChange::parse(first.business()).ok()?;
        Some(vec![
            ("registered_by", Expected::text(first.members()?.organization)),
            ("allotted_to", Expected::maybe(done.to)),
            ("quantity", done.quantity.map_or(Expected::Null, Expected::int)),
            ("first_number", Expected::maybe(done.first)),
            ("last_number", Expected::maybe(done.last)),
            ("list_digest", Expected::maybe(done.digest.map(|digest| format!("\\x{digest}")))),
            ("created_at", Expected::time(first.received())),
        ])
    }

    fn write_requests(event: &EventRow) -> &'static [OperationKind] {
        let Some(EventType::SealBatch(of)) = event.event_type() else { return &[] };
        match of {
            SealBatchEventType::Registered => &[],
            SealBatchEventType::Transferred => &[OperationKind::SealTransfer],
            // A seal that is replaced on its log, or of a log that is annulled, is voided by the write request
            // that records that.
            SealBatchEventType::Voided if is_of_custody(event) => &[OperationKind::CustodyEvent],
            SealBatchEventType::Voided => &[OperationKind::SealVoid],
        }
    }
}

fn is_of_custody(event: &EventRow) -> bool {
    let change = BatchChange::parse(event.business());
    change.is_ok_and(|change| change.reason.is_some_and(VoidReason::is_of_custody))
}

/// Compares all seals with the chains of their batches and logs.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let ring = marking_key::check(reader, report).await?;
    let of = reader.about("seal").await?;
    let rows = SEALS.min(reader.rows.saturating_mul(2));
    let mut low = Some(Uuid::nil());
    while let Some(from) = low {
        reader.begin().await?;
        let range = next_range(reader, from, rows).await?;
        reader.end().await?;
        for attempt in 1..=MAX_ATTEMPTS {
            // Errors are reported only if the range did not change during the attempt.
            let mut found: Vec<FsckError> = Vec::new();
            let mut own = Report::new(&mut found);
            let pass = Pass { range, rows, renews: attempt < MAX_ATTEMPTS, heads: 0 };
            let Some(seals) = pass.check(reader, &mut own, &ring).await? else { continue };
            for finding in found {
                report.find(finding.code, finding.table, finding.key, finding.event, finding.detail);
            }
            report.progress("seals", seals, of);
            break;
        }
        low = range.next();
    }
    strays(reader, report).await
}

/// The next batches, with at most `rows` seals in total; a batch with more seals is a range of its own.
async fn next_range(reader: &mut Reader<'_>, low: Uuid, rows: i64) -> Result<Range, Failure> {
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
        let full = seals + quantity > rows || index + 1 == batches.len() && !all;
        if index > 0 && full {
            return Ok(Range::before(low, Some(batch.id)));
        }
        seals += quantity;
    }
    Ok(Range::before(low, None))
}

/// A row of `seal`, with one of its moves, if it has any, and its row in `log_seal`.
struct SealRow {
    batch: Uuid,
    number: String,
    row: String,
    log: Option<Uuid>,
    from: Option<i32>,
    until: Option<i32>,
    seq: Option<i32>,
}

/// One attempt to check the batches of a range and their seals.
struct Pass {
    range: Range,
    /// Rows or events per page.
    rows: i64,
    /// Whether each page gets a new snapshot.
    renews: bool,
    /// Number of events the batches had when the attempt began.
    heads: i64,
}

impl Pass {
    /// Compares the seals, then the lists of the events. Returns the number of seals; `None` if a batch
    /// changed between two pages.
    async fn check(
        mut self,
        reader: &mut Reader<'_>,
        report: &mut Report<'_>,
        ring: &KeyRing,
    ) -> Result<Option<usize>, Failure> {
        reader.begin().await?;
        self.heads = self.heads(reader).await?;
        let mut batches = self.batches(reader).await?;
        let rings = rings(report, &batches, ring);
        let full = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let (mut count, mut seal, mut after) = (0, None, None);
        loop {
            let page = self.seals(reader, after.take()).await?;
            let events = self.moved(reader, &page).await?;
            let is_last = page.len() < full;
            after = page.last().map(|last| (last.batch, last.number.clone(), last.seq));
            let mut seen: Vec<Seal> = Vec::new();
            for found in &page {
                take(report, &mut batches, &events, &mut seal, found, &mut seen);
            }
            if is_last {
                seen.extend(seal.take());
            }
            for seal in &seen {
                seal.finish(report, batches.contains_key(&seal.batch));
            }
            count += seen.len();
            if is_last && !self.finish(reader, report, &batches).await? {
                return Ok(None);
            }
            if is_last || self.renews {
                reader.end().await?;
            }
            // Verifying signatures takes time. If each page has its own snapshot, the signatures are
            // therefore verified after the snapshot has ended.
            for seal in &seen {
                seal.check_code(report, rings.get(&seal.batch), ring);
            }
            if is_last {
                return Ok(Some(count));
            }
            if self.renews && !self.renew(reader).await? {
                return Ok(None);
            }
        }
    }

    /// Begins a new snapshot, and returns whether the batches are unchanged. If they have changed, the
    /// snapshot is ended at once.
    async fn renew(&self, reader: &mut Reader<'_>) -> Result<bool, Failure> {
        reader.begin().await?;
        let same = self.heads(reader).await? == self.heads;
        if !same {
            reader.end().await?;
        }
        Ok(same)
    }

    /// Total number of events of the batches in the range. Each change of a batch adds one event, so an equal
    /// number means that no batch changed.
    async fn heads(&self, reader: &mut Reader<'_>) -> Result<i64, Failure> {
        let heads = sqlx::query_scalar!(
            r#"SELECT COALESCE(sum(head_seq), 0)::bigint AS "heads!" FROM seal_batch WHERE id BETWEEN $1 AND $2"#,
            self.range.low,
            self.range.high
        );
        Ok(heads.fetch_one(&mut *reader.db).await?)
    }

    /// The batches that have at least one event.
    async fn batches(&self, reader: &mut Reader<'_>) -> Result<BTreeMap<Uuid, Batch>, Failure> {
        let rows = sqlx::query!(
            r#"SELECT b.id AS "batch!", e.public AS "public?", e.business AS "business?" FROM seal_batch b
               LEFT JOIN event e ON e.subject_id = b.id AND e.seq = 1
               WHERE b.id BETWEEN $1 AND $2 AND EXISTS (SELECT FROM event x WHERE x.subject_id = b.id)"#,
            self.range.low,
            self.range.high
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let batches = rows.into_iter().map(|row| {
            let first = BatchEvent::read(row.batch, 1, row.public.as_deref(), row.business.as_deref());
            (row.batch, Batch::new(first.change.map(|(_, done)| done)))
        });
        Ok(batches.collect())
    }

    /// The next page of seals, after the given seal and move; one row per move.
    async fn seals(
        &self,
        reader: &mut Reader<'_>,
        after: Option<(Uuid, String, Option<i32>)>,
    ) -> Result<Vec<SealRow>, Failure> {
        let (low, number, seq) = after
            .map_or((self.range.low, String::new(), i32::MIN), |(batch, number, seq)| {
                (batch, number, seq.unwrap_or(i32::MAX))
            });
        let seals = sqlx::query_as!(
            SealRow,
            r#"SELECT s.batch_id AS "batch!", s.number AS "number!", row_to_json(s)::text AS "row!", ls.log_id AS "log?",
                      ls.from_seq AS "from?", ls.until_seq AS "until?", m.seq AS "seq?"
               FROM seal s LEFT JOIN log_seal ls ON ls.seal_number = s.number
               LEFT JOIN seal_move m ON m.number = s.number AND m.batch_id = s.batch_id
               WHERE s.batch_id <= $2 AND (s.batch_id, s.number) >= ($1, $3)
                 AND (s.batch_id, s.number, COALESCE(m.seq, 2147483647)) > ($1, $3, $4)
               ORDER BY s.batch_id, s.number, m.seq LIMIT $5"#,
            low,
            self.range.high,
            number,
            seq,
            self.rows
        );
        Ok(seals.fetch_all(&mut *reader.db).await?)
    }

    /// Reads the events to which the moves on a page refer.
    async fn moved(
        &self,
        reader: &mut Reader<'_>,
        page: &[SealRow],
    ) -> Result<HashMap<(Uuid, i32), (SealBatchEventType, BatchChange)>, Failure> {
        let named: BTreeSet<(Uuid, i32)> =
            page.iter().filter_map(|found| Some((found.batch, found.seq?))).collect();
        let (batches, seqs): (Vec<Uuid>, Vec<i32>) = named.into_iter().unzip();
        let events = sqlx::query!(
            r#"SELECT e.subject_id AS "batch!", e.seq AS "seq!", e.public AS "public?", e.business AS "business?"
               FROM UNNEST($1::uuid[], $2::int[]) AS m (batch, seq)
               JOIN event e ON e.subject_id = m.batch AND e.seq = m.seq"#,
            &batches,
            &seqs
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let changes = events.into_iter().filter_map(|event| {
            let event =
                BatchEvent::read(event.batch, event.seq, event.public.as_deref(), event.business.as_deref());
            Some(((event.batch, event.seq), event.change?))
        });
        Ok(changes.collect())
    }

    /// Compares the events of the batches with the seals that were read. Returns whether the batches are
    /// unchanged.
    async fn finish(
        &self,
        reader: &mut Reader<'_>,
        report: &mut Report<'_>,
        batches: &BTreeMap<Uuid, Batch>,
    ) -> Result<bool, Failure> {
        let full = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let (mut batch, mut seq) = (self.range.low, i32::MIN);
        loop {
            let events = sqlx::query!(
                r#"SELECT b.id AS "batch!", e.seq AS "seq!", e.public AS "public?", e.business AS "business?"
                   FROM seal_batch b CROSS JOIN LATERAL (
                       SELECT seq, public, business FROM event
                       WHERE subject_id = b.id AND seq > CASE b.id WHEN $1 THEN $3 ELSE -2147483648 END
                       ORDER BY seq LIMIT $4) e
                   WHERE b.id BETWEEN $1 AND $2 ORDER BY b.id, e.seq LIMIT $4"#,
                batch,
                self.range.high,
                seq,
                self.rows
            )
            .fetch_all(&mut *reader.db)
            .await?;
            for event in &events {
                let event = BatchEvent::read(
                    event.batch,
                    event.seq,
                    event.public.as_deref(),
                    event.business.as_deref(),
                );
                if let Some(batch) = batches.get(&event.batch) {
                    batch.finish(report, event.batch, &event);
                }
            }
            let Some(last) = events.last().filter(|_| events.len() == full) else { return Ok(true) };
            (batch, seq) = (last.batch, last.seq);
            if self.renews {
                reader.end().await?;
                if !self.renew(reader).await? {
                    return Ok(false);
                }
            }
        }
    }
}

/// For each batch with a first event that names a key: this key, which signed the batch's codes. If the key
/// is missing from `marking_key`, this is reported here, and the codes are checked with the key nevertheless.
fn rings(report: &mut Report<'_>, batches: &BTreeMap<Uuid, Batch>, ring: &KeyRing) -> HashMap<Uuid, KeyRing> {
    let mut rings = HashMap::new();
    for (id, batch) in batches {
        let Some(text) = batch.first.as_ref().and_then(|first| first.marking_key.as_deref()) else {
            continue;
        };
        let mut own = KeyRing::new();
        let public = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let Some((public, key_id)) = public.and_then(|public| Some((public, own.add(&public).ok()?))) else {
            report.event(Code::EventUnreadable, *id, 1, "its marking_key is no public key");
            continue;
        };
        if !ring.has(&public) {
            let detail = "the marking codes of a batch were signed with this key";
            report.find(Code::RowMissing, "marking_key", key_id, Some((*id, 1)), detail);
        }
        rings.insert(*id, own);
    }
    rings
}

/// The log that has or had a seal.
struct LogOfSeal {
    log: Uuid,
    from: Option<i32>,
    until: Option<i32>,
}

/// A seal, and the result of its moves so far.
struct Seal {
    batch: Uuid,
    number: String,
    row: Row,
    on_log: Option<LogOfSeal>,
    holder: Option<OrganizationId>,
    void: Option<VoidReason>,
    /// The newest event about the seal.
    event: (Uuid, i32),
}

/// Applies a row: the next seal, or one more move of the current seal. The current seal goes to `seen` when
/// the next one begins.
fn take(
    report: &mut Report<'_>,
    batches: &mut BTreeMap<Uuid, Batch>,
    events: &HashMap<(Uuid, i32), (SealBatchEventType, BatchChange)>,
    present: &mut Option<Seal>,
    found: &SealRow,
    seen: &mut Vec<Seal>,
) {
    let mut batch = batches.get_mut(&found.batch);
    if present.as_ref().is_none_or(|seal| (seal.batch, &seal.number) != (found.batch, &found.number)) {
        seen.extend(present.replace(Seal::begin(found, batch.as_deref_mut())));
    }
    if let (Some(seal), Some(batch), Some(seq)) = (present, batch, found.seq) {
        seal.moved(report, batch, seq, events.get(&(found.batch, seq)));
    }
}

impl Seal {
    /// Creates the state of a seal as it was registered, and adds the seal to the list of its batch's first
    /// event.
    fn begin(found: &SealRow, batch: Option<&mut Batch>) -> Self {
        let row = Row::parse(&found.row);
        let mut holder = None;
        if let Some(batch) = batch
            && let Some(first) = batch.first.take()
        {
            let text = |column| row.text(column).unwrap_or_default();
            batch.list(1, &first, text("number"), Some(text("identification")));
            holder = first.to;
            batch.first = Some(first);
        }
        let on_log = found.log.map(|log| LogOfSeal { log, from: found.from, until: found.until });
        let (batch, number) = (found.batch, found.number.clone());
        Self { batch, number, row, on_log, holder, void: None, event: (batch, 1) }
    }

    /// Applies one of the seal's moves: event `seq` of its batch, with the content `change`.
    fn moved(
        &mut self,
        report: &mut Report<'_>,
        batch: &mut Batch,
        seq: i32,
        change: Option<&(SealBatchEventType, BatchChange)>,
    ) {
        let at = (self.batch, seq);
        match change {
            Some((SealBatchEventType::Transferred, done)) => {
                batch.list(seq, done, &self.number, None);
                self.holder = done.to;
                self.event = at;
            }
            Some((SealBatchEventType::Voided, done))
                if done.number.as_ref().map(SealNumber::as_str) == Some(&self.number) =>
            {
                self.void = done.reason;
                batch.voided(seq);
                self.event = at;
            }
            _ => {
                let detail = "its batch has no such event about this seal";
                let key = format!("{}/{seq}", self.number);
                report.find(Code::RowUnexplained, "seal_move", key, Some(at), detail);
            }
        }
    }

    /// Compares the seal's row, once all its moves were read.
    fn finish(&self, report: &mut Report<'_>, has_batch: bool) {
        let (number, void) = (&self.number, &self.void);
        if !has_batch {
            let detail = format!("there is no batch {} with an event", self.batch);
            return report.find(Code::RowUnexplained, "seal", number, None, detail);
        }
        let mut event = self.event;
        match &self.on_log {
            // If a log records that the seal was replaced, the seal's batch must record that it is void.
            Some(LogOfSeal { log, until: Some(until), .. }) if void.is_none() => {
                event = (*log, *until);
                let detail = "another seal replaced it on its log, but no event of its batch voids it";
                report.find(Code::EventMissing, "seal", number, Some(event), detail);
            }
            Some(LogOfSeal { until: Some(_), .. }) => {}
            // Conversely, if the batch records that the seal is void because it was replaced, a log must
            // record the replacement.
            _ if void.is_some_and(VoidReason::is_of_replacement) => {
                let detail = "its batch records that another seal replaced it, but no log does";
                report.find(Code::EventMissing, "seal", number, Some(event), detail);
            }
            Some(LogOfSeal { log, from: Some(from), .. }) if void.is_none() => event = (*log, *from),
            _ => {}
        }
        let status = match (void, &self.on_log) {
            (Some(_), _) => "void",
            (None, Some(_)) => "applied",
            (None, None) => "issued",
        };
        let expected_row = [
            ("number", Expected::CheckedElsewhere),
            ("identification", Expected::CheckedElsewhere),
            ("marking_code", Expected::CheckedElsewhere),
            ("batch_id", Expected::CheckedElsewhere),
            ("holder_id", Expected::maybe(self.holder)),
            ("status", Expected::text(status)),
            ("log_id", Expected::maybe(self.on_log.as_ref().map(|on| on.log))),
            ("void_reason", Expected::maybe(void.map(VoidReason::as_str))),
        ];
        compare(report, "seal", number, Some(event), &expected_row, &self.row);
    }

    /// Checks the marking code: it must have the identification of its seal, and be signed with the key that
    /// the batch's event names (`own`). If the event names no key, a code that names a key of `ring` must be
    /// signed with that key.
    fn check_code(&self, report: &mut Report<'_>, own: Option<&KeyRing>, ring: &KeyRing) {
        let text = self.row.text("marking_code").unwrap_or_default();
        let code = MarkingCode::parse(text).ok().filter(|code| code.as_str() == text);
        let fits = code
            .as_ref()
            .is_some_and(|code| Some(code.identification_str()) == self.row.text("identification"));
        let signed = code.as_ref().is_none_or(|code| match own {
            Some(own) => own.verify(code) == Signature::Valid,
            None => ring.verify(code) != Signature::Forged,
        });
        let detail = match (fits, signed, own) {
            (true, true, _) => return,
            (false, ..) => "marking_code is another seal's",
            (true, false, Some(_)) => "marking_code is not signed by the key that its batch's event names",
            (true, false, None) => "marking_code is not signed by the key it names",
        };
        report.find(Code::StateDiffers, "seal", &self.number, Some((self.batch, 1)), detail);
    }
}

/// Reports rows of `seal_move` with a seal that is not in the named batch.
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
        report.progress("seal moves", usize::try_from(moves).unwrap_or_default(), of);
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
