//! Organisations and keys.

use crate::support::pg::TestDb;
use crate::world::{Answer, World, bin, morning};
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use ormantrace::base::clock::Clock;
use ormantrace::base::token::Token;
use ormantrace::base::units::Text;
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::bootstrap::{Bootstrap, bootstrap_operator};
use serde_json::{Value, json};

fn operator_named(name: &str) -> (Text<200>, Bin) {
    (Text::parse(name).unwrap(), Bin::parse(&bin(9)).unwrap())
}

fn enterprise(n: u32) -> Value {
    json!({"bin": bin(n), "name": "ТОО «Шығыс орман»", "roles": ["enterprise"]})
}

/// A POST with an idempotency key.
async fn post_once(world: &World, path: &str, token: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    world.send(request).await
}

#[tokio::test]
async fn the_operator_registers_and_the_new_organisation_calls_with_its_key() {
    let world = World::new().await;
    let operator = world.operator().await;
    let mut made = world.post("/v1/organizations", &operator, enterprise(20)).await.expect(201);
    // Only the response to the write has a receipt. Without it, the response equals what readers get later.
    assert!(made.as_object_mut().unwrap().remove("receipt").is_some());
    assert_eq!(made["bin"], bin(20));
    assert_eq!(made["kind"], "legal_entity");
    assert_eq!(made["roles"], json!(["enterprise"]));
    assert_eq!(made["created_at"], "2026-10-05T05:00:00.000000Z");

    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/organizations/{id}");
    let body = json!({"label": "Планшет 1", "expires_at": "2026-12-31T23:59:59+05:00"});
    let key = world.post(&format!("{path}/keys"), &operator, body).await.expect(201);
    assert_eq!(key["expires_at"], "2026-12-31T18:59:59.000000Z");
    let token = key["token"].as_str().unwrap();
    let get = async |path: &str| world.call(Method::GET, path, Some(token), Value::Null).await;

    let me = get("/v1/me").await.expect(200);
    assert_eq!(me["organization"], made);
    assert_eq!(me["key"]["id"], key["id"]);
    assert_eq!(me["key"]["label"], "Планшет 1");
    assert_eq!(me["roles"], json!(["enterprise"]));

    // It sees itself and no other organisation.
    assert_eq!(get("/v1/organizations").await.expect(200)["items"], json!([made]));
    assert_eq!(get(&path).await.expect(200), made);
    get(&format!("/v1/organizations/{}", operator.id)).await.expect(404);
    let inspector = world.inspector().await;
    assert_eq!(world.get(&path, &inspector).await.expect(200), made);
    assert_eq!(
        world.get("/v1/organizations", &inspector).await.expect(200)["items"].as_array().unwrap().len(),
        3
    );
}

