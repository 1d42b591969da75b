//! The finished OpenAPI document: what utoipa collects from the handlers, and what it cannot express.
//!
//! Added here: the server, the tags' descriptions, the roles that may call an operation, an example of each
//! request body, the list of error codes, and the bodies of custody events by type. The roles and the members
//! of custody events come from the tables that the handlers use; the list of codes is printed from the
//! source.

use crate::http::core::auth::{
    Custodian, ForestOwner, Harvester, HistoryReader, Inspector, Operator, SealHolder, SealVoider, Stopper,
};
use crate::http::core::openapi_examples::{csv_example, json_examples};
use crate::timber::custody::request::{ALWAYS_ALLOWED, details_of, members_of};
use crate::timber::event::types::LogEventType;
use crate::timber::party::role::Role;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// Every code of `errors[].code`, one a line. `tests/docs.rs` prints the file from the source.
const ERROR_CODES: &str = include_str!("error_codes.txt");
const SCHEMAS: &str = "#/components/schemas/";

/// The groups of operations.
const TAGS: [(&str, &str); 11] = [
    ("organizations", "Organisations, their roles and their API keys."),
    ("felling tickets", "Felling tickets: what may be felled where, when, by which enterprise and how much."),
    ("seals", "Seals with marking codes: registration, stock, transfer, labels, voiding."),
    ("harvests", "Harvests: felled and sealed timber, recorded against a ticket, as JSON or as a table."),
    ("custody", "What happens to timber after the harvest: storage, transport, transfer, inspection, sale."),
    ("logs", "Logs in their present state, and their histories."),
    (
        "findings",
        "Findings: records that look suspicious, what the parties say to them, and what inspectors decide.",
    ),
    ("verification", "The public check of a code, before buying."),
    ("register", "Proofs and exports: evidence that anyone can check without trusting this server."),
    ("rules", "What the operator decides: the thresholds of the rules, bans, and allowable cuts."),
    ("reference", "Lists that need no token: species and regions."),
];

/// Finishes the document.
///
/// # Panics
/// If the document has no schema for the custody events, which is a defect of this crate.
#[must_use]
pub fn finished(document: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("the document serialises");
    document["servers"] = json!([{"url": "/", "description": "The server that returned this document"}]);
    document["tags"] =
        TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        add_roles(operation);
        add_examples(operation);
        type_files(operation);
    }
    let schemas = document["components"]["schemas"].as_object_mut().expect("the document has schemas");
    list_error_codes(schemas);
    split_custody_events(schemas);
    schemas.values_mut().for_each(lift_descriptions);
    describe_event_fields(schemas);
    drop_unused_schemas(&mut document);
    document
}

/// Names that two different schemas share. utoipa keeps the last one of a name, so that every reference to
/// the others would describe the wrong data.
#[must_use]
pub fn conflicts<'s>(collected: impl IntoIterator<Item = &'s (String, RefOr<Schema>)>) -> BTreeSet<String> {
    let (mut known, mut conflicts) = (BTreeMap::new(), BTreeSet::new());
    for (name, schema) in collected {
        if known.insert(name, schema).is_some_and(|other| other != schema) {
            conflicts.insert(name.clone());
        }
    }
    conflicts
}

/// The roles that may call an operation, by the argument type of its handler; empty if any caller may.
/// `tests/api/rights/matrix.rs` compares them with the responses.
fn roles_of(operation_id: &str) -> &'static [Role] {
    match operation_id {
        "create_organization"
        | "change_organization"
        | "suspend_organization"
        | "resume_organization"
        | "register_seals"
        | "make_seals"
        | "set_parameter"
        | "create_ban"
        | "end_ban"
        | "set_allowable_cut" => Operator::ROLES,
        "create_felling_ticket" | "extend_felling_ticket" | "cancel_felling_ticket" => ForestOwner::ROLES,
        "hold_felling_ticket" | "release_felling_ticket" | "replace_felling_ticket_plot" => Stopper::ROLES,
        "void_seal" => SealVoider::ROLES,
        "list_events" | "create_observation" | "open_report" | "decide_finding" => Inspector::ROLES,
        "create_harvest" => Harvester::ROLES,
        "create_custody_event" => Custodian::ROLES,
        "list_logs" | "get_log" | "get_log_history" | "export_log" => HistoryReader::ROLES,
        "get_seal_stock" | "transfer_seals" => SealHolder::ROLES,
        _ => &[],
    }
}

