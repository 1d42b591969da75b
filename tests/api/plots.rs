//! Plots of felling tickets: their size, and what they share with others.

use crate::world::{Answer, Org, World};
use axum::http::Method;
use ormantrace::commands::fsck;
use serde_json::{Value, json};

/// A square plot of `size` degrees with its south-west corner at `lon`, 50.7.
fn square(lon: f64, size: f64) -> Value {
    let (right, top) = (lon + size, 50.7 + size);
    json!({"type": "Polygon", "coordinates":
        [[[lon, 50.7], [right, 50.7], [right, top], [lon, top], [lon, 50.7]]]})
}

async fn issue(world: &World, issuer: &Org, holder: &Org, number: &str, more: Value) -> Answer {
    let mut body = World::ticket_of(holder, number, 10);
    body["area_ha"] = Value::Null;
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    world.post("/v1/felling-tickets", issuer, body).await
}

fn rules(answer: &Answer) -> Vec<String> {
    let findings = answer.expect(201)["findings"].as_array().unwrap().clone();
    let rules = findings.iter().map(|one| one["rule"].as_str().unwrap().to_owned());
    rules.filter(|rule| rule != "no-allowable-cut").collect()
}

#[tokio::test]
async fn a_plot_is_under_the_size_of_the_parameter() {
    let world = World::new().await;
    let (operator, owner, holder) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    // 0.025 degrees squared are 491 ha, 0.026 squared 531 ha.
    issue(&world, &owner, &holder, "1", json!({"plot": square(80.0, 0.025)})).await.expect(201);
    let refused = issue(&world, &owner, &holder, "2", json!({"plot": square(81.0, 0.026)})).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["plot-area-too-large"]);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/plot");
    let refused =
        issue(&world, &owner, &holder, "2", json!({"plot": square(81.0, 0.026), "holder_bin": "1"})).await;
    assert_eq!(refused.codes(), ["bin-malformed", "plot-area-too-large"]);
    let body =
        json!({"value": 600, "valid_from": "2026-10-06", "document": {"kind": "other", "number": "18-02/6"}});
    world.call(Method::PUT, "/v1/parameters/plot-max-ha", Some(&operator.token), body).await.expect(200);
    world.later(24 * 60);
    issue(&world, &owner, &holder, "2", json!({"plot": square(81.0, 0.026)})).await.expect(201);
}

#[tokio::test]
async fn the_area_of_a_ticket_is_that_of_its_plot() {
    let world = World::new().await;
    let (owner, holder) = (world.forest_owner().await, world.enterprise().await);
    // The plots have 78.6 ha.
    for (n, area, found) in
        [(1, 78.6, false), (2, 72.0, false), (3, 70.0, true), (4, 85.5, false), (5, 87.0, true)]
    {
        let plot = square(80.0 + f64::from(n) * 0.1, 0.01);
        let answer =
            issue(&world, &owner, &holder, &format!("{n}"), json!({"plot": plot, "area_ha": area})).await;
        assert_eq!(rules(&answer) == ["area-unlike-plot"], found, "{area}");
    }
}

