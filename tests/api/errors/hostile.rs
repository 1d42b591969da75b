//! Hostile values in every member, query parameter and path of every operation in the OpenAPI document, and
//! cursors of other lists and callers: none causes an error of the server.

use crate::world::{Answer, Felled, Org, World};
use axum::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Texts with NUL characters, and times that PostgreSQL or the microseconds in the chain cannot represent.
const TEXTS: [&str; 13] = [
    "\0",
    "a\0b",
    "-5000-01-01T00:00:00Z",
    "-4714-11-23T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "10000-01-01T00:00:00Z",
    "+292277-01-01T00:00:00Z",
    "-5000-01-01",
    "0000-00-00",
    "10000-01-01",
    "99999999999999999999",
];
const NUMBERS: [&str; 4] = ["99999999999999999999", "-1", "1e300", "0.00000000000000000000000000001"];

/// Sends requests to one world, and collects those that cause an error of the server.
struct Walk {
    world: World,
    felled: Felled,
    orgs: Vec<Org>,
    document: Value,
    found: Vec<String>,
    asked: usize,
}

/// Percent-encodes a value for a path or a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        let _ = write!(url, "%{byte:02X}");
        url
    })
}

/// Pointers to every text and number of a body, and whether it is a number.
fn leaves(value: &Value, here: &str, found: &mut Vec<(String, bool)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{here}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| leaves(value, &format!("{here}/{at}"), found));
        }
        Value::String(_) => found.push((here.to_owned(), false)),
        Value::Number(_) => found.push((here.to_owned(), true)),
        _ => {}
    }
}

impl Walk {
    async fn new() -> Self {
        let world = World::new().await;
        let felled = world.felled(3).await;
        world.ticket(&felled.forest_owner, &felled.enterprise, "0001246").await;
        world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
        let orgs = [
            &felled.operator,
            &felled.forest_owner,
            &felled.enterprise,
            &felled.sawmill,
            &felled.carrier,
            &felled.inspector,
        ];
        let orgs = orgs.map(Clone::clone).to_vec();
        let document = serde_json::from_str(include_str!("../../../openapi.json")).unwrap();
        Self { world, felled, orgs, document, found: Vec::new(), asked: 0 }
    }

