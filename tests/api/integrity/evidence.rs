//! Events cannot be changed, a history is read in one index-only scan, and an insider's edit is detected.

use crate::stored_logs::{Timber, log};
use crate::support::chain::{ChainError, ChainEvent, Revealed, chain_errors};
use crate::world::{Org, World};
use chrono::{DateTime, Utc};
use ormantrace::base::token::Token;
use ormantrace::evidence::chain::bytes::{Hash, Salt};
use ormantrace::services::reads::for_loaders;
use serde_json::Value;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use uuid::Uuid;

/// The statements that would change or remove evidence.
const CHANGES: [&str; 3] = ["UPDATE event SET hash = hash", "DELETE FROM event", "TRUNCATE event"];

async fn run(db: &mut PgConnection, sql: impl Into<String>) -> sqlx::Result<u64> {
    sqlx::query(AssertSqlSafe(sql.into())).execute(db).await.map(|done| done.rows_affected())
}

/// A statement on the row (subject, seq).
async fn on_row(db: &mut PgConnection, sql: &str, subject: Uuid, seq: i32) {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(subject).bind(seq).execute(db).await;
    assert!(done.unwrap().rows_affected() > 0, "{sql}");
}

/// SQLSTATE of a refusal.
#[track_caller]
fn refusal(done: sqlx::Result<u64>, of: &str) -> String {
    let error = done.expect_err(of);
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).expect("a refusal").into_owned()
}

