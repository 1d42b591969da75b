//! Felling tickets.

use crate::support::chain::{ChainEvent, Revealed, chain_errors};
use crate::world::{Answer, Org, World, bin};
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::DateTime;
use ormantrace::base::ids::TicketId;
use ormantrace::base::units::Volume;
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::chain::{Hash, Salt};
use ormantrace::timber::ticket::{LineChange, add_marked, lock_for_harvest};
use ormantrace::timber::wood::bounds::TableSums;
use serde_json::{Value, json};

/// A ticket as the forestry of Borodulikha would issue it.
fn ticket(holder: &Org) -> Value {
    json!({
        "series": "АБ", "number": "0012345", "issued_on": "2026-09-20", "holder_bin": holder.bin,
        "felling_kind": "sanitary", "forest_category": "ленточные боры", "forest_type": "сухой бор",
        "origin": {"region": "KZ-10", "district": "Бородулиха ауданы", "forestry": "Бородулинское лесничество",
            "compartment": "114", "subcompartment": "7", "cutting_area": "2"},
        "area_ha": 3.75,
        "plot": {"type": "Polygon",
            "coordinates": [[[80.10, 50.60], [80.12, 50.60], [80.12, 50.61], [80.10, 50.61], [80.10, 50.60]]]},
        "felling_from": "2026-10-01", "felling_until": "2026-12-31", "removal_until": "2027-02-28",
        "lines": [
            {"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 120.5},
            {"species": "pinus_sylvestris", "wood": "firewood", "volume_m3": 18},
            {"species": "betula_pendula", "wood": "commercial", "volume_m3": 0.0001}
        ]
    })
}

struct Parties {
    world: World,
    owner: Org,
    holder: Org,
}

async fn parties() -> Parties {
    let world = World::new().await;
    let (owner, holder) = (world.forest_owner().await, world.enterprise().await);
    Parties { world, owner, holder }
}

impl Parties {
    async fn issue(&self, body: Value) -> Answer {
        self.world.post("/v1/felling-tickets", &self.owner, body).await
    }

    async fn issued(&self) -> (Value, String) {
        let made = read_later(self.issue(ticket(&self.holder)).await.expect(201));
        let path = format!("/v1/felling-tickets/{}", made["id"].as_str().unwrap());
        (made, path)
    }

    async fn extend(&self, path: &str, body: Value) -> Answer {
        self.world.post(&format!("{path}/extend"), &self.owner, body).await
    }
}

/// Turns the response to a write into the response that a later read returns: without the receipt and the findings,
/// which only the writer gets.
fn read_later(mut answer: Value) -> Value {
    for member in ["receipt", "findings"] {
        assert!(answer.as_object_mut().unwrap().remove(member).is_some(), "{member}");
    }
    answer
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[tokio::test]
async fn a_ticket_is_issued_and_read_by_its_parties_alone() {
    let p = parties().await;
    let (made, path) = p.issued().await;
    assert_eq!(made["status"], "open");
    assert_eq!(made["issuer_id"], p.owner.id.to_string());
    assert_eq!(made["holder_bin"], p.holder.bin);
    assert_eq!(made["origin"]["region"]["code"], "KZ-10");
    assert_eq!(made["origin"]["region"]["kk"], "Абай облысы");
    assert_eq!(made["plot"], ticket(&p.holder)["plot"]);
    assert_eq!(made["area_ha"], json!(3.75));
    let lines = made["lines"].as_array().unwrap();
    let volumes: Vec<_> = lines.iter().map(|line| line["remaining_m3"].clone()).collect();
    assert_eq!(volumes, [json!(120.5), json!(18), json!(0.0001)]);
    assert!(lines.iter().all(|line| line["marked_m3"] == 0 && line["id"].is_string()));

    let inspector = p.world.inspector().await;
    for reader in [&p.owner, &p.holder, &inspector] {
        assert_eq!(p.world.get(&path, reader).await.expect(200), made);
        assert_eq!(p.world.get("/v1/felling-tickets", reader).await.expect(200)["items"], json!([made]));
        p.world.get(&format!("{path}/history"), reader).await.expect(200);
    }
    let strangers = [p.world.operator().await, p.world.sawmill().await, p.world.carrier().await];
    for stranger in &strangers {
        let foreign = p.world.get(&path, stranger).await.expect(404);
        let absent = "/v1/felling-tickets/0199f000-0000-7000-8000-000000000000";
        let absent = p.world.get(absent, stranger).await.expect(404);
        assert_eq!((&foreign["type"], &foreign["detail"]), (&absent["type"], &absent["detail"]));
        p.world.get(&format!("{path}/history"), stranger).await.expect(404);
        assert_eq!(p.world.get("/v1/felling-tickets", stranger).await.expect(200)["items"], json!([]));
        p.world.post("/v1/felling-tickets", stranger, ticket(&p.holder)).await.expect(403);
    }
}

#[tokio::test]
async fn a_series_and_number_is_unique_to_its_issuer() {
    let p = parties().await;
    let answers = futures_util::future::join_all((0..8).map(|_| p.issue(ticket(&p.holder)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.expect(409)["errors"][0]["pointer"], "/number");
        assert_eq!(answer.codes(), ["ticket-number-taken"]);
    }
    let other = p.world.organization(30, "«Ертіс орманы» МОТР", &["forest_owner"]).await;
    p.world.post("/v1/felling-tickets", &other, ticket(&p.holder)).await.expect(201);
    p.issue(with(ticket(&p.holder), "/series", json!("АВ"))).await.expect(201);
}

#[tokio::test]
async fn an_invalid_ticket_is_refused_with_the_location_of_the_error() {
    let p = parties().await;
    let line = json!({"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 1});
    for (pointer, value, code, at) in [
        ("/felling_until", json!("2026-09-30"), "dates-out-of-order", "/felling_until"),
        ("/issued_on", json!("2026-10-02"), "felling-before-issue", "/felling_from"),
        ("/removal_until", json!("2026-12-30"), "removal-before-felling", "/removal_until"),
        ("/felling_from", json!("2026-02-30"), "date-malformed", "/felling_from"),
        ("/area_ha", json!(1_000_000), "area-too-large", "/area_ha"),
        ("/lines/2", line, "duplicate-line", "/lines/2"),
        ("/lines", json!([]), "too-few", "/lines"),
        ("/lines/0/volume_m3", json!(0), "volume-too-small", "/lines/0/volume_m3"),
        ("/lines/0/volume_m3", json!(0.12345), "volume-too-precise", "/lines/0/volume_m3"),
        ("/lines/0/volume_m3", json!("5"), "wrong-type", "/lines/0/volume_m3"),
        ("/lines/1/species", json!("Сосна"), "unknown-species", "/lines/1/species"),
        ("/origin/region", json!("KZ-99"), "unknown-region", "/origin/region"),
        ("/felling_kind", json!("selective"), "unknown-felling-kind", "/felling_kind"),
        ("/series", json!("А".repeat(21)), "text-too-long", "/series"),
        ("/plot/type", json!("Point"), "plot-malformed", "/plot"),
        ("/plot", json!("POLYGON"), "wrong-type", "/plot"),
        ("/plot/coordinates/0/1", json!([80.10, 50.62]), "plot-invalid", "/plot/coordinates/0/2"),
        ("/plot/coordinates/0/3", json!([80.10, 95]), "latitude-invalid", "/plot/coordinates/0/3"),
        ("/plot/coordinates/0/1", json!([9.3, 60.9]), "plot-outside-country", "/plot/coordinates/0/1"),
        ("/holder_bin", json!(bin(77)), "unknown-organization", "/holder_bin"),
    ] {
        let answer = p.issue(with(ticket(&p.holder), pointer, value)).await;
        assert_eq!(answer.codes(), [code], "{pointer}");
        assert_eq!(answer.expect(422)["errors"][0]["pointer"], at);
    }
    let exchanged = json!([[[50.6, 80.1], [50.6, 80.12], [50.61, 80.12], [50.6, 80.1]]]);
    let answer = p.issue(with(ticket(&p.holder), "/plot/coordinates", exchanged)).await.expect(422);
    assert_eq!(answer["errors"][0]["code"], "plot-outside-country");
    assert!(answer["errors"][0]["detail"].as_str().unwrap().contains("longitude first?"), "{answer}");
    let bow_tie = json!([[[80.1, 50.6], [80.2, 50.7], [80.2, 50.6], [80.1, 50.7], [80.1, 50.6]]]);
    let answer = p.issue(with(ticket(&p.holder), "/plot/coordinates", bow_tie)).await.expect(422);
    assert_eq!(answer["errors"][0]["pointer"], "/plot/coordinates/0/2");
    assert!(answer["errors"][0]["detail"].as_str().unwrap().contains("crosses itself"), "{answer}");
    let carrier = p.world.carrier().await;
    let crossed = with(ticket(&carrier), "/plot/coordinates/0/1", json!([80.10, 50.62]));
    assert_eq!(p.issue(crossed).await.codes(), ["plot-invalid", "not-a-harvester"], "both at once");
    // The first day, the last day and the day of issue may all be the same day.
    let one_day = with(ticket(&p.holder), "/felling_until", json!("2026-10-01"));
    p.issue(with(one_day, "/issued_on", json!("2026-10-01"))).await.expect(201);
}

#[tokio::test]
async fn texts_that_are_too_long_together_are_refused_and_long_cyrillic_fits() {
    let p = parties().await;
    let fill = |letter: &str| {
        let long = |count: usize| json!(letter.repeat(count));
        let mut body = ticket(&p.holder);
        body["series"] = long(20);
        body["number"] = long(40);
        body["forest_category"] = long(60);
        body["forest_type"] = long(60);
        body["origin"]["forestry"] = long(100);
        for part in ["compartment", "subcompartment", "cutting_area"] {
            body["origin"][part] = long(30);
        }
        body
    };
    let answer = p.issue(fill("𐊀")).await;
    answer.expect(422);
    assert_eq!(answer.codes(), ["too-long-together"]);
    assert_eq!(answer.json()["errors"][0]["pointer"], "/origin/forestry");
    let mut cyrillic = fill("Ж");
    cyrillic["origin"]["district"] = json!("Ж".repeat(60));
    p.issue(cyrillic).await.expect(201);
}

#[tokio::test]
async fn an_extension_moves_dates_later_only() {
    let p = parties().await;
    let (_, path) = p.issued().await;
    for (body, status, codes) in [
        (json!({"reason": "Қар"}), 422, vec!["nothing-to-extend"]),
        (json!({"felling_until": "2027-01-31"}), 422, vec!["required"]),
        (
            json!({"felling_until": "2027-05-01", "removal_until": "2027-04-30", "reason": "Қар"}),
            422,
            vec!["removal-before-felling"],
        ),
        (json!({"felling_until": "2026-12-31", "reason": "Қар"}), 409, vec!["not-later"]),
        (json!({"removal_until": "2027-02-28", "reason": "Қар"}), 409, vec!["not-later"]),
        (json!({"felling_until": "2027-03-01", "reason": "Қар"}), 409, vec!["removal-before-felling"]),
    ] {
        let answer = p.extend(&path, body).await;
        answer.expect(status);
        assert_eq!(answer.codes(), codes);
    }
    let extended = p.extend(&path, json!({"felling_until": "2027-01-31", "reason": "Қар"})).await.expect(200);
    let extended = read_later(extended);
    assert_eq!(extended["felling_until"], "2027-01-31");
    assert_eq!(extended["removal_until"], "2027-02-28");
    assert_eq!(p.world.get(&path, &p.holder).await.expect(200), extended);

    // The holder sees the ticket but is not its issuer: 403. A forest owner without access gets 404.
    let body = json!({"felling_until": "2027-02-01", "reason": "Қар"});
    p.world.post(&format!("{path}/extend"), &p.holder, body.clone()).await.expect(403);
    let stranger = p.world.organization(30, "«Ертіс орманы» МОТР", &["forest_owner"]).await;
    p.world.post(&format!("{path}/extend"), &stranger, body.clone()).await.expect(404);
    p.world.post(&format!("{path}/cancel"), &stranger, json!({"reason": "Қар"})).await.expect(404);
}

#[tokio::test]
async fn a_cancelled_ticket_stays_cancelled() {
    let p = parties().await;
    let (_, path) = p.issued().await;
    let cancel = async || p.world.post(&format!("{path}/cancel"), &p.owner, json!({"reason": "Өрт"})).await;
    let answers = futures_util::future::join_all((0..8).map(|_| cancel())).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status != 200)
            .all(|answer| answer.codes() == ["ticket-cancelled"])
    );
    let late = p.extend(&path, json!({"felling_until": "2027-01-31", "reason": "Қар"})).await;
    late.expect(409);
    assert_eq!(late.codes(), ["ticket-cancelled"]);
    assert_eq!(p.world.get(&path, &p.holder).await.expect(200)["status"], "cancelled");
    let history = p.world.get(&format!("{path}/history"), &p.holder).await.expect(200);
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
}

/// The chain as a third party reads it from the response.
fn chain(events: &[Value]) -> Vec<ChainEvent<'_>> {
    let hash = |value: &Value| Hash::from_hex(value.as_str().unwrap()).unwrap();
    events
        .iter()
        .map(|event| {
            let parts = ["public", "business", "personal"].map(|name| {
                let part = &event["parts"][name];
                let opening = part["text"].as_str().map(|text| (Salt(hash(&part["salt"]).0), text));
                Revealed { commitment: hash(&part["commitment"]), opening }
            });
            ChainEvent {
                seq: u32::try_from(event["seq"].as_u64().unwrap()).unwrap(),
                received_at: DateTime::parse_from_rfc3339(event["received_at"].as_str().unwrap())
                    .unwrap()
                    .to_utc(),
                subject: Hash::from_hex(&event["entry"].as_str().unwrap()[2..66]).unwrap(),
                prev: hash(&event["prev_hash"]),
                hash: hash(&event["hash"]),
                parts,
            }
        })
        .collect()
}

#[tokio::test]
async fn the_history_can_be_recomputed_from_what_is_answered() {
    let p = parties().await;
    let (made, path) = p.issued().await;
    p.extend(&path, json!({"felling_until": "2027-01-31", "reason": "Қар"})).await.expect(200);
    // A clock that is set back does not make `received_at` decrease in the chain.
    p.world.clock.set(p.world.clock.now() - chrono::TimeDelta::hours(3));
    p.world.post(&format!("{path}/cancel"), &p.owner, json!({"reason": "Өрт"})).await.expect(200);
    let history = p.world.get(&format!("{path}/history"), &p.holder).await.expect(200);
    let events = history["events"].as_array().unwrap();
    assert_eq!(chain_errors(&chain(events)), []);
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ticket_issued", "ticket_extended", "ticket_cancelled"]);
    assert_eq!(events[1]["details"]["reason"], "Қар");
    assert_eq!(events[0]["organization"], p.owner.id.to_string());
    assert_eq!(
        events[0]["parts"]["public"]["text"],
        r#"{"forestry":"Бородулинское лесничество","on":"2026-10-05","region":"KZ-10","subject":"felling_ticket","ticket":{"number":"0012345","series":"АБ"},"type":"ticket_issued","v":1}"#
    );
    // The digest in the event is that of the lines in the response.
    let lines: Vec<_> = made["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let volume = line["volume_m3"].to_string();
            let [id, species, wood] = ["id", "species", "wood"].map(|name| line[name].to_string());
            format!(r#"{{"id":{id},"species":{species},"volume_m3":"{volume}","wood":{wood}}}"#)
        })
        .collect();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("[{}]", lines.join(",")));
    assert_eq!(events[0]["details"]["lines_digest"], hex::encode(digest));
    let plot = <sha2::Sha256 as sha2::Digest>::digest(history["ticket"]["plot"].to_string());
    assert_eq!(events[0]["details"]["plot_digest"], hex::encode(plot));
    // A change to a hashed text is found.
    let mut forged = events.clone();
    let text = forged[0]["parts"]["business"]["text"].as_str().unwrap().replace("2026-12-31", "2027-12-31");
    forged[0]["parts"]["business"]["text"] = text.into();
    assert!(!chain_errors(&chain(&forged)).is_empty());
}

#[tokio::test]
async fn a_repeated_issue_is_answered_byte_for_byte() {
    let p = parties().await;
    let post = async |body: Value| {
        let request = Request::post("/v1/felling-tickets")
            .header("authorization", format!("Bearer {}", p.owner.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "ticket-0012345")
            .body(Body::from(body.to_string()))
            .unwrap();
        p.world.send(request).await
    };
    let first = post(ticket(&p.holder)).await;
    first.expect(201);
    let second = post(ticket(&p.holder)).await;
    assert_eq!((second.status, &second.bytes), (first.status, &first.bytes));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    post(with(ticket(&p.holder), "/number", json!("0012346"))).await.expect(422);
}

#[tokio::test]
async fn a_sole_traders_name_and_number_are_not_in_a_ticket() {
    let p = parties().await;
    let trader = p.world.organization(40, "ИП Оспанова Айгүл", &["enterprise"]).await;
    sqlx::query("UPDATE organization SET kind = 'sole_trader' WHERE id = $1")
        .bind(trader.id)
        .execute(&p.world.app.pool)
        .await
        .unwrap();
    let made = p.issue(ticket(&trader)).await.expect(201);
    assert_eq!(made["holder_id"], trader.id.to_string());
    assert_eq!((&made["holder_name"], &made["holder_bin"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn marked_volume_is_subtracted_from_the_remaining() {
    let p = parties().await;
    let (made, path) = p.issued().await;
    let id: TicketId = made["id"].as_str().unwrap().parse().unwrap();
    let mut tx = Tx::begin(&p.world.app.pool).await.unwrap();
    let held = lock_for_harvest(&mut tx, id).await.unwrap().unwrap();
    assert_eq!(
        (held.row.issuer, held.row.holder, held.row.head_seq, held.row.cancelled),
        (p.owner.id, p.holder.id, 1, false)
    );
    assert!(held.lines.is_sorted_by_key(|line| line.id));
    assert!(held.row.plot.is_some());
    let line = held.lines.iter().find(|line| line.permitted == Volume::parse("120.5").unwrap()).unwrap();
    let more = Volume::parse("0.33").unwrap();
    let change = |marked| LineChange { id: line.id, marked, by_table: TableSums::ZERO };
    add_marked(&mut tx, &[change(more), change(more)]).await.unwrap();
    // A correction subtracts volume.
    add_marked(&mut tx, &[change(Volume::ZERO.checked_sub(more).unwrap())]).await.unwrap();
    tx.commit().await.unwrap();
    let seen = p.world.get(&path, &p.holder).await.expect(200);
    assert_eq!(seen["lines"][0]["marked_m3"], json!(0.33));
    assert_eq!(seen["lines"][0]["remaining_m3"], json!(120.17));

    let mut tx = Tx::begin(&p.world.app.pool).await.unwrap();
    assert!(lock_for_harvest(&mut tx, TicketId::new()).await.unwrap().is_none());
    let below = Volume::ZERO.checked_sub(Volume::parse("1").unwrap()).unwrap();
    assert!(add_marked(&mut tx, &[change(below)]).await.is_err(), "never below zero");
}

#[tokio::test]
async fn tickets_come_in_pages() {
    let p = parties().await;
    for number in ["1", "2", "3"] {
        p.issue(with(ticket(&p.holder), "/number", json!(number))).await.expect(201);
    }
    let page = p.world.get("/v1/felling-tickets?limit=2", &p.holder).await.expect(200);
    let next = page["next"].as_str().unwrap();
    let path = format!("/v1/felling-tickets?limit=2&cursor={next}");
    let rest = p.world.call(Method::GET, &path, Some(&p.holder.token), Value::Null).await.expect(200);
    let numbers: Vec<_> = [&page, &rest]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|ticket| ticket["number"].as_str().unwrap())
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert_eq!(rest["next"], Value::Null);

    // A ticket that a forest owner issues to itself is listed once.
    p.issue(with(ticket(&p.owner), "/number", json!("4"))).await.expect(201);
    let all = p.world.get("/v1/felling-tickets", &p.owner).await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_ticket_is_found_by_what_its_paper_says_within_the_callers_sight() {
    let world = World::new().await;
    let (owner, other) =
        (world.forest_owner().await, world.organization(12, "«Ертіс орманы» РММ", &["forest_owner"]).await);
    let (holder, sawmill, inspector) =
        (world.enterprise().await, world.sawmill().await, world.inspector().await);
    let issue = async |issuer: &Org, holder: &Org, series: &str, number: &str| {
        let mut body = World::ticket_of(holder, number, 10);
        body["series"] = series.into();
        let made = world.post("/v1/felling-tickets", issuer, body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let first = issue(&owner, &holder, "АБ", "0001245").await;
    let second = issue(&owner, &sawmill, "АВ", "0001245").await;
    let third = issue(&other, &holder, "АБ", "0001245").await;
    let fourth = issue(&owner, &holder, "АБ", "0001246").await;
    let cancel = format!("/v1/felling-tickets/{fourth}/cancel");
    world.post(&cancel, &owner, json!({"reason": "Өрт салдарынан"})).await.expect(200);
    let found = async |who: &Org, query: &str| {
        let page = world.get(&format!("/v1/felling-tickets?{query}"), who).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let series = "series=%D0%90%D0%91";
    assert_eq!(found(&inspector, "number=0001245").await, [first.clone(), second.clone(), third.clone()]);
    assert_eq!(found(&inspector, &format!("number=0001245&{series}")).await, [first.clone(), third.clone()]);
    assert_eq!(found(&owner, "number=0001245").await, [first.clone(), second.clone()]);
    assert_eq!(found(&sawmill, "number=0001245").await, std::slice::from_ref(&second));
    assert_eq!(found(&inspector, "status=cancelled").await, std::slice::from_ref(&fourth));
    assert_eq!(
        found(&holder, &format!("holder=me&status=open&{series}")).await,
        [first.clone(), third.clone()]
    );
    assert_eq!(found(&owner, &format!("holder={}", sawmill.id)).await, std::slice::from_ref(&second));
    assert_eq!(found(&owner, "holder=me").await, [""; 0]);
    assert_eq!(found(&inspector, "number=1245").await, [""; 0], "the whole number");
    let refused = world.get("/v1/felling-tickets?holder=us", &owner).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["unknown-holder"]);

    // A page continues with the same filter only.
    let page = world.get("/v1/felling-tickets?number=0001245&limit=1", &owner).await.expect(200);
    let next = page["next"].as_str().unwrap();
    let rest = found(&owner, &format!("number=0001245&limit=1&cursor={next}")).await;
    assert_eq!(rest, [second]);
}