    /// The operations: method, path, description in the document.
    fn operations(&self) -> Vec<(Method, String, Value)> {
        let mut operations = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if operation.get("responses").is_some() {
                    let method = method.to_uppercase().parse().unwrap();
                    operations.push((method, path.clone(), operation.clone()));
                }
            }
        }
        operations
    }

    /// The organisation that may call an operation.
    fn caller(&self, method: &Method, path: &str) -> &Org {
        match path {
            _ if path.starts_with("/v1/felling-tickets") && *method == Method::POST => {
                &self.felled.forest_owner
            }
            "/v1/events" | "/v1/findings" | "/v1/findings/{id}/decision" => &self.felled.inspector,
            "/v1/harvests" | "/v1/custody-events" | "/v1/logs" | "/v1/seals/transfer" => {
                &self.felled.enterprise
            }
            "/v1/seals/{number}/void" | "/v1/verify" => &self.felled.enterprise,
            "/v1/logs/{code}" | "/v1/logs/{code}/history" | "/v1/logs/{code}/export" => {
                &self.felled.inspector
            }
            _ => &self.felled.operator,
        }
    }

    /// The path, with the id or code of an existing object.
    fn path(&self, path: &str) -> String {
        let id = match path {
            _ if path.starts_with("/v1/felling-tickets") => self.felled.ticket.clone(),
            _ if path.starts_with("/v1/harvests") => self.felled.harvest["id"].as_str().unwrap().to_owned(),
            _ => self.felled.enterprise.id.to_string(),
        };
        path.replace("{id}", &id)
            .replace("{code}", &self.felled.logs[0])
            .replace("{number}", &self.felled.seals[9])
    }

    async fn ask(&mut self, method: &Method, path: &str, caller: &Org, body: Option<String>) -> Answer {
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", caller.token));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.clone().unwrap_or_default().into()).unwrap();
        let answer = self.world.send(request).await;
        self.asked += 1;
        if answer.status.is_server_error() {
            self.found.push(format!("{} {method} {path} {}", answer.status, body.unwrap_or_default()));
        }
        answer
    }

    /// The documented example with the ids, BINs and codes of existing objects in place of its own.
    fn real(&self, example: &Value) -> Value {
        let mut body = example.clone();
        let Value::Object(members) = &mut body else { return body };
        for (name, value) in members.iter_mut() {
            match name.as_str() {
                "felling_ticket_id" => *value = json!(self.felled.ticket),
                "to_bin" => *value = json!(self.felled.sawmill.bin),
                "holder_bin" => *value = json!(self.felled.enterprise.bin),
                "carrier_bin" => *value = json!(self.felled.carrier.bin),
                "new_seal_number" => *value = json!(self.felled.seals[0]),
                "numbers" => *value = json!([self.felled.seals[1]]),
                "logs" if value[0].is_object() => value[0]["seal_number"] = json!(self.felled.seals[2]),
                "logs" => *value = json!([self.felled.logs[0]]),
                _ => {}
            }
        }
        if members.contains_key("occurred_at") || members.contains_key("logs") {
            members.insert(
                "device".into(),
                json!({"id": "tablet-07", "seq": 5, "recorded_at": "2026-10-05T09:40:00+05:00"}),
            );
        }
        body
    }

    async fn bodies(&mut self, method: &Method, path: &str, operation: &Value) {
        let examples = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
        let examples: Vec<Value> =
            examples.into_iter().flatten().map(|(_, example)| self.real(&example["value"])).collect();
        let (caller, url) = (self.caller(method, path).clone(), self.path(path));
        for body in examples {
            let mut places = Vec::new();
            leaves(&body, "", &mut places);
            for (place, number) in places {
                if number {
                    for other in NUMBERS {
                        // The number is put into the text of the body, because a `serde_json` value would
                        // round it.
                        let mut body = body.clone();
                        *body.pointer_mut(&place).unwrap() = json!("\u{1}");
                        let text = body.to_string().replacen("\"\\u0001\"", other, 1);
                        self.ask(method, &url, &caller, Some(text)).await;
                    }
                }
                for text in TEXTS {
                    let mut body = body.clone();
                    *body.pointer_mut(&place).unwrap() = json!(text);
                    let answer = self.ask(method, &url, &caller, Some(body.to_string())).await;
                    if text.contains('\0') && answer.status != 400 {
                        self.found.push(format!("{} for NUL in {place} of {method} {path}", answer.status));
                    }
                }
            }
        }
    }

    async fn queries(&mut self, method: &Method, path: &str, operation: &Value) {
        let (caller, url) = (self.caller(method, path).clone(), self.path(path));
        for parameter in operation["parameters"].as_array().cloned().unwrap_or_default() {
            let name = parameter["name"].as_str().unwrap();
            for text in TEXTS {
                let value = encoded(text);
                match parameter["in"].as_str().unwrap() {
                    "query" => {
                        let url = format!("{url}?{name}={value}");
                        self.ask(method, &url, &caller, None).await;
                    }
                    "path" => {
                        let url = self.path(&path.replace(&format!("{{{name}}}"), &value));
                        self.ask(method, &url, &caller, None).await;
                        let rest = url.clone() + "?x=%00";
                        self.ask(method, &rest, &caller, None).await;
                    }
                    _ => {}
                }
            }
        }
    }

    /// A cursor of each list for each caller, by the list's path and the caller's index.
    async fn cursors(&mut self) -> BTreeMap<(String, usize), String> {
        let mut cursors = BTreeMap::new();
        for (method, path, operation) in self.operations() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            if !parameters.iter().any(|parameter| parameter["name"] == "cursor") {
                continue;
            }
            let url = self.path(&path);
            for (at, caller) in self.orgs.clone().iter().enumerate() {
                let answer = self.ask(&method, &format!("{url}?limit=1"), caller, None).await;
                if answer.status != 200 {
                    continue;
                }
                if let Some(next) = answer.json()["next"].as_str() {
                    cursors.insert((url.clone(), at), next.to_owned());
                }
            }
        }
        cursors
    }
}

