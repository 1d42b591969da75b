//! Loads logs with their events by COPY, in scattered order of arrival: the server's own code computes the
//! chain, and the rows are those that the server would have written.
//!
//! Loading takes one round per seq: first the first event of every log, then the second event of every log,
//! and so on. Each round visits the trucks in another order, so the ten events of a log are far apart in the
//! heap.

use super::timber::{EVENTS, HARVEST, Parties, Party, TICKET, TRUCK, log_id, seal_number, volume};
use chrono::{DateTime, TimeDelta, Utc};
use ormantrace::base::ids::{HarvestId, OperationId};
use ormantrace::base::region::Region;
use ormantrace::evidence::chain::bytes::{
    Entry, Hash, Part, Salt, Secret, SubjectKind, commit, record, subject_ref,
};
use ormantrace::evidence::chain::canonical;
use ormantrace::timber::custody::content::Content;
use ormantrace::timber::custody::state::replay;
use ormantrace::timber::seal::SealNumber;
use rust_decimal::Decimal;
use sqlx::postgres::{PgConnection, PgPoolCopyExt as _};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use std::error::Error;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use uuid::Uuid;

/// Number of events per COPY.
const CHUNK: usize = 20_000;

type Failure = Box<dyn Error + Send + Sync>;

/// A load.
pub struct Load<'p> {
    /// The organisations and tickets.
    pub parties: &'p Parties,
    /// The range of logs; both ends are multiples of [`HARVEST`].
    pub logs: Range<u64>,
    /// When the first event was received. The last event is received before `until`.
    pub from: DateTime<Utc>,
    /// End of the period.
    pub until: DateTime<Utc>,
    /// Whether the events have leaves in the register; otherwise the register does not contain them.
    pub leaves: bool,
}

/// The state of a log while its events are created.
struct Chain {
    salt: Salt,
    head: Hash,
}

/// A harvest: its operation and the person.
#[derive(Clone, Copy)]
struct Harvest {
    id: Uuid,
    operation: Uuid,
    personal: Secret,
}

impl Harvest {
    fn new() -> Self {
        Self { id: HarvestId::new().0, operation: OperationId::new().0, personal: Secret::random() }
    }
}

/// Rows of some events, in the format of COPY.
#[derive(Default)]
struct Chunk {
    events: usize,
    event: String,
    leaf: String,
    operation: String,
}