/// A world with one log of `events` events, and an inspector, who may read all of it.
async fn one_log(events: u32) -> (World, Timber, Org) {
    let world = World::new().await;
    let (issuer, holder, inspector) =
        (world.forest_owner().await, world.enterprise().await, world.inspector().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", events).await;
    (world, timber, inspector)
}

#[tokio::test]
async fn events_cannot_be_changed_removed_or_truncated() {
    let (world, _, _) = one_log(3).await;
    let mut service = world.app.pool.acquire().await.unwrap();
    for change in CHANGES {
        assert_eq!(refusal(run(&mut service, change).await, change), "42501", "{change}");
    }
    let mut owner = world.owner().await;
    for change in CHANGES {
        assert_eq!(refusal(run(&mut owner, change).await, change), "23001", "{change}");
    }
    // With `session_replication_role = replica`, ordinary triggers do not fire.
    for role in ["service", "owner"] {
        let db: &mut PgConnection = if role == "service" { &mut service } else { &mut owner };
        match run(db, "SET session_replication_role = replica").await {
            Ok(_) => {
                for change in CHANGES {
                    let code = refusal(run(db, change).await, change);
                    assert!(["42501", "23001"].contains(&code.as_str()), "{role}: {change}: {code}");
                }
            }
            refused => assert_eq!(refusal(refused, "the setting"), "42501", "{role}"),
        }
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM event WHERE subject_kind = 1")
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(left, 3);
}

/// The plan that PostgreSQL makes for a batch loader's statement, on a connection with the loader's planner
/// settings.
async fn explained(
    reader: &mut PgConnection,
    statement: &str,
    bind: impl FnOnce(Query<'static, Postgres, PgArguments>) -> Query<'static, Postgres, PgArguments>,
) -> Value {
    // Without the comment lines at its head.
    let statement: Vec<_> = statement.lines().filter(|line| !line.starts_with("--")).collect();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}", statement.join("\n"));
    let told: Value = bind(sqlx::query(AssertSqlSafe(explain))).fetch_one(reader).await.unwrap().get(0);
    told[0]["Plan"].clone()
}

fn buffers(plan: &Value) -> u64 {
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().map(|field| plan[*field].as_u64().unwrap()).sum()
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

#[tokio::test]
async fn a_history_is_one_index_only_descent() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let mut chains = Vec::new();
    for n in 0..200 {
        let events = match n {
            70 => 10,
            130 => 500,
            _ => 3 + n % 5,
        };
        let timber = log(&world, &issuer, &holder, &format!("KZ-{n:04}"), events).await;
        if events >= 10 {
            chains.push((timber.id, u64::from(events)));
        }
    }
    let mut owner = world.owner().await;
    // VACUUM marks a row as visible to all only after the commit that wrote it is on disk. So the next commit
    // waits for the disk.
    run(&mut owner, "SET synchronous_commit = on").await.unwrap();
    // Copies the events until the table is so large that a scan of it would be a bad plan.
    run(
        &mut owner,
        "INSERT INTO event SELECT md5(copy.n || e.subject_id::text)::uuid, e.seq, e.subject_kind, e.received_at, e.hash,
             e.secret, e.public, e.business, e.personal_commitment, e.personal_id, e.type, e.organization_id,
             e.operation_id, e.occurred_at, e.region
         FROM event e, generate_series(1, 20) AS copy (n)
         WHERE e.subject_id IN (SELECT id FROM log WHERE head_seq < 10)",
    )
    .await
    .unwrap();
    run(&mut owner, "VACUUM ANALYZE event").await.unwrap();

    let mut reader = for_loaders(world.database()).connect().await.unwrap();
    let chain = include_str!("../../../src/evidence/chain/chains.sql");
    // The two limits include the buffers of a second index scan, which reads the person of the harvest.
    for ((subject, events), most) in chains.into_iter().zip([15, 123]) {
        let plan = explained(&mut reader, chain, |query| query.bind(vec![subject.0])).await;
        let scan = nodes(&plan).into_iter().find(|node| node["Index Name"] == "event_pkey");
        let scan = scan.unwrap_or_else(|| panic!("no scan of the chain's key: {plan:#}"));
        assert_eq!(scan["Node Type"], "Index Only Scan", "{plan:#}");
        assert_eq!(scan["Actual Rows"].as_f64(), Some(f64::from(u32::try_from(events).unwrap())));
        assert_eq!(scan["Heap Fetches"], 0, "{plan:#}");
        assert!((1..=most).contains(&buffers(&plan)), "{events} events: {} buffers", buffers(&plan));
    }
}

/// A check and a lookup of a log, alone and batched, use only index scans and few buffers, whatever the
/// tables hold and whether or not they have been analysed.
#[tokio::test]
async fn a_lookup_takes_few_buffers_and_never_a_scan() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let mut numbers = Vec::new();
    for n in 0..64 {
        numbers.push(Some(log(&world, &issuer, &holder, &format!("KZ-{n:04}"), 1).await.seal));
    }
    let none = || vec![None::<String>; 64];
    let hash = Token::from_text(&holder.token).unwrap().hash();
    let mut reader = for_loaders(world.database()).connect().await.unwrap();
    let mut owner = world.owner().await;
    for analysed in [false, true] {
        if analysed {
            run(&mut owner, "VACUUM ANALYZE").await.unwrap();
        }
        for askers in [1, 64] {
            let check = explained(
                &mut reader,
                include_str!("../../../src/services/verification/lookup.sql"),
                |query| {
                    query
                        .bind(numbers[..askers].to_vec())
                        .bind(none()[..askers].to_vec())
                        .bind(vec![&hash[..]; askers])
                },
            );
            let check = check.await;
            let look =
                explained(&mut reader, include_str!("../../../src/timber/custody/log/rows.sql"), |query| {
                    let query = query.bind(vec![None::<uuid::Uuid>; askers]).bind(numbers[..askers].to_vec());
                    query.bind(none()[..askers].to_vec()).bind(vec![&hash[..]; askers])
                });
            let look = look.await;
            for (plan, most) in [(&check, 14), (&look, 20)] {
                assert_eq!(plan["Actual Rows"].as_f64(), Some(f64::from(u32::try_from(askers).unwrap())));
                for node in nodes(plan) {
                    let kind = node["Node Type"].as_str().unwrap();
                    assert!(!matches!(kind, "Seq Scan" | "Hash Join" | "Merge Join"), "{plan:#}");
                }
                let each = buffers(plan) / u64::try_from(askers).unwrap();
                assert!(each <= most, "{each} buffers a caller, {askers} callers: {plan:#}");
            }
        }
    }
}

/// `fsck` looks up the events of a personal part for each recorded erasure, and so does an erasure itself.
/// Both use an index, however many harvests there are.
#[tokio::test]
async fn events_of_a_personal_part_are_found_by_an_index() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let harvest: uuid::Uuid = felled.harvest["id"].as_str().unwrap().parse().unwrap();
    let mut owner = world.owner().await;
    let copied = run(
        &mut owner,
        "INSERT INTO harvest SELECT gen_random_uuid(), h.organization_id, h.ticket_id, gen_random_uuid(), gen_random_uuid(),
             h.log_count, h.volume_m3, h.received_at
         FROM harvest h, generate_series(1, 5000)",
    );
    assert_eq!(copied.await.unwrap(), 5_000);
    run(&mut owner, "ANALYZE harvest").await.unwrap();
    let events = ormantrace::timber::party::erasure::events_of(&mut owner, harvest).await.unwrap();
    assert_eq!(events.len(), 3);
    let statement = include_str!("../../../src/timber/party/events_of.sql");
    let plan = explained(&mut owner, statement, |query| query.bind(harvest)).await;
    let of_harvests: Vec<_> =
        nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "harvest").collect();
    assert!(!of_harvests.is_empty(), "{plan:#}");
    for node in of_harvests {
        assert_eq!(node["Index Name"], "harvest_personal", "{plan:#}");
    }
}

