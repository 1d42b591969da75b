//! Reads the rows of one page of subjects, in one snapshot.

use super::row::{Row, Stored};
use super::snapshot::{Range, Reader};
use crate::evidence::chain::Hash;
use crate::evidence::chain::bytes::{Secret, SubjectKind};
use crate::timber::event::types::EventType;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use uuid::Uuid;

/// An event as stored, without the search columns. A value is `None` where it is NULL: the table's
/// constraints forbid that, but an owner of the table can drop them.
#[derive(Clone)]
pub(super) struct EventRow {
    pub subject: Uuid,
    pub seq: i32,
    pub received_at: Option<Stored>,
    pub hash: Option<Vec<u8>>,
    pub secret: Option<Vec<u8>>,
    pub public: Option<String>,
    pub business: Option<String>,
    pub personal_commitment: Option<Vec<u8>>,
    pub personal_id: Option<Uuid>,
}

impl EventRow {
    pub(super) fn received(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.received_at.and_then(|at| at.0)
    }

    pub(super) fn hash(&self) -> Option<Hash> {
        self.hash.as_deref().and_then(Hash::from_slice)
    }

    pub(super) fn public(&self) -> &str {
        self.public.as_deref().unwrap_or_default()
    }

    pub(super) fn business(&self) -> &str {
        self.business.as_deref().unwrap_or_default()
    }

    pub(super) fn members(&self) -> Option<BusinessMembers> {
        serde_json::from_str(self.business()).ok()
    }

    pub(super) fn named(&self) -> Option<PublicMembers> {
        serde_json::from_str(self.public()).ok()
    }

    /// The event's type; `None` if the public part cannot be read, or names a type that its kind of subject
    /// does not have.
    pub(super) fn event_type(&self) -> Option<EventType> {
        self.named()?.event_type()
    }
}

/// The members that every business part has.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct BusinessMembers {
    pub organization: Uuid,
    pub operation: Uuid,
    #[serde(default)]
    pub key: Option<Uuid>,
}

/// The members that every public part has.
#[derive(Clone, Deserialize)]
pub(super) struct PublicMembers {
    pub subject: String,
    /// The type as stored; [`PublicMembers::event_type`] reads it.
    #[serde(rename = "type")]
    pub type_word: String,
    #[serde(default)]
    pub region: Option<String>,
}

impl PublicMembers {
    pub(super) fn kind(&self) -> Option<SubjectKind> {
        EventType::subject_kind(&self.subject)
    }

    /// The type, if the kind of subject that the part names has such a type.
    pub(super) fn event_type(&self) -> Option<EventType> {
        EventType::parse(self.kind()?, &self.type_word)
    }
}

/// The row of a subject, which holds the head of its chain.
pub(super) struct SubjectRow {
    pub kind: SubjectKind,
    pub salt: Option<[u8; 32]>,
    pub row: Row,
}

/// A personal part.
pub(super) struct PersonalRow {
    pub secret: Option<Secret>,
    pub text: String,
    pub row: Row,
}

/// An event's leaf in the transparency log, or its row in the queue of the sequencer.
pub(super) struct LeafRow {
    pub entry: Vec<u8>,
    /// Whether it is still queued.
    pub queued: bool,
}

/// All rows that were read for one range of chains.
pub(super) struct Loaded {
    pub events: Vec<EventRow>,
    pub subjects: BTreeMap<Uuid, SubjectRow>,
    pub personal: HashMap<Uuid, PersonalRow>,
    pub leaves: BTreeMap<(Uuid, i32), LeafRow>,
    /// Events that have more than one leaf or queue row.
    pub duplicates: Vec<(Uuid, i32)>,
}

/// The part of the database that is read in one snapshot: complete chains, or a section of a chain that is
/// longer than a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The subjects.
    pub range: Range,
    /// The seqs, both included.
    pub seqs: (i32, i32),
    /// Whether the next page continues the same chain.
    pub continues: bool,
}