#[tokio::test]
async fn no_hostile_value_is_an_error_of_the_server() {
    let mut walk = Walk::new().await;
    for (method, path, operation) in walk.operations() {
        walk.queries(&method, &path, &operation).await;
        walk.bodies(&method, &path, &operation).await;
    }
    assert!(walk.asked > 2_000, "{}", walk.asked);
    assert!(walk.found.is_empty(), "{} of {}:\n{}", walk.found.len(), walk.asked, walk.found.join("\n"));
}

#[tokio::test]
async fn only_a_cursor_of_the_same_list_and_caller_is_accepted() {
    let mut walk = Walk::new().await;
    let cursors = walk.cursors().await;
    let lists: std::collections::BTreeSet<&String> = cursors.keys().map(|(list, _)| list).collect();
    assert!(lists.len() >= 5, "{lists:?}");
    for (list, at) in cursors.keys() {
        let caller = walk.orgs[*at].clone();
        for (given, cursor) in &cursors {
            let answer =
                walk.ask(&Method::GET, &format!("{list}?limit=1&cursor={cursor}"), &caller, None).await;
            let own = given == &(list.clone(), *at);
            assert_eq!(answer.status, if own { 200 } else { 422 }, "{given:?} for {list} of {at}");
            if !own {
                assert_eq!(answer.codes(), ["bad-cursor"], "{given:?} for {list} of {at}");
                continue;
            }
            let cut = [1, 8, 21, 22, 23, cursor.len() - 1].map(|len| cursor[..len].to_owned());
            let other = if cursor.starts_with('A') { "B" } else { "A" };
            let changed = [format!("{cursor}AAAA"), format!("{other}{}", &cursor[1..]), "A".repeat(512)];
            for cursor in cut.into_iter().chain(changed) {
                let url = format!("{list}?cursor={cursor}");
                let answer = walk.ask(&Method::GET, &url, &caller, None).await;
                assert_eq!(answer.codes(), ["bad-cursor"], "{url}");
            }
        }
    }
    // A cursor is valid only with its filter: a list by another filter may lack the item it points to.
    let ticket = walk.felled.ticket.clone();
    let logs = async |walk: &mut Walk, query: &str| {
        let url = format!("/v1/logs?{query}");
        let caller = walk.felled.enterprise.clone();
        walk.ask(&Method::GET, &url, &caller, None).await
    };
    let filter = format!("status=stored&felling_ticket={ticket}");
    let page = logs(&mut walk, &format!("{filter}&limit=1")).await.expect(200);
    let of_filter = page["next"].as_str().unwrap().to_owned();
    let of_all = cursors[&("/v1/logs".to_owned(), 2)].clone();
    for (query, accepted) in [
        (format!("status=stored&cursor={of_all}"), false),
        (format!("cursor={of_filter}"), false),
        (format!("status=stored&cursor={of_filter}"), false),
        (format!("status=at_felling&felling_ticket={ticket}&cursor={of_filter}"), false),
        (format!("{filter}&species=betula_pendula&cursor={of_filter}"), false),
        // The same filter: in another order, with another limit, with escapes, the id in capitals.
        (format!("cursor={of_filter}&{filter}"), true),
        (format!("felling_ticket={ticket}&limit=2&status=stored&cursor={of_filter}"), true),
        (format!("status=store%64&felling_ticket={}&cursor={of_filter}", ticket.to_uppercase()), true),
    ] {
        let answer = logs(&mut walk, &query).await;
        assert_eq!(answer.status, if accepted { 200 } else { 422 }, "{query}");
        assert!(accepted || answer.codes() == ["bad-cursor"], "{query}");
    }
    // An unescaped plus in a time arrives as a blank. The filter is the same as with `%2B`.
    let inspector = walk.felled.inspector.clone();
    let url = "/v1/events?limit=1&from=2026-01-01T00:00:00";
    let page = walk.ask(&Method::GET, &format!("{url}+05:00"), &inspector, None).await.expect(200);
    let next = page["next"].as_str().unwrap();
    for (offset, status) in [("%2B05:00", 200), ("+05:00", 200), ("%2B06:00", 422)] {
        let url = format!("{url}{offset}&cursor={next}");
        assert_eq!(walk.ask(&Method::GET, &url, &inspector, None).await.status, status, "{url}");
    }
    assert!(walk.found.is_empty(), "{}", walk.found.join("\n"));
}