impl Load<'_> {
    fn count(&self) -> u64 {
        self.logs.end - self.logs.start
    }

    /// The time of receipt of the `place`th of all events of this load.
    fn received_at(&self, place: u64) -> DateTime<Utc> {
        let span = (self.until - self.from).num_microseconds().unwrap_or(i64::MAX);
        let step = span / i64::try_from(self.count() * u64::from(EVENTS) + 1).unwrap_or(i64::MAX);
        self.from + TimeDelta::microseconds(step * i64::try_from(place).unwrap_or_default())
    }

    /// The `place`th log of a round.
    fn visited(&self, seq: u32, place: u64) -> u64 {
        let trucks = self.count() / TRUCK;
        // Harvests are recorded in the order of their ids, so the first round visits the trucks in order. All
        // later rounds visit them in a scattered order.
        let truck = if seq == 1 { place / TRUCK } else { scattered(place / TRUCK, trucks, seq) };
        self.logs.start + truck * TRUCK + place % TRUCK
    }

    /// The position of a round's `place`th event among all events.
    fn place_of(&self, seq: u32, place: u64) -> u64 {
        u64::from(seq - 1) * self.count() + place
    }

    /// Loads everything and leaves the tables as autovacuum would. `shown` is called with the number of
    /// events loaded so far.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn run(&self, pool: &PgPool, shown: impl Fn(u64)) -> Result<(), Failure> {
        let identifications = identifications(pool, &self.logs).await?;
        let harvests = self.harvests(pool).await?;
        let first_leaf: i64 = sqlx::query_scalar("SELECT size FROM register").fetch_one(pool).await?;
        let (send, chunks) = sync_channel(2);
        let mut chains =
            (0..self.count()).map(|_| Chain { salt: Salt::random(), head: Hash::ZERO }).collect::<Vec<_>>();
        let mut heads = vec![0; chains.len()];
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                self.make(&mut chains, &mut heads, &harvests, &identifications, first_leaf, &send);
                drop(send);
            });
            let copied = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(self.copy_all(pool, &chunks, &shown))
            });
            drop(chunks);
            maker.join().map_err(|_| "the maker of events died")?;
            copied
        })?;
        if self.leaves {
            sqlx::query("UPDATE register SET size = size + $1, sequenced_at = clock_timestamp()")
                .bind(i64::try_from(self.count() * u64::from(EVENTS))?)
                .execute(pool)
                .await?;
        }
        self.logs_and_seals(pool, &chains, &heads, &harvests, &identifications).await?;
        self.balances(pool).await?;
        for table in
            ["event", "leaf", "log", "seal", "log_seal", "past_party", "operation", "harvest", "personal"]
        {
            let sql = format!("VACUUM (ANALYZE) {table}");
            sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
        }
        Ok(())
    }

    async fn copy_all(
        &self,
        pool: &PgPool,
        chunks: &Receiver<Chunk>,
        shown: &impl Fn(u64),
    ) -> Result<(), Failure> {
        let mut loaded = 0;
        while let Ok(chunk) = chunks.recv() {
            loaded += chunk.events as u64;
            let beside = async {
                if self.leaves {
                    copy(pool, LEAF_COLUMNS, chunk.leaf).await?;
                }
                copy(pool, OPERATION_COLUMNS, chunk.operation).await
            };
            tokio::try_join!(copy(pool, EVENT_COLUMNS, chunk.event), beside)?;
            shown(loaded);
        }
        Ok(())
    }

    /// The rows of all harvests and of their responsible persons.
    async fn harvests(&self, pool: &PgPool) -> Result<Vec<Harvest>, Failure> {
        let mut harvests = Vec::new();
        let (mut rows, mut persons) = (String::new(), String::new());
        for first in self.logs.clone().step_by(usize::try_from(HARVEST)?) {
            let made = Harvest::new();
            let at = self.received_at(first - self.logs.start);
            let holder = self.parties.harvester(first);
            let total: Decimal = (first..first + HARVEST).map(|log| volume(log).decimal()).sum();
            let ticket = self.parties.ticket(first).id;
            let (id, operation, who) = (made.id, made.operation, holder.id);
            writeln!(rows, "{id}\t{who}\t{ticket}\t{operation}\t{id}\t{HARVEST}\t{total}\t{}", stamp(at))?;
            let person = canonical::text(&serde_json::json!({ "name": "Ерлан Жүнісов", "v": 1 }));
            writeln!(persons, "{id}\t{who}\t{person}\t{}\t{}", bytea(&made.personal.0), stamp(at))?;
            harvests.push(made);
        }
        copy(pool, "personal (id, organization_id, text, secret, created_at)", persons).await?;
        let columns = "harvest (id, organization_id, ticket_id, operation_id, personal_id, log_count, volume_m3, received_at)";
        copy(pool, columns, rows).await?;
        Ok(harvests)
    }

    /// Creates all events in order of arrival.
    fn make(
        &self,
        chains: &mut [Chain],
        heads: &mut [i64],
        harvests: &[Harvest],
        identifications: &[String],
        first_leaf: i64,
        send: &SyncSender<Chunk>,
    ) {
        let mut leaf = first_leaf;
        let mut chunk = Chunk::default();
        for seq in 1..=EVENTS {
            let mut operation = Uuid::nil();
            for place in 0..self.count() {
                let log = self.visited(seq, place);
                let index = index_of(log - self.logs.start);
                let harvest = &harvests[index / index_of(HARVEST)];
                // The first events of a harvest's logs come from one request, and so does each later event of
                // a truck's logs. All events of a request have the same time of receipt.
                let unit = if seq == 1 { HARVEST } else { TRUCK };
                let at = self.received_at(self.place_of(seq, place - place % unit));
                if seq == 1 {
                    operation = harvest.operation;
                } else if place % TRUCK == 0 {
                    operation = OperationId::new().0;
                }
                let content = self.parties.content(log, seq, at, operation, &identifications[index]);
                chunk.event(&mut chains[index], log, &content, at, harvest, leaf);
                heads[index] = at.timestamp_micros();
                leaf += 1;
                if place % unit == unit - 1 {
                    let kind = if seq == 1 { "harvest" } else { "custody_event" };
                    let recorder = self.parties.recorder(log, seq);
                    chunk.operation(recorder, operation, kind, log + 1 - unit..log + 1, seq, at);
                }
                if chunk.events == CHUNK && send.send(std::mem::take(&mut chunk)).is_err() {
                    return;
                }
            }
        }
        // Sending fails only if the receiver was dropped. The receiver is dropped only after an error, and
        // reports that error itself.
        let _ = send.send(chunk);
    }

    /// Loads the logs in their state after all events, with their seals and past parties.
    async fn logs_and_seals(
        &self,
        pool: &PgPool,
        chains: &[Chain],
        heads: &[i64],
        harvests: &[Harvest],
        identifications: &[String],
    ) -> Result<(), Failure> {
        let mut connection = pool.acquire().await?;
        sqlx::query("CREATE TEMPORARY TABLE applied (number text COLLATE \"C\", log_id uuid)")
            .execute(&mut *connection)
            .await?;
        for logs in ranges(&self.logs, 10_000) {
            let (mut rows, mut seals, mut applied, mut past) =
                (String::new(), String::new(), String::new(), String::new());
            for log in logs {
                let index = index_of(log - self.logs.start);
                let harvest = &harvests[index / index_of(HARVEST)];
                let head = DateTime::from_timestamp_micros(heads[index]).unwrap_or_default();
                log_row(&mut rows, self, log, &chains[index], head, harvest, &identifications[index])?;
                let (id, number) = (log_id(log), seal_number(log));
                writeln!(seals, "{number}\t{id}\t1")?;
                writeln!(applied, "{number}\t{id}")?;
                writeln!(past, "{id}\t{}\t8", self.parties.harvester(log).id)?;
            }
            copy_into(&mut connection, LOG_COLUMNS, rows).await?;
            copy_into(&mut connection, "log_seal (seal_number, log_id, from_seq)", seals).await?;
            copy_into(&mut connection, "applied", applied).await?;
            copy_into(&mut connection, "past_party (log_id, organization_id, until_seq)", past).await?;
        }
        sqlx::query(
            "UPDATE seal SET status = 'applied', log_id = applied.log_id FROM applied WHERE seal.number = applied.number",
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query("DROP TABLE applied").execute(&mut *connection).await?;
        Ok(())
    }

    /// Adds the volumes of the loaded logs to the marked volumes of their tickets.
    async fn balances(&self, pool: &PgPool) -> Result<(), Failure> {
        for ticket in self.logs.start / TICKET..self.logs.end.div_ceil(TICKET) {
            let logs = self.logs.start.max(ticket * TICKET)..self.logs.end.min((ticket + 1) * TICKET);
            let line = self.parties.ticket(logs.start).line;
            let count = i32::try_from(logs.end - logs.start).unwrap_or(i32::MAX);
            let total: Decimal = logs.map(|log| volume(log).decimal()).sum();
            // Every log has its volume from the table.
            sqlx::query(
                "UPDATE ticket_line
                 SET marked_m3 = marked_m3 + $2, by_table_m3 = by_table_m3 + $2, table_m3 = table_m3 + $2,
                     by_table_logs = by_table_logs + $3
                 WHERE id = $1",
            )
            .bind(line.0)
            .bind(total)
            .bind(count)
            .execute(pool)
            .await?;
        }
        Ok(())
    }
}

