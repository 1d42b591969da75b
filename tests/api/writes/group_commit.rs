//! Group commit: custody events that arrive at the same time share a transaction, with the same results as if
//! each had a transaction of its own.

use crate::wired::{Asking, Wired, poll, post, soon};
use crate::world::{Answer, Felled, Org, World};
use ormantrace::base::ids::OperationId;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::router::router;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

const PATH: &str = "/v1/custody-events";

/// The body of a custody event that occurs at the world's time. Members of `more` replace members of this
/// body.
fn event(world: &World, what: &str, logs: &[String], more: Value) -> Value {
    let at = ormantrace::base::units::utc_text(world.clock.now());
    let mut body = json!({"type": what, "logs": logs, "occurred_at": at});
    if let Value::Object(more) = more {
        for (name, value) in more {
            body[name] = value;
        }
    }
    body
}

impl Wired {
    fn event(&self, org: &Org, body: &Value) -> Asking {
        post(&self.router, PATH, org, None, body)
    }

    /// A server that has prepared the statements of group commit.
    async fn warm(world: &World, felled: &Felled) -> Self {
        let server = Self::to(world);
        let warming = event(world, "stored", &felled.logs[felled.logs.len() - 1..], json!({}));
        server.event(&felled.enterprise, &warming).await.expect(201);
        server
    }
}

/// Waits until a group commit connection to this database meets `condition`; if `is` is false, until none
/// does.
async fn until_a_writer(world: &World, is: bool, condition: &str) {
    let mut watching = world.owner().await;
    let asked = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity
         WHERE application_name = 'ormantrace-writer' AND datname = current_database() AND {condition})"
    );
    loop {
        let there: bool =
            sqlx::query_scalar(AssertSqlSafe(asked.as_str())).fetch_one(&mut watching).await.unwrap();
        if there == is {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// Number of events of a log; checks each link of its chain.
async fn events(world: &World, felled: &Felled, log: &str) -> usize {
    let told = world.get(&format!("/v1/logs/{log}/history"), &felled.inspector).await.expect(200);
    let events = told["events"].as_array().unwrap();
    assert_eq!(told["log"]["head"]["hash"], events.last().unwrap()["hash"]);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], n + 1);
        if n > 0 {
            assert_eq!(event["prev_hash"], events[n - 1]["hash"]);
        }
    }
    events.len()
}

fn codes(answer: &Answer) -> Vec<String> {
    answer.json()["errors"]
        .as_array()
        .map(|errors| errors.iter().map(|error| error["code"].as_str().unwrap().to_owned()).collect())
        .unwrap_or_default()
}

#[tokio::test]
async fn concurrent_writes_take_the_statements_of_one() {
    let world = World::new().await;
    let felled = world.felled(12).await;
    let server = Wired::warm(&world, &felled).await;
    let stored = |n: usize| event(&world, "stored", &felled.logs[n..=n], json!({}));

    let before = server.wire.statements();
    server.event(&felled.enterprise, &stored(11)).await.expect(201);
    assert_eq!(server.wire.statements() - before, 5, "the caller; BEGIN, check, insert, COMMIT");

    let before = server.wire.statements();
    let answers =
        server.together((0..11).map(|n| server.event(&felled.enterprise, &stored(n))).collect()).await;
    // The look-ups of the callers and the writes are batched separately. The first request of each kind may
    // be sent alone, before the others arrive.
    let took = server.wire.statements() - before;
    assert!(took <= 2 + 2 * 4, "eleven writes took {took} statements");
    for (answer, log) in answers.iter().zip(&felled.logs) {
        let told = answer.expect(201);
        assert_eq!(told["events"].as_array().unwrap().len(), 1);
        assert_eq!(told["events"][0]["seq"], 2);
        assert!(
            told["receipt"]["note"].as_str().unwrap().contains("\n1\n"),
            "a receipt for one leaf: {told}"
        );
        assert_eq!(events(&world, &felled, log).await, 2);
        let state = world.get(&format!("/v1/logs/{log}"), &felled.enterprise).await.expect(200);
        assert_eq!(
            (&state["status"], &state["head"]["hash"]),
            (&json!("stored"), &told["events"][0]["hash"])
        );
    }
}

