//! Which declared volumes are refused and which are found odd: compared with the measures, with the table of
//! GOST 2708-75, and in the sum of a ticket.

use crate::world::{Answer, Felled, Org, World};
use axum::body::Body;
use axum::http::Request;
use ormantrace::timber::parameter::Parameters;
use ormantrace::timber::parameter::name::ParameterName;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// A harvest of pine logs, each with these members instead of the usual ones.
fn harvest(ticket: &str, seals: &[String], members: &Value) -> Value {
    let mut harvest = World::harvest_of(ticket, seals);
    for log in harvest["logs"].as_array_mut().unwrap() {
        for (name, value) in members.as_object().unwrap() {
            log[name] = value.clone();
        }
    }
    harvest
}

/// Rules and severities of the findings in a response.
fn found(answer: &Value) -> Vec<String> {
    let findings = answer["findings"].as_array().unwrap();
    findings.iter().map(|one| format!("{} {}", one["rule"], one["severity"]).replace('"', "")).collect()
}

async fn correct(world: &World, by: &Org, log: &String, set: Value) -> Answer {
    let body = json!({"corrects": 1, "reason": "қате өлшенген", "set": set});
    world.event(by, "corrected", std::slice::from_ref(log), body).await
}

/// Parameters with which almost any volume is possible, until a day or for ever.
fn lenient(until: Option<&str>) -> Parameters {
    use ParameterName as P;
    let wide = [
        (P::VolumeCylinderMin, Decimal::new(1, 2)),
        (P::VolumeThickCylinderMax, Decimal::from(1_000)),
        (P::VolumeTableMin, Decimal::new(1, 2)),
        (P::VolumeCellPercent, Decimal::from(10_000)),
    ];
    let values = wide.into_iter().flat_map(|(name, value)| {
        let usual = until.map(|day| (name, day.parse().unwrap(), name.definition().default));
        [Some((name, chrono::NaiveDate::MIN, value)), usual].into_iter().flatten()
    });
    Parameters::new(values)
}

#[tokio::test]
async fn eleven_logs_do_not_go_on_the_volume_of_one() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let low = harvest(&felled.ticket, &felled.seals[..2], &json!({"volume_m3": 0.03}));
    let mut offline = low.clone();
    offline["device"] = json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:31:00+05:00"});
    for (path, body) in
        [("/v1/harvests", &low), ("/v1/harvests?dry_run=true", &low), ("/v1/harvests", &offline)]
    {
        let refused = world.post(path, &felled.enterprise, body.clone()).await;
        let told = refused.expect(422);
        let codes = ["volume-unlike-measures", "volume-unlike-table"].repeat(2);
        assert_eq!(refused.codes(), codes);
        assert_eq!(told["errors"][2]["pointer"], "/logs/1/volume_m3");
        let detail = told["errors"][1]["detail"].as_str().unwrap();
        assert!(detail.contains("gost-2708-75/1 has 0.33 m³ for 24 cm and 6 m"), "{detail}");
    }
    let csv = format!(
        "seal_number;kind;species;wood;length_m;top_diameter_cm;pieces;volume_m3;measurement_method;occurred_at;responsible_name\r\n\
         {};log;pinus_sylvestris;commercial;6,0;24;;0,33;gost_2708_75;2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n\
         {};log;larix_sibirica;commercial;6,0;24;;0,03;harvester;2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n\
         {};stack;pinus_sylvestris;firewood;;;;0,5;stack_geometric;2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n",
        felled.seals[0], felled.seals[1], felled.seals[2]
    );
    let request = Request::post(format!("/v1/harvests?felling_ticket_id={}", felled.ticket))
        .header("authorization", format!("Bearer {}", felled.enterprise.token))
        .header("content-type", "text/csv")
        .body(Body::from(csv))
        .unwrap();
    let told = world.send(request).await.expect(422);
    let errors = told["errors"].as_array().unwrap().iter();
    let mut cells: Vec<_> = errors
        .map(|error| format!("{} {} {}", error["line"], error["column"], error["code"]).replace('"', ""))
        .collect();
    cells.sort();
    assert_eq!(cells, ["3 species not-on-ticket", "3 volume_m3 volume-unlike-measures", "4 pieces required"]);
    let ticket = world.get(&format!("/v1/felling-tickets/{}", felled.ticket), &felled.enterprise).await;
    assert_eq!(ticket.expect(200)["lines"][0]["marked_m3"], json!(0.33));
}

