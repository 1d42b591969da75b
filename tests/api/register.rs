//! How events get their place in the register.

use crate::world::World;
use ormantrace::chain::bytes::Hash;
use ormantrace::register::backfill::backfill;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

/// A statement that must succeed.
pub async fn run(db: &mut PgConnection, sql: &str) -> u64 {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(db)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .rows_affected()
}

/// One number.
pub async fn number(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// What every entry hashes to, of a table in the order of a column.
async fn hashes(pool: &PgPool, table: &str, order: &str) -> Vec<Hash> {
    let sql = format!("SELECT entry FROM {table} ORDER BY {order}");
    let entries: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
    entries
        .iter()
        .map(|entry| Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into()))
        .collect()
}

/// Events that have no leaf, leaves that are no event's, and whether the indices run without a gap.
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
    assert_eq!(queued.len() as i64, number(&world.app.pool, "SELECT count(*) FROM event").await);

    let rehearsed = World::harvest_of(&felled.ticket, &felled.seals[..2]);
    world.post("/v1/harvests?dry_run=true", &felled.enterprise, rehearsed).await.expect(200);
    assert_eq!(hashes(&world.app.pool, "leaf_queue", "id").await, queued, "a rehearsal leaves nothing");
}

/// A world with chains of one to three events, as a server without a register left it.
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
    // Batches that end within a chain, and one that holds everything.
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
    assert_eq!(faults(&world.app.pool).await, (0, 0, true), "nor does one that finds all of them there");
}

#[tokio::test]
async fn an_event_altered_before_the_register_stops_it() {
    let (world, _) = before_the_register().await;
    let mut owner = world.owner().await;
    run(&mut owner, "ALTER TABLE event DISABLE TRIGGER USER").await;
    let id: Uuid =
        sqlx::query_scalar("SELECT subject_id FROM event WHERE seq = 2 ORDER BY subject_id LIMIT 1 OFFSET 1")
            .fetch_one(&mut owner)
            .await
            .unwrap();
    run(&mut owner, &format!("UPDATE event SET business = replace(business, 'қойма', 'қора') WHERE subject_id = '{id}' AND seq = 2")).await;
    let refusal = backfill(&mut owner, 3).await.expect_err("altered").to_string();
    assert!(refusal.contains(&format!("event 2 of {id}")), "{refusal}");
    assert_eq!(number(&world.app.pool, "SELECT count(*) FROM leaf").await, 0, "nothing was changed");
    assert_eq!(number(&world.app.pool, "SELECT count(*) FROM register WHERE complete").await, 0);
}
