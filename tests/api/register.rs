//! How events get their index in the register.

use crate::world::{Org, World, bin, morning};
use axum::http::{Method, Request};
use ormantrace::base::ids::{LogId, OperationId};
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::chain::append::{LockedHead, NewHead};
use ormantrace::evidence::chain::bytes::{Hash, SubjectKind};
use ormantrace::evidence::chain::{Draft, append};
use ormantrace::evidence::register::Sequencer;
use ormantrace::evidence::register::backfill::backfill;
use ormantrace::evidence::register::receipt::{Promise, absent};
use ormantrace::evidence::register::sequencer::{Round, Start};
use ormantrace::evidence::tlog::note::VerifierKey;
use ormantrace::timber::seal::{Gtin, Identification};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres};
use tokio::sync::oneshot;
use uuid::Uuid;

/// A statement that must succeed.
pub async fn run(db: &mut PgConnection, sql: &str) -> u64 {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(db)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .rows_affected()
}

/// Runs a query that returns one number.
pub async fn number(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// Leaf hashes of all entries of a table, ordered by a column.
async fn hashes(pool: &PgPool, table: &str, order: &str) -> Vec<Hash> {
    let sql = format!("SELECT entry FROM {table} ORDER BY {order}");
    let entries: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
    entries
        .iter()
        .map(|entry| Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into()))
        .collect()
}

/// Returns the number of events without their leaf, the number of leaves without an event, and whether the
/// indices are without gaps.
pub async fn faults(pool: &PgPool) -> (i64, i64, bool) {
    let without = "SELECT count(*) FROM event e LEFT JOIN leaf l USING (subject_id, seq)
                   WHERE l.index IS NULL OR sha256('\\x00' || l.entry) <> e.hash";
    let surplus = "SELECT count(*) FROM leaf l LEFT JOIN event e USING (subject_id, seq) WHERE e.seq IS NULL";
    let gap = "SELECT count(*) FROM leaf, register WHERE index >= size";
    let (rows, size) =
        (number(pool, "SELECT count(*) FROM leaf").await, number(pool, "SELECT size FROM register").await);
    (number(pool, without).await, number(pool, surplus).await, rows == size && number(pool, gap).await == 0)
}

#[tokio::test]
async fn every_event_is_queued_with_it_and_in_the_order_of_the_answer() {
    let world = World::new().await;
    let felled = world.felled(5).await;
    let queued = hashes(&world.app.pool, "leaf_queue", "id").await;
    let harvested: Vec<_> =
        felled.harvest["logs"].as_array().unwrap().iter().map(|log| &log["hash"]).collect();
    let last: Vec<Value> = queued[queued.len() - 5..].iter().map(|hash| json!(hash)).collect();
    assert_eq!(harvested, last.iter().collect::<Vec<_>>());
    assert_eq!(
        i64::try_from(queued.len()).unwrap(),
        number(&world.app.pool, "SELECT count(*) FROM event").await
    );

    let rehearsed = World::harvest_of(&felled.ticket, &felled.seals[..2]);
    world.post("/v1/harvests?dry_run=true", &felled.enterprise, rehearsed).await.expect(200);
    assert_eq!(hashes(&world.app.pool, "leaf_queue", "id").await, queued, "a dry run leaves nothing");
}