#[tokio::test]
async fn possible_volumes_are_recorded_and_odd_ones_found() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let by_table = |diameter: f64, length: f64, volume: f64| json!({"top_diameter_cm": diameter, "length_m": length, "volume_m3": volume});
    let by_harvester = |diameter: f64, length: f64, volume: f64| {
        let mut log = by_table(diameter, length, volume);
        log["measurement_method"] = json!("harvester");
        log
    };
    let stack = |wood: &str, pieces: u32, volume: f64| {
        json!({"kind": "stack", "wood": wood, "pieces": pieces, "volume_m3": volume,
               "length_m": 6, "top_diameter_cm": 14, "measurement_method": "stack_geometric"})
    };
    // The length of the pieces is not that of saw logs.
    let thin = |wood: &str, pieces: u32, volume: f64| {
        let mut stack = stack(wood, pieces, volume);
        stack["length_m"] = json!(3);
        stack["top_diameter_cm"] = json!(20);
        stack
    };
    for (members, expected) in [
        // The own cell, within 10 %.
        (by_table(24.0, 6.0, 0.297), Ok(vec![])),
        (by_table(24.0, 6.0, 0.2969), Err("volume-unlike-table")),
        // The row below: 24 cm has 0.33 m³, 26 cm has 0.39.
        (by_table(25.2, 6.0, 0.33), Ok(vec!["L14 notice"])),
        (by_table(25.2, 6.0, 0.429), Ok(vec![])),
        (by_table(25.2, 6.0, 0.4291), Err("volume-unlike-table")),
        // No such length in the table.
        (by_table(24.0, 8.0, 0.362), Ok(vec!["table-not-covered notice"])),
        (by_table(24.0, 8.0, 0.6153), Err("volume-unlike-measures")),
        (by_harvester(24.0, 6.0, 0.2475), Ok(vec![])),
        (by_harvester(24.0, 6.0, 0.2474), Err("volume-unlike-measures")),
        (by_harvester(24.0, 6.0, 0.495), Ok(vec![])),
        (by_harvester(24.0, 6.0, 0.4951), Ok(vec!["L14 warning"])),
        (by_harvester(24.0, 6.0, 0.6787), Err("volume-unlike-measures")),
        (stack("commercial", 10, 1.2), Ok(vec![])),
        (stack("commercial", 10, 1.2001), Ok(vec!["logs-as-stack warning"])),
        (stack("firewood", 10, 1.2), Ok(vec!["L13 warning"])),
        (stack("brushwood", 10, 1.2), Err("not-on-ticket")),
        (thin("firewood", 10, 1.2), Ok(vec![])),
        (thin("firewood", 10, 1.2001), Ok(vec!["L13 warning"])),
        (thin("commercial", 10, 1.2001), Ok(vec!["logs-as-stack warning"])),
        (stack("commercial", 10, 2.0001), Err("volume-unlike-measures")),
        (stack("firewood", 10, 0.7), Err("volume-unlike-measures")),
    ] {
        let body = harvest(&felled.ticket, &felled.seals[..1], &members);
        let answer = world.post("/v1/harvests?dry_run=true", &felled.enterprise, body).await;
        match expected {
            Ok(rules) => assert_eq!(found(&answer.expect(200)), rules, "{members}"),
            Err(code) => {
                answer.expect(422);
                assert_eq!(answer.codes(), [code], "{members}");
            }
        }
    }
}