/// Where a page begins: the subject and the seq.
pub(super) type PageStart = (Uuid, i32);

impl Page {
    /// Where the first page begins.
    pub(super) const START: PageStart = (Uuid::nil(), i32::MIN);

    /// Where the next page begins; `None` after the last page.
    pub(super) fn next(self) -> Option<PageStart> {
        if self.continues {
            return Some((self.range.low, self.seqs.1.saturating_add(1)));
        }
        Some((self.range.next()?, i32::MIN))
    }
}

// The statements over the tables of all kinds of subjects. The table of a kind has the name of the kind. The
// database has no view over these tables, because their owner could replace it by one that leaves rows out.

/// The first subject after a page that begins with the subject $1 and has $2 events, leaves or rows.
static PAGE_END: LazyLock<String> = LazyLock::new(|| least(">=", "OFFSET $2 LIMIT 1"));
/// The first subject after the subject $1.
static NEXT_SUBJECT: LazyLock<String> = LazyLock::new(|| least(">", "LIMIT 1"));
/// The rows of the subjects $1 to $2.
static SUBJECTS: LazyLock<String> = LazyLock::new(|| {
    let tables = EventType::KINDS.iter().map(|kind| {
        let (byte, table) = (kind.byte(), kind.name());
        let with_chain = with_chain(*kind);
        format!(
            "SELECT id, {byte}::smallint, salt, row_to_json(t)::text FROM {table} t \
             WHERE {with_chain}id BETWEEN $1 AND $2"
        )
    });
    tables.collect::<Vec<_>>().join(" UNION ALL ")
});

/// The condition that leaves out the subjects without a chain. Only findings may have none: those that were neither
/// explained nor decided.
fn with_chain(kind: SubjectKind) -> &'static str {
    if kind == SubjectKind::Finding { "head_seq > 0 AND " } else { "" }
}

/// The least of the subjects that each table has at a position. `compared` is the operator between a row's
/// subject and the subject $1; `rest` selects one of the resulting rows, in their order.
fn least(compared: &str, rest: &str) -> String {
    let tables = ["event", "leaf"].map(|table| (table, "", "subject_id", "subject_id, seq"));
    let subjects = EventType::KINDS.iter().map(|kind| (kind.name(), with_chain(*kind), "id", "id"));
    let each = tables.into_iter().chain(subjects).map(|(table, with_chain, id, order)| {
        format!("(SELECT {id} FROM {table} WHERE {with_chain}{id} {compared} $1 ORDER BY {order} {rest})")
    });
    format!("SELECT LEAST({})", each.collect::<Vec<_>>().join(", "))
}

/// Determines the next page, with at most `reader.rows` events and as many leaves.
pub(super) async fn page(reader: &mut Reader<'_>, (low, seq): PageStart) -> sqlx::Result<Page> {
    let offset = reader.rows;
    if seq == i32::MIN {
        let next: Option<Uuid> = sqlx::query_scalar(AssertSqlSafe(PAGE_END.as_str()))
            .bind(low)
            .bind(offset)
            .fetch_one(&mut *reader.db)
            .await?;
        if next != Some(low) {
            return Ok(Page { range: Range::before(low, next), seqs: (seq, i32::MAX), continues: false });
        }
    }
    // The page is a section of the chain of `low`: this chain has more events or leaves than a page, or this
    // page continues it after an earlier page.
    let next = sqlx::query_scalar!(
        r#"SELECT LEAST(
               (SELECT seq FROM event WHERE subject_id = $1 AND seq >= $2 ORDER BY seq OFFSET $3 LIMIT 1),
               (SELECT seq FROM leaf WHERE subject_id = $1 AND seq >= $2 ORDER BY seq OFFSET $3 LIMIT 1)) AS next"#,
        low,
        seq,
        offset
    )
    .fetch_one(&mut *reader.db)
    .await?;
    // If the table has lost its primary key, it may have more rows with one seq than a page allows. The page
    // then contains at least this seq, so that the check does not repeat the same page forever.
    if let Some(high) = next.map(|next| next.saturating_sub(1).max(seq)).filter(|high| *high < i32::MAX) {
        return Ok(Page { range: Range { low, high: low }, seqs: (seq, high), continues: true });
    }
    let next: Option<Uuid> =
        sqlx::query_scalar(AssertSqlSafe(NEXT_SUBJECT.as_str())).bind(low).fetch_one(&mut *reader.db).await?;
    Ok(Page { range: Range::before(low, next), seqs: (seq, i32::MAX), continues: false })
}