#[tokio::test]
async fn two_plots_in_one_season_do_not_overlap() {
    let world = World::new().await;
    let (owner, holder) = (world.forest_owner().await, world.enterprise().await);
    let other = world.organization(12, "«Ертіс орманы» РММ", &["forest_owner"]).await;
    let first = issue(&world, &owner, &holder, "1", json!({"plot": square(80.0, 0.01)})).await.expect(201);
    let beside = issue(&world, &owner, &holder, "2", json!({"plot": square(80.01, 0.01)})).await;
    assert_eq!(rules(&beside), [""; 0]);
    let little = issue(&world, &other, &holder, "3", json!({"plot": square(79.9904, 0.01)})).await;
    assert_eq!(rules(&little), [""; 0], "4 %");
    let twice = issue(&world, &other, &holder, "4", json!({"plot": square(79.9906, 0.01)})).await;
    assert_eq!(
        rules(&twice),
        ["plots-overlap", "plots-overlap"],
        "6 % of the first, and nearly all of the third"
    );
    // The issuer writes the region; the wood is the same.
    let mut origin = World::ticket_of(&holder, "7", 10)["origin"].clone();
    origin["region"] = "KZ-55".into();
    let elsewhere = json!({"plot": square(80.01, 0.01), "origin": origin});
    assert_eq!(rules(&issue(&world, &owner, &holder, "7", elsewhere).await), ["plots-overlap"]);
    // Neither with a ticket of another season, nor with a cancelled one.
    let later = json!({"plot": square(80.0, 0.01), "felling_from": "2027-02-01", "felling_until": "2027-03-31",
                       "removal_until": null});
    assert_eq!(rules(&issue(&world, &owner, &holder, "5", later).await), [""; 0]);
    let path = format!("/v1/felling-tickets/{}/cancel", first["id"].as_str().unwrap());
    world.post(&path, &owner, json!({"reason": "Өрт салдарынан"})).await.expect(200);
    let inside = issue(&world, &owner, &holder, "6", json!({"plot": square(80.004, 0.002)})).await;
    assert_eq!(rules(&inside), [""; 0]);
}

async fn replace(world: &World, who: &Org, ticket: &str, plot: Value) -> Answer {
    let body = json!({"plot": plot, "reason": "Учаске қайта өлшенді"});
    world.post(&format!("/v1/felling-tickets/{ticket}/plot"), who, body).await
}

/// A harvest of one log under a ticket, at a position.
async fn harvest(world: &World, holder: &Org, ticket: &str, seal: &str, lon: f64) -> Vec<String> {
    let mut body = World::harvest_of(ticket, &[seal.to_owned()]);
    body["logs"][0]["position"] = json!({"lat": 50.705, "lon": lon, "accuracy_m": 5});
    let answer = world.post("/v1/harvests", holder, body).await;
    rules(&answer)
}

#[tokio::test]
async fn a_plot_is_replaced_freely_before_the_first_harvest() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    let made = issue(&world, owner, holder, "1", json!({"plot": square(80.0, 0.01)})).await.expect(201);
    let ticket = made["id"].as_str().unwrap();
    replace(&world, holder, ticket, square(81.0, 0.02)).await.expect(403);
    replace(&world, &felled.carrier, ticket, square(81.0, 0.02)).await.expect(403);
    let refused = replace(&world, owner, ticket, square(81.0, 0.03)).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["plot-area-too-large"]);
    let done = replace(&world, owner, ticket, square(81.0, 0.02)).await.expect(200);
    assert_eq!(done["findings"][0]["rule"], "plot-replaced");
    assert_eq!(done["findings"][0]["severity"], "notice");
    let seen = world.get(&format!("/v1/felling-tickets/{ticket}"), holder).await.expect(200);
    assert_eq!(seen["plot"], done["plot"]);
    let history = world.get(&format!("/v1/felling-tickets/{ticket}/history"), holder).await.expect(200);
    let event = &history["events"][1]["parts"];
    assert!(event["public"]["text"].as_str().unwrap().contains("ticket_plot_replaced"));
    assert!(event["business"]["text"].as_str().unwrap().contains("plot_digest"));
    assert_eq!(world.unsound().await, [""; 0]);
    for change in ["plot = replace(plot, '81', '80')", "plot_west = plot_west - 1", "plot_north = plot_south"]
    {
        let mut owner = world.owner().await;
        sqlx::query("BEGIN").execute(&mut owner).await.unwrap();
        let sql = format!("UPDATE felling_ticket SET {change} WHERE id = '{ticket}'");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        let mut found: Vec<fsck::FsckError> = Vec::new();
        let scope = fsck::Scope { snapshots: fsck::Snapshots::Callers, ..fsck::Scope::default() };
        fsck::check(&mut owner, &scope, &mut found).await.unwrap();
        assert!(found.iter().any(|one| one.table == "felling_ticket"), "{change}: {found:?}");
        sqlx::query("ROLLBACK").execute(&mut owner).await.unwrap();
    }
}