/// Columns of table `log` in the order of [`log_row`].
pub const LOG_COLUMNS: &str = "log (id, salt, head_seq, head_hash, head_received_at, kind, species, wood, assortment, \
    grade, length_m, top_diameter_cm, volume_m3, table_volume_m3, measurement_method, felled_on, harvest_id, \
    ticket_id, line_id, issuer_id, seal_number, status, holder_id, owner_id, last_type, last_on, last_region, \
    last_occurred_at)";
/// Columns of table `event` in the order of [`Chunk::event`].
pub const EVENT_COLUMNS: &str = "event (subject_id, seq, subject_kind, received_at, hash, secret, public, business, \
    personal_commitment, personal_id, type, organization_id, operation_id, occurred_at, region)";
const LEAF_COLUMNS: &str = "leaf (index, entry, subject_id, seq, sequenced_at)";
const OPERATION_COLUMNS: &str =
    "operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)";

impl Chunk {
    /// Adds an event after the head of its chain.
    fn event(
        &mut self,
        chain: &mut Chain,
        log: u64,
        content: &Content,
        at: DateTime<Utc>,
        harvest: &Harvest,
        leaf: i64,
    ) {
        let (id, seq) = (log_id(log).0, content.seq);
        let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
        let secret = Secret::random();
        let personal = (seq == 1).then(|| {
            let text = canonical::text(&serde_json::json!({ "name": "Ерлан Жүнісов", "v": 1 }));
            commit(Part::Personal, &harvest.personal.personal_salt(id, seq), &text)
        });
        let record = record(
            commit(Part::Public, &secret.salt(Part::Public), &public),
            commit(Part::Business, &secret.salt(Part::Business), &business),
            personal.unwrap_or(Hash::ZERO),
        );
        let subject = subject_ref(SubjectKind::Log, id, &chain.salt);
        let entry = Entry::new(subject, seq, at, chain.head, record);
        chain.head = entry.link();
        let kind = SubjectKind::Log.byte();
        let (public, business) = (escaped(&public), escaped(&business));
        let commitment = personal.map_or_else(null, |hash| bytea(&hash.0));
        let person = if seq == 1 { harvest.id.to_string() } else { null() };
        let told = stamp(content.business.occurred.instant());
        let (hash, secret, at) = (bytea(&chain.head.0), bytea(&secret.0), stamp(at));
        let (what, who) = (content.public.event_type.as_str(), content.business.organization);
        let (operation, region) =
            (content.business.operation, content.public.region.map_or("\\N", Region::as_str));
        // Writing to a string does not fail.
        let _ = writeln!(
            self.event,
            "{id}\t{seq}\t{kind}\t{at}\t{hash}\t{secret}\t{public}\t{business}\t{commitment}\t{person}\t{what}\t{who}\t{operation}\t{told}\t{region}"
        );
        let _ = writeln!(self.leaf, "{leaf}\t{}\t{id}\t{seq}\t{at}", bytea(entry.as_bytes()));
        self.events += 1;
    }