/// Logs declared a little too low by the table's method give one finding, from 100 logs on; also if they are of
/// different lines, and if a correction makes the sum too low.
#[tokio::test]
async fn a_tickets_logs_are_compared_in_sum() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let seals = world.seals(&felled.operator, &felled.enterprise, 120).await;
    let post = async |seals: &[String], members: Value| {
        let body = harvest(&felled.ticket, seals, &members);
        found(&world.post("/v1/harvests", &felled.enterprise, body).await.expect(201))
    };
    // One log has 0.33 m³ already. 40 logs of firewood (13.2 m³ by the table), 58 commercial ones: 99 logs.
    let firewood = json!({"wood": "firewood", "length_m": 3, "volume_m3": 0.142});
    assert_eq!(post(&seals[..40], firewood).await, [""; 0]);
    assert_eq!(post(&seals[40..98], json!({"volume_m3": 0.3})).await, [""; 0]);
    // The table has 40 × 0.157 + 60 × 0.33 = 26.08 m³; declared are 0.33 + 40 × 0.142 + 59 × 0.3 = 23.71.
    assert_eq!(post(&seals[98..99], json!({"volume_m3": 0.3})).await, ["L14 warning"]);
    assert_eq!(post(&seals[99..100], json!({"volume_m3": 0.3})).await, [""; 0], "once while it stays low");
    // Logs of another method do not count.
    let other = json!({"volume_m3": 0.49, "measurement_method": "harvester"});
    assert_eq!(post(&seals[100..110], other).await, [""; 0]);
    assert_eq!(world.unsound().await, [""; 0]);
    // Corrections change the sums too. Those of an inspector bring it above 0.97, and one below it again.
    for seal in &seals[40..100] {
        correct(&world, &felled.inspector, seal, json!({"volume_m3": 0.33})).await.expect(201);
    }
    for seal in &seals[..8] {
        let answer = correct(&world, &felled.inspector, seal, json!({"volume_m3": 0.17})).await.expect(201);
        assert_eq!(found(&answer), [""; 0]);
    }
    assert_eq!(world.unsound().await, [""; 0]);
    // 26.034 of 26.41 m³ now. Below 25.6177 m³ it is low again.
    let mut rules = Vec::new();
    for seal in &seals[40..56] {
        let answer = correct(&world, &felled.inspector, seal, json!({"volume_m3": 0.3})).await.expect(201);
        rules.extend(found(&answer).into_iter().filter(|rule| rule.starts_with("L14")));
    }
    assert_eq!(rules, ["L14 warning"]);
    // A log whose wood is corrected takes its share of the sums to the other line.
    let wood = json!({"wood": "commercial"});
    correct(&world, &felled.inspector, &seals[0], wood).await.expect(201);
    let measures = json!({"length_m": 6, "volume_m3": 0.33});
    correct(&world, &felled.inspector, &seals[1], measures).await.expect(201);
    let uncovered = json!({"length_m": 8, "volume_m3": 0.45});
    let answer = correct(&world, &felled.inspector, &seals[2], uncovered).await.expect(201);
    assert_eq!(found(&answer), ["table-not-covered notice", "L13 warning"]);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn harvests_at_once_find_the_low_sum_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let seals = world.seals(&felled.operator, &felled.enterprise, 160).await;
    let harvests = seals.chunks(10).map(|seals| {
        let body = harvest(&felled.ticket, seals, &json!({"volume_m3": 0.3}));
        world.post("/v1/harvests", &felled.enterprise, body)
    });
    let answers = futures_util::future::join_all(harvests).await;
    let rules: Vec<_> = answers.iter().flat_map(|answer| found(&answer.expect(201))).collect();
    assert_eq!(rules, ["L14 warning"]);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_volume_is_judged_by_the_bounds_of_its_day() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.app.rulebook.replace(lenient(Some("2026-10-05")));
    let post = async |occurred_at: &str, dry_run: bool| {
        let members = json!({"volume_m3": 0.05, "occurred_at": occurred_at});
        let body = harvest(&felled.ticket, &felled.seals[..1], &members);
        let path = format!("/v1/harvests?dry_run={dry_run}");
        world.post(&path, &felled.enterprise, body).await
    };
    let today = post("2026-10-05T00:30:00+05:00", false).await;
    today.expect(422);
    assert_eq!(today.codes(), ["volume-unlike-measures", "volume-unlike-table"]);
    post("2026-10-04T23:30:00+05:00", true).await.expect(200);
}

/// A log that was recorded when other bounds were in force.
async fn old_log(world: &World, members: Value) -> (Felled, String) {
    let felled = world.felled(1).await;
    world.app.rulebook.replace(lenient(None));
    let seal = felled.seals[0].clone();
    let body = harvest(&felled.ticket, std::slice::from_ref(&seal), &members);
    world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
    world.app.rulebook.replace(Parameters::default());
    (felled, seal)
}