#[tokio::test]
async fn after_the_first_harvest_the_issuer_enlarges_a_plot_a_little_and_around_no_finding() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    let made = issue(&world, owner, holder, "1", json!({"plot": square(80.0, 0.01)})).await.expect(201);
    let ticket = made["id"].as_str().unwrap();
    assert_eq!(harvest(&world, holder, ticket, &felled.seals[0], 80.005).await, [""; 0]);
    let wide = |right: f64| {
        json!({"type": "Polygon", "coordinates":
            [[[80.0, 50.7], [right, 50.7], [right, 50.71], [80.0, 50.71], [80.0, 50.7]]]})
    };
    for (plot, why) in
        [(wide(80.0111), "11 % larger"), (square(80.001, 0.01), "moved"), (wide(80.0099), "smaller")]
    {
        let refused = replace(&world, owner, ticket, plot).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["plot-by-inspector-only"], "{why}");
    }
    let done = replace(&world, owner, ticket, wide(80.0105)).await.expect(200);
    assert_eq!(done["findings"][0]["severity"], "warning");
    let again = replace(&world, owner, ticket, wide(80.011)).await;
    assert_eq!(again.codes(), ["plot-by-inspector-only"], "once: small steps would make any plot of it");
    replace(&world, &felled.inspector, ticket, wide(80.0104)).await.expect(200);
    // Felled about 50 m outside: what was found stays outside, unless an inspector decides otherwise.
    let made = issue(&world, owner, holder, "2", json!({"plot": square(80.0, 0.01)})).await.expect(201);
    let ticket = made["id"].as_str().unwrap();
    assert_eq!(harvest(&world, holder, ticket, &felled.seals[1], 80.0107).await, ["L8"]);
    let refused = replace(&world, owner, ticket, wide(80.0108)).await;
    assert_eq!(refused.codes(), ["plot-by-inspector-only"]);
    let hold = format!("/v1/felling-tickets/{ticket}/hold");
    world.post(&hold, &felled.inspector, json!({"reason": "Жерден тексеру керек"})).await.expect(200);
    assert_eq!(replace(&world, owner, ticket, wide(80.0101)).await.codes(), ["held"]);
    replace(&world, &felled.inspector, ticket, wide(80.0108)).await.expect(200);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_plot_that_is_replaced_while_the_first_log_is_recorded_was_replaced_before_it() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    let made = issue(&world, owner, holder, "1", json!({"plot": square(80.0, 0.01)})).await.expect(201);
    let ticket = made["id"].as_str().unwrap();
    let mut body = World::harvest_of(ticket, &felled.seals[..1]);
    body["logs"][0]["position"] = json!({"lat": 50.705, "lon": 80.005, "accuracy_m": 5});
    let replacements =
        (0..64).map(|n| replace(&world, owner, ticket, square(80.1 + f64::from(n) * 0.05, 0.01)));
    let (harvest, replaced) =
        tokio::join!(world.post("/v1/harvests", holder, body), futures_util::future::join_all(replacements));
    let log = harvest.expect(201)["logs"][0]["id"].as_str().unwrap().to_owned();
    let before = replaced.iter().filter(|answer| answer.status == 200).count();
    for answer in replaced.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.codes(), ["plot-by-inspector-only"], "{answer:?}");
    }
    // The harvest names the ticket's newest event, which is that of the last replacement.
    let business: String = sqlx::query_scalar("SELECT business FROM event WHERE subject_id::text = $1")
        .bind(log)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    let business: Value = serde_json::from_str(&business).unwrap();
    assert_eq!(business["ticket"]["seq"], before + 1);
    assert_eq!(world.unsound().await, [""; 0]);
}
