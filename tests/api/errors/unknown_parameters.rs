//! Unknown parameters are refused, never ignored: every operation of the OpenAPI document is called with
//! some.

use crate::world::{Answer, Org, World};
use axum::http::Method;
use serde_json::{Value, json};

const ALL_ROLES: [&str; 5] = ["operator", "forest_owner", "enterprise", "carrier", "inspector"];

/// An operation of the API, with the placeholders of its path filled in.
#[derive(Debug)]
struct Operation {
    method: Method,
    path: String,
    /// Whether it needs no token.
    public: bool,
    /// Its query parameters.
    parameters: Vec<String>,
}

fn operations() -> Vec<Operation> {
    let document = ormantrace::http::router::openapi();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| match part {
            "{number}" | "{code}" => "KZ999999999",
            "{name}" => "ticket-hold-days",
            "{sha256}" => "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "{id}" => "01999999-9999-7999-8999-999999999999",
            plain => plain,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        assert!(!path.contains('{'), "{path}: unknown placeholder");
        for (method, operation) in methods.as_object().unwrap() {
            // Public if there is no security requirement, or an empty alternative among several.
            let public = operation["security"].as_array().is_none_or(|ways| ways.contains(&json!({})));
            let method = method.to_uppercase().parse::<Method>().unwrap();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.filter(|parameter| parameter["in"] == "query");
            let parameters =
                parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            operations.push(Operation { method, path: path.clone(), public, parameters });
        }
    }
    operations
}

async fn ask(world: &World, operation: &Operation, query: &str, token: Option<&str>) -> Answer {
    let Operation { method, path, .. } = operation;
    let body =
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) { json!({}) } else { Value::Null };
    world.call(method.clone(), &format!("{path}?{query}"), token, body).await
}

async fn anybody(world: &World) -> Org {
    world.organization(1, "Барлық рөлдер", &ALL_ROLES).await
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_every_operation_and_named() {
    let world = World::new().await;
    let org = anybody(&world).await;
    let operations = operations();
    assert!(operations.len() >= 36, "{}", operations.len());
    for operation in &operations {
        let answer = ask(&world, operation, "utm_source=qr&%D0%B6=1", Some(&org.token)).await;
        let body = answer.expect(422);
        for name in ["utm_source", "ж"] {
            let named = body["errors"]
                .as_array()
                .unwrap()
                .iter()
                .any(|entry| entry["code"] == "unknown-parameter" && entry["parameter"] == name);
            assert!(named, "{operation:?} does not refuse {name}: {body}");
        }
        ask(&world, operation, "%zz", Some(&org.token)).await.expect(400);
        ask(&world, operation, "a=%00", Some(&org.token)).await.expect(400);
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named_as_one() {
    let world = World::new().await;
    let org = anybody(&world).await;
    let mut named = Vec::new();
    for operation in operations().into_iter().filter(|operation| operation.method == Method::GET) {
        for name in &operation.parameters {
            let answer = ask(&world, &operation, &format!("{name}=%01"), Some(&org.token)).await;
            if answer.status != 422 {
                continue;
            }
            let errors = answer.json()["errors"].as_array().unwrap().clone();
            let pointer = format!("/{name}");
            assert!(
                errors.iter().all(|error| error["pointer"] != pointer.as_str()),
                "{operation:?}: {errors:?}"
            );
            let own: Vec<&Value> =
                errors.iter().filter(|error| error["parameter"] == name.as_str()).collect();
            if let [only] = own.as_slice() {
                named.push(name.clone());
                if errors.len() == 1 {
                    let detail = format!("Query parameter `{name}`: {}", only["detail"].as_str().unwrap());
                    assert_eq!(answer.json()["detail"], detail.as_str(), "{operation:?}");
                }
            }
        }
    }
    assert!(named.len() >= 25, "{named:?}");
    assert!(
        ["holder_bin", "status", "species", "from", "cursor", "evidence", "since"]
            .iter()
            .all(|one| named.iter().any(|name| name == one)),
        "{named:?}"
    );
    let answer = world.get("/v1/seals?holder_bin=010140001008", &org).await;
    let told = answer.expect(422);
    assert_eq!(told["errors"][0]["parameter"], "holder_bin");
    assert!(
        told["detail"].as_str().unwrap().starts_with("Query parameter `holder_bin`: The last digit"),
        "{told}"
    );
}

#[tokio::test]
async fn missing_and_invalid_tokens_are_refused_before_unknown_parameters() {
    let world = World::new().await;
    for operation in operations() {
        let expected = if operation.public { 422 } else { 401 };
        ask(&world, &operation, "utm_source=qr", None).await.expect(expected);
        ask(&world, &operation, "utm_source=qr", Some("felled-in-the-winter-of-2026-at-Semei"))
            .await
            .expect(401);
    }
}

#[tokio::test]
async fn html_pages_ignore_unknown_parameters() {
    let world = World::new().await;
    for path in ["/", "/verify", "/verify/KZ999999999", "/01/09521234543213/21/ABC"] {
        let answer = world.call(Method::GET, &format!("{path}?utm_source=qr"), None, Value::Null).await;
        assert!(matches!(answer.status.as_u16(), 200 | 303), "{path}: {answer:?}");
    }
}
