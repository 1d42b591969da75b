//! Surveillance on the database: exactly once, whenever it is killed; the same findings in small and large
//! batches; a new version that is replayed before it is in force.

use crate::world::{Felled, Org, World};
use ormantrace::base::units::utc_text;
use ormantrace::evidence::register::Sequencer;
use ormantrace::services::surveillance::engine::Engine;
use ormantrace::services::surveillance::finding::Change;
use ormantrace::services::surveillance::postgres::{self, PersonSecret};
use ormantrace::services::surveillance::replay;
use ormantrace::services::surveillance::runner::{Batch, Runner};
use ormantrace::services::surveillance::window::Memory;
use ormantrace::timber::parameter::{Parameters, Rulebook};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

const SECRET: PersonSecret = PersonSecret([7; 32]);

/// Lets a future be polled so many times, and drops it then: as if the process was killed there.
struct Killed<F> {
    of: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.of.as_mut().poll(context).map(Some)
    }
}

fn runner(world: &World, trial: bool) -> Runner {
    let clock = world.clock.clone();
    Runner::new(SECRET, Rulebook::new(clock.clone()), clock, trial)
}

/// Some logs with histories: other wood under a seal, a trip that is too fast, a seal that was not lost.
async fn histories(world: &World) -> Felled {
    let felled = world.felled(4).await;
    let (enterprise, inspector) = (&felled.enterprise, &felled.inspector);
    world.later(60);
    let other =
        json!({"details": {"outcome": "match", "observed": {"species": "larix_sibirica", "length_m": 4}}});
    world.event(inspector, "inspected", &felled.logs[..1], other).await.expect(201);
    let at = |lat: f64, lon: f64| json!({"position": {"lat": lat, "lon": lon, "accuracy_m": 10}});
    let mut loaded = at(50.7, 79.6);
    loaded["carrier_bin"] = json!(felled.carrier.bin);
    loaded["vehicle"] = json!("123 ABC 16");
    world.event(enterprise, "loaded", &felled.logs[1..2], loaded).await.expect(201);
    world.later(10);
    world.event(enterprise, "departed", &felled.logs[1..2], at(43.3, 77.0)).await.expect(201);
    world.later(600);
    world.event(enterprise, "lost", &felled.logs[2..3], json!({})).await.expect(201);
    felled
}

async fn sequenced(world: &World) {
    let mut db = world.app.pool.acquire().await.unwrap();
    Sequencer::new(world.app.queue.clone()).tick(&mut db).await.unwrap();
}

async fn findings(world: &World, trial: bool) -> Vec<(String, String, String, String)> {
    sqlx::query_as(
        "SELECT rule, subject_id::text, key, severity || inputs || evidence FROM surveillance_finding WHERE trial = $1 ORDER BY 1, 2, 3",
    )
    .bind(trial)
    .fetch_all(&world.app.pool)
    .await
    .unwrap()
}

async fn windows(world: &World, trial: bool) -> Vec<(i16, String, Vec<u8>)> {
    sqlx::query_as("SELECT kind, id::text, \"window\" FROM surveillance_state WHERE trial = $1 ORDER BY 1, 2")
        .bind(trial)
        .fetch_all(&world.app.pool)
        .await
        .unwrap()
}

async fn to_the_end(runner: &Runner, db: &mut PgConnection, count: i64) {
    while runner.batch(db, count).await.unwrap() == Batch::Folded(usize::try_from(count).unwrap()) {}
}

#[tokio::test]
async fn killed_at_any_step_the_engine_finds_the_same() {
    let world = World::new().await;
    let felled = histories(&world).await;
    sequenced(&world).await;
    // Undisturbed, in batches of one leaf.
    to_the_end(&runner(&world, true), &mut world.owner().await, 1).await;
    let (expected, state) = (findings(&world, true).await, windows(&world, true).await);
    let rules: Vec<_> = expected.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert!(rules.contains(&"L3") && rules.contains(&"impossible-journey"), "{rules:?}");
    // Killed after each number of polls, in batches of five.
    let (mut polls, mut kills) = (1, 0);
    let runner = runner(&world, false);
    loop {
        let mut db = world.owner().await;
        let batch = Killed { of: Box::pin(runner.batch(&mut db, 5)), polls };
        match batch.await {
            None => {
                kills += 1;
                polls += 1;
            }
            Some(done) if done.as_ref().unwrap() == &Batch::Folded(0) => break,
            // The next batch is killed from its first step on.
            Some(done) => {
                let done = done.unwrap();
                if done == Batch::Elsewhere {
                    // The killed connection has not ended in the server yet.
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                } else {
                    polls = 1;
                }
            }
        }
    }
    assert!(kills > 20, "{kills}");
    assert_eq!(findings(&world, false).await, expected);
    assert_eq!(windows(&world, false).await, state);
    assert_eq!(in_memory(&world).await, expected);
    let made: Vec<(String,)> =
        sqlx::query_as("SELECT f.rule FROM finding f JOIN surveillance_finding s ON s.finding_id = f.id")
            .fetch_all(&world.app.pool)
            .await
            .unwrap();
    assert_eq!(made.len(), expected.len(), "one finding each");
    // The inspector sees them like others.
    let listed = world.get("/v1/findings", &felled.inspector).await.expect(200);
    assert!(listed["items"].as_array().unwrap().iter().any(|finding| finding["rule"] == "L3"), "{listed}");
}

