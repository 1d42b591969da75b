//! The data that `benches/speed` loads equals what the server would have written: every chain links, the
//! custody rules allow every event, and the server's responses match.

#![allow(dead_code, reason = "the measurements use all of what they share with this")]

#[path = "../benches/speed/blocking.rs"]
mod blocking;
#[path = "../benches/speed/check.rs"]
mod check;
#[path = "../benches/speed/load.rs"]
mod load;
#[path = "../benches/speed/server.rs"]
mod server;
mod support;
#[path = "../benches/speed/timber.rs"]
mod timber;
#[path = "../benches/speed/world.rs"]
mod world;

use chrono::TimeDelta;
use ormantrace::base::clock::Clock;
use ormantrace::base::region::Region;
use ormantrace::timber::custody::content::{Content, LogBusiness, LogPublic};
use ormantrace::timber::custody::state::{LogState, replay};
use ormantrace::timber::custody::table::{CallerRoles, check as allowed};
use sqlx::{PgPool, Row as _};
use support::chain;
use support::pg::TestDb;

const LOGS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn loaded_data_equals_what_the_server_would_have_written() {
    let db = TestDb::new().await;
    let data = tempfile::tempdir().expect("a folder");
    let pool = PgPool::connect(&db.url()).await.expect("the owner may connect");
    world::number_seals(&mut pool.acquire().await.expect("a connection")).await.expect("a sequence");
    let server = server::Server::start(&db.url(), data.path(), &[]).expect("a server");
    let until = Clock::system().now();
    let from = until - TimeDelta::days(300);
    let mut owner = pool.acquire().await.expect("a connection");
    let parties = world::make(server.address, &mut owner, LOGS, from).await.expect("a world");
    // The server is stopped, because no sequencer may run while the loader writes leaves.
    drop(server);
    let load = load::Load { parties: &parties, logs: 0..LOGS, from, until, leaves: true };
    let shown = std::sync::atomic::AtomicU64::new(0);
    load.run(&pool, |events| shown.store(events, std::sync::atomic::Ordering::SeqCst)).await.expect("loaded");
    assert_eq!(shown.into_inner(), LOGS * u64::from(timber::EVENTS));

    let server = server::Server::start(&db.url(), data.path(), &[]).expect("a server");
    let inspector = parties.inspector.token.clone();
    for log in (0..LOGS).step_by(37) {
        let number = timber::seal_number(log);
        let path = format!("/v1/verify/{number}");
        let (status, body) =
            blocking::call(server.address, "GET", &path, Some(&inspector), None).expect("a response");
        assert_eq!(status, 200);
        check::verification(&pool, log, &body).await.expect("a true verdict");
        let path = format!("/v1/logs/{number}/history");
        let (status, body) =
            blocking::call(server.address, "GET", &path, Some(&inspector), None).expect("a response");
        assert_eq!(status, 200);
        check::history(&pool, log, &body).await.expect("a true history");
        walked(&pool, &parties, log).await;
    }
    // The check reports an error if one word of the history has changed.
    let (_, body) = blocking::call(
        server.address,
        "GET",
        &format!("/v1/logs/{}/history", timber::seal_number(3)),
        Some(&inspector),
        None,
    )
    .expect("a response");
    let forged = String::from_utf8(body).expect("text").replace("Таңба анық", "Таңба анықсыз");
    assert!(check::history(&pool, 3, forged.as_bytes()).await.is_err());

    // The server can continue from the loaded data.
    let at = (until + TimeDelta::minutes(1)).to_rfc3339();
    let body = serde_json::json!({
        "type": "stored", "logs": [timber::seal_number(5)], "occurred_at": at.replace("+00:00", "Z"),
    });
    let sawmill = &parties.sawmill(5).token;
    let made = blocking::post(server.address, sawmill, "/v1/custody-events", &body).expect("recorded");
    assert_eq!(made["events"][0]["seq"], 11);
    consistent(&pool).await;
}