/// A world with chains of one to three events and no leaves, as a server without a register left it.
async fn before_the_register() -> (World, i64) {
    let world = World::new().await;
    let felled = world.felled(9).await;
    let moved = json!({"place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}});
    world.event(&felled.enterprise, "stored", &felled.logs[..6], moved.clone()).await.expect(201);
    world.event(&felled.enterprise, "stored", &felled.logs[2..4], moved).await.expect(201);
    let mut owner = world.owner().await;
    run(&mut owner, "DELETE FROM leaf_queue").await;
    run(&mut owner, "UPDATE register SET complete = false").await;
    let events = number(&world.app.pool, "SELECT count(*) FROM event").await;
    (world, events)
}

#[tokio::test]
async fn older_events_go_into_the_register_once() {
    let (world, events) = before_the_register().await;
    let mut owner = world.owner().await;
    // The first backfill runs in batches of two events, which end in the middle of chains. The second one
    // runs in one batch, and adds nothing.
    backfill(&mut owner, 2).await.unwrap();
    assert_eq!(number(&world.app.pool, "SELECT size FROM register WHERE complete").await, events);
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
    let order = "SELECT count(*) FROM leaf a JOIN leaf b USING (subject_id) WHERE a.seq < b.seq AND a.index > b.index";
    assert_eq!(number(&world.app.pool, order).await, 0, "chains stand in their order");

    backfill(&mut owner, 1_000).await.unwrap();
    assert_eq!(
        number(&world.app.pool, "SELECT count(*) FROM leaf").await,
        events,
        "a second time adds nothing"
    );
    run(&mut owner, "UPDATE register SET complete = false").await;
    backfill(&mut owner, 1_000).await.unwrap();
    assert_eq!(faults(&world.app.pool).await, (0, 0, true), "nor does one that finds all leaves there");
}

#[tokio::test]
async fn an_event_altered_before_the_register_stops_it() {
    let (world, _) = before_the_register().await;
    let mut owner = world.owner().await;
    run(&mut owner, "ALTER TABLE event DISABLE TRIGGER USER").await;
    let id: Uuid =
        sqlx::query_scalar("SELECT subject_id FROM event WHERE seq = 2 AND subject_kind = 1 ORDER BY subject_id LIMIT 1 OFFSET 1")
            .fetch_one(&mut owner)
            .await
            .unwrap();
    run(&mut owner, &format!("UPDATE event SET business = replace(business, 'қойма', 'қора') WHERE subject_id = '{id}' AND seq = 2")).await;
    let refusal = backfill(&mut owner, 3).await.expect_err("altered").to_string();
    assert!(refusal.contains(&format!("event 2 of {id}")), "{refusal}");
    assert_eq!(number(&world.app.pool, "SELECT count(*) FROM leaf").await, 0, "nothing was changed");
    assert_eq!(number(&world.app.pool, "SELECT count(*) FROM register WHERE complete").await, 0);
}

/// A sequencer with rounds that the test starts one by one, on a connection in the service's role.
struct Watch {
    sequencer: Sequencer,
    db: PoolConnection<Postgres>,
}

impl Watch {
    async fn over(world: &World) -> Self {
        let db = world.app.pool.acquire().await.unwrap();
        Self { sequencer: Sequencer::new(world.app.queue.clone()), db }
    }

    async fn round(&mut self, start: Start) -> usize {
        match self.sequencer.round(&mut self.db, start).await.unwrap() {
            Round::Placed { leaves, .. } => leaves,
            Round::Elsewhere => panic!("no other sequencer runs"),
        }
    }

    async fn tick(&mut self) {
        self.sequencer.tick(&mut self.db).await.unwrap();
    }
}

/// The first event of a new chain.
fn event(of: &Org) -> Draft {
    Draft {
        head: LockedHead::fresh(SubjectKind::Log, LogId::new().0),
        public: r#"{"subject":"log","type":"stored","v":1}"#.into(),
        business: r#"{"v":1}"#.into(),
        personal: None,
        event_type: "stored",
        organization: of.id.0,
        operation: OperationId::new().0,
        occurred_at: morning(),
        region: None,
    }
}

/// The event that follows a new head.
fn next(head: NewHead, of: &Org) -> Draft {
    Draft { head: head.into_locked(), ..event(of) }
}

#[tokio::test]
async fn a_round_numbers_what_is_committed_and_nothing_else() {
    let world = World::new().await;
    let of = world.enterprise().await;
    let mut watch = Watch::over(&world).await;
    watch.round(Start::Zero).await;
    assert_eq!(watch.round(Start::Zero).await, 0, "an empty queue");

    let mut late = Tx::begin(&world.app.pool).await.unwrap();
    append(&mut late, morning(), vec![event(&of)]).await.unwrap();
    let held = number(&world.app.pool, "SELECT last_value FROM leaf_queue_id_seq").await;
    let mut never = Tx::begin(&world.app.pool).await.unwrap();
    append(&mut never, morning(), vec![event(&of), event(&of)]).await.unwrap();
    // The floor is the queue id from which a round reads. It does not pass the ids of the uncommitted rows,
    // however many rounds run meanwhile.
    for _ in 0..6 {
        let mut quick = Tx::begin(&world.app.pool).await.unwrap();
        append(&mut quick, morning(), vec![event(&of), event(&of), event(&of)]).await.unwrap();
        quick.commit().await.unwrap();
        assert_eq!(watch.round(Start::Floor).await, 3);
    }
    assert!(number(&world.app.pool, "SELECT floor FROM register").await <= held, "the floor waits for it");
    late.commit().await.unwrap();
    never.rollback().await.unwrap();
    assert_eq!(watch.round(Start::Floor).await, 1, "the next round takes what came late");
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
}

#[tokio::test]
async fn a_round_from_zero_finds_rows_below_the_floor() {
    let world = World::new().await;
    let of = world.enterprise().await;
    let mut watch = Watch::over(&world).await;
    let first = watch.round(Start::Zero).await;
    let mut rounds = 0;
    // The floor (the queue id from which a round reads) moves only after all transactions that were open have
    // ended, including those of other tests on this server.
    while number(&world.app.pool, "SELECT floor FROM register").await <= i64::try_from(first).unwrap() + 1 {
        let mut tx = Tx::begin(&world.app.pool).await.unwrap();
        append(&mut tx, morning(), vec![event(&of), event(&of)]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(watch.round(Start::Floor).await, 2);
        rounds += 1;
        assert!(rounds < 100_000, "the floor never moves");
    }
    assert!(rounds > 1, "it moves only once the transactions of its round have ended");
    let mut tx = Tx::begin(&world.app.pool).await.unwrap();
    append(&mut tx, morning(), vec![event(&of)]).await.unwrap();
    tx.commit().await.unwrap();
    // Gives the row the lowest id, as if this id had been assigned before all others and committed late.
    let mut owner = world.owner().await;
    let moved = "WITH late AS (DELETE FROM leaf_queue RETURNING entry, subject_id, seq)
                 INSERT INTO leaf_queue (id, entry, subject_id, seq) OVERRIDING SYSTEM VALUE SELECT 0, entry, subject_id, seq FROM late";
    assert_eq!(run(&mut owner, moved).await, 1);
    assert_eq!(watch.round(Start::Floor).await, 0);
    assert_eq!(watch.round(Start::Zero).await, 1);
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
}

#[tokio::test]
async fn two_sequencers_under_writers_place_every_event_once() {
    const WRITERS: u32 = 6;
    const POSTINGS: u32 = 25;
    let world = World::new().await;
    let of = world.enterprise().await;
    let options = (*world.app.pool.connect_options()).clone();
    let mut sequencers = Vec::new();
    let mut stops = Vec::new();
    for _ in 0..2 {
        let (stop, stopped) = oneshot::channel::<()>();
        let sequencer = Sequencer::new(world.app.queue.clone());
        sequencers.push(tokio::spawn(sequencer.run(options.clone(), async { drop(stopped.await) })));
        stops.push(stop);
    }
    let writers = (0..WRITERS).map(|writer| {
        let (pool, register, of) = (world.app.pool.clone(), world.app.queue.clone(), of.clone());
        tokio::spawn(async move {
            for posting in 0..POSTINGS {
                let mut tx = Tx::begin(&pool).await.unwrap();
                let count = if posting == 3 && writer < 2 { 700 } else { 1 + (writer + posting) % 5 };
                let heads =
                    append(&mut tx, morning(), (0..count).map(|_| event(&of)).collect()).await.unwrap();
                append(&mut tx, morning(), heads.into_iter().take(2).map(|head| next(head, &of)).collect())
                    .await
                    .unwrap();
                if (writer + posting) % 7 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    let leaves = tx.leaves().hashes.len();
                    tx.commit().await.unwrap();
                    register.committed(leaves);
                }
            }
        })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.unwrap();
    }
    for stop in stops {
        stop.send(()).unwrap();
    }
    for sequencer in sequencers {
        sequencer.await.unwrap();
    }
    assert_eq!(
        number(&world.app.pool, "SELECT count(*) FROM leaf_queue").await,
        0,
        "the last rounds empty it"
    );
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
    let order = "SELECT count(*) FROM leaf a JOIN leaf b USING (subject_id) WHERE a.seq < b.seq AND a.index > b.index";
    assert_eq!(number(&world.app.pool, order).await, 0, "chains stand in their order");
}

#[tokio::test]
async fn a_sequencer_outlives_its_connection_and_waits_while_another_works() {
    let world = World::new().await;
    let of = world.enterprise().await;
    let options = (*world.app.pool.connect_options()).clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let sequencer = Sequencer::new(world.app.queue.clone());
    let running = tokio::spawn(sequencer.run(options, async { drop(stopped.await) }));
    let mut owner = world.owner().await;
    let there = number(&world.app.pool, "SELECT count(*) FROM event").await;
    until(async || number(&world.app.pool, "SELECT size FROM register").await == there).await;
    for expected in there + 1..=there + 2 {
        // Holds the lock that another sequencer would hold in the middle of its round.
        let mut other = owner.begin().await.unwrap();
        sqlx::query("SELECT size FROM register FOR UPDATE").execute(&mut *other).await.unwrap();
        let mut tx = Tx::begin(&world.app.pool).await.unwrap();
        append(&mut tx, morning(), vec![event(&of)]).await.unwrap();
        tx.commit().await.unwrap();
        until(async || world.app.queue.lag().is_some_and(|lag| !lag.lag.is_zero())).await;
        assert_eq!(number(&world.app.pool, "SELECT count(*) FROM leaf").await, expected - 1);
        other.rollback().await.unwrap();
        until(async || number(&world.app.pool, "SELECT size FROM register").await == expected).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'ormantrace-sequencer' AND datname = current_database()";
        until(async || number(&world.app.pool, &format!("SELECT count(*) FROM ({cut}) AS cut")).await == 1)
            .await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
}

/// Waits for a condition instead of a fixed time.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("condition not reached");
}

#[tokio::test]
async fn writes_are_refused_while_the_register_is_too_far_behind() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let mut watch = Watch::over(&world).await;
    watch.tick().await;
    let (size, lag) = {
        let ready = world.get("/readyz", &felled.inspector).await.expect(200);
        (ready["register"]["size"].clone(), ready["register"]["lag_seconds"].clone())
    };
    assert_eq!(
        (size, lag.as_f64()),
        (json!(number(&world.app.pool, "SELECT count(*) FROM event").await), Some(0.0))
    );

    let keyed = async |key: &str, logs: &[String]| {
        let body = json!({"type": "stored", "logs": logs, "occurred_at": "2026-10-05T10:00:00+05:00",
                          "place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}});
        let request = Request::post("/v1/custody-events")
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        world.send(request.body(body.to_string().into()).unwrap()).await
    };
    let first = keyed("before-it-fell-behind", &felled.logs[..1]).await;
    first.expect(201);
    // Another sequencer hangs while it holds the lock, and the queued leaves become older than the limit for
    // accepting writes.
    let mut owner = world.owner().await;
    run(&mut owner, "UPDATE leaf_queue SET queued_at = queued_at - interval '31 seconds'").await;
    let mut other = owner.begin().await.unwrap();
    sqlx::query("SELECT size FROM register FOR UPDATE").execute(&mut *other).await.unwrap();
    watch.tick().await;
    let refused = keyed("while-it-is-behind", &felled.logs[1..]).await;
    refused.expect(503);
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    let stolen: Uuid = sqlx::query_scalar("SELECT id FROM api_key WHERE organization_id = $1")
        .bind(felled.carrier.id)
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    let path = format!("/v1/keys/{stolen}");
    let revoked = world.call(Method::DELETE, &path, Some(&felled.carrier.token), Value::Null).await;
    assert_eq!(revoked.status, 204, "a stolen key cannot wait");
    let again = keyed("before-it-fell-behind", &felled.logs[..1]).await;
    assert_eq!((again.status.as_u16(), &again.bytes), (201, &first.bytes), "a stored response is replayed");
    let ready = world.get("/readyz", &felled.inspector).await.expect(200);
    assert!(ready["register"]["lag_seconds"].as_f64() > Some(30.0), "{ready}");

    other.rollback().await.unwrap();
    watch.tick().await;
    keyed("while-it-is-behind", &felled.logs[1..]).await.expect(201);
    watch.tick().await;
    assert_eq!(faults(&world.app.pool).await, (0, 0, true));
}

#[tokio::test]
async fn leaves_cannot_be_changed_removed_or_truncated() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    Watch::over(&world).await.tick().await;
    let leaves = number(&world.app.pool, "SELECT count(*) FROM leaf").await;
    let mut owner = world.owner().await;
    let mut service = world.app.pool.acquire().await.unwrap();
    for change in ["UPDATE leaf SET entry = entry", "DELETE FROM leaf", "TRUNCATE leaf"] {
        for (db, code) in [(&mut *service, "42501"), (&mut owner, "23001")] {
            let refused = sqlx::query(AssertSqlSafe(change)).execute(db).await.expect_err(change);
            assert_eq!(refused.as_database_error().unwrap().code().unwrap(), code, "{change}");
        }
    }
    assert_eq!(number(&world.app.pool, "SELECT count(*) FROM leaf").await, leaves);
    assert_eq!(felled.logs.len(), 1);
}

/// The key that signs the receipts of a world.
fn keys(world: &World) -> [VerifierKey; 1] {
    [world.app.queue.receipt_key().verifier().clone()]
}

/// Hashes of the events that a response lists as new.
fn made(answer: &Value) -> Vec<Hash> {
    let hash = |text: &Value| Hash::from_hex(text.as_str().unwrap()).unwrap();
    if let Some(leaves) = answer["receipt"]["leaves"].as_array() {
        return leaves.iter().map(hash).collect();
    }
    let listed = ["logs", "events"].iter().find_map(|name| answer[name].as_array()).expect("events");
    listed.iter().map(|event| hash(&event["hash"])).collect()
}

#[tokio::test]
async fn every_write_that_adds_evidence_is_answered_with_its_receipt() {
    let world = World::new().await;
    let (operator, issuer, holder, sawmill) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let before = hashes(&world.app.pool, "leaf_queue", "id").await.len();
    let mut answers = Vec::new();
    let organization = json!({"bin": bin(7), "name": "ТОО «Абай орман»", "roles": ["enterprise"]});
    answers.push(world.post("/v1/organizations", &operator, organization).await.expect(201));
    let trader = json!({"bin": bin(8), "name": "ЖК Оспанов", "roles": ["enterprise"], "kind": "sole_trader"});
    answers.push(world.post("/v1/organizations", &operator, trader).await.expect(201));
    let ticket = world.ticket(&issuer, &holder, "0001300").await;
    let id = ticket["id"].as_str().unwrap().to_owned();
    answers.push(ticket);
    let extension = json!({"felling_until": "2027-01-31", "reason": "қар қалың"});
    answers
        .push(world.post(&format!("/v1/felling-tickets/{id}/extend"), &issuer, extension).await.expect(200));
    let order = json!({"holder_bin": holder.bin, "quantity": 12});
    let batch = world.post("/v1/seal-batches", &operator, order).await.expect(201);
    answers.push(batch.clone());
    let (first, last) = (batch["first_number"].as_str().unwrap(), batch["last_number"].as_str().unwrap());
    let code = world.app.signing_key.sign(&Identification::new(Gtin::DEMONSTRATION, "S0000417").unwrap());
    let registration =
        json!({"holder_bin": holder.bin, "seals": [{"number": "KZ-0000417", "marking_code": code.as_str()}]});
    answers.push(world.post("/v1/seals", &operator, registration).await.expect(201));
    let seal = |n: usize| {
        format!("{}{:02}", &first[..first.len() - 2], first[first.len() - 2..].parse::<usize>().unwrap() + n)
    };
    let harvest = World::harvest_of(&id, &[seal(0), seal(1), seal(2)]);
    answers.push(world.post("/v1/harvests", &holder, harvest).await.expect(201));
    let stored =
        world.event(&holder, "stored", &[seal(0), seal(2)], json!({"place": {"name": "Қойма"}})).await;
    answers.push(stored.expect(201));
    let transfer = json!({"numbers": [seal(5), "KZ-0000417"], "to_bin": sawmill.bin});
    answers.push(world.post("/v1/seals/transfer", &holder, transfer).await.expect(200));
    let void = json!({"reason": "spoiled"});
    answers.push(world.post(&format!("/v1/seals/{}/void", seal(1)), &holder, void).await.expect(200));
    answers.push(
        world
            .post(&format!("/v1/felling-tickets/{id}/cancel"), &issuer, json!({"reason": "өрт"}))
            .await
            .expect(200),
    );
    assert_ne!(first, last);

    let key = json!({"label": "Қойма планшеті"});
    answers
        .push(world.post(&format!("/v1/organizations/{}/keys", holder.id), &holder, key).await.expect(201));

    let mut receipted = Vec::new();
    for answer in &answers {
        let leaves = made(answer);
        let note = answer["receipt"]["note"].as_str().unwrap_or_else(|| panic!("no receipt: {answer}"));
        let promise =
            Promise::open(note, &keys(&world), &leaves).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(promise.received_at, world.clock.now());
        // The hashes of the leaves are listed once: either in the response or in its receipt.
        assert_eq!(
            answer["receipt"].get("leaves").is_none(),
            answer.get("logs").or(answer.get("events")).is_some()
        );
        receipted.extend(leaves);
    }
    Watch::over(&world).await.tick().await;
    let register = hashes(&world.app.pool, "leaf", "index").await;
    assert_eq!(receipted, register[before..], "no event without a receipt");

    let rehearsed = World::harvest_of(&id, &[seal(7)]);
    let rehearsed = world.post("/v1/harvests?dry_run=true", &holder, rehearsed).await;
    assert!(rehearsed.json().get("receipt").is_none(), "a dry run makes no evidence");
}

#[tokio::test]
async fn a_repeated_answer_repeats_its_receipt() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let operation = OperationId::new();
    let send = async |key: Option<&str>| {
        let body = json!({"type": "stored", "logs": felled.logs, "occurred_at": "2026-10-05T10:00:00+05:00",
                          "operation_id": operation, "place": {"name": "Жоғарғы қойма"}});
        let mut request = Request::post("/v1/custody-events")
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        world.send(request.body(body.to_string().into()).unwrap()).await
    };
    let first = send(Some("stored-2026-10-05")).await;
    let answer = first.expect(201);
    world.clock.set(morning() + chrono::TimeDelta::hours(3));
    assert_eq!(send(Some("stored-2026-10-05")).await.bytes, first.bytes, "byte for byte");
    let known = send(None).await.expect(200);
    assert_eq!(known["receipt"], answer["receipt"], "the same receipt, found by the operation id");
}

/// Threat: record dropped before sequencing.
#[tokio::test]
async fn record_dropped_before_sequencing() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let mut watch = Watch::over(&world).await;
    watch.tick().await;
    let answer = world
        .event(&felled.enterprise, "stored", &felled.logs, json!({"place": {"name": "Қойма"}}))
        .await
        .expect(201);
    let leaves = made(&answer);
    // An administrator of the operator's database removes one of the three events, its queued leaf, and its
    // hash in the log's row.
    let mut owner = world.owner().await;
    run(&mut owner, "ALTER TABLE event DISABLE TRIGGER USER").await;
    let (hash, subject) = (leaves[1], answer["events"][1]["log"].as_str().unwrap());
    let gone = format!("DELETE FROM event WHERE encode(hash, 'hex') = '{hash}'");
    assert_eq!(run(&mut owner, &gone).await, 1);
    assert_eq!(run(&mut owner, &format!("DELETE FROM leaf_queue WHERE subject_id = '{subject}'")).await, 1);
    run(&mut owner, &format!("UPDATE log SET head_seq = 1, head_hash = (SELECT hash FROM event WHERE subject_id = '{subject}' AND seq = 1) WHERE id = '{subject}'")).await;
    watch.tick().await;
    assert_eq!(faults(&world.app.pool).await, (0, 0, true), "the database alone shows nothing");

    // Compares the writer's receipt with the leaves of the register.
    let note = answer["receipt"]["note"].as_str().unwrap();
    let promise = Promise::open(note, &keys(&world), &leaves).unwrap();
    assert_eq!(promise.due(), world.clock.now() + chrono::TimeDelta::seconds(60));
    let register = hashes(&world.app.pool, "leaf", "index").await;
    assert_eq!(absent(&leaves, register), [leaves[1]], "the receipt is the evidence");
}
