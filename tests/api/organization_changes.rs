//! Changes of organisations: name, roles, suspension; and that no inspector decides in its own case.

use crate::wired::{ask, send};
use crate::world::{Answer, Felled, Org, World, bin};
use axum::body::Body;
use axum::http::{Method, Request};
use ormantrace::commands::fsck;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::router::router;
use serde_json::{Value, json};
use sqlx::Connection;

async fn patch(world: &World, by: &Org, of: &Org, body: Value) -> Answer {
    world.call(Method::PATCH, &format!("/v1/organizations/{}", of.id), Some(&by.token), body).await
}

async fn suspend(world: &World, by: &Org, of: &Org) -> Answer {
    world.post(&format!("/v1/organizations/{}/suspend", of.id), by, json!({"reason": "Сот шешімі"})).await
}

async fn resume(world: &World, by: &Org, of: &Org) -> Answer {
    world
        .post(&format!("/v1/organizations/{}/resume", of.id), by, json!({"reason": "Шешім күшін жойды"}))
        .await
}

/// The slug of a problem's type.
fn problem(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// The `fsck` errors of the rows of organisations.
async fn unsound(world: &World) -> Vec<String> {
    let mut found: Vec<fsck::FsckError> = Vec::new();
    // Few rows a page, so that a chain takes several.
    let scope = fsck::Scope { rows: 2, ..fsck::Scope::default() };
    fsck::check(&mut world.owner().await, &scope, &mut found).await.unwrap();
    found.retain(|error| error.table == "organization" && error.code != fsck::Code::EventUnreadable);
    found.iter().map(ToString::to_string).collect()
}

const NEW_NAME: &str = "ТОО «Ертіс ағаш өңдеу»";

#[tokio::test]
async fn a_new_name_is_shown_everywhere_at_once_and_is_in_the_personal_part_alone() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let Felled { operator, enterprise, inspector, logs, .. } = &felled;
    let log = format!("/v1/logs/{}", logs[0]);
    let history = format!("{log}/history");
    let verify = format!("/v1/verify/{}", logs[0]);
    // The name is cached by these reads.
    for path in [&log, &history, &verify] {
        let before = world.get(path, inspector).await;
        assert!(before.expect(200).to_string().contains("ТОО «Ертіс ағаш»"), "{path}");
    }
    let etag = world.get(&log, inspector).await.headers["etag"].clone();
    let body = json!({"name": NEW_NAME, "reason": "Қайта тіркелді"});
    let changed = patch(&world, operator, enterprise, body.clone()).await.expect(200);
    assert_eq!(changed["name"], NEW_NAME);
    assert_eq!(changed["roles"], json!(["enterprise"]));
    let own = format!("/v1/organizations/{}", enterprise.id);
    // Past events show the name in force.
    for path in [&log, &history, &verify, &own] {
        let after = world.get(path, inspector).await.expect(200).to_string();
        assert!(after.contains(NEW_NAME) && !after.contains("ТОО «Ертіс ағаш»"), "{path}: {after}");
    }
    let request = Request::get(&log)
        .header("authorization", format!("Bearer {}", inspector.token))
        .header("if-none-match", etag)
        .body(Body::empty())
        .unwrap();
    world.send(request).await.expect(200);
    let (public, business, personal): (String, String, String) = sqlx::query_as(
        "SELECT e.public, e.business, p.text FROM event e JOIN personal p ON p.id = e.personal_id
         WHERE e.subject_id = $1 AND e.type = 'organization_changed'",
    )
    .bind(enterprise.id.0)
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(public, r#"{"on":"2026-10-05","subject":"organization","type":"organization_changed","v":1}"#);
    assert!(!business.contains("өңдеу") && !business.contains("Қайта"));
    assert_eq!(personal, format!(r#"{{"name":"{NEW_NAME}","reason":"Қайта тіркелді","v":1}}"#));
    // The same values again are no event.
    patch(&world, operator, enterprise, body).await.expect(200);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM event WHERE type = 'organization_changed'")
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(events, 1);
    assert_eq!(unsound(&world).await, [""; 0]);
    // A name that an insider writes into the row is found.
    sqlx::query("UPDATE organization SET name = 'ТОО «Бөтен»' WHERE id = $1")
        .bind(enterprise.id.0)
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(unsound(&world).await.len(), 1);
}

#[tokio::test]
async fn a_role_goes_only_when_nothing_is_held_under_it() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let Felled { operator, forest_owner, enterprise, carrier, sawmill, .. } = &felled;
    let roles = |roles: Value| json!({"roles": roles, "reason": "Қызметі өзгерді"});
    let loaded = json!({"carrier_bin": carrier.bin, "vehicle": "123 ABC 10"});
    world.event(enterprise, "loaded", &felled.logs, loaded).await.expect(201);
    let refused = patch(&world, operator, enterprise, roles(json!(["carrier"]))).await;
    assert_eq!(refused.expect(409)["errors"][0]["pointer"], "/roles");
    assert_eq!(refused.codes(), ["holds-timber", "holds-seals", "holds-tickets"]);
    assert_eq!(
        patch(&world, operator, carrier, roles(json!(["enterprise"]))).await.codes(),
        ["carries-timber"]
    );
    assert_eq!(
        patch(&world, operator, forest_owner, roles(json!(["enterprise"]))).await.codes(),
        ["issued-tickets"]
    );
    assert_eq!(
        patch(&world, operator, operator, roles(json!(["inspector"]))).await.codes(),
        ["last-operator"]
    );
    // The enterprise may become a forest owner: that holds the same things.
    let both = patch(&world, operator, enterprise, roles(json!(["forest_owner"]))).await.expect(200);
    assert_eq!(both["roles"], json!(["forest_owner"]));
    let token = Some(enterprise.token.as_str());
    let me = world.call(Method::GET, "/v1/me", token, Value::Null).await.expect(200);
    assert_eq!(me["roles"], json!(["forest_owner"]));
    // The sawmill holds nothing, so it may lose its role; then it takes nothing over, not even by an older offer.
    let sale = world.organization(50, "ТОО «Қарағай»", &["enterprise"]).await;
    let back = json!({"to_bin": sale.bin});
    world.event(enterprise, "transferred", &felled.logs, back).await.expect(201);
    patch(&world, operator, &sale, roles(json!(["carrier"]))).await.expect(200);
    let refused = world.event(&sale, "accepted", &felled.logs, json!({})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["holds-no-timber"]);
    let refused = world.event(&sale, "rejected", &felled.logs, json!({})).await;
    refused.expect(201);
    patch(&world, operator, sawmill, roles(json!(["inspector"]))).await.expect(200);
    // What is closed is not held: the log is gone, the seals are void and the ticket is cancelled.
    world.event(enterprise, "lost", &felled.logs, json!({})).await.expect(201);
    for seal in &felled.seals {
        let body = json!({"reason": "lost"});
        world.post(&format!("/v1/seals/{seal}/void"), enterprise, body).await.expect(200);
    }
    let cancel = format!("/v1/felling-tickets/{}/cancel", felled.ticket);
    world.post(&cancel, forest_owner, json!({"reason": "Аяқталды"})).await.expect(200);
    patch(&world, operator, enterprise, roles(json!(["carrier"]))).await.expect(200);
    patch(&world, operator, forest_owner, roles(json!(["carrier"]))).await.expect(200);
    assert_eq!(unsound(&world).await, [""; 0]);
}

#[tokio::test]
async fn supervision_and_timber_are_not_combined() {
    let world = World::new().await;
    let operator = world.operator().await;
    for (roles, refused) in [
        (json!(["inspector", "enterprise"]), true),
        (json!(["forest_owner", "inspector"]), true),
        (json!(["operator", "enterprise"]), true),
        (json!(["inspector", "carrier"]), true),
        (json!(["operator", "inspector"]), false),
        (json!(["forest_owner", "enterprise", "carrier"]), false),
    ] {
        let n = 60 + u32::try_from(roles.to_string().len()).unwrap();
        let body = json!({"bin": bin(n), "name": "Мекеме", "roles": roles});
        let answer = world.post("/v1/organizations", &operator, body).await;
        if refused {
            assert_eq!(answer.expect(422)["errors"][0]["pointer"], "/roles", "{roles}");
            assert_eq!(answer.codes(), ["roles-conflict"]);
        } else {
            answer.expect(201);
        }
    }
    let enterprise = world.enterprise().await;
    let body = json!({"roles": ["enterprise", "inspector"], "reason": "Бақылау"});
    assert_eq!(patch(&world, &operator, &enterprise, body).await.codes(), ["roles-conflict"]);
    // One that was registered before the rule keeps its roles, gets a new name, and is listed at the start.
    let before = world.organization(70, "Ескі мекеме", &["inspector", "enterprise"]).await;
    let listed =
        ormantrace::timber::party::organization::with_conflicting_roles(&world.app.pool).await.unwrap();
    assert_eq!(listed, [before.id]);
    patch(&world, &operator, &before, json!({"name": "Жаңа мекеме", "reason": "Аты өзгерді"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn errors_of_a_change_are_reported_together() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let Felled { operator, enterprise, .. } = &felled;
    let answer = patch(&world, operator, enterprise, json!({})).await;
    answer.expect(422);
    assert_eq!(answer.codes(), ["required", "nothing-to-change"]);
    let body = json!({"name": "ТОО «Ерт?с»", "roles": ["carrier", "carrier"], "reason": " "});
    let answer = patch(&world, operator, enterprise, body).await;
    answer.expect(422);
    let mut codes = answer.codes();
    codes.sort();
    assert_eq!(
        codes,
        ["duplicate-role", "holds-seals", "holds-tickets", "holds-timber", "name-letters-lost", "text-empty"]
    );
    let none = patch(&world, operator, enterprise, json!({"roles": [], "reason": "Жоқ"})).await;
    none.expect(422);
    assert!(none.codes().contains(&"too-few".to_owned()), "{none:?}");
    for by in [enterprise, &felled.inspector, &felled.forest_owner] {
        patch(&world, by, enterprise, json!({"name": "ТОО", "reason": "Өзім"})).await.expect(403);
        suspend(&world, by, enterprise).await.expect(403);
        resume(&world, by, enterprise).await.expect(403);
    }
    let absent = Org { id: ormantrace::base::ids::OrganizationId::new(), ..enterprise.clone() };
    patch(&world, operator, &absent, json!({"name": "ТОО", "reason": "Жоқ"})).await.expect(404);
    suspend(&world, operator, &absent).await.expect(404);
}

#[tokio::test]
async fn a_repeated_change_is_answered_again_and_that_of_a_person_is_not_stored() {
    let world = World::new().await;
    let operator = world.operator().await;
    let enterprise = world.enterprise().await;
    let trader =
        json!({"bin": bin(71), "name": "ЖК Оспанов", "kind": "sole_trader", "roles": ["enterprise"]});
    let trader = world.post("/v1/organizations", &operator, trader).await.expect(201);
    let once = async |id: &str, key: &str, body: Value| {
        let request = Request::patch(format!("/v1/organizations/{id}"))
            .header("authorization", format!("Bearer {}", operator.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .unwrap();
        world.send(request).await
    };
    let body = json!({"name": NEW_NAME, "reason": "Қайта тіркелді"});
    let id = enterprise.id.to_string();
    let first = once(&id, "rename-0001", body.clone()).await;
    first.expect(200);
    let again = once(&id, "rename-0001", body.clone()).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    let trader = trader["id"].as_str().unwrap();
    once(trader, "rename-0002", body.clone()).await.expect(200);
    let again = once(trader, "rename-0002", body).await;
    again.expect(409);
    assert_eq!(problem(&again), "already-done");
    assert!(!String::from_utf8_lossy(&again.bytes).contains("Ертіс"));
}

#[tokio::test]
async fn a_suspended_organisation_reads_and_ends_what_is_under_way() {
    let world = World::new().await;
    let felled = world.felled(6).await;
    let Felled { operator, forest_owner, enterprise, sawmill, carrier, inspector, logs, seals, .. } = &felled;
    // Log 0 stays; 1 is on the road; 2 is offered by it; 3 is offered to it; 4 and 5 are lost and destroyed.
    let loaded = json!({"carrier_bin": carrier.bin, "vehicle": "123 ABC 10"});
    world.event(enterprise, "loaded", &logs[1..2], loaded).await.expect(201);
    world.event(enterprise, "departed", &logs[1..2], json!({})).await.expect(201);
    let to = |org: &Org| json!({"to_bin": org.bin});
    world.event(enterprise, "transferred", &logs[2..4], to(sawmill)).await.expect(201);
    world.event(sawmill, "accepted", &logs[3..4], json!({})).await.expect(201);
    world.event(sawmill, "transferred", &logs[3..4], to(enterprise)).await.expect(201);

    let suspended = suspend(&world, operator, enterprise).await.expect(200);
    assert_eq!(suspended["suspended_since"], "2026-10-05T05:00:00.000000Z");
    let again = suspend(&world, operator, enterprise).await;
    assert_eq!((again.status.as_u16(), again.codes()), (409, vec!["already-suspended".to_owned()]));
    // Every read.
    for path in ["/v1/me", "/v1/logs?holder=me", "/v1/seals", "/v1/findings", "/v1/seal-stock"] {
        world.get(path, enterprise).await.expect(200);
    }
    world.get(&format!("/v1/logs/{}/history", logs[0]), enterprise).await.expect(200);
    world.post("/v1/verify", enterprise, json!({"codes": [logs[0]]})).await.expect(200);
    // Every other write, whatever its body says.
    let id = enterprise.id;
    for (method, path, body) in [
        (Method::POST, "/v1/harvests".to_owned(), World::harvest_of(&felled.ticket, &seals[..1])),
        (Method::POST, "/v1/harvests?dry_run=true".to_owned(), json!({})),
        (
            Method::POST,
            "/v1/seals/transfer".to_owned(),
            json!({"numbers": seals[..1], "to_bin": sawmill.bin}),
        ),
        (Method::POST, format!("/v1/seals/{}/void", seals[0]), json!({"reason": "lost"})),
        (Method::POST, format!("/v1/organizations/{id}/keys"), json!({"label": "Жаңа кілт"})),
    ] {
        let refused = world.call(method, &path, Some(&enterprise.token), body).await;
        refused.expect(403);
        assert_eq!(problem(&refused), "organization-suspended", "{path}");
        assert_eq!(refused.codes(), ["organization-suspended"]);
    }
    for event in [
        "stored",
        "loaded",
        "departed",
        "transferred",
        "accepted",
        "processed",
        "exported",
        "sold",
        "found",
        "seal_replaced",
        "corrected",
        "inspected",
    ] {
        for body in [json!({}), json!({"to_bin": sawmill.bin}), json!({"unknown": 1})] {
            let refused = world.event(enterprise, event, &logs[..1], body).await;
            refused.expect(403);
            assert_eq!(problem(&refused), "organization-suspended", "{event}");
        }
    }
    // The end of what is under way. A wrong body is refused for what is wrong in it.
    world.event(enterprise, "arrived", &logs[1..2], json!({"unknown": 1})).await.expect(422);
    world.event(enterprise, "arrived", &logs[1..2], json!({})).await.expect(201);
    world.event(enterprise, "received", &logs[1..2], json!({})).await.expect(201);
    world.event(enterprise, "withdrawn", &logs[2..3], json!({})).await.expect(201);
    world.event(enterprise, "rejected", &logs[3..4], json!({})).await.expect(201);
    world.event(enterprise, "lost", &logs[4..5], json!({})).await.expect(201);
    world.event(enterprise, "destroyed", &logs[5..6], json!({})).await.expect(201);
    // It may take back its keys, and the operator makes it another one to read with.
    let (key, _) = world.key(id).await;
    world
        .call(Method::DELETE, &format!("/v1/keys/{key}"), Some(&enterprise.token), Value::Null)
        .await
        .expect(204);
    let label = json!({"label": "Оқуға"});
    world.post(&format!("/v1/organizations/{id}/keys"), operator, label).await.expect(201);
    // Others go on.
    world
        .event(inspector, "inspected", &logs[..1], json!({"details": {"outcome": "match"}}))
        .await
        .expect(201);
    world.ticket(forest_owner, sawmill, "0001299").await;

    let resumed = resume(&world, operator, enterprise).await.expect(200);
    assert_eq!(resumed["suspended_since"], Value::Null);
    assert_eq!(resume(&world, operator, enterprise).await.codes(), ["not-suspended"]);
    world.event(enterprise, "stored", &logs[..1], json!({})).await.expect(201);
    let own = suspend(&world, operator, operator).await;
    assert_eq!((own.status.as_u16(), own.codes()), (409, vec!["operator-not-suspended".to_owned()]));
    assert_eq!(unsound(&world).await, [""; 0]);
    assert_eq!(world.unsound().await, [""; 0]);
    // The forgotten suspension in a row is found.
    sqlx::query("UPDATE organization SET suspended_since = now() WHERE id = $1")
        .bind(id.0)
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(unsound(&world).await.len(), 1);
}

#[tokio::test]
async fn an_offer_of_a_suspended_organisation_is_accepted_with_a_finding() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let Felled { operator, enterprise, sawmill, logs, .. } = &felled;
    let to = json!({"to_bin": sawmill.bin});
    world.event(enterprise, "loaded", &logs[1..2], json!({})).await.expect(201);
    world.event(enterprise, "departed", &logs[1..2], json!({})).await.expect(201);
    world.event(enterprise, "arrived", &logs[1..2], json!({})).await.expect(201);
    world.event(enterprise, "transferred", logs, to).await.expect(201);
    suspend(&world, operator, enterprise).await.expect(200);
    let rules = |answer: &Answer| -> Vec<String> {
        let findings = answer.json()["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
    };
    let accepted = world.event(sawmill, "accepted", &logs[..1], json!({})).await;
    accepted.expect(201);
    assert_eq!(rules(&accepted), ["from-suspended"]);
    // So is a receipt, which accepts too.
    let received = world.event(sawmill, "received", &logs[1..2], json!({})).await;
    received.expect(201);
    assert_eq!(rules(&received), ["from-suspended"]);
    resume(&world, operator, enterprise).await.expect(200);
    let later = world.event(sawmill, "accepted", &logs[2..], json!({})).await;
    later.expect(201);
    assert!(rules(&later).is_empty());
}

/// 64 sales at once with the suspension of the seller: each sale is refused, or recorded before the suspension.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_sale_is_recorded_after_the_suspension_of_its_seller() {
    let world = World::new().await;
    let felled = world.felled(64).await;
    let Felled { operator, enterprise, logs, .. } = &felled;
    // Half of the sales are batched, half are not (they come from a device).
    let sale = async |n: usize| {
        let mut more = json!({"document": {"kind": "contract", "number": format!("{n}")}});
        if n.is_multiple_of(2) {
            more["device"] =
                json!({"id": "tablet-07", "seq": n + 1, "recorded_at": "2026-10-05T09:31:00+05:00"});
        }
        world.event(enterprise, "sold", &logs[n..=n], more).await
    };
    let sales = futures_util::future::join_all((0..64).map(sale));
    let suspension = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        suspend(&world, operator, enterprise).await.expect(200)
    };
    let (answers, _) = tokio::join!(sales, suspension);
    for answer in &answers {
        if answer.status != 201 {
            answer.expect(403);
            assert_eq!(problem(answer), "organization-suspended");
        }
    }
    // The queue of leaves is in the order of the commits of one chain only, so the order is that of the locks: no sale
    // began its last statement after the suspension had its lock.
    let after: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM event s, event e WHERE s.type = 'organization_suspended' AND e.type = 'sold'
         AND (e.received_at > s.received_at OR (SELECT id FROM leaf_queue q WHERE q.subject_id = e.subject_id AND q.seq = e.seq)
              > (SELECT id FROM leaf_queue q WHERE q.subject_id = s.subject_id AND q.seq = s.seq))",
    )
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(after, 0);
    for n in 0..64 {
        assert_ne!(sale(n).await.status, 201);
    }
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn no_inspector_decides_in_its_own_case() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let Felled { operator, forest_owner, enterprise, sawmill, inspector, logs, .. } = &felled;
    // An inspectorate that was registered with a role that holds timber, before this was refused.
    let mixed = world.organization(72, "Облыстық инспекция", &["inspector", "enterprise"]).await;
    world.event(enterprise, "transferred", &logs[..2], json!({"to_bin": mixed.bin})).await.expect(201);
    world.event(&mixed, "accepted", &logs[..2], json!({})).await.expect(201);
    world.event(&mixed, "transferred", &logs[1..2], json!({"to_bin": sawmill.bin})).await.expect(201);
    world.event(sawmill, "accepted", &logs[1..2], json!({})).await.expect(201);
    let reason = json!({"details": {"reason": "Құжаты жоқ"}});
    world.event(inspector, "detained", &logs[..3], reason.clone()).await.expect(201);
    let own = async |answer: Answer| {
        answer.expect(403);
        assert_eq!(problem(&answer), "own-case");
        assert_eq!(answer.codes(), ["own-case"]);
    };
    // It holds log 0, and held log 1. In one batch with another log, nothing is released.
    own(world.event(&mixed, "released", &logs[..1], reason.clone()).await).await;
    own(world.event(&mixed, "released", &logs[1..2], reason.clone()).await).await;
    own(world.event(&mixed, "released", &logs[1..3], reason.clone()).await).await;
    world.event(&mixed, "released", &logs[2..3], reason.clone()).await.expect(201);
    // It may say that its own log is not as recorded, and not that it is.
    own(world.event(&mixed, "inspected", &logs[..1], json!({"details": {"outcome": "match"}})).await).await;
    let mismatch = json!({"details": {"outcome": "mismatch"}});
    world.event(&mixed, "inspected", &logs[..1], mismatch).await.expect(201);
    // Nor does it decide on a finding about a log that it held, whoever is questioned.
    let seen = json!({"details": {"outcome": "mismatch", "hold": false}});
    let found = world.event(inspector, "inspected", &logs[1..2], seen).await.expect(201);
    assert_eq!(found["findings"][0]["organization"], json!(sawmill.id));
    let path = format!("/v1/findings/{}/decision", found["findings"][0]["id"].as_str().unwrap());
    let decision = json!({"state": "false", "reason": "Қате"});
    own(world.post(&path, &mixed, decision.clone()).await).await;
    world.post(&path, inspector, decision).await.expect(200);
    // It corrects the log of others, and not its own.
    let grade = json!({"corrects": 1, "reason": "Сорты басқа", "set": {"grade": 3}});
    own(world.event(&mixed, "corrected", &logs[..1], grade.clone()).await).await;
    world.event(&mixed, "corrected", &logs[3..], grade.clone()).await.expect(201);
    world.event(inspector, "corrected", &logs[..1], grade).await.expect(201);
    // As the recorder of an event it corrects that as any other does; and its own correction only another may correct.
    world.event(inspector, "released", &logs[..1], reason.clone()).await.expect(201);
    let stored = world.event(&mixed, "stored", &logs[..1], json!({})).await.expect(201);
    let place = json!({"corrects": stored["events"][0]["seq"], "reason": "Басқа қойма",
        "set": {"place": {"name": "Жоғарғы қойма"}}});
    world.event(&mixed, "corrected", &logs[..1], place).await.expect(201);

    // A ticket that it holds: another inspectorate holds and releases it.
    let ticket = world.ticket(forest_owner, &mixed, "0001260").await["id"].as_str().unwrap().to_owned();
    let path = |what: &str| format!("/v1/felling-tickets/{ticket}/{what}");
    own(world.post(&path("hold"), &mixed, json!({"reason": "Тексеру"})).await).await;
    world.post(&path("hold"), inspector, json!({"reason": "Тексеру"})).await.expect(200);
    own(world.post(&path("release"), &mixed, json!({"reason": "Тексерілді"})).await).await;
    world.post(&path("release"), inspector, json!({"reason": "Тексерілді"})).await.expect(200);
    let plot = json!({"reason": "Учаске қайта өлшенді", "plot": {"type": "Polygon", "coordinates":
        [[[80.92, 50.7], [80.93, 50.7], [80.93, 50.71], [80.92, 50.7]]]}});
    own(world.post(&path("plot"), &mixed, plot.clone()).await).await;
    world.post(&path("plot"), inspector, plot).await.expect(200);
    // Even after it gave up the timber and became an inspectorate alone, what it held stays its own case.
    world
        .post(&format!("/v1/felling-tickets/{ticket}/cancel"), forest_owner, json!({"reason": "Жабылды"}))
        .await
        .expect(200);
    world.event(&mixed, "lost", &logs[..1], json!({})).await.expect(201);
    let roles = json!({"roles": ["inspector"], "reason": "Тек бақылау"});
    patch(&world, operator, &mixed, roles).await.expect(200);
    own(world.event(&mixed, "released", &logs[1..2], reason).await).await;
}

/// Another instance has the old name in its cache, and gets no message of the change.
#[tokio::test]
async fn another_instance_shows_a_new_name_at_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let Felled { operator, enterprise, inspector, logs, .. } = &felled;
    let other = router(world.instance(), &LayerSettings::default());
    let paths = [
        format!("/v1/logs/{}", logs[0]),
        format!("/v1/logs/{}/history", logs[0]),
        format!("/v1/verify/{}", logs[0]),
        "/v1/felling-tickets".to_owned(),
        "/v1/logs?status=at_felling".to_owned(),
    ];
    let mut name = "ТОО «Ертіс ағаш»".to_owned();
    for n in 0..5 {
        let mut tags = Vec::new();
        for path in &paths {
            let answer = ask(&other, path, Some(inspector)).await;
            assert!(answer.expect(200).to_string().contains(&name), "{path}: {name}");
            tags.push(answer.headers.get("etag").cloned());
        }
        name = format!("ТОО «Ертіс ағаш {n}»");
        patch(&world, operator, enterprise, json!({"name": name, "reason": "Қайта тіркелді"}))
            .await
            .expect(200);
        for (path, tag) in paths.iter().zip(tags) {
            let mut request =
                Request::get(path).header("authorization", format!("Bearer {}", inspector.token));
            if let Some(tag) = tag {
                request = request.header("if-none-match", tag);
            }
            let answer = send(&other, request.body(Body::empty()).unwrap()).await;
            assert!(answer.expect(200).to_string().contains(&name), "{path}: {name}");
        }
    }
}

/// A suspended organisation ends what is under way, and gets nothing new.
#[tokio::test]
async fn nothing_is_given_to_a_suspended_organisation() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let Felled { operator, forest_owner, enterprise, sawmill, carrier, inspector, logs, seals, .. } = &felled;
    suspend(&world, operator, sawmill).await.expect(200);
    suspend(&world, operator, carrier).await.expect(200);
    let refused = |answer: &Answer, at: &str| {
        let error = &answer.expect(409)["errors"][0];
        assert_eq!((&error["code"], &error["pointer"]), (&json!("organization-suspended"), &json!(at)));
    };
    let one = &logs[..1];
    let load = json!({"carrier_bin": carrier.bin, "vehicle": "123 ABC 10"});
    let seize = json!({"custodian_bin": sawmill.bin, "place": {"name": "Қойма"},
        "document": {"kind": "act", "number": "21"}});
    let take = json!({"to_bin": sawmill.bin, "document": {"kind": "act", "number": "21"}});
    for (by, event, more, at) in [
        (enterprise, "transferred", json!({"to_bin": sawmill.bin}), "/to_bin"),
        (enterprise, "loaded", load.clone(), "/carrier_bin"),
        (inspector, "seized", seize, "/custodian_bin"),
        (inspector, "confiscated", take, "/to_bin"),
    ] {
        refused(&world.event(by, event, one, more.clone()).await, at);
        // From a device, outside the batches.
        if by.id == enterprise.id {
            let mut late = more;
            late["device"] = json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:31:00+05:00"});
            refused(&world.event(by, event, one, late).await, at);
        }
    }
    let transfer = json!({"numbers": seals[..1], "to_bin": sawmill.bin});
    refused(&world.post("/v1/seals/transfer", enterprise, transfer).await, "/to_bin");
    let batch = json!({"holder_bin": sawmill.bin, "quantity": 1});
    refused(&world.post("/v1/seal-batches", operator, batch).await, "/holder_bin");
    let ticket = World::ticket_of(sawmill, "0001261", 100);
    refused(&world.post("/v1/felling-tickets", forest_owner, ticket).await, "/holder_bin");
    resume(&world, operator, carrier).await.expect(200);
    world.event(enterprise, "loaded", one, load).await.expect(201);
}

/// 64 loads, seals and tickets given to an organisation at once with the loss of its roles.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_given_to_an_organisation_that_loses_its_roles() {
    let world = World::new().await;
    let felled = world.felled(64).await;
    let Felled { operator, forest_owner, enterprise, logs, .. } = &felled;
    for round in 0..6_u32 {
        let named = world.organization(80 + round, "ТОО «Тасымал»", &["enterprise", "carrier"]).await;
        let seals = world.seals(operator, enterprise, 8).await;
        let give = async |n: usize| {
            let load = json!({"carrier_bin": named.bin, "vehicle": "123 ABC 10"});
            match n % 4 {
                0 => world.event(enterprise, "loaded", &logs[n..=n], load).await,
                1 => {
                    let mut load = load;
                    let seq = round * 100 + u32::try_from(n).unwrap() + 1;
                    load["device"] =
                        json!({"id": "tablet-07", "seq": seq, "recorded_at": "2026-10-05T09:31:00+05:00"});
                    world.event(enterprise, "loaded", &logs[n..=n], load).await
                }
                2 => {
                    let body = json!({"numbers": [seals[n / 4 % 8]], "to_bin": named.bin});
                    world.post("/v1/seals/transfer", enterprise, body).await
                }
                _ => {
                    let body =
                        World::ticket_of(&named, &format!("{:07}", 2000 + round as usize * 100 + n), 100);
                    world.post("/v1/felling-tickets", forest_owner, body).await
                }
            }
        };
        // In every second round the change is first: it waits for the row, with the standing locked, when the gifts begin.
        let is_first = round % 2 == 0;
        let mut owner = world.owner().await;
        let mut other = owner.begin().await.unwrap();
        if is_first {
            sqlx::query("SELECT FROM organization WHERE id = $1 FOR UPDATE")
                .bind(named.id.0)
                .execute(&mut *other)
                .await
                .unwrap();
        }
        let gifts = async {
            while is_first
                && !sqlx::query_scalar::<_, bool>(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity
                                    WHERE datname = current_database() AND wait_event_type = 'Lock')",
                )
                .fetch_one(&world.app.pool)
                .await
                .unwrap()
            {
                tokio::task::yield_now().await;
            }
            let gifts = futures_util::future::join_all((0..64).map(give));
            tokio::join!(gifts, async { other.rollback().await.unwrap() }).0
        };
        let change = async {
            for _ in 0..(round * 10) {
                tokio::task::yield_now().await;
            }
            let body = json!({"roles": ["inspector"], "reason": "Тек бақылау"});
            patch(&world, operator, &named, body).await
        };
        let (changed, _) = tokio::join!(change, gifts);
        let held: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM log WHERE carrier_id = $1) + (SELECT count(*) FROM seal WHERE holder_id = $1)
                  + (SELECT count(*) FROM felling_ticket WHERE holder_id = $1)",
        )
        .bind(named.id.0)
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
        assert!(!is_first || changed.status == 200, "round {round}: {}", changed.status);
        if changed.status == 200 {
            assert_eq!(held, 0, "round {round}");
        } else {
            changed.expect(409);
            assert!(held > 0);
        }
        for n in (0..64).filter(|n| n % 4 < 2) {
            world.event(enterprise, "unloaded", &logs[n..=n], json!({})).await;
        }
    }
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_suspended_organisation_does_not_become_an_operator() {
    let world = World::new().await;
    let operator = world.operator().await;
    let carrier = world.carrier().await;
    suspend(&world, &operator, &carrier).await.expect(200);
    let body = json!({"roles": ["operator"], "reason": "Тағайындау"});
    let refused = patch(&world, &operator, &carrier, body.clone()).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["operator-not-suspended"]);
    resume(&world, &operator, &carrier).await.expect(200);
    patch(&world, &operator, &carrier, body).await.expect(200);
}