#[tokio::test]
async fn one_engine_works_at_a_time() {
    let world = World::new().await;
    histories(&world).await;
    sequenced(&world).await;
    let runner = runner(&world, false);
    let (mut one, mut other) = (world.owner().await, world.owner().await);
    let held = sqlx::query("SELECT 1; ").execute(&mut one).await;
    assert!(held.is_ok());
    let (first, second) = tokio::join!(runner.batch(&mut one, 1_000), runner.batch(&mut other, 1_000));
    let folded = [first.unwrap(), second.unwrap()];
    let total: usize =
        folded.iter().map(|batch| if let Batch::Folded(leaves) = batch { *leaves } else { 0 }).sum();
    let leaves: i64 =
        sqlx::query_scalar("SELECT count(*) FROM leaf").fetch_one(&world.app.pool).await.unwrap();
    assert_eq!(i64::try_from(total).unwrap(), leaves, "{folded:?}");
}

#[tokio::test]
async fn a_new_version_is_replayed_before_it_is_in_force() {
    let world = World::new().await;
    histories(&world).await;
    sequenced(&world).await;
    let live = runner(&world, false);
    let mut db = world.owner().await;
    to_the_end(&live, &mut db, 100).await;
    let before = findings(&world, false).await;
    let ids = async || -> Vec<(uuid::Uuid,)> {
        sqlx::query_as("SELECT id FROM finding ORDER BY 1").fetch_all(&world.app.pool).await.unwrap()
    };
    let first = ids().await;
    // The findings of the version before: one that this version does not make, and one that it lacked.
    let change = |sql: &'static str| sqlx::query(sql);
    change("UPDATE surveillance SET version = 0").execute(&mut db).await.unwrap();
    change("DELETE FROM surveillance_finding WHERE rule = 'L3'").execute(&mut db).await.unwrap();
    change("UPDATE surveillance_finding SET key = 'old' WHERE rule = 'impossible-journey'")
        .execute(&mut db)
        .await
        .unwrap();
    assert_eq!(live.batch(&mut db, 100).await.unwrap(), Batch::OtherVersion(0), "the engine waits");
    let clock = world.clock.clone();
    let report = replay::replay(&mut db, SECRET, Rulebook::new(clock.clone()), clock.clone()).await.unwrap();
    let text = report.to_string();
    assert!(text.contains("L3: 0 findings are the same, 1 are new, 0 are gone"), "{text}");
    assert!(text.contains("impossible-journey: 0 findings are the same, 1 are new, 1 are gone"), "{text}");
    assert_eq!(ids().await, first, "a report changes nothing");
    assert!(replay::apply(&mut db, &clock).await.unwrap());
    assert_eq!(findings(&world, false).await, before);
    assert_eq!(live.batch(&mut db, 100).await.unwrap(), Batch::Folded(0), "it goes on behind the replay");
}

/// The findings of a fold of all leaves in memory.
async fn in_memory(world: &World) -> Vec<(String, String, String, String)> {
    let leaves = postgres::leaves(&mut world.owner().await, &SECRET, 0, 10_000).await.unwrap();
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    let mut engine = Engine::new(Arc::new(Parameters::default()), 0);
    for leaf in &leaves {
        assert!(engine.step(leaf, &mut memory, &mut out), "{} {}", leaf.public, leaf.business);
    }
    engine.sweep(world.clock.now(), &mut memory, &mut out);
    let mut found = BTreeMap::new();
    for change in out {
        match change {
            Change::Found(finding) => drop(found.entry(finding.at.clone()).or_insert(finding)),
            Change::Withdrawn(at) => drop(found.remove(&at)),
        }
    }
    let mut rows: Vec<_> = found
        .into_values()
        .map(|finding| {
            let evidence = serde_json::to_string(&finding.evidence).unwrap();
            let text = format!("{}{}{evidence}", finding.severity, finding.inputs.to_text());
            (finding.at.rule.to_owned(), finding.at.subject.to_string(), finding.at.key.clone(), text)
        })
        .collect();
    rows.sort();
    rows
}

/// What the inspector's list shows of a rule: id, state, the English sentence.
async fn listed(world: &World, inspector: &Org, rule: &str) -> Vec<(String, String, String)> {
    let page = world.get(&format!("/v1/findings?rule={rule}"), inspector).await.expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (text(&item["id"]), text(&item["state"]), text(&item["message"]["en"]))).collect()
}