/// Adds `x-roles`: other callers get 403.
fn add_roles(operation: &mut Value) {
    let roles = roles_of(operation["operationId"].as_str().unwrap_or_default());
    if !roles.is_empty() {
        operation["x-roles"] = roles.iter().map(|role| role.as_str()).collect();
    }
}

fn add_examples(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let Some(content) = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut) else {
        return;
    };
    for (media, body) in content.iter_mut() {
        if media == "text/csv" {
            body["example"] = csv_example(&id).into();
            continue;
        }
        if is_file(media) {
            body["schema"] = file_schema(media);
            continue;
        }
        let examples = json_examples(&id).into_iter();
        body["examples"] = examples
            .map(|(name, value)| (name.to_owned(), json!({"value": value})))
            .collect::<Map<_, _>>()
            .into();
    }
}

/// Whether a response of this media type is a file: an image, or text that is not JSON.
fn is_file(media: &str) -> bool {
    media.starts_with("image/") || ["text/csv", "application/x-ndjson"].contains(&media)
}

fn file_schema(media: &str) -> Value {
    json!({"type": "string", "contentMediaType": media})
}

/// Marks responses that are files with their media type, so that generators take them for files.
fn type_files(operation: &mut Value) {
    let responses = operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for content in responses.filter_map(|response| response.get_mut("content")?.as_object_mut()) {
        for (media, body) in content.iter_mut() {
            if is_file(media) {
                body["schema"] = file_schema(media);
            }
        }
    }
}

fn list_error_codes(schemas: &mut Map<String, Value>) {
    let codes: Vec<&str> = ERROR_CODES.lines().collect();
    let description = "What is wrong with one value, for programs. Codes are stable; new ones may be added.";
    // The schema also allows any other string: the codes of quantities are composed (`volume-too-large`), and
    // new codes may be added within v1.
    let words = [json!({"type": "string", "enum": codes}), json!({"type": "string"})];
    schemas.insert("ErrorCode".to_owned(), json!({"anyOf": words, "description": description}));
    if let Some(code) = schemas.get_mut("FieldError").and_then(|error| error.pointer_mut("/properties/code"))
    {
        *code = reference("ErrorCode", "The code of the error.");
    }
}

fn reference(name: &str, description: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}"), "description": description})
}

/// Replaces the one schema of all custody events by one schema for each event type, with the members that
/// this type has.
fn split_custody_events(schemas: &mut Map<String, Value>) {
    let all = schemas["NewCustodyEvent"].take();
    let special: BTreeSet<&str> =
        LogEventType::ALL.iter().flat_map(|event| members_of(*event)).map(|(name, _)| *name).collect();
    let (mut choices, mut mapping) = (Vec::new(), Map::new());
    for event in LogEventType::ALL.iter().filter(|event| event.is_posted()) {
        let members = members_of(*event);
        let required = ["type", "logs", "occurred_at"].into_iter();
        let required: Vec<&str> =
            required.chain(members.iter().filter(|(_, required)| *required).map(|(name, _)| *name)).collect();
        let mut properties = Map::new();
        for (name, property) in all["properties"].as_object().into_iter().flatten() {
            let own = members.iter().any(|(member, _)| member == name);
            if own || ALWAYS_ALLOWED.contains(&name.as_str()) || !special.contains(name.as_str()) {
                properties.insert(name.clone(), property.clone());
            }
        }
        properties["type"] =
            json!({"type": "string", "enum": [event.as_str()], "description": "Type of the event."});
        properties["details"] = match event {
            LogEventType::Inspected => reference("Inspection", "The result of the inspection."),
            LogEventType::Detained | LogEventType::Released => {
                reference("Decision", "Why the log is stopped or released.")
            }
            LogEventType::Seized | LogEventType::Confiscated => json!({
                "oneOf": [{"type": "null"}, reference("OfficialAct", "The official, and the official record.")],
                "description": "The official, and the official record."
            }),
            _ => json!({
                "oneOf": [{"type": "null"}, reference("EventNote", "A note.")], "description": "A note."
            }),
        };
        if matches!(event, LogEventType::Corrected | LogEventType::SealReplaced) {
            properties["logs"]["maxItems"] = 1.into();
        }
        let name = format!("New{}Event", pascal(event.as_str()));
        choices.push(json!({"$ref": format!("{SCHEMAS}{name}")}));
        mapping.insert(event.as_str().to_owned(), format!("{SCHEMAS}{name}").into());
        let schema = json!({
            "type": "object", "required": required, "properties": properties, "additionalProperties": false,
            "description": format!("The event `{event}` of up to {} logs.", if properties["logs"]["maxItems"] == 1 { "1" } else { "1,000" }),
        });
        schemas.insert(name, schema);
    }
    let details = schemas["Details"].clone();
    let with = |event: LogEventType, description: &str| {
        let members = details_of(event);
        let properties: Map<String, Value> = members
            .iter()
            .map(|(name, _)| ((*name).to_owned(), details["properties"][*name].clone()))
            .collect();
        let required: Vec<&str> =
            members.iter().filter(|(_, required)| *required).map(|(name, _)| *name).collect();
        json!({
            "type": "object", "required": required, "properties": properties, "additionalProperties": false,
            "description": description
        })
    };
    let mut inspection =
        with(LogEventType::Inspected, "The result of an inspection, and whether it stops the log.");
    inspection["properties"]["outcome"] = reference("InspectionOutcome", "Result of an inspection.");
    schemas.insert("Inspection".to_owned(), inspection);
    let mut decision = with(LogEventType::Detained, "Why a log is stopped or released.");
    decision["properties"]["reason"] = details["properties"]["reason"].clone();
    schemas.insert("Decision".to_owned(), decision);
    schemas.insert(
        "OfficialAct".to_owned(),
        with(LogEventType::Seized, "The official, and the official record."),
    );
    schemas.insert("EventNote".to_owned(), with(LogEventType::Stored, "A note about an event."));
    schemas["NewCustodyEvent"] = json!({
        "description": all["description"], "oneOf": choices,
        "discriminator": {"propertyName": "type", "mapping": mapping}
    });
}

