//! Tests of marking keys that were in the table `marking_key` before servers recorded these keys as events.

use crate::scene::{Scene, run};
use crate::world::World;
use ormantrace::base::units::Text;
use ormantrace::commands::fsck::{Code, FsckError};
use ormantrace::timber::event::types::OrganizationEventType;
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::bootstrap::{DEMONSTRATION_BIN, bootstrap_operator};
use ormantrace::timber::seal::marking_key::{self, MarkingKeyBusiness, MarkingKeyPublic};
use ormantrace::timber::seal::signing::SigningKey;
use serde_json::Value;
use sqlx::PgConnection;

async fn with_operator(world: &World) {
    let name = (Text::parse("Орман таңбалау операторы").unwrap(), Bin::parse(DEMONSTRATION_BIN).unwrap());
    bootstrap_operator(&world.app.pool, &world.clock, None, &name).await.unwrap();
}

async fn put(db: &mut PgConnection, key: &SigningKey) {
    sqlx::query("INSERT INTO marking_key VALUES ($1, $2, '2026-09-01T04:00:00Z')")
        .bind(key.id().as_str())
        .bind(key.public_key().as_slice())
        .execute(db)
        .await
        .unwrap();
}

async fn recorded(db: &mut PgConnection) -> Vec<(MarkingKeyPublic, MarkingKeyBusiness)> {
    let texts: Vec<(String, String)> =
        sqlx::query_as("SELECT public, business FROM event WHERE type = $1 ORDER BY subject_id, seq")
            .bind(OrganizationEventType::MarkingKeyKnown)
            .fetch_all(db)
            .await
            .unwrap();
    let read = |(public, business): (String, String)| {
        (serde_json::from_str(&public).unwrap(), serde_json::from_str(&business).unwrap())
    };
    texts.into_iter().map(read).collect()
}

async fn found(db: &mut PgConnection) -> Vec<FsckError> {
    Scene::found_by(db, 100, None).await
}

#[tokio::test]
async fn marking_keys_from_before_are_taken_in_once() {
    let world = World::new().await;
    with_operator(&world).await;
    let mut db = world.owner().await;
    let [old, slipped] = [[8; 32], [9; 32]].map(|seed| SigningKey::from_seed(&seed));
    put(&mut db, &old).await;
    // No server has recorded any marking key as an event yet, so `fsck` does not report keys without an
    // event.
    assert_eq!(found(&mut db).await, []);
    let own = &world.app.signing_key;
    for _ in 0..2 {
        marking_key::register(&world.app.pool, own, world.clock.now()).await.unwrap();
    }
    let told: Vec<_> =
        recorded(&mut db).await.into_iter().map(|(p, b)| (p.marking_key, b.known_since)).collect();
    let since = Some("2026-09-01T04:00:00.000000Z".to_owned());
    assert_eq!(told, [(hex::encode(old.public_key()), since), (hex::encode(own.public_key()), None)]);
    assert_eq!(found(&mut db).await, []);

    // A server has now recorded its keys as events. So `fsck` reports the key `slipped`, which is inserted
    // without an event. A server that starts with another key does not record `slipped`.
    put(&mut db, &slipped).await;
    let next = SigningKey::from_seed(&[10; 32]);
    marking_key::register(&world.app.pool, &next, world.clock.now()).await.unwrap();
    assert_eq!(recorded(&mut db).await.len(), 3);
    let all = found(&mut db).await;
    let [only] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!((only.code, only.table), (Code::RowUnexplained, "marking_key"));
    assert_eq!(only.key, slipped.id().to_string());
    // A server that holds the secret half of a key records this key at its start, even if the table has a row
    // for the key already.
    marking_key::register(&world.app.pool, &slipped, world.clock.now()).await.unwrap();
    assert_eq!(found(&mut db).await, []);

    for key in [&old, own, &next, &slipped] {
        run(&mut db, "BEGIN").await;
        let sql = format!("DELETE FROM marking_key WHERE key_id = '{}'", key.id());
        assert_eq!(run(&mut db, &sql).await, 1);
        let all = found(&mut db).await;
        let [only] = all.as_slice() else { panic!("{all:#?}") };
        assert_eq!((only.code, &only.key), (Code::RowMissing, &key.id().to_string()));
        assert!(only.event.is_some());
        run(&mut db, "ROLLBACK").await;
    }
}

/// Many instances start at once: only one records the key that all share.
#[tokio::test]
async fn a_marking_key_is_recorded_once_by_many_instances() {
    let world = World::new().await;
    with_operator(&world).await;
    let (pool, own, now) = (&world.app.pool, &world.app.signing_key, world.clock.now());
    let starts = (0..8).map(|_| marking_key::register(pool, own, now));
    for done in futures_util::future::join_all(starts).await {
        done.unwrap();
    }
    let mut db = world.owner().await;
    assert_eq!(recorded(&mut db).await.len(), 1);
    assert_eq!(found(&mut db).await, []);
}

/// An inspector sees nothing of the operator's API keys, and all of the marking keys.
#[tokio::test]
async fn an_inspector_is_shown_every_marking_key() {
    let scene = Scene::new().await;
    scene.serve_register();
    let path = format!("/v1/organizations/{}/export", scene.operator.id);
    let export = scene.world.get(&path, &scene.inspector).await.expect(200);
    let text = |event: &Value, part: &str| event["parts"][part]["text"].as_str().map(str::to_owned);
    let events = export["events"].as_array().unwrap();
    let mut keys = Vec::new();
    for event in events {
        let public =
            text(event, "public").and_then(|text| serde_json::from_str::<MarkingKeyPublic>(&text).ok());
        let business = text(event, "business");
        assert!(business.as_ref().is_none_or(|text| !text.contains("token_hash")));
        if let Some(public) = public {
            serde_json::from_str::<MarkingKeyBusiness>(&business.unwrap()).unwrap();
            keys.push(public.marking_key);
        }
    }
    let other = SigningKey::from_seed(&[9; 32]);
    assert_eq!(keys, [&scene.world.app.signing_key, &other].map(|key| hex::encode(key.public_key())));
}