#[tokio::test]
async fn each_write_of_a_batch_gets_the_answer_it_would_get_alone() {
    let world = World::new().await;
    let felled = world.felled(12).await;
    let (holder, stranger) = (&felled.enterprise, &felled.sawmill);
    let server = Wired::warm(&world, &felled).await;
    let of = |what: &str, logs: &[usize], more: Value| {
        let logs: Vec<String> = logs.iter().map(|n| felled.logs[*n].clone()).collect();
        event(&world, what, &logs, more)
    };
    let future = json!({"occurred_at": "2026-12-24T12:00:00+05:00"});
    let postings = [
        (holder, of("stored", &[0], json!({})), 201, ""),
        (holder, of("stored", &[1], json!({"logs": ["KZ-99999999"]})), 422, "unknown-log"),
        (stranger, of("stored", &[2], json!({})), 422, "unknown-log"),
        (holder, of("stored", &[3, 3], json!({})), 422, "duplicate-in-batch"),
        (holder, of("accepted", &[4], json!({})), 409, "transition-not-allowed"),
        (holder, of("transferred", &[5], json!({"to_bin": holder.bin})), 422, "transfer-to-oneself"),
        (holder, of("stored", &[6], future), 422, "in-the-future"),
        (holder, of("transferred", &[7, 8], json!({"to_bin": stranger.bin})), 201, ""),
        (&felled.inspector, of("inspected", &[9], json!({"details": {"outcome": "match"}})), 201, ""),
        // Two write requests for one log: both succeed, one after the other.
        (holder, of("stored", &[10], json!({"place": {"name": "Семей, жоғарғы қойма"}})), 201, ""),
        (holder, of("stored", &[10], json!({"place": {"name": "Семей, төменгі қойма"}})), 201, ""),
    ];
    let answers =
        server.together(postings.iter().map(|(org, body, ..)| server.event(org, body)).collect()).await;
    for (answer, (_, body, status, code)) in answers.iter().zip(&postings) {
        answer.expect(*status);
        let wanted: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(codes(answer), wanted, "{body}");
    }
    for (log, count) in
        [(0, 2), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2), (8, 2), (9, 2), (10, 3)]
    {
        assert_eq!(events(&world, &felled, &felled.logs[log]).await, count, "log {log}");
    }
    let both = answers[9].json()["events"][0]["seq"].as_u64().unwrap()
        + answers[10].json()["events"][0]["seq"].as_u64().unwrap();
    assert_eq!(both, 2 + 3);
    let waiting = world.get(&format!("/v1/logs/{}", felled.logs[8]), stranger).await.expect(200);
    assert_eq!(waiting["pending"]["of"], "both", "the receiver sees the pending transfer");
}

#[tokio::test]
async fn a_locked_log_delays_only_its_own_write() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let server = Wired::warm(&world, &felled).await;
    let mut elsewhere = world.owner().await;
    let mut holding = elsewhere.begin().await.unwrap();
    sqlx::query("SELECT FROM log WHERE seal_number = $1 FOR UPDATE")
        .bind(&felled.logs[0])
        .execute(&mut *holding)
        .await
        .unwrap();
    let stored = |n: usize| event(&world, "stored", &felled.logs[n..=n], json!({}));
    let mut held = server.event(&felled.enterprise, &stored(0));
    assert!(poll(&mut held).await.is_pending());
    soon(server.event(&felled.enterprise, &stored(1))).await.expect(201);
    assert!(poll(&mut held).await.is_pending());
    holding.rollback().await.unwrap();
    assert_eq!(soon(held).await.expect(201)["events"][0]["seq"], 2);
}

#[tokio::test]
async fn concurrent_writes_with_one_id_or_key_are_recorded_once() {
    let world = World::new().await;
    let felled = world.felled(6).await;
    let server = Wired::warm(&world, &felled).await;
    let holder = &felled.enterprise;
    let with = |n: usize, more: Value| event(&world, "stored", &felled.logs[n..=n], more);
    let operation = json!({"operation_id": OperationId::new().0});
    let (first, other) = (with(0, operation.clone()), with(1, operation));
    let keyed = |body: &Value| post(&server.router, PATH, holder, Some("truck-718-AB"), body);
    let (plain, also) = (with(2, json!({})), with(3, json!({})));

    let asking = [server.event(holder, &first), server.event(holder, &first), keyed(&plain), keyed(&plain)];
    let answers = server.together(asking.into()).await;
    for pair in answers.chunks(2) {
        let statuses = [pair[0].status.as_u16(), pair[1].status.as_u16()];
        assert!(statuses.contains(&201), "{statuses:?}");
        // The other request gets the same events, or a 409 after which it has to be sent again.
        for again in pair.iter().filter(|answer| answer.status != 409) {
            assert_eq!(
                again.json()["events"],
                pair.iter().find(|one| one.status == 201).unwrap().json()["events"]
            );
        }
    }
    for log in [0, 2] {
        assert_eq!(events(&world, &felled, &felled.logs[log]).await, 2);
    }
    // Later the requests are repeated: with the same operation id, with the same idempotency key, and with
    // other contents under either.
    assert_eq!(server.event(holder, &first).await.expect(200)["events"], answers[0].json()["events"]);
    assert_eq!(codes(&server.event(holder, &other).await), ["operation-id-used"]);
    let replayed = keyed(&plain).await;
    assert_eq!(replayed.expect(201), answers[2].json());
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    keyed(&also).await.expect(422);
    for log in [1, 3] {
        assert_eq!(events(&world, &felled, &felled.logs[log]).await, 1);
    }
}