/// An inspectorate does not take timber, which it held once, from the one that holds it now.
#[tokio::test]
async fn no_inspector_seizes_or_finds_in_its_own_case() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let Felled { operator, forest_owner, enterprise, sawmill, inspector, logs, .. } = &felled;
    let mixed = world.organization(72, "Облыстық инспекция", &["inspector", "enterprise"]).await;
    for log in logs.chunks(1) {
        world.event(enterprise, "transferred", log, json!({"to_bin": mixed.bin})).await.expect(201);
        world.event(&mixed, "accepted", log, json!({})).await.expect(201);
    }
    world.event(&mixed, "transferred", &logs[..1], json!({"to_bin": sawmill.bin})).await.expect(201);
    world.event(sawmill, "accepted", &logs[..1], json!({})).await.expect(201);
    let paper = json!({"kind": "act", "number": "21"});
    let seize = json!({"custodian_bin": forest_owner.bin, "place": {"name": "Қойма"}, "document": paper});
    let take = json!({"to_bin": forest_owner.bin, "document": paper});
    for (event, more) in [("seized", seize), ("confiscated", take)] {
        let refused = world.event(&mixed, event, &logs[..1], more.clone()).await;
        refused.expect(403);
        assert_eq!(problem(&refused), "own-case", "{event}");
        world.event(inspector, event, &logs[..1], more).await.expect(201);
    }
    // As the holder it finds its lost log; as an inspectorate alone it does not.
    world.event(&mixed, "lost", &logs[1..], json!({})).await.expect(201);
    world.event(&mixed, "found", &logs[1..], json!({})).await.expect(201);
    world.event(&mixed, "lost", &logs[1..], json!({})).await.expect(201);
    let roles = json!({"roles": ["inspector"], "reason": "Тек бақылау"});
    patch(&world, operator, &mixed, roles).await.expect(200);
    let refused = world.event(&mixed, "found", &logs[1..], json!({})).await;
    refused.expect(403);
    assert_eq!(problem(&refused), "own-case");
}
