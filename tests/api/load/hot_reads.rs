//! Hot reads, also many at once: round trips, freshness, and the effects of a failure.

use crate::stored_logs::{encoded, log, seal};
use crate::wired::{Wired, ask, poll, send, soon};
use crate::world::{Org, World};
use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use ormantrace::base::error::Error;
use ormantrace::base::token::Token;
use ormantrace::http::core::app::App;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::router::router;
use serde_json::{Value, json};
use sqlx::Connection;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Semaphore;

fn verify(code: &str) -> String {
    format!("/v1/verify/{}", encoded(code))
}

fn history(code: &str) -> String {
    format!("/v1/logs/{}/history", encoded(code))
}

#[tokio::test]
async fn round_trips_of_each_read() {
    let world = World::new().await;
    let (issuer, holder, stranger) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    log(&world, &issuer, &holder, "KZ-0001", 10).await;
    log(&world, &issuer, &holder, "KZ-0002", 1_203).await;
    let server = Wired::to(&world);

    assert_eq!(server.statements(&verify("KZ-0001"), None, 200).await, 1);
    assert_eq!(server.statements(&verify("no code at all"), None, 200).await, 0);
    assert_eq!(server.statements(&verify("KZ-0001"), Some(&holder), 200).await, 1, "the same with a caller");
    assert_eq!(server.statements(&verify("no code at all"), Some(&holder), 200).await, 1, "only the caller");
    // One statement reads the caller and the log; a history takes one more for the chain. The names of the
    // organisations come from the cache.
    assert_eq!(server.statements("/v1/logs/KZ-0001", Some(&holder), 200).await, 1);
    assert_eq!(server.statements(&history("KZ-0001"), Some(&holder), 200).await, 2);
    // One statement reads the caller and the log. Each of the three pages takes three: for the events, their
    // persons, and the names of organisations. These names are not taken from the cache, because they may be
    // erased between two pages.
    assert_eq!(server.statements(&history("KZ-0002"), Some(&holder), 200).await, 10);
    // Requests for foreign logs and for missing logs take the same number of statements, also for a role that
    // may read no logs.
    for (org, status) in [(&stranger, 404), (&world.operator().await, 403)] {
        for log in ["/v1/logs/KZ-0001", "/v1/logs/KZ-0003"] {
            for path in [log.to_owned(), format!("{log}/history"), format!("{log}/export")] {
                assert_eq!(server.statements(&path, Some(org), status).await, 2, "{path}");
            }
        }
    }
}

