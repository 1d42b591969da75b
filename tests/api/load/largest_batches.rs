//! The largest batches that the API documents, sent through the complete router.

use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

/// Maximum number of logs in one harvest.
const MOST: usize = 5_000;

struct Stand {
    world: World,
    enterprise: Org,
    ticket: String,
    seals: Vec<String>,
}

/// An enterprise with a ticket for a winter's felling (2,000 m³) and this number of seals.
async fn stand(seals: u32) -> Stand {
    let world = World::new().await;
    let (operator, owner, enterprise) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    let ticket = World::ticket_of(&enterprise, "0001245", 2_000);
    let ticket = world.post("/v1/felling-tickets", &owner, ticket).await.expect(201);
    let seals = world.seals(&operator, &enterprise, seals).await;
    Stand { ticket: ticket["id"].as_str().unwrap().to_owned(), world, enterprise, seals }
}

impl Stand {
    async fn csv(&self, seals: &[String]) -> Answer {
        let mut table = String::from(
            "seal_number;kind;species;wood;assortment;grade;length_m;top_diameter_cm;volume_m3;\
             measurement_method;occurred_at;responsible_name\r\n",
        );
        for seal in seals {
            table += seal;
            table += ";log;pinus_sylvestris;commercial;saw_log;2;6,0;24;0,33;gost_2708_75;\
                      2026-10-05T09:30:00+05:00;Ерлан Оспанов\r\n";
        }
        let request = Request::post(format!("/v1/harvests?felling_ticket_id={}", self.ticket))
            .header("authorization", format!("Bearer {}", self.enterprise.token))
            .header("content-type", "text/csv")
            .body(Body::from(table))
            .unwrap();
        self.world.send(request).await
    }

    async fn json(&self, seals: &[String]) -> Answer {
        self.world.post("/v1/harvests", &self.enterprise, World::harvest_of(&self.ticket, seals)).await
    }

    /// m³ marked on the ticket's pine.
    async fn marked(&self) -> Value {
        let path = format!("/v1/felling-tickets/{}", self.ticket);
        self.world.get(&path, &self.enterprise).await.expect(200)["lines"][0]["marked_m3"].clone()
    }
}

/// Asserts that the response lists every log in the order of the request, each with its own id and hash.
fn are_all_there(harvest: &Value, seals: &[String]) {
    let logs = harvest["logs"].as_array().unwrap();
    let numbers: Vec<&str> = logs.iter().map(|log| log["seal_number"].as_str().unwrap()).collect();
    assert_eq!(numbers, seals);
    for name in ["id", "hash"] {
        let mut different: Vec<&str> = logs.iter().map(|log| log[name].as_str().unwrap()).collect();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), seals.len(), "{name}");
    }
}

#[tokio::test]
async fn a_harvest_takes_five_thousand_logs_and_not_one_more() {
    let stand = stand(5_001).await;
    let answer = stand.json(&stand.seals).await;
    assert_eq!(answer.expect(422)["errors"][0]["pointer"], "/logs");
    assert_eq!(answer.codes(), ["too-many"]);
    assert_eq!(stand.marked().await, json!(0));
    are_all_there(&stand.json(&stand.seals[..MOST]).await.expect(201), &stand.seals[..MOST]);
    assert_eq!(stand.marked().await, json!(1650));
}

#[tokio::test]
async fn a_table_takes_five_thousand_rows_and_not_one_more() {
    let stand = stand(5_001).await;
    let answer = stand.csv(&stand.seals).await;
    // The header is line 1.
    assert_eq!(answer.expect(422)["errors"][0]["line"], 5_002);
    assert_eq!(answer.codes(), ["too-many"]);
    are_all_there(&stand.csv(&stand.seals[..MOST]).await.expect(201), &stand.seals[..MOST]);
    assert_eq!(stand.marked().await, json!(1650));
}

fn packed(body: &Value) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.to_string().as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_batch_may_be_large_and_packed() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let send = async |path: &str, body: Vec<u8>, encoding: &str| {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json")
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .unwrap();
        world.send(request).await
    };
    let event = json!({"type": "stored", "logs": felled.logs, "occurred_at": "2026-10-05T10:00:00+05:00",
                       "place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}});
    let answer = send("/v1/custody-events", packed(&event), "gzip").await;
    assert_eq!(answer.expect(201)["events"].as_array().unwrap().len(), 2);
    // A thousand codes as long as scanners may send them: more than the 256 kB of an ordinary body.
    let codes = json!({"codes": vec!["0".repeat(2_048); 1_000]});
    assert!(codes.to_string().len() > 2_000_000);
    for (body, encoding) in [(packed(&codes), "gzip"), (codes.to_string().into_bytes(), "identity")] {
        let answer = send("/v1/verify", body, encoding).await;
        assert_eq!(answer.expect(200)["items"].as_array().unwrap().len(), 1_000, "{encoding}");
    }
    // These two requests are no batches, so gzip is refused (415). For `/v1/felling-tickets`, the caller's
    // role is checked first (403).
    send("/v1/felling-tickets", packed(&json!({})), "gzip").await.expect(403);
    let answer = send("/v1/seals/KZ999999999/void", packed(&json!({"reason": "lost"})), "gzip").await;
    answer.expect(415);
}