#[tokio::test]
async fn a_registration_event_has_names_only_in_its_personal_part() {
    let world = World::new().await;
    let operator = world.operator().await;
    let made = world.post("/v1/organizations", &operator, enterprise(20)).await.expect(201);
    let id: uuid::Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let (public, business, personal): (String, String, String) = sqlx::query_as(
        "SELECT e.public, e.business, p.text FROM event e JOIN personal p ON p.id = e.personal_id
         JOIN organization o ON o.id = e.subject_id AND o.head_seq = e.seq AND o.head_hash = e.hash
         WHERE subject_id = $1 AND subject_kind = 4",
    )
    .bind(id)
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(
        public,
        r#"{"kind":"legal_entity","on":"2026-10-05","roles":["enterprise"],"subject":"organization","type":"organization_registered","v":1}"#
    );
    let business: Value = serde_json::from_str(&business).unwrap();
    assert_eq!(business["organization"], operator.id.to_string());
    assert_eq!(business["occurred"], json!({"at": "2026-10-05T05:00:00.000000Z", "offset_min": 300}));
    let said: Vec<_> = business.as_object().unwrap().keys().collect();
    assert_eq!(said, ["key", "occurred", "operation", "organization", "v"]);
    assert_eq!(personal, format!(r#"{{"bin":"{}","name":"ТОО «Шығыс орман»","v":1}}"#, bin(20)));
}

#[tokio::test]
async fn making_and_revoking_a_key_are_events_of_its_organisation() {
    let world = World::new().await;
    let enterprise = world.enterprise().await;
    let keys = format!("/v1/organizations/{}/keys", enterprise.id);
    let asked = json!({"label": "Айгүлдің телефоны", "expires_at": "2027-01-01T00:00:00+05:00"});
    let key = world.post(&keys, &enterprise, asked).await.expect(201);
    let revoke = format!("/v1/keys/{}", key["id"].as_str().unwrap());
    // The key is revoked twice. The second revocation changes nothing, so it records no event.
    for _ in 0..2 {
        world.call(Method::DELETE, &revoke, Some(&enterprise.token), Value::Null).await.expect(204);
    }
    let events: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT e.type, e.public, e.business FROM event e WHERE e.subject_id = $1 AND e.seq > 2 ORDER BY e.seq",
    )
    .bind(enterprise.id.0)
    .fetch_all(&world.app.pool)
    .await
    .unwrap();
    let [made, revoked] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(made.0, "key_made");
    assert_eq!(made.1, r#"{"on":"2026-10-05","subject":"organization","type":"key_made","v":1}"#);
    let said: Value = serde_json::from_str(&made.2).unwrap();
    assert_eq!(said["of_key"], key["id"]);
    assert_eq!(said["expires_at"], "2026-12-31T19:00:00.000000Z");
    let token = Token::from_text(key["token"].as_str().unwrap()).unwrap();
    assert_eq!(said["token_hash"], hex::encode(token.hash()));
    assert_eq!(revoked.0, "key_revoked");
    // A label may be a person's name, so it is in no hashed text.
    assert!(events.iter().all(|event| !event.2.contains("Айгүл") && !event.1.contains("Айгүл")));
}

#[tokio::test]
async fn of_many_registrations_of_one_bin_at_once_one_wins() {
    let world = World::new().await;
    let operator = world.operator().await;
    let calls = (0..16).map(|_| world.post("/v1/organizations", &operator, enterprise(20)));
    let answers = futures_util::future::join_all(calls).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.expect(409)["errors"][0]["pointer"], "/bin");
        assert_eq!(answer.codes(), ["bin-taken"]);
    }
    let orphans: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM event WHERE subject_id NOT IN (SELECT id FROM organization)",
    )
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(orphans, 0);
}

#[tokio::test]
async fn all_errors_of_an_organisation_are_reported_at_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let body = json!({"bin": "123456789012", "name": "  ", "kind": "guild", "roles": ["enterprise", "king"], "iban": 1});
    let answer = world.post("/v1/organizations", &operator, body).await;
    answer.expect(422);
    let mut codes = answer.codes();
    codes.sort();
    assert_eq!(
        codes,
        ["bin-check-digit", "text-empty", "unknown-field", "unknown-organization-kind", "unknown-role"]
    );
    let twice = json!({"bin": bin(20), "name": "ТОО", "roles": ["carrier", "carrier"]});
    let answer = world.post("/v1/organizations", &operator, twice).await;
    assert_eq!(answer.expect(422)["errors"][0]["pointer"], "/roles/1");
    assert_eq!(answer.codes(), ["duplicate-role"]);
    let none = json!({"bin": bin(20), "name": "ТОО", "roles": []});
    assert_eq!(world.post("/v1/organizations", &operator, none).await.codes(), ["too-few"]);
    for org in [world.enterprise().await, world.inspector().await, world.forest_owner().await] {
        world.post("/v1/organizations", &org, enterprise(20)).await.expect(403);
    }
    world.call(Method::POST, "/v1/organizations", None, enterprise(20)).await.expect(401);
}

#[tokio::test]
async fn a_repeated_registration_is_answered_byte_for_byte() {
    let world = World::new().await;
    let operator = world.operator().await;
    let post = async |key: &str, body: &Value| {
        post_once(&world, "/v1/organizations", &operator.token, key, body).await
    };
    let first = post("registration-1", &enterprise(20)).await;
    first.expect(201);
    let second = post("registration-1", &enterprise(20)).await;
    assert_eq!((second.status, &second.bytes), (first.status, &first.bytes));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    post("registration-1", &enterprise(21)).await.expect(422);
    assert_eq!(post("registration-2", &enterprise(20)).await.codes(), ["bin-taken"]);
}