/// Checks that the custody rules allow every event of the log, and that the log's row contains the state that
/// results from its events.
async fn walked(pool: &PgPool, parties: &timber::Parties, log: u64) {
    let id = timber::log_id(log);
    let rows = sqlx::query("SELECT seq, public, business FROM event WHERE subject_id = $1 ORDER BY seq")
        .bind(id.0)
        .fetch_all(pool)
        .await
        .expect("events");
    let mut contents: Vec<Content> = Vec::new();
    for row in rows {
        let content = Content {
            seq: u32::try_from(row.get::<i32, _>("seq")).expect("a seq"),
            public: LogPublic::parse(row.get("public")).expect("a public part"),
            business: LogBusiness::parse(row.get("business")).expect("a business part"),
        };
        if content.seq > 1 {
            let state: LogState = replay(&contents).expect("a state");
            let who = content.business.organization;
            let inspector = who == parties.inspector.id;
            let roles = CallerRoles { id: who, inspector, operator: false };
            let at = content.business.occurred.instant();
            let verdict = allowed(content.public.event_type, &state, roles, at);
            assert!(verdict.is_ok(), "{} after {}: {verdict:?}", content.public.event_type, state.status);
        }
        contents.push(content);
    }
    let state = replay(&contents).expect("a state");
    let row = sqlx::query(
        "SELECT status, holder_id, owner_id, last_type, last_on, last_region, last_occurred_at, head_seq, seal_number,
                head_hash = (SELECT hash FROM event WHERE subject_id = log.id AND seq = head_seq) AS at_head,
                head_received_at = (SELECT received_at FROM event WHERE subject_id = log.id AND seq = head_seq) AS on_time
         FROM log WHERE id = $1",
    )
    .bind(id.0)
    .fetch_one(pool)
    .await
    .expect("a row");
    assert_eq!(row.get::<String, _>("status"), state.status.as_str());
    assert_eq!(row.get::<uuid::Uuid, _>("holder_id"), state.holder.0);
    assert_eq!(row.get::<uuid::Uuid, _>("owner_id"), state.owner.0);
    assert_eq!(row.get::<String, _>("last_type"), state.last.event_type.as_str());
    assert_eq!(row.get::<chrono::NaiveDate, _>("last_on"), state.last.on);
    assert_eq!(row.get::<Option<String>, _>("last_region").as_deref(), state.last.region.map(Region::as_str));
    assert_eq!(row.get::<chrono::DateTime<chrono::Utc>, _>("last_occurred_at"), state.last.occurred_at);
    assert_eq!(row.get::<String, _>("seal_number"), state.seal.as_str());
    assert!(row.get::<bool, _>("at_head") && row.get::<bool, _>("on_time"));
}

/// The tables agree with each other.
async fn consistent(pool: &PgPool) {
    for (what, sql) in [
        (
            "copies of what was hashed",
            "SELECT count(*) FROM event WHERE subject_kind = 1 AND (type <> public::json->>'type'
                OR region IS DISTINCT FROM public::json->>'region'
                OR organization_id::text <> business::json->>'organization'
                OR operation_id::text <> business::json->>'operation'
                OR occurred_at <> (business::json->'occurred'->>'at')::timestamptz)",
        ),
        (
            "postings",
            "SELECT count(*) FROM event e WHERE subject_kind = 1 AND NOT EXISTS (
                SELECT FROM operation o WHERE o.operation_id = e.operation_id
                    AND o.organization_id = e.organization_id AND e.subject_id = ANY(o.subjects))",
        ),
        ("persons", "SELECT count(*) FROM event WHERE type = 'harvested' AND personal_id NOT IN (SELECT id FROM personal)"),
        (
            "harvests",
            "SELECT count(*) FROM harvest h WHERE log_count <> (SELECT count(*) FROM log WHERE harvest_id = h.id)
                OR volume_m3 <> (SELECT sum(volume_m3) FROM log WHERE harvest_id = h.id)",
        ),
        (
            "balances",
            "SELECT count(*) FROM ticket_line t WHERE (marked_m3, by_table_m3, table_m3, by_table_logs)
                <> (SELECT sum(volume_m3), sum(volume_m3), sum(table_volume_m3), count(*) FROM log WHERE line_id = t.id)",
        ),
        (
            "seals",
            "SELECT count(*) FROM log l WHERE NOT EXISTS (SELECT FROM seal s JOIN log_seal ls ON ls.seal_number = s.number
                WHERE s.log_id = l.id AND ls.log_id = l.id AND s.status = 'applied' AND s.number = l.seal_number)",
        ),
        (
            "leaves",
            "SELECT count(*) FROM event e JOIN leaf USING (subject_id, seq)
             WHERE subject_kind = 1 AND sha256('\\x00'::bytea || leaf.entry) <> e.hash",
        ),
        ("a leaf for each", "SELECT abs(10000 - count(*)) FROM leaf JOIN log ON log.id = leaf.subject_id AND leaf.seq <= 10"),
        ("no gap", "SELECT abs(count(*) - (SELECT size FROM register)) + abs(count(*) - 1 - max(index)) FROM leaf"),
    ] {
        let wrong: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.expect(what);
        assert_eq!(wrong, 0, "{what}");
    }
}