fn hash(value: &Value) -> Hash {
    Hash::from_hex(value.as_str().unwrap()).unwrap()
}

/// Errors found by recomputing a history from the response alone.
fn recomputed(history: &Value) -> Vec<ChainError> {
    let shown: Vec<ChainEvent<'_>> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let entry = event["entry"].as_str().unwrap();
            ChainEvent {
                seq: event["seq"].as_u64().unwrap().try_into().unwrap(),
                received_at: event["received_at"].as_str().unwrap().parse().unwrap(),
                subject: Hash::from_hex(&entry[2..66]).unwrap(),
                prev: hash(&event["prev_hash"]),
                hash: hash(&event["hash"]),
                parts: ["public", "business", "personal"].map(|part| {
                    let part = &event["parts"][part];
                    Revealed {
                        commitment: hash(&part["commitment"]),
                        opening: part["text"].as_str().map(|text| (Salt(hash(&part["salt"]).0), text)),
                    }
                }),
            }
        })
        .collect();
    chain_errors(&shown)
}

/// Errors that an inspector finds in a log: by recomputation, and by comparison with the head in the log's
/// row.
async fn found(world: &World, timber: &Timber, inspector: &Org) -> Vec<String> {
    let history = world.get(&format!("/v1/logs/{}/history", timber.seal), inspector).await.expect(200);
    let mut found: Vec<String> = recomputed(&history).iter().map(ToString::to_string).collect();
    let last = history["events"].as_array().unwrap().last().cloned().unwrap_or_default();
    let row: (i32, Vec<u8>) = sqlx::query_as("SELECT head_seq, head_hash FROM log WHERE id = $1")
        .bind(timber.id)
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    if last["seq"] != row.0 || last["hash"] != hex::encode(row.1) {
        found.push("the head is not the last event".into());
    }
    found
}

/// The search columns of a log's events that differ from the hashed texts.
async fn stale_copies(db: &mut PgConnection, subject: Uuid) -> Vec<(i32, &'static str)> {
    let rows = sqlx::query(
        "SELECT seq, public, business, subject_kind, type, organization_id, operation_id, occurred_at, region
         FROM event WHERE subject_id = $1 ORDER BY seq",
    )
    .bind(subject)
    .fetch_all(db)
    .await
    .unwrap();
    let mut stale = Vec::new();
    for row in rows {
        let text = |column: &str| serde_json::from_str::<Value>(row.get(column)).unwrap();
        let (public, business) = (text("public"), text("business"));
        let kind = match public["subject"].as_str() {
            Some("log" | "stack") => 1_i16,
            other => panic!("no subject of a log's event: {other:?}"),
        };
        let id = |value: &Value| value.as_str().unwrap().parse::<Uuid>().unwrap();
        let occurred: DateTime<Utc> = business["occurred"]["at"].as_str().unwrap().parse().unwrap();
        let copies = [
            ("subject_kind", row.get::<i16, _>("subject_kind") == kind),
            ("type", row.get::<&str, _>("type") == public["type"]),
            ("organization_id", row.get::<Uuid, _>("organization_id") == id(&business["organization"])),
            ("operation_id", row.get::<Uuid, _>("operation_id") == id(&business["operation"])),
            ("occurred_at", row.get::<DateTime<Utc>, _>("occurred_at") == occurred),
            ("region", row.get::<Option<&str>, _>("region") == public["region"].as_str()),
        ];
        stale.extend(copies.iter().filter(|(_, same)| !same).map(|(name, _)| (row.get("seq"), *name)));
    }
    stale
}

/// How the tests detect that an insider has edited a column.
enum Light {
    /// A recomputation of the history finds an error.
    Recomputation,
    /// The search column differs from the text that was hashed.
    Copy,
}

