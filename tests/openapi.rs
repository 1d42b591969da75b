//! The committed OpenAPI document equals the one that this program generates, and a client can be made of it.

use ormantrace::http::router;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

fn document() -> Value {
    router::openapi()
}

/// Every operation with its id.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    operations.map(|one| (one["operationId"].as_str().unwrap().to_owned(), one)).collect()
}

fn described(value: &Value) -> bool {
    value["description"].as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn the_committed_document_is_the_programs() {
    let made = serde_json::to_string_pretty(&document()).expect("serialises");
    let committed = include_str!("../openapi.json");
    assert!(
        committed.trim_end() == made.trim_end(),
        "openapi.json is outdated; run: cargo run -- openapi > openapi.json"
    );
}

#[test]
fn no_two_schemas_share_a_name() {
    assert_eq!(router::schema_conflicts(), BTreeSet::new());
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(schemas["InspectionOutcome"]["enum"][0], "match");
    assert_eq!(schemas["CheckOutcome"]["enum"][0], "pass");
    assert!(schemas["TicketReference"]["properties"].get("lines").is_none());
    assert!(schemas["TicketView"]["properties"].get("lines").is_some());
}

#[test]
fn everything_is_described() {
    let document = document();
    let mut missing = Vec::new();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert!(document["servers"][0]["url"].is_string());
    for (id, operation) in operations(&document) {
        let lines = [&operation["summary"], &operation["description"]];
        if !lines.iter().all(|line| line.as_str().is_some_and(|text| !text.is_empty())) {
            missing.push(id.clone());
        }
        let of = |list: &Value| list.as_array().cloned().unwrap_or_default();
        for parameter in of(&operation["parameters"]).iter().filter(|parameter| !described(parameter)) {
            missing.push(format!("{id}?{}", parameter["name"]));
        }
        for tag in of(&operation["tags"]) {
            assert!(tags.contains(tag.as_str().unwrap()), "{id}: the tag {tag} is not described");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !described(schema) {
            missing.push(name.clone());
        }
        let parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
        for (property, value) in parts.filter_map(|part| part["properties"].as_object()).flatten() {
            if !described(value) {
                missing.push(format!("{name}.{property}"));
            }
        }
    }
    assert!(missing.is_empty(), "without a description: {missing:#?}");
}

#[test]
fn every_response_with_a_body_has_its_type() {
    let document = document();
    for (id, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if ["202", "204", "304"].contains(&status.as_str()) {
                continue;
            }
            let content = response["content"].as_object().unwrap_or_else(|| panic!("{id}: {status}"));
            for (media, body) in content {
                assert!(body["schema"].is_object(), "{id}: {status} {media}");
                if media.starts_with("text/csv") || media.starts_with("image/") {
                    assert_eq!(body["schema"]["contentMediaType"], media.as_str(), "{id}");
                }
            }
        }
    }
}

#[test]
fn error_codes_are_listed_and_custody_events_are_described_by_type() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let codes = schemas["ErrorCode"]["anyOf"][0]["enum"].as_array().unwrap();
    assert!(codes.len() > 100 && codes.contains(&"unknown-seal".into()), "{}", codes.len());
    assert_eq!(schemas["FieldError"]["properties"]["code"]["$ref"], "#/components/schemas/ErrorCode");

    let events = &schemas["NewCustodyEvent"];
    assert_eq!(events["discriminator"]["propertyName"], "type");
    let mapping = events["discriminator"]["mapping"].as_object().unwrap();
    assert_eq!(events["oneOf"].as_array().unwrap().len(), mapping.len());
    for (word, target) in mapping {
        let schema = resolved(&document, target.as_str().unwrap());
        assert_eq!(schema["properties"]["type"]["enum"], serde_json::json!([word]));
    }
    let properties = |name: &str| schemas[name]["properties"].as_object().unwrap().clone();
    assert!(properties("NewTransferredEvent").contains_key("to_bin"));
    assert!(!properties("NewStoredEvent").contains_key("to_bin"));
    assert_eq!(schemas["NewCorrectedEvent"]["properties"]["logs"]["maxItems"], 1);
    let required = schemas["NewInspectedEvent"]["required"].as_array().unwrap();
    assert!(required.contains(&"details".into()), "{required:?}");
}

#[test]
fn every_request_body_has_examples_that_fit_it() {
    let document = document();
    let mut bodies = 0;
    for (id, operation) in operations(&document) {
        let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
        for (media, body) in content {
            bodies += 1;
            if media == "text/csv" {
                assert!(body["example"].is_string(), "{id} as {media}");
                continue;
            }
            if media.starts_with("image/") {
                assert_eq!(body["schema"]["contentMediaType"], media.as_str(), "{id}");
                continue;
            }
            let examples = body["examples"].as_object().unwrap();
            assert!(!examples.is_empty(), "{id} has no example");
            for (name, example) in examples {
                let faults = faults(&document, &body["schema"], &example["value"]);
                assert!(faults.is_empty(), "{id}, {name}: {faults:?}");
            }
        }
    }
    assert_eq!(bodies, 30);
}

/// The schema that a reference leads to.
fn resolved<'d>(document: &'d Value, target: &str) -> &'d Value {
    document.pointer(&target[1..]).unwrap_or_else(|| panic!("{target} does not exist"))
}

/// Returns the errors of a value against its schema: in its members, types and enumerations.
fn faults<'d>(document: &'d Value, schema: &'d Value, value: &Value) -> Vec<String> {
    let schema = schema["$ref"].as_str().map_or(schema, |target| resolved(document, target));
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting: Vec<_> =
            choices.iter().map(|choice| faults(document, choice, value)).filter(Vec::is_empty).collect();
        let found = format!("fits {} of {} choices: {value}", fitting.len(), choices.len());
        return if fitting.len() == 1 { Vec::new() } else { vec![found] };
    }
    let mut found = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(faults(document, part, value));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    if !(types.contains(&kind) || kind == "integer" && types.contains(&"number")) {
        found.push(format!("{value} is no {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(members) = value.as_object() {
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                found.push(format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            match properties.get(name) {
                Some(property) => found.extend(faults(document, property, member)),
                None if schema["additionalProperties"] == false => found.push(format!("{name} is unknown")),
                None => {}
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(faults(document, &schema["items"], item));
    }
    found
}