    fn operation(
        &mut self,
        who: &Party,
        id: Uuid,
        kind: &str,
        logs: Range<u64>,
        seq: u32,
        at: DateTime<Utc>,
    ) {
        let fingerprint = bytea(&Secret::random().0);
        let subjects = logs.clone().map(|log| log_id(log).to_string()).collect::<Vec<_>>().join(",");
        let seqs = logs.map(|_| seq.to_string()).collect::<Vec<_>>().join(",");
        let (who, at) = (who.id, stamp(at));
        let _ =
            writeln!(self.operation, "{who}\t{id}\t{kind}\t{fingerprint}\t{{{subjects}}}\t{{{seqs}}}\t{at}");
    }
}

/// The row of a log after all its events.
fn log_row(
    rows: &mut String,
    load: &Load<'_>,
    log: u64,
    chain: &Chain,
    head: DateTime<Utc>,
    harvest: &Harvest,
    identification: &str,
) -> Result<(), Failure> {
    let ticket = load.parties.ticket(log);
    // Only the times of the first and the last event affect the row, so the events between them get the time
    // of the last one.
    let place = log - load.logs.start;
    let at = |seq| if seq == 1 { load.received_at(place - place % HARVEST) } else { head };
    let contents: Vec<Content> = (1..=EVENTS)
        .map(|seq| load.parties.content(log, seq, at(seq), Uuid::nil(), identification))
        .collect();
    row_of(rows, &contents, chain, head, harvest, ticket.id.0, load.parties.forest_owner.id.0)
}

fn row_of(
    rows: &mut String,
    contents: &[Content],
    chain: &Chain,
    head: DateTime<Utc>,
    harvest: &Harvest,
    ticket: Uuid,
    issuer: Uuid,
) -> Result<(), Failure> {
    let state = replay(contents)?;
    let first = contents.first().ok_or("a log without events")?;
    fn text<T: std::fmt::Display>(value: Option<T>) -> String {
        value.map_or_else(null, |value| value.to_string())
    }
    writeln!(
        rows,
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        first.business.log,
        bytea(&chain.salt.0),
        contents.len(),
        bytea(&chain.head.0),
        stamp(head),
        state.kind,
        state.species,
        state.wood,
        text(state.assortment),
        text(state.grade),
        text(state.length_m),
        text(state.top_diameter_cm),
        state.volume_m3,
        text(state.table_volume_m3),
        state.method,
        state.felled_on,
        harvest.id,
        ticket,
        state.line,
        issuer,
        state.seal,
        state.status,
        state.holder,
        state.owner,
        state.last.event_type,
        state.last.on,
        text(state.last.region),
        stamp(state.last.occurred_at),
    )?;
    Ok(())
}

