//! Dated parameters: who sets them, from which day a value is in force, and what the chain says about it.

use crate::proofs::publish;
use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::{Method, Request};
use ormantrace::commands::fsck;
use ormantrace::timber::parameter::name::ParameterName;
use ormantrace::timber::parameter::record::load;
use serde_json::{Value, json};

async fn put(world: &World, who: &Org, name: &str, body: Value) -> Answer {
    world.call(Method::PUT, &format!("/v1/parameters/{name}"), Some(&who.token), body).await
}

/// A value as the operator sets it.
fn value(value: impl Into<Value>, valid_from: &str) -> Value {
    json!({"value": value.into(), "valid_from": valid_from,
           "document": {"kind": "other", "number": "18-02/1", "issued_on": "2026-10-01"}})
}

async fn listed(world: &World, who: &Org, name: &str) -> Value {
    let all = world.get("/v1/parameters", who).await.expect(200);
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), ParameterName::ALL.len());
    items.iter().find(|item| item["name"] == name).unwrap().clone()
}

/// The fsck errors of the parameters.
async fn unsound(world: &World) -> Vec<String> {
    let mut found: Vec<fsck::FsckError> = Vec::new();
    fsck::check(&mut world.owner().await, &fsck::Scope::default(), &mut found).await.unwrap();
    found.retain(|finding| finding.table == "parameter");
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_operator_sets_a_value_from_tomorrow_on() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let before = listed(&world, &enterprise, "ticket-hold-days").await;
    assert_eq!(
        before,
        json!({"name": "ticket-hold-days", "about": "Days for which an inspector may hold a felling ticket at once",
               "unit": "days", "default": 10, "min": 1, "max": 10, "value": 10, "values": []})
    );
    put(&world, &enterprise, "ticket-hold-days", value(4, "2026-10-06")).await.expect(403);
    put(&world, &operator, "ticket-hold-weeks", value(4, "2026-10-06")).await.expect(404);

    let set = put(&world, &operator, "ticket-hold-days", value(4, "2026-10-06")).await.expect(200);
    assert_eq!(set["value"], 10, "today it is the old value");
    let document = json!({"kind": "other", "number": "18-02/1", "issued_on": "2026-10-01"});
    assert_eq!(
        set["values"],
        json!([{"value": 4, "valid_from": "2026-10-06", "document": document, "set_at": "2026-10-05T05:00:00.000000Z"}])
    );
    assert!(set["receipt"].is_object(), "{set}");
    world.later(14 * 60 - 1);
    assert_eq!(listed(&world, &enterprise, "ticket-hold-days").await["value"], 10, "23:59 in Kazakhstan");
    world.later(1);
    assert_eq!(listed(&world, &enterprise, "ticket-hold-days").await["value"], 4, "midnight in Kazakhstan");

    publish(&world).await;
    let path = format!("/v1/organizations/{}/export", operator.id);
    let export = world.get(&path, &operator).await.expect(200);
    let event = export["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        event["parts"]["public"]["text"],
        r#"{"on":"2026-10-05","parameter":"ticket-hold-days","subject":"organization","type":"parameter_set","v":1,"valid_from":"2026-10-06","value":"4"}"#
    );
    assert!(event["parts"]["business"]["text"].as_str().unwrap().contains(r#""number":"18-02/1""#));
    let inspector = world.inspector().await;
    let export = world.get(&path, &inspector).await.expect(200);
    assert!(export["events"][2]["parts"]["public"]["text"].is_string(), "an inspector sees the decision too");
    assert_eq!(unsound(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_value_of_today_or_beyond_its_bounds_is_refused() {
    let world = World::new().await;
    let operator = world.operator().await;
    let codes = async |body: Value| {
        let answer = put(&world, &operator, "ticket-hold-days", body).await;
        answer.expect(422);
        answer.codes()
    };
    assert_eq!(codes(value(4, "2026-10-05")).await, ["valid-from-too-early"]);
    assert_eq!(codes(value(4, "2026-10-04")).await, ["valid-from-too-early"]);
    assert_eq!(codes(value(0, "2026-10-06")).await, ["parameter-out-of-range"]);
    assert_eq!(codes(value(11, "2026-10-06")).await, ["parameter-out-of-range"]);
    assert_eq!(codes(value(4.5, "2026-10-06")).await, ["value-too-precise"]);
    assert_eq!(codes(value("four", "2026-10-06")).await.len(), 1);
    // All errors of a request at once, also those of the members that could be read.
    let body = json!({"value": 11, "valid_from": "2026-10-05", "document": {"kind": "edict", "number": "1"}});
    assert_eq!(
        codes(body).await,
        ["unknown-document-kind", "parameter-out-of-range", "valid-from-too-early"]
    );
    let body = json!({"value": 4, "valid_from": "2026-10-06"});
    assert_eq!(codes(body).await, ["required"], "no value without the document that decided it");
    assert_eq!(listed(&world, &operator, "ticket-hold-days").await["values"], json!([]));

    // In the last hour of a day another instance may not have read the value when the next day begins.
    world.later(13 * 60);
    assert_eq!(codes(value(4, "2026-10-06")).await, ["valid-from-too-early"]);
    put(&world, &operator, "ticket-hold-days", value(4, "2026-10-07")).await.expect(200);
}

#[tokio::test]
async fn records_are_judged_by_the_value_of_their_day() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    put(&world, &felled.operator, "ticket-hold-days", value(4, "2026-10-06")).await.expect(200);
    put(&world, &felled.operator, "late-entry-hours", value(24, "2026-10-06")).await.expect(200);
    let hold = async |until: &str| {
        let body = json!({"reason": "Жерден тексеру керек", "until": until});
        world.post(&format!("/v1/felling-tickets/{}/hold", felled.ticket), &felled.inspector, body).await
    };
    let release = async || {
        let path = format!("/v1/felling-tickets/{}/release", felled.ticket);
        world.post(&path, &felled.inspector, json!({"reason": "Құжаттары дұрыс"})).await.expect(200);
    };
    hold("2026-10-15T10:00:00+05:00").await.expect(200);
    release().await;
    // 00:30 on the next day in Kazakhstan.
    world.later(14 * 60 + 30);
    let refused = hold("2026-10-15T10:00:00+05:00").await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["hold-too-long"]);
    hold("2026-10-10T00:30:00+05:00").await.expect(200);
    release().await;

    // Both are received 25 hours after they happened: the first on a day on which 72 hours are allowed.
    let rules = |answer: Answer| {
        let findings = answer.expect(201)["findings"].as_array().unwrap().clone();
        findings.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.clock.set("2026-10-06T19:30:00Z".parse().unwrap());
    let at = |at: &str| json!({"occurred_at": at});
    let first =
        world.event(&felled.enterprise, "stored", &felled.logs[..1], at("2026-10-05T23:30:00+05:00")).await;
    assert_eq!(rules(first), [""; 0]);
    world.clock.set("2026-10-06T20:30:00Z".parse().unwrap());
    let second =
        world.event(&felled.enterprise, "stored", &felled.logs[1..2], at("2026-10-06T00:20:00+05:00")).await;
    assert_eq!(rules(second), ["L23"]);
}

#[tokio::test]
async fn the_shares_of_a_line_that_are_found_are_parameters() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    put(&world, &felled.operator, "line-first-percent", value(1, "2026-10-06")).await.expect(200);
    let share = async |seal: usize| {
        let mut body = World::harvest_of(&felled.ticket, &felled.seals[seal..=seal]);
        body["logs"][0]["volume_m3"] = json!(0.34);
        body["logs"][0]["measurement_method"] = json!("harvester");
        let done = world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
        done["findings"].as_array().unwrap().iter().filter(|one| one["rule"] == "L6").count()
    };
    assert_eq!(share(0).await, 0, "0.67 of 100 m³, on the day before");
    world.later(24 * 60);
    assert_eq!(share(1).await, 1, "1.01 of 100 m³");
    assert_eq!(share(2).await, 0, "only when it is first reached");
}

#[tokio::test]
async fn the_newest_value_of_a_day_counts_and_a_repeated_request_sets_it_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let send = async |days: i32| {
        let request = Request::put("/v1/parameters/ticket-hold-days")
            .header("authorization", format!("Bearer {}", operator.token))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("parameter-{days}"));
        world.send(request.body(Body::from(value(days, "2026-10-06").to_string())).unwrap()).await
    };
    send(4).await.expect(200);
    send(6).await.expect(200);
    let again = send(4).await;
    again.expect(200);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    world.later(24 * 60);
    assert_eq!(listed(&world, &operator, "ticket-hold-days").await["value"], 6);
    assert_eq!(unsound(&world).await, [""; 0]);

    // A value that no event set, an altered and a removed one are found.
    let mut owner = world.owner().await;
    for (sql, code) in [
        ("UPDATE parameter SET value = 9", "state-differs"),
        ("UPDATE parameter SET valid_from = valid_from - 1", "row-unexplained"),
        ("DELETE FROM parameter", "row-missing"),
    ] {
        sqlx::query("BEGIN").execute(&mut owner).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        let mut found: Vec<fsck::FsckError> = Vec::new();
        let scope = fsck::Scope { snapshots: fsck::Snapshots::Callers, ..fsck::Scope::default() };
        fsck::check(&mut owner, &scope, &mut found).await.unwrap();
        let found: Vec<_> =
            found.iter().filter(|one| one.table == "parameter").map(ToString::to_string).collect();
        assert!(found.iter().any(|one| one.contains(code)), "{sql}: {found:?}");
        sqlx::query("ROLLBACK").execute(&mut owner).await.unwrap();
    }
}

#[tokio::test]
async fn another_instance_reads_the_value_and_many_writers_leave_a_sound_chain() {
    let world = World::new().await;
    let operator = world.operator().await;
    let sets = (0..64).map(|n| put(&world, &operator, "late-entry-hours", value(24 + n, "2026-10-06")));
    for answer in futures_util::future::join_all(sets).await {
        answer.expect(200);
    }
    let day = "2026-10-06".parse().unwrap();
    let newest = world.app.rulebook.parameters().on(ParameterName::LateEntryHours, day);
    let stored = load(&world.app.pool).await.unwrap().on(ParameterName::LateEntryHours, day);
    assert_eq!(stored, newest);
    assert_eq!(unsound(&world).await, [""; 0]);
    let other = world.instance();
    other.rulebook.replace(load(&other.pool).await.unwrap());
    assert_eq!(other.rulebook.parameters().on(ParameterName::LateEntryHours, day), newest);
}