/// For proofs and exports of subjects other than logs, the number of statements does not disclose whether the
/// subject exists.
#[tokio::test]
async fn foreign_and_missing_subjects_take_the_same_number_of_statements() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let batch: uuid::Uuid = sqlx::query_scalar("SELECT batch_id FROM seal WHERE number = $1")
        .bind(&felled.seals[0])
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    let server = Wired::to(&world);
    for (noun, id, statements) in [
        // Three statements: the caller, the ticket, and its lines.
        ("felling-tickets", felled.ticket, 3),
        ("seal-batches", batch.to_string(), 2),
        ("organizations", felled.enterprise.id.to_string(), 2),
    ] {
        for id in [id.as_str(), "01999999-9999-7999-8999-999999999999"] {
            for file in ["proof", "export"] {
                let path = format!("/v1/{noun}/{id}/{file}");
                assert_eq!(server.statements(&path, Some(&felled.carrier), 404).await, statements, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn concurrent_reads_share_a_statement_and_each_gets_its_own_answer() {
    let world = World::new().await;
    let (issuer, holder, stranger) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let inspector = world.inspector().await;
    let mut numbers = Vec::new();
    for n in 0..12_u32 {
        log(&world, &issuer, &holder, &format!("KZ-{n:04}"), 1 + n % 4).await;
        numbers.push(format!("KZ-{n:04}"));
    }
    let server = Wired::to(&world);
    // Opens connections and prepares statements.
    for org in [&holder, &inspector] {
        server.ask(&history("KZ-0000"), Some(org)).await.expect(200);
    }
    server.ask(&verify("KZ-0000"), None).await.expect(200);

    let asking = numbers.iter().flat_map(|number| {
        [server.ask(&verify(number), None), server.ask(&verify(&format!("{number}9")), None)]
    });
    let before = server.wire.statements();
    let answers = server.together(asking.collect()).await;
    // The first query may have been sent alone, before the others arrived. The others then share one
    // statement.
    assert!(server.wire.statements() - before <= 2);
    for (number, pair) in numbers.iter().zip(answers.chunks(2)) {
        let (known, unknown) = (pair[0].expect(200), pair[1].expect(200));
        assert_eq!((&known["verdict"], &known["seal_number"]), (&json!("valid"), &json!(number)));
        assert_eq!(
            (&unknown["verdict"], &unknown["code"]),
            (&json!("unknown"), &json!(format!("{number}9")))
        );
    }

    // Each log is read by four callers with different access, and their reads share statements: the holder
    // (all), the issuer (the harvest), an inspector (all, with persons) and a third party (none).
    let readers = [&holder, &issuer, &inspector, &stranger];
    let asking = numbers.iter().flat_map(|number| readers.map(|org| server.ask(&history(number), Some(org))));
    let before = server.wire.statements();
    let answers = server.together(asking.collect()).await;
    assert!(server.wire.statements() - before <= 16, "48 histories");
    for (n, of) in answers.chunks(4).enumerate() {
        let whole = of[0].expect(200);
        assert_eq!(whole["log"]["seal"]["number"], json!(numbers[n]));
        assert_eq!(whole["events"].as_array().unwrap().len(), 1 + n % 4);
        assert_eq!(of[2].expect(200)["events"], whole["events"], "the holder recorded the person");
        assert_eq!(of[1].expect(200)["events"].as_array().unwrap().len(), 1, "the issuer sees the harvest");
        of[3].expect(404);
    }
}

#[tokio::test]
async fn a_cancelled_or_failed_read_does_not_affect_the_others() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    for n in 0..6 {
        log(&world, &issuer, &holder, &format!("KZ-{n:04}"), 2).await;
    }
    // Makes a row corrupt, as an error in the program might.
    sqlx::query("UPDATE log SET species = 'picea_lapidea' WHERE seal_number = 'KZ-0003'")
        .execute(&world.app.pool)
        .await
        .unwrap();
    let server = Wired::to(&world);
    server.wire.hold();
    let mut asking: Vec<_> = (0..6).map(|n| server.ask(&verify(&format!("KZ-{n:04}")), None)).collect();
    for one in &mut asking {
        assert!(poll(one).await.is_pending());
    }
    drop(asking.remove(1));
    server.wire.release();
    let answers = soon(join_all(asking)).await;
    for (n, answer) in [0, 2, 3, 4, 5].into_iter().zip(&answers) {
        if n == 3 {
            answer.expect(500);
        } else {
            assert_eq!(answer.expect(200)["seal_number"], format!("KZ-{n:04}"));
        }
    }
    assert_eq!(server.ask(&verify("KZ-0001"), None).await.expect(200)["verdict"], "valid");
}

#[tokio::test]
async fn an_answer_is_never_older_than_a_write_whichever_instance_took_it() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let other = router(world.instance(), &LayerSettings::default());
    // Keeps the other instance busy, so that its batch loaders are running statements whenever a write is
    // acknowledged.
    let flood: Vec<_> = (0..8)
        .map(|n| {
            let (router, org) = (other.clone(), felled.inspector.clone());
            let path = if n % 2 == 0 { history(&felled.logs[0]) } else { verify(&felled.logs[1]) };
            tokio::spawn(async move {
                loop {
                    ask(&router, &path, Some(&org)).await.expect(200);
                }
            })
        })
        .collect();
    for seq in 2..22 {
        let told = world.event(&felled.enterprise, "stored", &felled.logs[..1], json!({})).await.expect(201);
        assert_eq!(told["events"][0]["seq"], seq);
        let answer = soon(ask(&other, &history(&felled.logs[0]), Some(&felled.enterprise))).await.expect(200);
        assert_eq!(answer["log"]["head"]["hash"], told["events"][0]["hash"]);
        assert_eq!(answer["events"][seq - 1]["hash"], told["events"][0]["hash"]);
    }
    let void = json!({"reason": "lost"});
    world.post(&format!("/v1/seals/{}/void", felled.logs[1]), &felled.enterprise, void).await.expect(200);
    assert_eq!(soon(ask(&other, &verify(&felled.logs[1]), None)).await.expect(200)["verdict"], "void");

    let key = world.get("/v1/me", &felled.sawmill).await.expect(200);
    ask(&other, "/v1/me", Some(&felled.sawmill)).await.expect(200);
    let path = format!("/v1/keys/{}", key["key"]["id"].as_str().unwrap());
    world.call(Method::DELETE, &path, Some(&felled.sawmill.token), Value::Null).await.expect(204);
    ask(&other, "/v1/me", Some(&felled.sawmill)).await.expect(401);
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_etag_holds_until_the_response_changes() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let server = Wired::to(&world);
    let known = async |path: &str, org: &Org, tag: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {}", org.token));
        send(&server.router, request.header("if-none-match", tag).body(Body::empty()).unwrap()).await
    };
    let tag = async |path: &str, org: &Org| {
        let answer = server.ask(path, Some(org)).await;
        answer.expect(200);
        answer.headers["etag"].to_str().unwrap().to_owned()
    };
    let (log, story) = (format!("/v1/logs/{}", felled.logs[0]), history(&felled.logs[0]));
    for path in [&log, &story] {
        let (holder, inspector) = (&felled.enterprise, &felled.inspector);
        let first = tag(path, holder).await;
        let before = server.wire.statements();
        let same = known(path, holder, &first).await;
        assert_eq!((same.status.as_u16(), same.bytes.len()), (304, 0));
        assert_eq!(server.wire.statements() - before, 1, "the caller with the log, and no event");
        assert_eq!(same.headers["etag"], first.as_str());
        assert_eq!(same.headers["cache-control"], "private, no-cache");
        // Another caller may get another response, so the ETag differs.
        assert_ne!(tag(path, inspector).await, first);
        known(path, inspector, &first).await.expect(200);
        // A third party cannot find out with `If-None-Match: *` that the log exists.
        known(path, &felled.carrier, "*").await.expect(404);
    }
    assert_ne!(tag(&log, &felled.enterprise).await, tag(&story, &felled.enterprise).await);

    let changed = async |what: &str, tags: &mut [String; 2]| {
        for (path, tag_before) in [&log, &story].into_iter().zip(tags.iter_mut()) {
            known(path, &felled.inspector, tag_before).await.expect(200);
            *tag_before = tag(path, &felled.inspector).await;
            assert_eq!(known(path, &felled.inspector, tag_before).await.status.as_u16(), 304, "{what}");
        }
    };
    let mut tags = [tag(&log, &felled.inspector).await, tag(&story, &felled.inspector).await];
    let more = json!({"to_bin": felled.sawmill.bin});
    world.event(&felled.enterprise, "transferred", &felled.logs[..1], more).await.expect(201);
    changed("a transfer waits", &mut tags).await;
    world.event(&felled.sawmill, "accepted", &felled.logs[..1], json!({})).await.expect(201);
    changed("the holder changed", &mut tags).await;
    let void = json!({"reason": "destroyed"});
    world.post(&format!("/v1/seals/{}/void", felled.logs[0]), &felled.operator, void).await.expect(200);
    changed("the seal is void", &mut tags).await;
    // Changes the erasure epoch, as an erasure does.
    let mut owner = world.owner().await;
    sqlx::query("UPDATE erasure_epoch SET value = 'x'").execute(&mut owner).await.unwrap();
    changed("a person was erased", &mut tags).await;
}

#[tokio::test]
async fn a_cached_name_is_gone_after_the_erasure() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let server = Wired::to(&world);
    let harvester = async |log: &str| {
        let told = server.ask(&history(log), Some(&felled.inspector)).await.expect(200);
        let now = server.ask(&format!("/v1/logs/{log}"), Some(&felled.inspector)).await.expect(200);
        [&told["events"][0]["organization"], &told["log"]["holder"], &now["holder"]]
            .map(|org| org["name"].clone())
    };
    // The names of organisations are read for the first log and taken from the cache for the second log.
    let [before, again] = [harvester(&felled.logs[0]).await, harvester(&felled.logs[1]).await];
    assert!(before.iter().all(Value::is_string), "{before:?}");
    assert_eq!(before, again);
    // Changes the rows as the erasure of a sole trader does, in one transaction.
    let mut owner = world.owner().await;
    let mut erasure = owner.begin().await.unwrap();
    sqlx::query("UPDATE organization SET bin = NULL, name = NULL, kind = 'sole_trader' WHERE bin = $1")
        .bind(&felled.enterprise.bin)
        .execute(&mut *erasure)
        .await
        .unwrap();
    sqlx::query("UPDATE erasure_epoch SET value = 'x'").execute(&mut *erasure).await.unwrap();
    erasure.commit().await.unwrap();
    for log in &felled.logs {
        let after = harvester(log).await;
        assert!(after.iter().all(Value::is_null), "{after:?}");
    }
}