/// Reads a page. `before` are personal parts of earlier pages of the chain that this page continues, if there is one:
/// they are read again, so that the rows derived from them are compared within this snapshot.
pub(super) async fn load(db: &mut PgConnection, page: Page, before: &[Uuid]) -> sqlx::Result<Loaded> {
    // The index of the primary key includes all columns that a chain needs, so an index-only scan suffices.
    let events = sqlx::query_as!(
        EventRow,
        r#"SELECT subject_id AS "subject!", seq AS "seq!", received_at AS "received_at?: Stored", hash AS "hash?",
                  secret AS "secret?", public AS "public?", business AS "business?",
                  personal_commitment, personal_id
           FROM event WHERE subject_id BETWEEN $1 AND $2 AND seq BETWEEN $3 AND $4 ORDER BY subject_id, seq"#,
        page.range.low,
        page.range.high,
        page.seqs.0,
        page.seqs.1
    )
    .fetch_all(&mut *db)
    .await?;
    let subjects = subjects(db, page.range).await?;
    let personal = personal(db, events.iter(), before).await?;
    let (leaves, duplicates) = leaves(db, page, &events).await?;
    Ok(Loaded { events, subjects, personal, leaves, duplicates })
}

async fn subjects(db: &mut PgConnection, range: Range) -> sqlx::Result<BTreeMap<Uuid, SubjectRow>> {
    let rows: Vec<(Uuid, i16, Option<Vec<u8>>, String)> = sqlx::query_as(AssertSqlSafe(SUBJECTS.as_str()))
        .bind(range.low)
        .bind(range.high)
        .fetch_all(&mut *db)
        .await?;
    let subjects = rows.into_iter().filter_map(|(id, kind, salt, row)| {
        let kind = u8::try_from(kind).ok().and_then(SubjectKind::from_byte)?;
        let salt = salt.and_then(|salt| salt.try_into().ok());
        Some((id, SubjectRow { kind, salt, row: Row::parse(&row) }))
    });
    Ok(subjects.collect())
}

async fn personal(
    db: &mut PgConnection,
    events: impl Iterator<Item = &EventRow>,
    before: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, PersonalRow>> {
    let mut ids: Vec<Uuid> =
        events.filter_map(|event| event.personal_id).chain(before.iter().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", text AS "text?", secret AS "secret?", row_to_json(t)::text AS "row!"
           FROM personal t WHERE id = ANY($1)"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let secret = row.secret.and_then(|secret| secret.try_into().ok()).map(Secret);
        (row.id, PersonalRow { secret, text: row.text.unwrap_or_default(), row: Row::parse(&row.row) })
    });
    Ok(rows.collect())
}

type Leaves = (BTreeMap<(Uuid, i32), LeafRow>, Vec<(Uuid, i32)>);

