//! Runs `fsck` while writers continue. It must report no fsck error, whether or not it sees the new events.

use crate::scene::{Scene, run};
use crate::world::World;
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::commands::fsck::{self, FsckError, Scope, Snapshots};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often each writer calls `write`, and how many checks by `fsck` must end after that before the writer
/// stops.
const ROUNDS: u32 = 6;
const CHECKS: u32 = 3;

/// Sends writes that concern a batch of seals, which is so large that `fsck` reads it in several pages. Some
/// of the seals are used in a harvest, transferred, voided or replaced, and the person of the harvest is
/// erased. Returns the seals.
async fn write(scene: &Scene) -> Vec<String> {
    let Scene { world, operator, enterprise, sawmill, .. } = scene;
    let post = async |path: &str, by, body: Value| {
        let answer = world.post(path, by, body).await;
        assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.bytes));
        if answer.bytes.is_empty() { Value::Null } else { answer.json() }
    };
    let seals = world.seals(operator, enterprise, 60).await;
    let harvest = World::harvest_of(&scene.ticket.to_string(), &seals[..2]);
    let harvest = post("/v1/harvests", enterprise, harvest).await;
    post("/v1/seals/transfer", enterprise, json!({"numbers": seals[10..25], "to_bin": sawmill.bin})).await;
    let void = format!("/v1/seals/{}/void", seals[5]);
    post(&void, enterprise, json!({"reason": "spoiled"})).await;
    let logs = &seals[..1];
    let stored = world.event(enterprise, "stored", &seals[..2], json!({})).await;
    assert!(stored.status.is_success(), "{}", String::from_utf8_lossy(&stored.bytes));
    let new = json!({"new_seal_number": seals[3], "reason": "Пломба бүлінді"});
    let replaced = world.event(enterprise, "seal_replaced", logs, new).await;
    assert!(replaced.status.is_success(), "{}", String::from_utf8_lossy(&replaced.bytes));
    let whose = ErasureTarget::Harvest(harvest["id"].as_str().unwrap().parse().unwrap());
    erase::delete(&mut world.owner().await, &whose, &world.clock).await.unwrap();
    seals
}

/// Moves queued leaves into the register, as the sequencer does.
pub async fn sequence(scene: &Scene) {
    run(
        &mut scene.world.owner().await,
        "WITH taken AS (DELETE FROM leaf_queue RETURNING id, entry, subject_id, seq)
         INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
         SELECT (SELECT size FROM register) + row_number() OVER (ORDER BY id) - 1, entry, subject_id, seq, now()
         FROM taken;
         UPDATE register SET size = (SELECT count(*) FROM leaf)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_beside_writers_finds_nothing() {
    let scene = Scene::new().await;
    let (writers, checks) = (AtomicU32::new(2), AtomicU32::new(0));
    let writes = || writers.load(Ordering::SeqCst) > 0;
    let writing = async || {
        let mut seals = Vec::new();
        for _ in 0..ROUNDS {
            seals = write(&scene).await;
        }
        // After that, the writer continues until CHECKS more checks by `fsck` have ended. It transfers seals
        // from two pages of the batch back and forth. It also adds events to a log until the log's chain
        // takes several pages, so that an event and its reversal are on different pages.
        let enough = checks.load(Ordering::SeqCst) + CHECKS;
        let Scene { world, enterprise, sawmill, inspector, .. } = &scene;
        let log = &seals[1..2];
        let event = async |by, what: &str, more| {
            let answer = world.event(by, what, log, more).await;
            assert!(answer.status.is_success(), "{what}: {}", String::from_utf8_lossy(&answer.bytes));
            answer.json()["events"][0]["seq"].clone()
        };
        while checks.load(Ordering::SeqCst) < enough {
            for (from, to) in [(enterprise, sawmill), (sawmill, enterprise)] {
                let body = json!({"numbers": seals[30..], "to_bin": to.bin});
                let moved = world.post("/v1/seals/transfer", from, body).await;
                assert!(moved.status.is_success(), "{}", String::from_utf8_lossy(&moved.bytes));
            }
            let lost = event(enterprise, "lost", json!({})).await;
            for _ in 0..8 {
                event(inspector, "inspected", json!({"details": {"outcome": "mismatch", "hold": false}}))
                    .await;
            }
            let undo = json!({"corrects": lost, "reason": "Табылды", "reverse": true});
            // Only an inspector reverses the loss of a log again and again.
            event(inspector, "corrected", undo).await;
        }
        writers.fetch_sub(1, Ordering::SeqCst);
    };
    let sequencing = async {
        while writes() {
            sequence(&scene).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let checking = async {
        let mut db = scene.world.owner().await;
        while writes() {
            // Each snapshot reads few rows, so that the writers commit between two snapshots as often as
            // possible.
            let rows = if checks.load(Ordering::SeqCst) % 2 == 0 { 20 } else { 6 };
            let scope = Scope { snapshots: Snapshots::Short, rows, published: Some(scene.published.clone()) };
            let mut found: Vec<FsckError> = Vec::new();
            fsck::check(&mut db, &scope, &mut found).await.unwrap();
            let told: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert!(told.is_empty(), "{told:#?}");
            checks.fetch_add(1, Ordering::SeqCst);
        }
    };
    tokio::join!(writing(), writing(), sequencing, checking);
}