/// Sends checks in a loop. Every response must be a correct one or a 503.
fn load(app: &App, number: &str, seen: &Arc<Semaphore>) -> tokio::task::JoinHandle<()> {
    let (router, number) = (router(app.clone(), &LayerSettings::default()), number.to_owned());
    let seen = Arc::clone(seen);
    tokio::spawn(async move {
        let (mut right, mut refused) = (0, 0);
        // Ends after at least one 503 and then 100 correct responses without a 503 between them.
        while refused == 0 || right < 100 {
            let answer = soon(ask(&router, &verify(&number), None)).await;
            match answer.status.as_u16() {
                200 => {
                    let told = answer.json();
                    assert_eq!((&told["verdict"], &told["seal_number"]), (&json!("unused"), &json!(number)));
                    right += 1;
                }
                503 => {
                    assert!(answer.headers.contains_key("retry-after"));
                    (refused, right) = (refused + 1, 0);
                    seen.add_permits(usize::from(refused == 1));
                }
                other => panic!("{other}"),
            }
        }
    })
}

#[tokio::test]
async fn a_database_outage_gives_503_and_no_wrong_answer() {
    let world = World::new().await;
    let holder = world.enterprise().await;
    let (mut askers, seen) = (Vec::new(), Arc::new(Semaphore::new(0)));
    let server = Wired::to(&world);
    for n in 0..16 {
        seal(&world, &holder, &format!("KZ-{n:04}")).await;
        askers.push(load(&server.app, &format!("KZ-{n:04}"), &seen));
    }
    server.wire.down(true);
    // The outage lasts until each of the 16 tasks has got a 503. That is longer than the batch loaders retry.
    let _each = soon(seen.acquire_many(16)).await.unwrap();
    server.wire.down(false);
    for asker in askers {
        soon(asker).await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_connection_is_replaced_without_an_error() {
    let world = World::new().await;
    let holder = world.enterprise().await;
    seal(&world, &holder, "KZ-0001").await;
    let server = Wired::to(&world);
    for _ in 0..5 {
        assert_eq!(server.ask(&verify("KZ-0001"), Some(&holder)).await.expect(200)["verdict"], "unused");
        server.wire.cut();
        assert_eq!(server.ask(&verify("KZ-0001"), Some(&holder)).await.expect(200)["verdict"], "unused");
        // Ends the connections of the batch loaders, as an administrator would.
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'ormantrace-reader'",
        )
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
        assert!(ended >= 1, "readers have their own connections");
    }
}

#[tokio::test]
async fn a_full_queue_turns_away_at_once() {
    let world = World::new().await;
    let server = Wired::to(&world);
    server.wire.hold();
    let now = world.clock.now();
    let token = Token::random();
    let mut asking: Vec<_> = (0..1_200).map(|_| Box::pin(server.app.reads.caller(&token, now))).collect();
    let mut refused = 0;
    for one in &mut asking {
        if let Poll::Ready(answer) = poll(one).await {
            assert!(matches!(answer, Err(Error::Overloaded)), "{answer:?}");
            refused += 1;
        }
    }
    assert_eq!(refused, 1_200 - 1_024, "the queue holds 1,024 and not one more");
}