/// If another transaction commits an operation id right after the check for it, the check misses it, and the
/// table's primary key rejects the second use.
#[tokio::test]
async fn an_id_taken_between_check_and_insert_fails_only_its_own_write() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let server = Wired::warm(&world, &felled).await;
    let holder = &felled.enterprise;
    let operation = OperationId::new().0;
    let mut elsewhere = world.owner().await;
    let mut giving = elsewhere.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
         SELECT id, $2, 'harvest', sha256('another posting'), '{}', '{}', now() FROM organization WHERE bin = $1",
    )
    .bind(&holder.bin)
    .bind(operation)
    .execute(&mut *giving)
    .await
    .unwrap();
    let named = event(&world, "stored", &felled.logs[..1], json!({"operation_id": operation}));
    let bystander = event(&world, "stored", &felled.logs[1..2], json!({}));
    let together = server.together(vec![server.event(holder, &named), server.event(holder, &bystander)]);
    let (answers, ()) = tokio::join!(together, async {
        // By now both requests are in the database and wait for the operation id.
        until_a_writer(&world, true, "wait_event_type = 'Lock'").await;
        giving.commit().await.unwrap();
    });
    assert_eq!((answers[0].status.as_u16(), codes(&answers[0])), (409, vec!["operation-id-used".to_owned()]));
    answers[1].expect(201);
    assert_eq!(events(&world, &felled, &felled.logs[0]).await, 1);
    assert_eq!(events(&world, &felled, &felled.logs[1]).await, 2);
}

#[tokio::test]
async fn a_connection_lost_before_commit_is_retried_and_at_commit_is_reported() {
    let world = World::new().await;
    let felled = world.felled(9).await;
    let server = Wired::warm(&world, &felled).await;
    let holder = &felled.enterprise;
    let asking = |logs: std::ops::Range<usize>| -> Vec<Asking> {
        logs.map(|n| server.event(holder, &event(&world, "stored", &felled.logs[n..=n], json!({})))).collect()
    };
    server.wire.break_at("BEGIN", false);
    for answer in server.together(asking(0..2)).await {
        answer.expect(201);
    }
    assert!(server.wire.has_broken());
    // If the reply to a COMMIT is lost, it is unknown whether the transaction was committed. The response is
    // then `outcome-unknown`, and the write is not executed a second time.
    for (passes, logs, events_then) in [(false, 2..5, 1), (true, 5..8, 2)] {
        server.wire.break_at("COMMIT", passes);
        let answers = server.together(asking(logs.clone())).await;
        assert!(server.wire.has_broken());
        let unknown: Vec<usize> = logs
            .zip(&answers)
            .filter(|(_, answer)| answer.status != 201)
            .map(|(log, answer)| {
                assert!(answer.expect(503)["type"].as_str().unwrap().ends_with("outcome-unknown"));
                log
            })
            .collect();
        assert!(!unknown.is_empty());
        // A COMMIT that reached the database may still run when its reply is lost.
        soon(until_a_writer(&world, false, "xact_start IS NOT NULL")).await;
        for log in unknown {
            assert_eq!(events(&world, &felled, &felled.logs[log]).await, events_then, "log {log}, {passes}");
        }
    }
}

#[tokio::test]
async fn writers_of_two_instances_fork_no_chain() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let routers = [
        router(world.instance(), &LayerSettings::default()),
        router(world.instance(), &LayerSettings::default()),
    ];
    let asking = (0..48).map(|n| {
        // Each request names up to three of the four logs, in varying order.
        let logs: Vec<String> = (0..3).map(|k| felled.logs[(n + k * (1 + n % 3)) % 4].clone()).collect();
        let logs: Vec<String> = logs
            .iter()
            .enumerate()
            .filter(|(k, log)| !logs[..*k].contains(log))
            .map(|(_, log)| log.clone())
            .collect();
        let body = event(&world, "stored", &logs, json!({}));
        let (router, count) = (&routers[n % 2], logs.len());
        let posting = post(router, PATH, &felled.enterprise, None, &body);
        async move { (posting.await, count) }
    });
    let mut posted = 0;
    for (answer, count) in soon(futures_util::future::join_all(asking)).await {
        assert_eq!(answer.expect(201)["events"].as_array().unwrap().len(), count);
        posted += count;
    }
    let mut stored = 0;
    for log in &felled.logs {
        stored += events(&world, &felled, log).await - 1;
    }
    assert_eq!(stored, posted);
}