/// `seal_replaced` as `SealReplaced`.
fn pascal(word: &str) -> String {
    let upper = |part: &str| part[..1].to_uppercase() + &part[1..];
    word.split('_').filter(|part| !part.is_empty()).map(upper).collect()
}

/// Copies the description of an optional member from its type to the member, where generators look for it.
fn lift_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let choices = ["oneOf", "allOf"].iter().find_map(|name| members.get(*name)?.as_array());
            let described =
                choices.and_then(|choices| choices.iter().find_map(|choice| choice.get("description")));
            if let Some(description) = described.cloned().filter(|_| !members.contains_key("description")) {
                members.insert("description".to_owned(), description);
            }
            members.values_mut().for_each(lift_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(lift_descriptions),
        _ => {}
    }
}

/// Adds missing descriptions to the members of events: utoipa loses a member's description where it puts a
/// concrete type in place of a type parameter.
fn describe_event_fields(schemas: &mut Map<String, Value>) {
    let known = schemas.get("EventFields").cloned().unwrap_or_default();
    let others = schemas.iter_mut().filter(|(name, _)| name.starts_with("EventFields_"));
    for (name, property) in others.filter_map(|(_, schema)| schema["properties"].as_object_mut()).flatten() {
        if property.get("description").is_none() {
            property["description"] = known["properties"][name]["description"].clone();
        }
    }
}

/// Removes schemas that nothing refers to any more.
fn drop_unused_schemas(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => into.extend(text.strip_prefix(SCHEMAS).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Object(members) => members.values().for_each(|member| references(member, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::ObjectBuilder;

    #[test]
    fn two_schemas_of_one_name_are_a_conflict_and_the_same_one_twice_is_none() {
        let schema = |name: &str, member: &str| {
            let object = ObjectBuilder::new().property(member, ObjectBuilder::new());
            (name.to_owned(), RefOr::T(Schema::Object(object.build())))
        };
        let same = [schema("Outcome", "pass"), schema("Outcome", "pass"), schema("Ticket", "id")];
        assert_eq!(conflicts(&same), BTreeSet::new());
        let different = [schema("Outcome", "pass"), schema("Outcome", "match"), schema("Ticket", "id")];
        assert_eq!(conflicts(&different), BTreeSet::from(["Outcome".to_owned()]));
    }

    #[test]
    fn the_error_codes_are_sorted_and_each_is_there_once() {
        let codes: Vec<&str> = ERROR_CODES.lines().collect();
        assert!(codes.is_sorted_by(|one, next| one < next));
    }
}
