//! An example of each request body in the OpenAPI document. `tests/openapi.rs` checks them against their
//! schemas.

use serde_json::{Value, json};

const TICKET: &str = "01980a3c-5b1e-7c44-9d2f-3a6b8e0f1c25";
const BIN: &str = "040640000022";

/// The named examples of the operation's JSON body; empty if the operation has none.
#[must_use]
pub fn json_examples(operation_id: &str) -> Vec<(&'static str, Value)> {
    let one = |value: Value| vec![("usual", value)];
    match operation_id {
        "create_organization" => one(json!({
            "bin": BIN, "name": "ТОО «Ертіс ағаш»", "kind": "legal_entity", "roles": ["enterprise"]
        })),
        "create_key" => one(json!({"label": "office", "expires_at": "2027-10-01T00:00:00+05:00"})),
        "create_felling_ticket" => one(json!({
            "series": "АБ", "number": "0001245", "issued_on": "2026-08-20", "holder_bin": BIN,
            "felling_kind": "main", "forest_category": "қорғаныштық", "forest_type": "қарағайлы",
            "origin": {"region": "KZ-10", "district": "Бородулиха ауданы", "forestry": "Жаңа Семей орманшылығы",
                       "compartment": "12", "subcompartment": "3", "cutting_area": "1"},
            "area_ha": 3.5, "felling_from": "2026-09-01", "felling_until": "2026-12-31",
            "removal_until": "2027-03-31",
            "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 100}]
        })),
        "extend_felling_ticket" => {
            one(json!({"felling_until": "2027-01-31", "reason": "Snow since November"}))
        }
        "cancel_felling_ticket" => one(json!({"reason": "Issued twice"})),
        "register_seals" => one(json!({"holder_bin": BIN, "seals": [{
            "number": "KZ-0000417",
            "marking_code": "0104870000000014215QK7ZT2M\u{1d}91AbCd\u{1d}92dGhlIHNpZ25hdHVyZSBvZiB0aGUgY29kZQ=="
        }]})),
        "make_seals" => one(json!({"holder_bin": BIN, "quantity": 500})),
        "transfer_seals" => vec![
            ("run", json!({"first": "KZ000000101", "last": "KZ000000200", "to_bin": BIN})),
            ("list", json!({"numbers": ["KZ000000101", "KZ000000107"], "to_bin": BIN})),
        ],
        "void_seal" => one(json!({"reason": "spoiled", "note": "Bent when it was hammered in"})),
        "create_harvest" => one(json!({
            "felling_ticket_id": TICKET,
            "responsible_person": {"name": "Ерлан Оспанов"},
            "logs": [{
                "seal_number": "KZ000000101", "kind": "log", "species": "pinus_sylvestris", "wood": "commercial",
                "assortment": "saw_log", "grade": 2, "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33,
                "measurement_method": "gost_2708_75", "occurred_at": "2026-10-05T09:30:00+05:00",
                "position": {"lat": 50.7412, "lon": 80.9143, "accuracy_m": 8}
            }]
        })),
        "create_custody_event" => custody_examples(),
        "verify_codes" => one(json!({"codes": ["KZ000000101", "0104870000000014215QK7ZT2M"]})),
        _ => Vec::new(),
    }
}

fn custody_examples() -> Vec<(&'static str, Value)> {
    let event = |name: &str, hour: u8, members: Value| {
        let mut body = json!({
            "type": name, "logs": ["KZ000000101"], "occurred_at": format!("2026-10-06T{hour:02}:15:00+05:00")
        });
        if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
            body.extend(members);
        }
        body
    };
    let place = json!({"name": "Нижний склад, с. Бородулиха", "region": "KZ-10", "kind": "storage"});
    let document = json!({"kind": "waybill", "number": "ТТН-118", "issued_on": "2026-10-06"});
    vec![
        ("stored", event("stored", 8, json!({"place": place}))),
        (
            "loaded",
            event("loaded", 10, json!({"carrier_bin": BIN, "vehicle": "123 ABC 18", "document": document})),
        ),
        ("transferred", event("transferred", 15, json!({"to_bin": BIN, "of": "both"}))),
        (
            "inspected",
            event(
                "inspected",
                17,
                json!({"details": {"outcome": "mismatch", "observed": {"top_diameter_cm": 30}}}),
            ),
        ),
        (
            "seal_replaced",
            event("seal_replaced", 18, json!({"new_seal_number": "KZ000000102", "reason": "Torn off"})),
        ),
        (
            "corrected",
            event("corrected", 9, json!({"corrects": 1, "reason": "Misread", "set": {"volume_m3": 0.31}})),
        ),
    ]
}

/// An example of the operation's CSV body.
#[must_use]
pub fn csv_example(operation_id: &str) -> Option<&'static str> {
    match operation_id {
        "create_harvest" => Some(
            "seal_number,kind,species,wood,assortment,grade,length_m,top_diameter_cm,volume_m3,\
             measurement_method,occurred_at,responsible_name\r\n\
             KZ000000101,log,pinus_sylvestris,commercial,saw_log,2,6.0,24.0,0.33,gost_2708_75,\
             2026-10-05T09:30:00+05:00,Ерлан Оспанов\r\n",
        ),
        "register_seals" => Some(
            "number,marking_code\r\n\
             KZ-0000417,0104870000000014215QK7ZT2M\u{1d}91AbCd\u{1d}92dGhlIHNpZ25hdHVyZSBvZiB0aGUgY29kZQ==\r\n",
        ),
        _ => None,
    }
}