#[tokio::test]
async fn a_response_that_names_a_person_is_not_stored() {
    let world = World::new().await;
    let operator = world.operator().await;
    let body =
        json!({"bin": bin(20), "name": "ИП Оспанова Айгүл", "kind": "sole_trader", "roles": ["enterprise"]});
    let post = async || post_once(&world, "/v1/organizations", &operator.token, "sole-trader-1", &body).await;
    let made = post().await.expect(201);
    let again = post().await.expect(409);
    assert!(again["type"].as_str().unwrap().ends_with("/already-done"));
    assert!(again["detail"].as_str().unwrap().contains(made["id"].as_str().unwrap()));
}

#[tokio::test]
async fn a_persons_number_makes_no_legal_entity() {
    let world = World::new().await;
    let operator = world.operator().await;
    let person = |kind: Value| {
        let mut body = json!({"bin": "850101300005", "name": "Оспанова Айгүл", "roles": ["enterprise"]});
        if !kind.is_null() {
            body["kind"] = kind;
        }
        world.post("/v1/organizations", &operator, body)
    };
    let refused = person(json!("legal_entity")).await;
    assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/kind");
    assert_eq!(refused.codes(), ["person-not-legal-entity"]);
    let made = person(Value::Null).await.expect(201);
    assert_eq!(made["kind"], "sole_trader");
    let entity = json!({"bin": bin(20), "name": "ТОО «Ертіс»", "roles": ["enterprise"]});
    assert_eq!(world.post("/v1/organizations", &operator, entity).await.expect(201)["kind"], "legal_entity");
    for name in ["ТОО «Ерт?с»", "Ќайрат"] {
        let body = json!({"bin": bin(21), "name": name, "roles": ["enterprise"]});
        assert_eq!(world.post("/v1/organizations", &operator, body).await.codes(), ["name-letters-lost"]);
    }
    // Earlier versions accepted a person's number (IIN) for a legal entity. Such an organisation is listed
    // for the operator, and its name is not public.
    let list = || ormantrace::timber::party::organization::persons_as_legal_entities(&world.app.pool);
    assert_eq!(list().await.unwrap(), []);
    sqlx::query("UPDATE organization SET kind = 'legal_entity' WHERE bin = '850101300005'")
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(list().await.unwrap()[0].to_string(), made["id"]);
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    crate::stored_logs::log(&world, &issuer, &holder, "KZ-0001", 1).await;
    let shown = async || {
        let answer = world.call(Method::GET, "/v1/verify/KZ-0001", None, Value::Null).await.expect(200);
        answer["log"]["holder_name"].clone()
    };
    assert_eq!(shown().await, "ТОО «Ертіс ағаш»");
    sqlx::query("UPDATE organization SET bin = '900101300007' WHERE id = $1")
        .bind(holder.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(shown().await, Value::Null);
    // The same holds for every response to an organisation that is not the person's own.
    let log = world.get("/v1/logs/KZ-0001", &world.inspector().await).await.expect(200);
    assert_eq!(log["holder"]["name"], "ТОО «Ертіс ағаш»", "an inspector sees all names");
    let tickets = world.get("/v1/felling-tickets", &issuer).await.expect(200);
    let ticket = &tickets["items"][0];
    assert_eq!((&ticket["holder_id"], &ticket["holder_name"]), (&json!(holder.id), &Value::Null), "{ticket}");
    assert_eq!(ticket["holder_bin"], Value::Null);
    sqlx::query("UPDATE organization SET bin = '900101300008' WHERE id = $1")
        .bind(issuer.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    let own = format!("/v1/felling-tickets/{}", ticket["id"].as_str().unwrap());
    assert_eq!(world.get(&own, &holder).await.expect(200)["issuer_name"], Value::Null);
}

/// A history and a seal do not name a person that was registered as a legal entity.
#[tokio::test]
async fn a_person_registered_as_a_legal_entity_is_named_to_nobody_else() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.event(to, "accepted", logs, json!({})).await.expect(201);
    sqlx::query("UPDATE organization SET bin = '900101300007' WHERE id = $1")
        .bind(from.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    let name = "Ертіс ағаш";
    for path in [
        format!("/v1/logs/{}", logs[0]),
        format!("/v1/logs/{}/history", logs[0]),
        format!("/v1/logs/{}/history?evidence=none", logs[0]),
        format!("/v1/seals/{}", logs[0]),
        "/v1/logs".to_owned(),
    ] {
        let answer = world.get(&path, to).await.expect(200).to_string();
        assert!(!answer.contains(name) && !answer.contains("900101300007"), "{path}: {answer}");
        let known = world.get(&path, &felled.inspector).await;
        assert!(
            known.status != 200 || !path.contains("history") || known.json().to_string().contains(name),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_stored_nowhere() {
    let world = World::new().await;
    let owner = world.forest_owner().await;
    let path = format!("/v1/organizations/{}/keys", owner.id);
    let body = json!({"label": "Тірек"});
    let made = post_once(&world, &path, &owner.token, "key-request-1", &body).await.expect(201);
    let token = made["token"].as_str().unwrap();
    let again = post_once(&world, &path, &owner.token, "key-request-1", &body).await;
    assert!(again.expect(409)["type"].as_str().unwrap().ends_with("/already-created"));
    let listed = world.get(&path, &owner).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "the replay made no second key");
    assert!(!listed.to_string().contains(token));
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM idempotency i, api_key k WHERE i::text LIKE '%' || $1 || '%' OR k::text LIKE '%' || $1 || '%'
             OR i.body IS NOT NULL",
    )
    .bind(token)
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_revoked_key_fails_at_once_and_an_expired_one_on_time() {
    let world = World::new().await;
    let owner = world.forest_owner().await;
    let path = format!("/v1/organizations/{}/keys", owner.id);
    let expiry = (morning() + TimeDelta::hours(1)).to_rfc3339();
    let made = world.post(&path, &owner, json!({"label": "a"})).await.expect(201);
    let brief = world.post(&path, &owner, json!({"label": "b", "expires_at": expiry})).await.expect(201);
    let call = async |path: &str, key: &Value| {
        world.call(Method::GET, path, key["token"].as_str(), Value::Null).await
    };
    let me = async |key: &Value| call("/v1/me", key).await;
    // For a hot read, the query that reads the object also resolves the token. It must check the token even
    // if the object does not exist.
    let timber = crate::stored_logs::log(&world, &owner, &world.enterprise().await, "KZ-0001", 3).await;
    let on_its_way = async |key: &Value, good: bool| {
        for (path, status) in [
            ("/v1/verify/KZ-0001".to_owned(), 200),
            ("/v1/verify/KZ-0002".to_owned(), 200),
            ("/v1/verify/no%20code".to_owned(), 200),
            ("/v1/verify/KZ-0001?page=2".to_owned(), 422),
            ("/verify/KZ-0001".to_owned(), 200),
            (format!("/v1/logs/{}", timber.id), 200),
            ("/v1/logs/KZ-0002/history".to_owned(), 404),
            ("/v1/logs/KZ-0001/history?page=2".to_owned(), 422),
            ("/v1/logs/KZ-0001/export?since=once".to_owned(), 422),
        ] {
            assert_eq!(call(&path, key).await.status, if good { status } else { 401 }, "{path}");
        }
    };
    let used = async |place: usize| {
        world.get(&path, &owner).await.expect(200)["items"][place]["last_used_at"].clone()
    };
    for (place, key, read) in [(1, &made, "/v1/verify/KZ-0001"), (2, &brief, "/v1/logs/KZ-0001")] {
        assert_eq!(used(place).await, Value::Null);
        call(read, key).await.expect(200);
        assert_eq!(used(place).await, ormantrace::base::units::utc_text(morning()), "{read}");
    }
    me(&made).await.expect(200);
    on_its_way(&made, true).await;
    let delete = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let revoke = async || world.call(Method::DELETE, &delete, Some(&owner.token), Value::Null).await;
    revoke().await.expect(204);
    me(&made).await.expect(401);
    on_its_way(&made, false).await;
    // An invalid token is refused also on a route that needs no token.
    world.call(Method::GET, "/v1/species", made["token"].as_str(), Value::Null).await.expect(401);
    let listed = world.get(&path, &owner).await.expect(200);
    world.clock.set(morning() + TimeDelta::minutes(30));
    revoke().await.expect(204);
    assert_eq!(
        world.get(&path, &owner).await.expect(200)["items"][1]["revoked_at"],
        listed["items"][1]["revoked_at"]
    );
    me(&brief).await.expect(200);
    on_its_way(&brief, true).await;
    world.clock.set(morning() + TimeDelta::hours(1));
    me(&brief).await.expect(401);
    on_its_way(&brief, false).await;
}

#[tokio::test]
async fn keys_are_managed_by_their_organisation_and_the_operator_only() {
    let world = World::new().await;
    let [operator, owner, inspector] =
        [world.operator().await, world.forest_owner().await, world.inspector().await];
    let path = format!("/v1/organizations/{}/keys", owner.id);
    let id = world.get(&path, &owner).await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    world.get(&path, &operator).await.expect(200);
    let body = json!({"label": "a"});
    for stranger in [world.enterprise().await, inspector] {
        world.get(&path, &stranger).await.expect(404);
        world.post(&path, &stranger, body.clone()).await.expect(404);
        // The body is checked before the access to the organisation in the path. So the field errors of the
        // body are reported (422), and not the 404.
        world.post(&path, &stranger, json!({"label": 1})).await.expect(422);
        world
            .call(Method::DELETE, &format!("/v1/keys/{id}"), Some(&stranger.token), Value::Null)
            .await
            .expect(404);
    }
    for absent in ["0199f000-0000-7000-8000-000000000000", "x", "%00"] {
        world.get(&format!("/v1/organizations/{absent}/keys"), &operator).await.expect(404);
        world.post(&format!("/v1/organizations/{absent}/keys"), &operator, body.clone()).await.expect(404);
        world
            .call(Method::DELETE, &format!("/v1/keys/{absent}"), Some(&operator.token), Value::Null)
            .await
            .expect(404);
    }
    let past = json!({"label": "a", "expires_at": morning().to_rfc3339()});
    let refused = world.post(&path, &owner, past).await;
    assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/expires_at");
    assert_eq!(refused.codes(), ["not-in-future"]);
    world
        .call(Method::DELETE, &format!("/v1/keys/{id}"), Some(&operator.token), Value::Null)
        .await
        .expect(204);
    world.get("/v1/me", &owner).await.expect(401);
}

#[tokio::test]
async fn pages_follow_each_other_while_rows_are_added() {
    let world = World::new().await;
    let operator = world.operator().await;
    for n in 20..24 {
        world.post("/v1/organizations", &operator, enterprise(n)).await.expect(201);
    }
    let first = world.get("/v1/organizations?limit=3", &operator).await;
    let page = first.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let next = page["next"].as_str().unwrap();
    assert_eq!(
        first.headers["link"].to_str().unwrap(),
        format!("</v1/organizations?limit=3&cursor={next}>; rel=\"next\"")
    );
    world.post("/v1/organizations", &operator, enterprise(24)).await.expect(201);
    let rest = world.get(&format!("/v1/organizations?limit=3&cursor={next}"), &operator).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest["next"], Value::Null);
    // A cursor is signed, and valid only for one list and one organisation.
    let inspector = world.inspector().await;
    let foreign = world.get(&format!("/v1/organizations?cursor={next}"), &inspector).await;
    foreign.expect(422);
    assert_eq!(foreign.codes(), ["bad-cursor"]);
    let tickets = world.get(&format!("/v1/felling-tickets?cursor={next}"), &operator).await;
    assert_eq!(tickets.codes(), ["bad-cursor"], "a cursor of another list");
    use base64::Engine as _;
    for key in ["\"0199f000-0000-7000-8000-000000000000\"", "\"\\u0000\"", "\"-9999-01-01T00:00:00Z\""] {
        let made_up = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key);
        for list in ["organizations", "seals", "felling-tickets", "findings"] {
            let answer = world.get(&format!("/v1/{list}?cursor={made_up}"), &operator).await;
            answer.expect(422);
            assert_eq!(answer.codes(), ["bad-cursor"], "{list} {key}");
        }
        for list in ["events", "logs"] {
            let answer = world.get(&format!("/v1/{list}?cursor={made_up}"), &inspector).await;
            answer.expect(422);
            assert_eq!(answer.codes(), ["bad-cursor"], "{list} {key}");
        }
    }
    for (query, code) in [
        ("limit=0", "bad-limit"),
        ("limit=1001", "bad-limit"),
        ("cursor=abc", "bad-cursor"),
        ("page=2", "unknown-parameter"),
    ] {
        let answer = world.get(&format!("/v1/organizations?{query}"), &operator).await;
        answer.expect(422);
        assert_eq!(answer.codes(), [code]);
    }
}

#[tokio::test]
async fn species_and_regions_need_no_token() {
    let world = World::new().await;
    let get = async |path: &str| world.call(Method::GET, path, None, Value::Null).await.expect(200);
    let species = get("/v1/species").await;
    assert_eq!(species["items"].as_array().unwrap().len(), 22);
    assert_eq!(
        species["items"][0],
        json!({"code": "pinus_sylvestris", "group": "conifer", "ru": "Сосна обыкновенная", "kk": "Кәдімгі қарағай",
            "latin": "Pinus sylvestris"})
    );
    let regions = get("/v1/regions").await;
    assert_eq!(regions["items"][0]["code"], "KZ-10");
    assert_eq!(regions["items"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn instances_that_start_together_make_one_operator() {
    let db = TestDb::new().await;
    let (pool, clock) = (db.pool_of(8), Clock::held(morning()));
    let name = operator_named("Орман таңбалау операторы");
    let starts = (0..8).map(|_| bootstrap_operator(&pool, &clock, None, &name));
    let starts = futures_util::future::join_all(starts).await;
    let made: Vec<_> = starts
        .into_iter()
        .filter_map(|start| match start.unwrap() {
            Bootstrap::Created { token, .. } => Some(token.unwrap()),
            Bootstrap::AlreadyPresent { token_ignored } => {
                assert!(!token_ignored);
                None
            }
        })
        .collect();
    assert_eq!(made.len(), 1);
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM organization), (SELECT count(*) FROM api_key), (SELECT count(*) FROM event)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let operator: (String, String) =
        sqlx::query_as("SELECT name, bin FROM organization").fetch_one(&pool).await.unwrap();
    assert_eq!(operator, ("Орман таңбалау операторы".to_owned(), bin(9)));
    // One organisation, one key and two events: the operator was registered, and its key was made.
    assert_eq!(counts, (1, 1, 2));
    let own = Token::from_text("an-operator-token-of-my-own-choice").unwrap();
    let later = bootstrap_operator(&pool, &clock, Some(own), &name).await.unwrap();
    assert!(matches!(later, Bootstrap::AlreadyPresent { token_ignored: true }));
}

#[tokio::test]
async fn the_operators_last_valid_key_is_not_revoked() {
    let world = World::new().await;
    let operator = world.operator().await;
    let path = format!("/v1/organizations/{}/keys", operator.id);
    let keys = world.get(&path, &operator).await.expect(200);
    let first = keys["items"][0]["id"].as_str().unwrap().to_owned();
    let revoke = async |id: &str| {
        world.call(Method::DELETE, &format!("/v1/keys/{id}"), Some(&operator.token), Value::Null).await
    };
    let refused = revoke(&first).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["last-operator-key"]);
    let brief = json!({"label": "a visitor's", "expires_at": (morning() + TimeDelta::hours(1)).to_rfc3339()});
    world.post(&path, &operator, brief).await.expect(201);
    world.clock.set(morning() + TimeDelta::hours(2));
    assert_eq!(revoke(&first).await.codes(), ["last-operator-key"], "the other key has expired");
    world.post(&path, &operator, json!({"label": "the next"})).await.expect(201);
    assert_eq!(revoke(&first).await.status, 204);
}

#[tokio::test]
async fn organisations_are_looked_up_by_number_name_and_role() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let crate::world::Felled { operator, enterprise, inspector, .. } = &felled;
    let found = async |query: &str, by| {
        let page = world.get(&format!("/v1/organizations?{query}"), by).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for by in [operator, inspector] {
        assert_eq!(found(&format!("bin={}", enterprise.bin), by).await, ["ТОО «Ертіс ағаш»"]);
        assert_eq!(found("name=%D0%B5%D1%80%D1%82%D1%96%D1%81", by).await, ["ТОО «Ертіс ағаш»"]);
        assert_eq!(found("role=enterprise", by).await, ["ТОО «Ертіс ағаш»", "ТОО «Бородулиха тілу»"]);
        assert_eq!(
            found("role=enterprise&name=%D1%82%D1%96%D0%BB%D1%83", by).await,
            ["ТОО «Бородулиха тілу»"]
        );
        assert_eq!(found(&format!("role=carrier&bin={}", enterprise.bin), by).await, [""; 0]);
        assert_eq!(found("name=%25", by).await, [""; 0]);
    }
    // Others find themselves alone.
    assert_eq!(found("role=enterprise", enterprise).await, ["ТОО «Ертіс ағаш»"]);
    assert_eq!(found(&format!("bin={}", felled.sawmill.bin), enterprise).await, [""; 0]);
    for query in ["bin=123", "role=king", "name=", "kind=farm"] {
        world.get(&format!("/v1/organizations?{query}"), operator).await.expect(422);
    }
    // A cursor is of its filter.
    let page = world.get("/v1/organizations?role=enterprise&limit=1", operator).await.expect(200);
    let cursor = page["next"].as_str().unwrap();
    let next = format!("/v1/organizations?role=enterprise&limit=5&cursor={cursor}");
    assert_eq!(world.get(&next, operator).await.expect(200)["items"].as_array().unwrap().len(), 1);
    let other = format!("/v1/organizations?role=carrier&cursor={cursor}");
    assert_eq!(world.get(&other, operator).await.codes(), ["bad-cursor"]);
}

#[tokio::test]
async fn logs_are_looked_up_by_vehicle_and_seal() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let crate::world::Felled { enterprise, sawmill, carrier, inspector, logs, seals, .. } = &felled;
    let loaded = json!({"carrier_bin": carrier.bin, "vehicle": "123 abc 10"});
    world.event(enterprise, "loaded", &logs[..2], loaded).await.expect(201);
    world.event(enterprise, "loaded", &logs[2..3], json!({"vehicle": "777 XYZ 16"})).await.expect(201);
    world.event(enterprise, "departed", &logs[1..2], json!({})).await.expect(201);
    let found = async |query: &str, by| {
        let page = world.get(&format!("/v1/logs?{query}"), by).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["seal"]["number"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for by in [inspector, enterprise, carrier] {
        for plate in ["123ABC10", "123%20abc%2010", "123+ABC+10"] {
            assert_eq!(found(&format!("vehicle={plate}"), by).await, logs[..2], "{plate}");
        }
        assert_eq!(found("vehicle=123ABC10&status=in_transit", by).await, logs[1..2]);
        assert_eq!(found(&format!("seal={}", logs[0]), by).await, logs[..1]);
        assert_eq!(found(&format!("seal={}&vehicle=777XYZ16", logs[0]), by).await, [""; 0]);
        assert_eq!(found(&format!("seal={}", seals[0]), by).await, [""; 0], "on no log");
    }
    assert_eq!(found("vehicle=777XYZ16", carrier).await, [""; 0]);
    assert_eq!(found("vehicle=123ABC10&holder=me", carrier).await, [""; 0]);
    assert_eq!(found("vehicle=123ABC10", sawmill).await, [""; 0]);
    assert_eq!(found(&format!("seal={}", logs[0]), sawmill).await, [""; 0]);
    // By an earlier seal too.
    let new = json!({"new_seal_number": seals[1], "reason": "Сынды"});
    world.event(enterprise, "seal_replaced", &logs[3..], new).await.expect(201);
    assert_eq!(found(&format!("seal={}", logs[3]), inspector).await, seals[1..2]);
    let page = world.get("/v1/logs?vehicle=123ABC10&limit=1", inspector).await.expect(200);
    let cursor = page["next"].as_str().unwrap();
    let next = format!("/v1/logs?vehicle=123ABC10&cursor={cursor}");
    assert_eq!(world.get(&next, inspector).await.expect(200)["items"][0]["seal"]["number"], logs[1]);
    let other = format!("/v1/logs?vehicle=777XYZ16&cursor={cursor}");
    assert_eq!(world.get(&other, inspector).await.codes(), ["bad-cursor"]);
    world.get("/v1/logs?vehicle=", inspector).await.expect(422);
    world.get("/v1/logs?seal=%E2%9C%82", inspector).await.expect(422);
}
