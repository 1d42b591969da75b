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
}

fn operations() -> Vec<Operation> {
    let document = ormantrace::http::router::openapi();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| match part {
            "{number}" | "{code}" => "KZ999999999",
            "{id}" => "01999999-9999-7999-8999-999999999999",
            plain => plain,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        assert!(!path.contains('{'), "{path}: unknown placeholder");
        for (method, operation) in methods.as_object().unwrap() {
            // Public if there is no security requirement, or an empty alternative among several.
            let public = operation["security"].as_array().is_none_or(|ways| ways.contains(&json!({})));
            let method = method.to_uppercase().parse::<Method>().unwrap();
            operations.push(Operation { method, path: path.clone(), public });
        }
    }
    operations
}

async fn ask(world: &World, operation: &Operation, query: &str, token: Option<&str>) -> Answer {
    let Operation { method, path, .. } = operation;
    let body = if method == Method::POST { json!({}) } else { Value::Null };
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
