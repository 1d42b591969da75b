//! An example of each request body in the OpenAPI document. `tests/openapi.rs` checks each example against
//! its schema. The demonstration server accepts the first example of each operation once the ticket and the
//! time in it are replaced; the commands of the API reference replace them.

use serde_json::{Value, json};

const TICKET: &str = "01980a3c-5b1e-7c44-9d2f-3a6b8e0f1c25";
const MOMENT: &str = "2026-10-05T09:30:00+05:00";
/// The forest owner, harvester, trader, carrier and sawmill of the demonstration.
const FOREST_OWNER: &str = "990040000023";
const HARVESTER: &str = "990040000033";
const TRADER: &str = "990040000043";
const CARRIER: &str = "990040000053";
const SAWMILL: &str = "990040000063";

/// The named examples of the operation's JSON body; empty if the operation has none.
#[must_use]
pub fn json_examples(operation_id: &str) -> Vec<(&'static str, Value)> {
    let one = |value: Value| vec![("usual", value)];
    match operation_id {
        "create_organization" => one(json!({
            "bin": "040640000028", "name": "ТОО «Зайсан ағаш»", "kind": "legal_entity", "roles": ["enterprise"]
        })),
        "change_organization" => {
            one(json!({"name": "ТОО «Зайсан ағаш өңдеу»", "reason": "Registered under a new name"}))
        }
        "suspend_organization" => one(json!({"reason": "Court order of 28 November"})),
        "resume_organization" => one(json!({"reason": "The order was lifted"})),
        "create_key" => one(json!({"label": "office", "expires_at": "2046-10-01T00:00:00+05:00"})),
        "create_felling_ticket" => one(json!({
            "series": "АБ", "number": "0001245", "issued_on": "2026-08-20", "holder_bin": HARVESTER,
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
        "hold_felling_ticket" => one(json!({"reason": "The stumps are to be counted"})),
        "release_felling_ticket" => one(json!({"reason": "The stumps agree with the ticket"})),
        "replace_felling_ticket_plot" => one(json!({
            "plot": {"type": "Polygon", "coordinates":
                [[[80.92, 50.7], [80.93, 50.7], [80.93, 50.71], [80.92, 50.71], [80.92, 50.7]]]},
            "reason": "The site was surveyed again"
        })),
        "create_ban" => vec![
            (
                "usual",
                json!({"kind": "felling", "region": "KZ-63", "species": "haloxylon_aphyllum", "from": "2026-10-01",
                       "until": "2046-12-31", "document": {"kind": "other", "number": "18-02/2"}}),
            ),
            (
                "export",
                json!({"kind": "export", "hs": ["4403"], "from": "2046-10-01", "until": "2046-12-31",
                       "document": {"kind": "other", "number": "18-02/3", "issued_on": "2026-09-20"}}),
            ),
        ],
        "end_ban" => one(json!({"reason": "The order was revoked"})),
        "set_allowable_cut" => one(json!({
            "forest_owner_bin": FOREST_OWNER, "forestry": "Бородулиха", "year": 2046, "group": "conifer",
            "volume_m3": 12500, "document": {"kind": "other", "number": "18-02/4"}
        })),
        "set_parameter" => one(
            json!({"value": 8, "valid_from": "2046-10-01", "document": {"kind": "other", "number": "18-02/1"}}),
        ),
        "register_seals" => one(json!({"holder_bin": HARVESTER, "seals": [{
            "number": "KZ-0000417",
            "marking_code": "0104870000000012215QK7ZT2M\u{1d}91AbCd\u{1d}92c2lnbmF0dXJlIG9mIGFub3RoZXIgY29kZSBtYWtlciE="
        }]})),
        "make_seals" => one(json!({"holder_bin": SAWMILL, "quantity": 500})),
        "transfer_seals" => vec![
            ("run", json!({"first": "DEMO-000196", "last": "DEMO-000197", "to_bin": TRADER})),
            ("list", json!({"numbers": ["DEMO-000188", "DEMO-000190"], "to_bin": TRADER})),
        ],
        "void_seal" => one(json!({"reason": "spoiled", "note": "Bent when it was hammered in"})),
        "create_harvest" => one(json!({
            "felling_ticket_id": TICKET,
            "responsible_person": {"name": "Ерлан Оспанов"},
            "logs": [{
                "seal_number": "DEMO-000195", "kind": "log", "species": "pinus_sylvestris", "wood": "commercial",
                "assortment": "saw_log", "grade": 2, "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33,
                "measurement_method": "gost_2708_75", "occurred_at": MOMENT,
                "position": {"lat": 50.7412, "lon": 80.9143, "accuracy_m": 8}
            }]
        })),
        "create_custody_event" => custody_examples(),
        "create_observation" => one(json!({
            "what": "unmarked_wood", "text": "About 12 pine logs without seals on a trailer", "occurred_at": MOMENT,
            "position": {"lat": 49.95, "lon": 82.61, "accuracy_m": 20}, "volume_m3": 5.4
        })),
        "explain_finding" => one(json!({"text": "The log was measured again before it was loaded"})),
        "decide_finding" => one(json!({
            "state": "confirmed", "reason": "The log was measured in the presence of the driver",
            "act": {"number": "18-Б", "date": "2026-10-06"}
        })),
        "report_code" => one(json!({"what": "no_seal", "text": "The log in the yard bears no seal"})),
        "verify_codes" => one(json!({"codes": ["DEMO-000041", "0104870000000012215QK7ZT2M"]})),
        _ => Vec::new(),
    }
}

fn custody_examples() -> Vec<(&'static str, Value)> {
    let event = |name: &str, members: Value| {
        let mut body = json!({"type": name, "logs": ["DEMO-000001"], "occurred_at": MOMENT});
        if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
            body.extend(members);
        }
        body
    };
    let place = json!({"name": "Нижний склад, с. Бородулиха", "region": "KZ-10", "kind": "storage"});
    let document = json!({"kind": "waybill", "number": "ТТН-118", "issued_on": "2026-10-06"});
    vec![
        ("stored", event("stored", json!({"place": place}))),
        (
            "loaded",
            event("loaded", json!({"carrier_bin": CARRIER, "vehicle": "123 ABC 18", "document": document})),
        ),
        ("transferred", event("transferred", json!({"to_bin": SAWMILL, "of": "both"}))),
        (
            "inspected",
            event(
                "inspected",
                json!({"details": {"outcome": "mismatch", "observed": {"top_diameter_cm": 30}}}),
            ),
        ),
        (
            "detained",
            event(
                "detained",
                json!({"details": {"reason": "No papers", "act": {"number": "17-Б", "date": "2026-10-06"}}}),
            ),
        ),
        ("released", event("released", json!({"details": {"reason": "Papers found"}}))),
        (
            "seized",
            event(
                "seized",
                json!({"custodian_bin": SAWMILL, "place": place, "document": {"kind": "act", "number": "21-Х"}}),
            ),
        ),
        (
            "seal_replaced",
            event("seal_replaced", json!({"new_seal_number": "DEMO-000189", "reason": "Torn off"})),
        ),
        (
            "corrected",
            event("corrected", json!({"corrects": 1, "reason": "Misread", "set": {"volume_m3": 0.2}})),
        ),
        ("annulled", event("corrected", json!({"corrects": 1, "reason": "Recorded twice", "annul": true}))),
    ]
}

/// An example of the operation's CSV body.
#[must_use]
pub fn csv_example(operation_id: &str) -> Option<&'static str> {
    match operation_id {
        "create_harvest" => Some(
            "seal_number,kind,species,wood,assortment,grade,length_m,top_diameter_cm,volume_m3,\
             measurement_method,occurred_at,responsible_name\r\n\
             DEMO-000195,log,pinus_sylvestris,commercial,saw_log,2,6.0,24.0,0.33,gost_2708_75,\
             2026-10-05T09:30:00+05:00,Ерлан Оспанов\r\n",
        ),
        "register_seals" => Some(
            "number,marking_code\r\n\
             KZ-0000417,0104870000000012215QK7ZT2M\u{1d}91AbCd\u{1d}92c2lnbmF0dXJlIG9mIGFub3RoZXIgY29kZSBtYWtlciE=\r\n",
        ),
        _ => None,
    }
}