/// Returns the rows of one harvest as the server would write them, in the format of COPY: for each table its
/// columns and rows. The logs and the seal numbers must be unused.
///
/// # Errors
/// Errors of the domain, for contents that make no valid log.
pub fn raw_harvest(
    parties: &Parties,
    logs: Range<u64>,
    at: DateTime<Utc>,
    queue: bool,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let harvest = Harvest::new();
    let mut chunk = Chunk::default();
    let (mut rows, mut seals) = (String::new(), String::new());
    for log in logs {
        // `content` finds a log's ticket by the log's index, and these logs may have no ticket of their own.
        // The index is therefore reduced to that of a log of the first ticket. It does not matter here which
        // ticket this is.
        let content = parties.content(log % TICKET, 1, at, harvest.operation, "010952123454321321000000000");
        let mut content = content;
        content.business.log = log_id(log);
        content.public.seal = Some(SealNumber::parse(&seal_number(log))?);
        let mut chain = Chain { salt: Salt::random(), head: Hash::ZERO };
        chunk.event(&mut chain, log, &content, at, &harvest, 0);
        let ticket = parties.ticket(0).id.0;
        row_of(&mut rows, &[content], &chain, at, &harvest, ticket, parties.forest_owner.id.0)?;
        writeln!(seals, "{}\t{}\t1", seal_number(log), log_id(log))?;
    }
    let mut tables = vec![
        (EVENT_COLUMNS, chunk.event),
        (LOG_COLUMNS, rows),
        ("log_seal (seal_number, log_id, from_seq)", seals),
    ];
    if queue {
        let queued = chunk.leaf.lines().filter_map(|line| line.split_once('\t')?.1.rsplit_once('\t'));
        let queued = queued.fold(String::new(), |mut rows, (row, _)| {
            rows.push_str(row);
            rows.push('\n');
            rows
        });
        tables.push(("leaf_queue (entry, subject_id, seq)", queued));
    }
    Ok(tables)
}

async fn copy(pool: &PgPool, table: &str, rows: String) -> Result<(), Failure> {
    let mut to = pool.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    to.send(rows.into_bytes()).await?;
    to.finish().await?;
    Ok(())
}

/// Copies rows within the current transaction.
///
/// # Errors
/// Those of the database.
pub async fn copy_into(connection: &mut PgConnection, table: &str, rows: String) -> Result<(), Failure> {
    let mut to = connection.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    to.send(rows.into_bytes()).await?;
    to.finish().await?;
    Ok(())
}

/// The identification parts of the seals of `logs`, in order.
async fn identifications(pool: &PgPool, logs: &Range<u64>) -> Result<Vec<String>, Failure> {
    let rows =
        sqlx::query("SELECT identification FROM seal WHERE number >= $1 AND number < $2 ORDER BY number")
            .bind(seal_number(logs.start))
            .bind(seal_number(logs.end))
            .fetch_all(pool)
            .await?;
    if rows.len() as u64 != logs.end - logs.start {
        return Err(format!("{} seals for {} logs", rows.len(), logs.end - logs.start).into());
    }
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn ranges(logs: &Range<u64>, step: u64) -> impl Iterator<Item = Range<u64>> {
    let end = logs.end;
    (logs.start..end).step_by(index_of(step)).map(move |from| from..end.min(from + step))
}

/// Returns the item at position `place` of `count` items, in an order that differs for each `round`. The step
/// is coprime to `count`, so that each item is visited once.
fn scattered(place: u64, count: u64, round: u32) -> u64 {
    let mut step = (count / 3 + 7_919 * u64::from(round)) | 1;
    while gcd(step, count) != 1 {
        step += 2;
    }
    (place * step + u64::from(round) * 31) % count
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn null() -> String {
    "\\N".to_owned()
}

fn bytea(bytes: &[u8]) -> String {
    format!("\\\\x{}", hex::encode(bytes))
}

fn stamp(at: DateTime<Utc>) -> String {
    ormantrace::base::units::utc_text(at)
}

fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\\') { text.replace('\\', "\\\\").into() } else { text.into() }
}