#[tokio::test]
async fn a_late_event_withdraws_and_adds_findings() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (enterprise, inspector) = (&felled.enterprise, &felled.inspector);
    let start = world.clock.now();
    let time = |hours: i64| utc_text(start + chrono::TimeDelta::hours(hours));
    let live = runner(&world, false);
    let mut db = world.owner().await;
    let mut fold = async || {
        sequenced(&world).await;
        to_the_end(&live, &mut db, 7).await;
        assert_eq!(findings(&world, false).await, in_memory(&world).await);
    };
    world.later(10 * 60);
    let cancel = format!("/v1/felling-tickets/{}/cancel", felled.ticket);
    world.post(&cancel, &felled.forest_owner, json!({"reason": "Өрт"})).await.expect(200);
    world.later(10 * 60);
    let more = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 16"});
    world.event(enterprise, "loaded", &felled.logs[..1], more).await.expect(201);
    fold().await;
    let first = listed(&world, inspector, "ticket-cancelled").await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].2.contains("left the forest on"), "{first:?}");
    // An inspector finds that the log was loaded before the ticket was cancelled.
    let set =
        |hours: i64| json!({"corrects": 2, "reason": "Сағат қате", "set": {"occurred_at": time(hours)}});
    world.event(inspector, "corrected", &felled.logs[..1], set(1)).await.expect(201);
    fold().await;
    assert_eq!(listed(&world, inspector, "ticket-cancelled").await, []);
    // The row stays for those who saw it.
    world.get(&format!("/v1/findings/{}", first[0].0), inspector).await.expect(200);
    // And back: a new finding, which the list shows.
    world.event(inspector, "corrected", &felled.logs[..1], set(19)).await.expect(201);
    fold().await;
    let again = listed(&world, inspector, "ticket-cancelled").await;
    assert!(again.len() == 1 && again[0].0 != first[0].0, "{again:?}");
    // One that was decided stays when later events explain it.
    let decision = json!({"state": "confirmed", "reason": "Тексерілді", "expected_seq": 0});
    world.post(&format!("/v1/findings/{}/decision", again[0].0), inspector, decision).await.expect(200);
    world.event(inspector, "corrected", &felled.logs[..1], set(2)).await.expect(201);
    fold().await;
    let kept = listed(&world, inspector, "ticket-cancelled").await;
    assert!(kept.len() == 1 && kept[0].0 == again[0].0 && kept[0].1 == "confirmed", "{kept:?}");
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_response_is_repeated_without_findings_that_came_later() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.later(60);
    let other =
        json!({"details": {"outcome": "match", "observed": {"species": "larix_sibirica", "length_m": 4}}});
    let body = json!({"type": "inspected", "logs": felled.logs, "occurred_at": utc_text(world.clock.now()),
        "details": other["details"]});
    let send = async || {
        let request = axum::http::Request::post("/v1/custody-events")
            .header("authorization", format!("Bearer {}", felled.inspector.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "inspection-0001")
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        world.send(request).await.expect(201)
    };
    let first = send().await;
    sequenced(&world).await;
    to_the_end(&runner(&world, false), &mut world.owner().await, 100).await;
    assert_eq!(listed(&world, &felled.inspector, "L3").await.len(), 1);
    assert_eq!(send().await, first);
}

#[tokio::test]
async fn buyers_checks_of_a_used_up_log_are_a_notice() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.later(60);
    world.event(&felled.enterprise, "processed", &felled.logs, json!({})).await.expect(201);
    sequenced(&world).await;
    let live = runner(&world, false);
    let mut db = world.owner().await;
    world.clock.set(world.clock.now() + chrono::TimeDelta::days(3));
    to_the_end(&live, &mut db, 100).await;
    let seal = &felled.logs[0];
    let checks = &world.app.checks;
    for address in ["192.0.2.1", "192.0.2.2", "198.51.100.9"] {
        checks.note(seal, address.parse().unwrap(), world.clock.now());
    }
    checks.write(&world.app.pool).await.unwrap();
    checks.note(seal, "192.0.2.1".parse().unwrap(), world.clock.now());
    checks.write(&world.app.pool).await.unwrap();
    let counts: Vec<(i32,)> =
        sqlx::query_as("SELECT count FROM seal_check ORDER BY 1").fetch_all(&world.app.pool).await.unwrap();
    assert_eq!(counts, [(1,), (3,)], "one row a block");
    for _ in 0..3 {
        world.later(70);
        to_the_end(&live, &mut db, 100).await;
    }
    let found = listed(&world, &felled.inspector, "L5").await;
    assert_eq!(found.len(), 1, "once: {found:?}");
    assert!(found[0].2.contains("checked 4 times") && found[0].2.contains("at least 2"), "{found:?}");
    // A check without an account counts; one with a token does not.
    world.get(&format!("/v1/verify/{seal}"), &felled.inspector).await.expect(200);
    assert_eq!(checks.take().len(), 0);
    // After 90 days the counts are gone.
    world.clock.set(world.clock.now() + chrono::TimeDelta::days(91));
    to_the_end(&live, &mut db, 100).await;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM seal_check").fetch_one(&world.app.pool).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(world.unsound().await, [""; 0]);
}