#[tokio::test]
async fn an_old_log_outside_the_bounds_may_be_corrected_towards_them() {
    let world = World::new().await;
    let (felled, seal) = old_log(&world, json!({"volume_m3": 0.05, "measurement_method": "harvester"})).await;
    let set = async |set: Value| {
        let answer = correct(&world, &felled.enterprise, &seal, set).await;
        if answer.status == 201 { Vec::new() } else { answer.codes() }
    };
    assert_eq!(set(json!({"wood": "firewood"})).await, [""; 0]);
    assert_eq!(set(json!({"grade": 3})).await, [""; 0]);
    assert_eq!(set(json!({"volume_m3": 0.04})).await, ["volume-unlike-measures"]);
    assert_eq!(set(json!({"top_diameter_cm": 22})).await, ["volume-unlike-measures"]);
    assert_eq!(set(json!({"volume_m3": 0.06})).await, [""; 0], "towards the table");
    assert_eq!(set(json!({"volume_m3": 0.05})).await, ["volume-unlike-measures"], "and not back");
    assert_eq!(set(json!({"volume_m3": 0.33})).await, [""; 0]);
    assert_eq!(set(json!({"volume_m3": 0.2})).await, ["volume-unlike-measures"]);
    // Measures and volume together, each impossible alone.
    assert_eq!(set(json!({"top_diameter_cm": 14, "length_m": 3})).await, ["volume-unlike-measures"]);
    assert_eq!(set(json!({"top_diameter_cm": 14, "length_m": 3, "volume_m3": 0.05})).await, [""; 0]);
    let refused = correct(&world, &felled.enterprise, &seal, json!({"length_m": 6})).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/set/length_m");
    assert_eq!(world.unsound().await, [""; 0]);
}

/// A log with eleven pieces would be eleven logs on the volume of one.
#[tokio::test]
async fn a_log_is_one_piece() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let post = async |path: &str, pieces: Value| {
        let body = harvest(&felled.ticket, &felled.seals[1..2], &json!({"pieces": pieces}));
        world.post(path, &felled.enterprise, body).await
    };
    for pieces in [2, 11, 10_000] {
        let refused = post("/v1/harvests", json!(pieces)).await;
        assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/logs/0/pieces");
        assert_eq!(refused.codes(), ["log-is-one-piece"]);
    }
    // The volume is compared with the measures of one piece in the same response.
    let low = json!({"pieces": 11, "volume_m3": 0.03});
    let body = harvest(&felled.ticket, &felled.seals[1..2], &low);
    let refused = world.post("/v1/harvests", &felled.enterprise, body).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["log-is-one-piece", "volume-unlike-measures", "volume-unlike-table"]);
    let csv = format!(
        "seal_number;kind;species;wood;length_m;top_diameter_cm;pieces;volume_m3;measurement_method;occurred_at;responsible_name\r\n\
         {};log;pinus_sylvestris;commercial;6,0;24;11;0,33;gost_2708_75;2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n\
         {};log;pinus_sylvestris;commercial;6,0;24;1;0,33;gost_2708_75;2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n",
        felled.seals[1], felled.seals[2]
    );
    let request = Request::post(format!("/v1/harvests?felling_ticket_id={}", felled.ticket))
        .header("authorization", format!("Bearer {}", felled.enterprise.token))
        .header("content-type", "text/csv")
        .body(Body::from(csv))
        .unwrap();
    let refused = world.send(request).await;
    let errors = refused.expect(422)["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 1);
    assert_eq!((&errors[0]["line"], &errors[0]["column"]), (&json!(2), &json!("pieces")));
    assert_eq!(found(&post("/v1/harvests", json!(1)).await.expect(201)), [""; 0]);
    for (set, codes) in [
        (json!({"pieces": 11}), vec!["log-is-one-piece"]),
        (json!({"pieces": 2, "grade": 2}), vec!["log-is-one-piece"]),
        (json!({"pieces": 1}), vec![]),
    ] {
        for by in [&felled.enterprise, &felled.inspector] {
            let answer = correct(&world, by, &felled.seals[1], set.clone()).await;
            assert_eq!(answer.status, if codes.is_empty() { 201 } else { 422 }, "{set}");
            if !codes.is_empty() {
                assert_eq!(answer.codes(), codes);
                assert_eq!(answer.expect(422)["errors"][0]["pointer"], "/set/pieces");
            }
        }
    }
    assert_eq!(world.unsound().await, [""; 0]);
}
