//! The order in which the reasons to refuse a write request are checked. First: is the body accepted (413,
//! 415)? Then: can it be parsed (400)? Finally, all field errors are reported at once (422), those in the
//! head of the request and those in its body.

use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

/// Sends a write request with two errors in its head: a too short idempotency key, and the unknown parameter
/// `bark`.
async fn post(world: &World, org: &Org, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("{path}bark=2"))
        .header("authorization", format!("Bearer {}", org.token))
        .header("content-type", media_type)
        .header("idempotency-key", "pine")
        .body(body.into())
        .unwrap();
    world.send(request).await
}

/// Location and code of each field error; a parameter is written with a question mark.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let body: Value = answer.expect(422);
    let place = |entry: &Value| {
        let at = |name: &str| entry[name].as_str().map(str::to_owned);
        let parameter = at("parameter").map(|name| format!("?{name}"));
        parameter.or(at("pointer")).or(at("header")).or(at("column")).expect("a location")
    };
    let code = |entry: &Value| entry["code"].as_str().expect("a code").to_owned();
    body["errors"].as_array().unwrap().iter().map(|entry| (place(entry), code(entry))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect()
}

const HEAD: [(&str, &str); 2] = [("Idempotency-Key", "bad-idempotency-key"), ("?bark", "unknown-parameter")];

#[tokio::test]
async fn a_write_request_is_refused_in_the_order_of_the_contract() {
    let world = World::new().await;
    let anybody = world.organization(1, "Барлық рөлдер", &["operator", "enterprise"]).await;
    let large = vec![b' '; 6 * 1024 * 1024];
    let calls = [
        ("/v1/organizations?", "/bin"),
        ("/v1/custody-events?", "/type"),
        ("/v1/verify?", "/codes"),
        ("/v1/seals?", "/holder_bin"),
        ("/v1/harvests?", "/felling_ticket_id"),
    ];
    for (path, first) in calls {
        post(&world, &anybody, path, "application/json", large.clone()).await.expect(413);
        post(&world, &anybody, path, "text/plain", "{}").await.expect(415);
        post(&world, &anybody, path, "application/json", "{").await.expect(400);
        let answer = post(&world, &anybody, path, "application/json", "{}").await;
        let told = told(&answer);
        assert_eq!(told[..2], pairs(&HEAD), "{path}");
        assert_eq!(told[2], (first.to_owned(), "required".to_owned()), "{path}: {told:?}");
    }
}

#[tokio::test]
async fn a_table_is_refused_in_the_same_order_and_its_parameter_once() {
    let world = World::new().await;
    let anybody = world.organization(1, "Барлық рөлдер", &["operator", "enterprise"]).await;
    let tables = [
        ("/v1/seals?holder_bin=", "number,marking_code\n", "?holder_bin", "bin-malformed"),
        ("/v1/harvests?felling_ticket_id=", "seal_number,species\n", "?felling_ticket_id", "not-a-uuid"),
    ];
    for (path, table, parameter, code) in tables {
        let path = format!("{path}7&");
        let large = vec![b' '; 6 * 1024 * 1024];
        post(&world, &anybody, &path, "text/csv", large).await.expect(413);
        post(&world, &anybody, &path, "text/csv", "").await.expect(400);
        let told = told(&post(&world, &anybody, &path, "text/csv", table).await);
        assert_eq!(told[..2], pairs(&HEAD), "{path}");
        let of_parameter: Vec<_> = told.iter().filter(|(place, _)| place == parameter).collect();
        assert_eq!(of_parameter, [&(parameter.to_owned(), code.to_owned())], "{told:?}");
        // A missing parameter is reported with the parameter as its location.
        let path = format!("{}?", path.split('?').next().unwrap());
        let without = self::told(&post(&world, &anybody, &path, "text/csv", table).await);
        assert!(without.contains(&(parameter.to_owned(), "required".to_owned())), "{without:?}");
    }
}

#[tokio::test]
async fn parameters_of_a_table_are_refused_with_json() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let path = format!("/v1/harvests?felling_ticket_id={}&dry_run=perhaps", felled.ticket);
    let answer = world.post(&path, &felled.enterprise, body).await;
    let expected = [("?dry_run", "wrong-type"), ("?felling_ticket_id", "unknown-parameter")];
    assert_eq!(told(&answer), pairs(&expected));
    let answer = world.post("/v1/seals?holder_bin=7", &felled.operator, json!({"seals": []})).await;
    let expected = [("?holder_bin", "unknown-parameter"), ("/holder_bin", "required"), ("/seals", "too-few")];
    assert_eq!(told(&answer), pairs(&expected));
}