/// The leaves of a page, and the queue rows of events that have no leaf.
async fn leaves(db: &mut PgConnection, page: Page, events: &[EventRow]) -> sqlx::Result<Leaves> {
    // A leaf without a seq (possible if its constraint was dropped) is not read here. Its event then has no
    // leaf, and the check reports that.
    let rows = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", entry AS "entry?" FROM leaf
           WHERE subject_id BETWEEN $1 AND $2 AND seq BETWEEN $3 AND $4 ORDER BY subject_id, seq"#,
        page.range.low,
        page.range.high,
        page.seqs.0,
        page.seqs.1
    )
    .fetch_all(&mut *db)
    .await?;
    let (mut leaves, mut duplicates) = (BTreeMap::new(), Vec::new());
    let mut put = |at: (Uuid, i32), entry: Option<Vec<u8>>, queued: bool| {
        if leaves.insert(at, LeafRow { entry: entry.unwrap_or_default(), queued }).is_some() {
            duplicates.push(at);
        }
    };
    let mut known = std::collections::HashSet::with_capacity(rows.len());
    for leaf in rows {
        known.insert((leaf.subject, leaf.seq));
        put((leaf.subject, leaf.seq), leaf.entry, false);
    }
    let waiting: Vec<(Uuid, i32)> =
        events.iter().map(|event| (event.subject, event.seq)).filter(|at| !known.contains(at)).collect();
    if !waiting.is_empty() {
        let (subjects, seqs): (Vec<Uuid>, Vec<i32>) = waiting.into_iter().unzip();
        let queued = sqlx::query!(
            r#"SELECT q.subject_id AS "subject!", q.seq AS "seq!", q.entry AS "entry?"
               FROM leaf_queue q JOIN UNNEST($1::uuid[], $2::int[]) AS w (subject_id, seq)
                 ON q.subject_id = w.subject_id AND q.seq = w.seq"#,
            &subjects,
            &seqs
        )
        .fetch_all(&mut *db)
        .await?;
        for row in queued {
            put((row.subject, row.seq), row.entry, true);
        }
    }
    Ok((leaves, duplicates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_read_the_table_of_every_kind() {
        assert_eq!(
            PAGE_END.as_str(),
            "SELECT LEAST(\
             (SELECT subject_id FROM event WHERE subject_id >= $1 ORDER BY subject_id, seq OFFSET $2 LIMIT 1), \
             (SELECT subject_id FROM leaf WHERE subject_id >= $1 ORDER BY subject_id, seq OFFSET $2 LIMIT 1), \
             (SELECT id FROM log WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1), \
             (SELECT id FROM felling_ticket WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1), \
             (SELECT id FROM seal_batch WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1), \
             (SELECT id FROM organization WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1), \
             (SELECT id FROM finding WHERE head_seq > 0 AND id >= $1 ORDER BY id OFFSET $2 LIMIT 1))"
        );
        assert_eq!(
            NEXT_SUBJECT.as_str(),
            "SELECT LEAST(\
             (SELECT subject_id FROM event WHERE subject_id > $1 ORDER BY subject_id, seq LIMIT 1), \
             (SELECT subject_id FROM leaf WHERE subject_id > $1 ORDER BY subject_id, seq LIMIT 1), \
             (SELECT id FROM log WHERE id > $1 ORDER BY id LIMIT 1), \
             (SELECT id FROM felling_ticket WHERE id > $1 ORDER BY id LIMIT 1), \
             (SELECT id FROM seal_batch WHERE id > $1 ORDER BY id LIMIT 1), \
             (SELECT id FROM organization WHERE id > $1 ORDER BY id LIMIT 1), \
             (SELECT id FROM finding WHERE head_seq > 0 AND id > $1 ORDER BY id LIMIT 1))"
        );
        assert_eq!(
            SUBJECTS.as_str(),
            "SELECT id, 1::smallint, salt, row_to_json(t)::text FROM log t WHERE id BETWEEN $1 AND $2 UNION ALL \
             SELECT id, 2::smallint, salt, row_to_json(t)::text FROM felling_ticket t WHERE id BETWEEN $1 AND $2 \
             UNION ALL \
             SELECT id, 3::smallint, salt, row_to_json(t)::text FROM seal_batch t WHERE id BETWEEN $1 AND $2 UNION ALL \
             SELECT id, 4::smallint, salt, row_to_json(t)::text FROM organization t WHERE id BETWEEN $1 AND $2 UNION ALL \
             SELECT id, 5::smallint, salt, row_to_json(t)::text FROM finding t \
             WHERE head_seq > 0 AND id BETWEEN $1 AND $2"
        );
    }
}