/// SQL by which an insider edits a column, and how the edit is detected.
fn edit(column: &str) -> (&'static str, Light) {
    let recomputation = |edit| (edit, Light::Recomputation);
    let copy = |edit| (edit, Light::Copy);
    match column {
        "subject_id" => recomputation("subject_id = '01999999-9999-7999-8999-999999999999'"),
        "seq" => recomputation("seq = seq + 1000"),
        "received_at" => recomputation("received_at = received_at - interval '1 microsecond'"),
        "hash" => recomputation("hash = sha256(hash)"),
        "secret" => recomputation("secret = sha256(secret)"),
        "public" => recomputation("public = replace(public, '6.5', '7.5')"),
        "business" => recomputation("business = replace(business, 'commercial', 'firewood')"),
        "personal_commitment" => recomputation("personal_commitment = sha256(personal_commitment)"),
        // The event gets the personal part of another write request. It must exist, because a missing part
        // would be read as erased.
        "personal_id" => {
            recomputation("personal_id = (SELECT id FROM personal WHERE id <> personal_id LIMIT 1)")
        }
        "subject_kind" => copy("subject_kind = 2"),
        "type" => copy("type = 'stored'"),
        "organization_id" => copy("organization_id = subject_id"),
        "operation_id" => copy("operation_id = subject_id"),
        "occurred_at" => copy("occurred_at = occurred_at - interval '1 day'"),
        "region" => copy("region = 'KZ-71'"),
        other => panic!("event.{other} has no case: how is an edit of it detected?"),
    }
}

/// Connects as an insider with the owner's rights. The triggers are disabled, and a copy of the events is
/// made from which they are restored.
async fn insider(world: &World) -> PgConnection {
    let mut owner = world.owner().await;
    run(&mut owner, "ALTER TABLE event DISABLE TRIGGER USER").await.unwrap();
    run(&mut owner, "CREATE TEMP TABLE kept AS SELECT * FROM event").await.unwrap();
    owner
}

async fn put_back(owner: &mut PgConnection) {
    let mut tx = owner.begin().await.unwrap();
    run(&mut tx, "DELETE FROM event").await.unwrap();
    run(&mut tx, "INSERT INTO event SELECT * FROM kept").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_edit_of_any_column_comes_to_light() {
    let (world, timber, inspector) = one_log(4).await;
    let other = world.sawmill().await;
    log(&world, &inspector, &other, "KZ-0002", 1).await;
    let mut owner = insider(&world).await;
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = 'event' ORDER BY ordinal_position",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(columns.len() >= 15, "{columns:?}");
    for column in &columns {
        assert_eq!(found(&world, &timber, &inspector).await, [""; 0]);
        assert_eq!(stale_copies(&mut owner, timber.id.0).await, []);
        let (change, light) = edit(column);
        let sql = format!("UPDATE event SET {change} WHERE subject_id = $1 AND seq = $2");
        on_row(&mut owner, &sql, timber.id.0, 1).await;
        match light {
            Light::Recomputation => {
                let found = found(&world, &timber, &inspector).await;
                assert!(found.iter().any(|fault| fault.starts_with("event ")), "{column}: {found:?}");
            }
            Light::Copy => {
                let stale = stale_copies(&mut owner, timber.id.0).await;
                assert!(stale.len() == 1 && stale[0].1 == column.as_str(), "{column}: {stale:?}");
                assert_eq!(found(&world, &timber, &inspector).await, [""; 0], "{column} is only a copy");
            }
        }
        put_back(&mut owner).await;
    }
}

#[tokio::test]
async fn events_removed_inserted_or_swapped_come_to_light() {
    let (world, timber, inspector) = one_log(4).await;
    let mut owner = insider(&world).await;
    let edits = [
        ("the last removed", 4, "DELETE FROM event WHERE subject_id = $1 AND seq = $2"),
        ("one in the middle removed", 2, "DELETE FROM event WHERE subject_id = $1 AND seq = $2"),
        (
            "two swapped",
            2,
            "UPDATE event e SET public = k.public, business = k.business, secret = k.secret, hash = k.hash
             FROM kept k WHERE e.subject_id = $1 AND e.seq IN ($2, $2 + 1)
                 AND k.subject_id = e.subject_id AND k.seq = 2 * $2 + 1 - e.seq",
        ),
        (
            "one inserted in place of another",
            3,
            "UPDATE event e SET business = k.business, secret = k.secret
             FROM kept k WHERE e.subject_id = $1 AND e.seq = $2 AND k.subject_id = $1 AND k.seq = $2 - 1",
        ),
    ];
    for (name, seq, sql) in edits {
        on_row(&mut owner, sql, timber.id.0, seq).await;
        let told = found(&world, &timber, &inspector).await;
        assert!(!told.is_empty(), "{name}");
        put_back(&mut owner).await;
        assert_eq!(found(&world, &timber, &inspector).await, [""; 0], "{name}, put back");
    }
}
