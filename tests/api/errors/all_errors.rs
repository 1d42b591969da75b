//! A response lists all errors of a batch: errors in its members, references, times, seals and volumes,
//! except those that depend on another error.

use crate::random::Random;
use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Logs of a batch.
const LOGS: usize = 200;
/// Most faults of a batch.
const MOST: u64 = 20;
const COLUMNS: [&str; 13] = [
    "seal_number",
    "kind",
    "species",
    "wood",
    "assortment",
    "grade",
    "length_m",
    "top_diameter_cm",
    "pieces",
    "volume_m3",
    "measurement_method",
    "occurred_at",
    "responsible_name",
];

/// How the test changes a log of the request, so that the log has an error.
#[derive(Clone, Debug)]
enum Change {
    Set(Value),
    Remove,
    UnknownSeal,
    UsedSeal,
    ForeignSeal,
    DuplicateSeal,
    /// Declares, by a harvester, a volume that the measures do not allow.
    UnlikeMeasures,
    /// Declares a volume from the table that the table does not have, but that the measures allow.
    UnlikeTable,
    /// Makes the log a stack without the number of its pieces.
    Uncounted,
    /// Makes the log a stack of more firewood than the ticket permits.
    Overfull,
}

impl Change {
    /// The members that decide about the error besides the changed one. Another error in one of them would
    /// hide it.
    fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::UnlikeMeasures | Self::UnlikeTable => {
                &["length_m", "top_diameter_cm", "measurement_method"]
            }
            _ => &[],
        }
    }

    /// Whether the log gets no other error.
    fn is_alone(&self) -> bool {
        matches!(self, Self::Overfull | Self::Uncounted)
    }
}

/// The errors that the test may put into a log: the changed member, the change, and the expected codes in
/// JSON and in CSV (`None`: this error is not possible in CSV).
fn faults() -> Vec<(&'static str, Change, &'static str, Option<&'static str>)> {
    let set = |value: Value| Change::Set(value);
    vec![
        ("species", set(json!("pinus_silvestris")), "unknown-species", Some("unknown-species")),
        ("species", set(json!("betula_pendula")), "not-on-ticket", Some("not-on-ticket")),
        ("species", set(json!(7)), "wrong-type", Some("unknown-species")),
        ("species", Change::Remove, "required", Some("required")),
        ("wood", set(json!("sawdust")), "unknown-wood", Some("unknown-wood")),
        ("volume_m3", set(json!(-0.33)), "volume-too-small", Some("volume-too-small")),
        ("volume_m3", set(json!(10_000)), "volume-too-large", Some("volume-too-large")),
        ("volume_m3", set(json!("big")), "wrong-type", Some("not-a-number")),
        ("volume_m3", Change::Remove, "required", Some("required")),
        ("seal_number", Change::UnknownSeal, "unknown-seal", Some("unknown-seal")),
        ("seal_number", set(json!("KZ№1")), "seal-number-character", Some("seal-number-character")),
        ("seal_number", Change::Remove, "required", Some("required")),
        ("seal_number", Change::UsedSeal, "seal-applied", Some("seal-applied")),
        ("seal_number", Change::ForeignSeal, "unknown-seal", Some("unknown-seal")),
        ("seal_number", Change::DuplicateSeal, "duplicate-in-batch", Some("duplicate-in-batch")),
        (
            "occurred_at",
            set(json!("2026-08-31T09:30:00+05:00")),
            "outside-felling-dates",
            Some("outside-felling-dates"),
        ),
        ("occurred_at", set(json!("2026-10-07T09:30:00+05:00")), "in-the-future", Some("in-the-future")),
        ("occurred_at", set(json!("yesterday")), "time-malformed", Some("time-malformed")),
        ("occurred_at", Change::Remove, "required", Some("required")),
        ("grade", set(json!(12)), "grade-out-of-range", Some("grade-out-of-range")),
        ("length_m", Change::Remove, "required", Some("required")),
        ("top_diameter_cm", Change::Remove, "required", Some("required")),
        (
            "measurement_method",
            set(json!("by_eye")),
            "unknown-measurement-method",
            Some("unknown-measurement-method"),
        ),
        ("colour", set(json!("red")), "unknown-field", None),
        ("volume_m3", Change::UnlikeMeasures, "volume-unlike-measures", Some("volume-unlike-measures")),
        ("volume_m3", Change::UnlikeTable, "volume-unlike-table", Some("volume-unlike-table")),
        ("pieces", Change::Uncounted, "required", Some("required")),
        ("pieces", set(json!(11)), "log-is-one-piece", Some("log-is-one-piece")),
        ("volume_m3", Change::Overfull, "line-exceeded", Some("line-exceeded")),
    ]
}

/// Whether a code reports a conflict with the present state. All other codes report an invalid value.
fn is_conflict(code: &str) -> bool {
    matches!(code, "seal-applied" | "line-exceeded" | "device-seq-used")
}

struct Stand {
    world: World,
    enterprise: Org,
    ticket: String,
    seals: Vec<String>,
    used: Vec<String>,
    foreign: Vec<String>,
}

/// A batch with errors, as JSON and as CSV, and the errors that each answer must list.
struct Batch {
    json: Value,
    csv: String,
    in_json: Vec<(String, &'static str)>,
    in_csv: Vec<(String, &'static str)>,
}

impl Stand {
    async fn new() -> Self {
        let world = World::new().await;
        let (operator, owner, enterprise, sawmill) = (
            world.operator().await,
            world.forest_owner().await,
            world.enterprise().await,
            world.sawmill().await,
        );
        let ticket = World::ticket_of(&enterprise, "0001245", 2_000);
        let ticket = world.post("/v1/felling-tickets", &owner, ticket).await.expect(201);
        let ticket = ticket["id"].as_str().unwrap().to_owned();
        let mut seals = world.seals(&operator, &enterprise, 230).await;
        let used = seals.split_off(LOGS);
        let foreign = world.seals(&operator, &sawmill, 30).await;
        let mut harvest = World::harvest_of(&ticket, &used);
        harvest["device"] = json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:40:00+05:00"});
        world.post("/v1/harvests", &enterprise, harvest).await.expect(201);
        Self { world, enterprise, ticket, seals, used, foreign }
    }

    fn batch(&self, random: &mut Random, wanted: usize) -> Batch {
        let kinds = faults();
        let mut json = World::harvest_of(&self.ticket, &self.seals);
        let mut in_json = Vec::new();
        let mut in_csv = Vec::new();
        let (mut used, mut foreign) = (self.used.iter(), self.foreign.iter());
        let mut device = false;
        let mut taken: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        // Indices of logs with a seal that must not be changed, because another log has the same seal as a
        // duplicate.
        let mut originals: Vec<usize> = Vec::new();
        let (mut alone, mut overfull) = (Vec::new(), false);
        let mut left = wanted;
        while left > 0 {
            // Errors are put into only 40 of the logs, so that some logs get several.
            let index = 1 + usize::try_from(random.below(40)).unwrap() * 4;
            if random.below(40) == 0 && !device {
                json["device"] =
                    json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:50:00+05:00"});
                in_json.push(("/device/seq".to_owned(), "device-seq-used"));
                (device, left) = (true, left - 1);
                continue;
            }
            let (member, change, code, csv) =
                &kinds[usize::try_from(random.below(kinds.len() as u64)).unwrap()];
            let members = taken.entry(index).or_default();
            let repeats = matches!(change, Change::DuplicateSeal);
            let overfills = matches!(change, Change::Overfull);
            if members.contains(member)
                || alone.contains(&index)
                || change.needs().iter().any(|needed| members.contains(needed))
                || (change.is_alone() && !members.is_empty())
                || (overfills && overfull)
                || (*member == "seal_number" && originals.contains(&index))
                || (repeats
                    && taken.get(&(index - 1)).is_some_and(|members| members.contains(&"seal_number")))
            {
                continue;
            }
            let log = &mut json["logs"][index];
            match change {
                Change::Set(value) => log[*member] = value.clone(),
                Change::Remove => drop(log.as_object_mut().unwrap().remove(*member)),
                Change::UnknownSeal => log["seal_number"] = json!(format!("KZ909{index:06}")),
                Change::UsedSeal => log["seal_number"] = json!(used.next().unwrap()),
                Change::ForeignSeal => log["seal_number"] = json!(foreign.next().unwrap()),
                Change::DuplicateSeal => {
                    log["seal_number"] = json!(self.seals[index - 1]);
                    originals.push(index - 1);
                }
                Change::UnlikeMeasures => {
                    (log["measurement_method"], log["volume_m3"]) = (json!("harvester"), json!(0.03));
                }
                Change::UnlikeTable => log["volume_m3"] = json!(0.4),
                Change::Uncounted => log["kind"] = json!("stack"),
                Change::Overfull => {
                    make_stack(log, 1_000, 25.0);
                    overfull = true;
                }
            }
            if change.is_alone() {
                alone.push(index);
            }
            let members = taken.entry(index).or_default();
            members.push(member);
            members.extend(change.needs());
            in_json.push((format!("/logs/{index}/{member}"), *code));
            in_csv.extend(csv.map(|code| (format!("{} {member}", index + 2), code)));
            left -= 1;
        }
        in_json.sort_unstable();
        in_csv.sort_unstable();
        Batch { csv: table(&json), json, in_json, in_csv }
    }

    async fn send(&self, batch: &Batch, csv: bool, dry_run: bool) -> Answer {
        let (path, media, body) = if csv {
            (format!("felling_ticket_id={}&", self.ticket), "text/csv", batch.csv.clone())
        } else {
            (String::new(), "application/json", batch.json.to_string())
        };
        let request = Request::post(format!("/v1/harvests?{path}dry_run={dry_run}"))
            .header("authorization", format!("Bearer {}", self.enterprise.token))
            .header("content-type", media)
            .body(Body::from(body))
            .unwrap();
        self.world.send(request).await
    }

    /// The number of rows that a harvest adds, and the volume that it marks.
    async fn stored(&self) -> String {
        sqlx::query_scalar(
            "SELECT concat_ws(' ', (SELECT count(*) FROM event), (SELECT count(*) FROM harvest),
                 (SELECT count(*) FROM operation), (SELECT count(*) FROM device_record),
                 (SELECT count(*) FROM idempotency), (SELECT count(*) FROM seal WHERE status = 'applied'),
                 (SELECT sum(marked_m3) FROM ticket_line))",
        )
        .fetch_one(&self.world.app.pool)
        .await
        .unwrap()
    }
}

/// Makes a log a stack of firewood: pieces of 2 m and 10 cm, which have 0.0157 m³ as cylinders.
fn make_stack(log: &mut Value, pieces: u32, volume_m3: f64) {
    (log["kind"], log["wood"], log["pieces"]) = (json!("stack"), json!("firewood"), json!(pieces));
    (log["length_m"], log["top_diameter_cm"], log["volume_m3"]) = (json!(2), json!(10), json!(volume_m3));
}

/// The logs as a table; a member that a log lacks is an empty cell.
fn table(harvest: &Value) -> String {
    let mut table = COLUMNS.join(",") + "\r\n";
    for log in harvest["logs"].as_array().unwrap() {
        let cells = COLUMNS.map(|column| match &log[column] {
            _ if column == "responsible_name" => "Ерлан Оспанов".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        write!(table, "{}\r\n", cells.join(",")).unwrap();
    }
    table
}

/// The location and the code of each error in a response, sorted.
fn located(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let place = |error: &Value| match &error["pointer"] {
        Value::String(pointer) => pointer.clone(),
        _ => format!("{} {}", error["line"], error["column"].as_str().unwrap_or_default()),
    };
    let code = |error: &Value| error["code"].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = errors.iter().map(|error| (place(error), code(error))).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn every_fault_planted_in_a_harvest_is_reported_once_at_its_place() {
    let stand = Stand::new().await;
    let before = stand.stored().await;
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let wanted = usize::try_from(random.below(MOST + 1)).unwrap();
        let batch = stand.batch(&mut random, wanted);
        for (csv, expected) in [(false, &batch.in_json), (true, &batch.in_csv)] {
            for dry_run in [true, false] {
                if expected.is_empty() && !dry_run {
                    continue;
                }
                let answer = stand.send(&batch, csv, dry_run).await;
                let expected: Vec<_> =
                    expected.iter().map(|(place, code)| (place.clone(), (*code).to_owned())).collect();
                assert_eq!(located(&answer), expected, "seed {seed}, CSV {csv}, dry run {dry_run}");
                let status = match expected.as_slice() {
                    [] => 200,
                    faults if faults.iter().all(|(_, code)| is_conflict(code)) => 409,
                    _ => 422,
                };
                assert_eq!(answer.status, status, "seed {seed}, CSV {csv}, dry run {dry_run}");
            }
        }
        assert_eq!(stand.stored().await, before, "seed {seed}");
    }
    let sound = stand.batch(&mut Random::new(0), 0);
    stand.send(&sound, false, false).await.expect(201);
}

#[tokio::test]
async fn the_three_errors_of_one_log_come_together() {
    let stand = Stand::new().await;
    let mut harvest = World::harvest_of(&stand.ticket, &stand.seals[..2]);
    harvest["logs"][0]["species"] = json!("pinus_silvestris");
    harvest["logs"][0]["volume_m3"] = json!(-1);
    harvest["logs"][0]["seal_number"] = json!("KZ909000001");
    let answer = stand.world.post("/v1/harvests", &stand.enterprise, harvest).await;
    answer.expect(422);
    let expected = [
        ("/logs/0/seal_number", "unknown-seal"),
        ("/logs/0/species", "unknown-species"),
        ("/logs/0/volume_m3", "volume-too-small"),
    ];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn a_line_is_exceeded_only_without_the_logs_that_have_errors() {
    let stand = Stand::new().await;
    let mut harvest = World::harvest_of(&stand.ticket, &stand.seals[..3]);
    // 20 m³ are permitted.
    for index in 0..3 {
        make_stack(&mut harvest["logs"][index], 400, 9.0);
    }
    let codes = async |harvest: &Value| {
        stand.world.post("/v1/harvests?dry_run=true", &stand.enterprise, harvest.clone()).await.codes()
    };
    assert_eq!(codes(&harvest).await, ["line-exceeded"]);
    harvest["logs"][1]["grade"] = json!(12);
    assert_eq!(codes(&harvest).await, ["grade-out-of-range"]);
    make_stack(&mut harvest["logs"][2], 600, 15.0);
    assert_eq!(codes(&harvest).await, ["grade-out-of-range", "line-exceeded"]);
    // Nor is a volume marked that cannot be true.
    make_stack(&mut harvest["logs"][2], 6_000, 15.0);
    assert_eq!(codes(&harvest).await, ["grade-out-of-range", "volume-unlike-measures"]);
}

#[tokio::test]
async fn of_many_errors_a_thousand_are_listed_and_the_others_counted() {
    let stand = Stand::new().await;
    let unknown: Vec<String> = (0..1_500).map(|n| format!("KZ909{n:06}")).collect();
    let mut harvest = World::harvest_of(&stand.ticket, &unknown);
    let post = async |harvest: &Value| {
        let answer = stand.world.post("/v1/harvests", &stand.enterprise, harvest.clone()).await;
        let last = answer.expect(422)["errors"].as_array().unwrap().last().unwrap()["detail"].clone();
        (answer.codes().len(), last)
    };
    assert_eq!(post(&harvest).await, (1_001, json!("500 more errors are not listed.")));
    harvest["logs"][7]["species"] = json!("pinus_silvestris");
    assert_eq!(post(&harvest).await, (1_001, json!("501 more errors are not listed.")));
}

#[tokio::test]
async fn a_custody_event_reports_members_references_and_states_together() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let departed = json!({"vehicle": null});
    world.event(&felled.enterprise, "stored", &felled.logs[..1], departed).await.expect(201);
    // `/logs/2` names the log of `/logs/1` again, `/logs/3` is the number of an unknown log, and `/logs/4` is
    // not a text.
    let body = json!({
        "type": "arrived", "occurred_at": "2026-10-06T09:30:00+05:00", "to_bin": bin_of_nobody(),
        "place": {"name": "Жоғарғы қойма", "region": "KZ-99"},
        "logs": [felled.logs[0], felled.logs[1], felled.logs[1], "KZ909000001", 5],
        "device": {"id": "tablet-07", "seq": "one", "recorded_at": "2026-10-05T09:40:00+05:00"}
    });
    let answer = world.post("/v1/custody-events", &felled.enterprise, body).await;
    answer.expect(422);
    let expected = [
        ("/device/seq", "wrong-type"),
        ("/logs/2", "duplicate-in-batch"),
        ("/logs/3", "unknown-log"),
        ("/logs/4", "wrong-type"),
        ("/occurred_at", "in-the-future"),
        ("/place/region", "unknown-region"),
        ("/to_bin", "not-for-this-type"),
    ];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    // The device of this request is valid, so the server also checks whether each log may have this event
    // now.
    let body = json!({
        "type": "arrived", "occurred_at": "2026-10-05T09:30:00+05:00", "vehicle": "123 ABC 10",
        "logs": [felled.logs[0], "KZ909000001", 5, felled.logs[1]], "carrier_bin": "1"
    });
    let answer = world.post("/v1/custody-events", &felled.enterprise, body).await;
    let expected = [
        ("/carrier_bin", "bin-malformed"),
        ("/carrier_bin", "not-for-this-type"),
        ("/logs/0", "transition-not-allowed"),
        ("/logs/1", "unknown-log"),
        ("/logs/2", "wrong-type"),
        ("/logs/3", "transition-not-allowed"),
        ("/vehicle", "not-for-this-type"),
    ];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    // A transfer of an unknown log to an unknown organisation.
    let body = json!({"type": "transferred", "occurred_at": "2026-10-05T09:30:00+05:00", "to_bin": bin_of_nobody(),
                      "of": "half", "logs": [felled.logs[0], "KZ909000001"]});
    let answer = world.post("/v1/custody-events", &felled.enterprise, body).await;
    let expected =
        [("/logs/1", "unknown-log"), ("/of", "unknown-transfer"), ("/to_bin", "unknown-organization")];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    // The log and the reason are invalid. The new seal is checked nevertheless.
    let body = json!({"type": "seal_replaced", "occurred_at": "2026-10-05T09:30:00+05:00", "reason": 7,
                      "new_seal_number": felled.logs[1], "logs": ["KZ909000001"]});
    let answer = world.post("/v1/custody-events", &felled.enterprise, body).await;
    let expected =
        [("/logs/0", "unknown-log"), ("/new_seal_number", "seal-applied"), ("/reason", "wrong-type")];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
}

/// The valid BIN of an organisation that is not registered.
fn bin_of_nobody() -> String {
    crate::world::bin(77)
}

#[tokio::test]
async fn a_registration_of_seals_reports_members_and_what_is_registered_together() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let known = world.seals(&operator, &enterprise, 1).await;
    let code = |serial: &str| format!("010952000000001121{serial}");
    let body = json!({"holder_bin": bin_of_nobody(), "seals": [
        {"number": known[0], "marking_code": code("A1")},
        {"number": "KZ-1", "marking_code": "nothing"},
        {"number": known[0], "marking_code": code("A2")},
        {"number": "KZ-2"},
        {"number": "№", "marking_code": code("A1")},
        {"number": code("A7"), "marking_code": code("A7")},
    ]});
    let answer = world.post("/v1/seals", &operator, body).await;
    answer.expect(422);
    let found = located(&answer);
    let expected = [
        ("/holder_bin", "unknown-organization"),
        ("/seals/0/number", "seal-number-registered"),
        ("/seals/1/marking_code", "code-unrecognised"),
        ("/seals/2/number", "duplicate-in-batch"),
        ("/seals/2/number", "seal-number-registered"),
        ("/seals/3/marking_code", "required"),
        ("/seals/4/marking_code", "duplicate-in-batch"),
        ("/seals/4/number", "seal-number-character"),
        ("/seals/5/number", "seal-number-is-marking-code"),
    ];
    assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    let table = format!("number,marking_code\r\n{},{}\r\n№,{}\r\n", known[0], code("A1"), code("A1"));
    let request = Request::post(format!("/v1/seals?holder_bin={}", bin_of_nobody()))
        .header("authorization", format!("Bearer {}", operator.token))
        .header("content-type", "text/csv")
        .body(Body::from(table))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(
        answer.codes(),
        ["unknown-organization", "seal-number-registered", "duplicate-in-batch", "seal-number-character"]
    );
}

#[tokio::test]
async fn a_transfer_of_seals_reports_numbers_receiver_and_states_together() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = json!({"to_bin": bin_of_nobody(), "numbers": [
        felled.seals[0], "KZ909000001", felled.seals[0], "№", felled.logs[0]]});
    let answer = world.post("/v1/seals/transfer", &felled.enterprise, body).await;
    answer.expect(422);
    let expected = [
        ("/numbers/1", "unknown-seal"),
        ("/numbers/2", "duplicate-in-batch"),
        ("/numbers/3", "seal-number-character"),
        ("/numbers/4", "seal-applied"),
        ("/to_bin", "unknown-organization"),
    ];
    assert_eq!(located(&answer), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    let body = json!({"to_bin": "1", "first": felled.logs[0], "last": felled.seals[1]});
    let answer = world.post("/v1/seals/transfer", &felled.enterprise, body).await;
    assert_eq!(answer.codes(), ["bin-malformed", "seal-applied"]);
}

#[tokio::test]
async fn a_ticket_reports_members_holder_and_number_together() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    world.ticket(&owner, &enterprise, "0001245").await;
    let mut ticket = World::ticket_of(&enterprise, "0001245", 100);
    ticket["holder_bin"] = json!(bin_of_nobody());
    let answer = world.post("/v1/felling-tickets", &owner, ticket.clone()).await;
    assert_eq!(answer.codes(), ["unknown-organization", "ticket-number-taken"]);
    ticket["lines"][1]["wood"] = json!("commercial");
    ticket["lines"][1]["volume_m3"] = json!(-1);
    ticket["felling_until"] = json!("2026-08-31");
    ticket["removal_until"] = json!("tomorrow");
    ticket["plot"] = json!({"type": "Polygon", "coordinates":
        [[[80.1, 50.6], [80.12, 50.61], [80.12, 50.6], [80.1, 50.61], [80.1, 50.6]]]});
    let answer = world.post("/v1/felling-tickets", &owner, ticket).await;
    answer.expect(422);
    let codes: Vec<String> =
        located(&answer).into_iter().map(|(place, code)| format!("{place} {code}")).collect();
    let expected = [
        "/felling_until dates-out-of-order",
        "/holder_bin unknown-organization",
        "/lines/1 duplicate-line",
        "/lines/1/volume_m3 volume-too-small",
        "/number ticket-number-taken",
    ];
    for place in expected {
        assert!(codes.iter().any(|found| found == place), "{place}: {codes:?}");
    }
    assert!(codes.iter().any(|found| found.starts_with("/removal_until ")), "{codes:?}");
    assert!(codes.iter().any(|found| found.starts_with("/plot")), "{codes:?}");
    assert_eq!(codes.len(), 7, "{codes:?}");
}

#[tokio::test]
async fn a_change_of_a_ticket_reports_members_dates_and_state_together() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    let ticket = world.ticket(&owner, &enterprise, "0001245").await["id"].as_str().unwrap().to_owned();
    let found = async |call: &str, who: &Org, body: Value| {
        let answer = world.post(&format!("/v1/felling-tickets/{ticket}/{call}"), who, body).await;
        let places = located(&answer).into_iter().map(|(place, code)| format!("{place} {code}"));
        (answer.status.as_u16(), places.collect::<Vec<_>>())
    };
    // The felling dates are 1 September to 31 December, removal ends on 31 March.
    let (status, errors) =
        found("extend", &owner, json!({"felling_until": "2026-10-01", "reason": ""})).await;
    assert_eq!((status, errors), (422, vec!["/felling_until not-later".into(), "/reason text-empty".into()]));
    let body = json!({"felling_until": "2026-10-02", "removal_until": "2026-10-01", "colour": "red"});
    let (status, errors) = found("extend", &owner, body).await;
    assert_eq!(status, 422);
    for expected in
        ["/colour unknown-field", "/felling_until not-later", "/removal_until removal-before-felling"]
    {
        assert_eq!(errors.iter().filter(|error| *error == expected).count(), 1, "{expected}: {errors:?}");
    }
    assert_eq!(
        errors.iter().filter(|error| error.ends_with("required")).count(),
        1,
        "the reason: {errors:?}"
    );
    // Whoever may not change the ticket learns nothing of it.
    let other = world.organization(8, "КММ «Ертіс орманы»", &["forest_owner"]).await;
    let (_, errors) = found("extend", &other, json!({"felling_until": "2026-10-01", "reason": ""})).await;
    assert_eq!(errors, ["/reason text-empty"]);
    world
        .post(&format!("/v1/felling-tickets/{ticket}/cancel"), &owner, json!({"reason": "Өрт"}))
        .await
        .expect(200);
    let (status, errors) =
        found("extend", &owner, json!({"felling_until": "2026-10-01", "reason": "Қар"})).await;
    assert_eq!((status, errors), (409, vec![" ticket-cancelled".into(), "/felling_until not-later".into()]));
    let (status, errors) = found("cancel", &owner, json!({"reason": 7})).await;
    assert_eq!((status, errors), (422, vec![" ticket-cancelled".into(), "/reason wrong-type".into()]));
}

#[tokio::test]
async fn an_organization_an_order_and_a_key_report_members_and_references_together() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let places = |answer: &Answer| -> Vec<String> {
        located(answer).into_iter().map(|(place, code)| format!("{place} {code}")).collect()
    };
    let body =
        json!({"bin": enterprise.bin, "name": "ТОО «Ер?іс»", "roles": ["enterprise", "king", "enterprise"]});
    let answer = world.post("/v1/organizations", &operator, body).await;
    answer.expect(422);
    let expected =
        ["/bin bin-taken", "/name name-letters-lost", "/roles/1 unknown-role", "/roles/2 duplicate-role"];
    assert_eq!(places(&answer), expected);
    let body = json!({"bin": "850101300005", "kind": "legal_entity", "roles": []});
    let answer = world.post("/v1/organizations", &operator, body).await;
    assert_eq!(
        places(&answer)[..2],
        ["/kind person-not-legal-entity".to_owned(), "/name required".to_owned()]
    );

    let body = json!({"holder_bin": bin_of_nobody(), "quantity": 0});
    let answer = world.post("/v1/seal-batches", &operator, body).await;
    answer.expect(422);
    assert_eq!(places(&answer), ["/holder_bin unknown-organization", "/quantity bad-quantity"]);
    let carrier = world.organization(9, "ТОО «Алтай тасымал»", &["carrier"]).await;
    let body = json!({"holder_bin": carrier.bin, "quantity": "ten"});
    let answer = world.post("/v1/seal-batches", &operator, body).await;
    assert_eq!(places(&answer), ["/holder_bin not-a-seal-holder", "/quantity wrong-type"]);

    let body = json!({"label": "", "expires_at": "2026-10-05T00:00:00+05:00"});
    let answer = world.post(&format!("/v1/organizations/{}/keys", enterprise.id), &enterprise, body).await;
    answer.expect(422);
    assert_eq!(places(&answer), ["/expires_at not-in-future", "/label text-empty"]);
}

#[tokio::test]
async fn a_void_reports_members_and_the_seals_state_together() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let path = |number: &str| format!("/v1/seals/{number}/void");
    let found = async |number: &str, who: &Org| {
        let answer = world.post(&path(number), who, json!({"reason": "replaced", "note": 7})).await;
        answer.expect(422);
        located(&answer).into_iter().map(|(place, code)| format!("{place} {code}")).collect::<Vec<_>>()
    };
    world.post(&path(&felled.seals[0]), &felled.enterprise, json!({"reason": "lost"})).await.expect(200);
    let members = ["/note wrong-type", "/reason unknown-void-reason"];
    assert_eq!(found(&felled.seals[0], &felled.enterprise).await, [" seal-void", members[0], members[1]]);
    assert_eq!(found(&felled.seals[1], &felled.enterprise).await, members);
    // The log was sold, so its seal can no longer be voided.
    world.event(&felled.enterprise, "sold", &felled.logs, json!({})).await.expect(201);
    let expected = [" transition-not-allowed", members[0], members[1]];
    assert_eq!(found(&felled.logs[0], &felled.enterprise).await, expected);
    // A seal that the caller may not see adds nothing.
    assert_eq!(found(&felled.seals[0], &felled.sawmill).await, members);
}

#[tokio::test]
async fn a_correction_reports_the_event_and_the_values_together() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let correct = async |who: &Org, more: Value| {
        let answer = world.event(who, "corrected", &felled.logs[..1], more).await;
        let places = located(&answer).into_iter().map(|(place, code)| format!("{place} {code}"));
        (answer.status.as_u16(), places.collect::<Vec<_>>())
    };
    let (status, errors) = correct(
        &felled.enterprise,
        json!({"corrects": 99, "reason": "қате", "set": {"species": "betula_pendula", "volume_m3": 0.3}}),
    )
    .await;
    let expected = ["/corrects unknown-event", "/set/species not-on-ticket"];
    assert_eq!((status, errors), (422, expected.map(str::to_owned).to_vec()));
    // A value that cannot be read leaves the event to be checked.
    let (status, errors) =
        correct(&felled.enterprise, json!({"corrects": 99, "reason": "қате", "set": {"volume_m3": -1}}))
            .await;
    let expected = ["/corrects unknown-event", "/set/volume_m3 volume-too-small"];
    assert_eq!((status, errors), (422, expected.map(str::to_owned).to_vec()));
    // An event that only an inspector may correct, and a value that belongs to the harvest.
    world.event(&felled.enterprise, "stored", &felled.logs[..1], json!({})).await.expect(201);
    world.event(&felled.enterprise, "loaded", &felled.logs[..1], json!({})).await.expect(201);
    let (status, errors) =
        correct(&felled.enterprise, json!({"corrects": 2, "reason": "қате", "set": {"volume_m3": 0.3}}))
            .await;
    let expected = ["/corrects correction-by-inspector-only", "/set only-of-the-harvest"];
    assert_eq!((status, errors), (422, expected.map(str::to_owned).to_vec()));
    // The buyer learns nothing of the ticket.
    let offer = json!({"to_bin": felled.sawmill.bin});
    world.event(&felled.enterprise, "transferred", &felled.logs[..1], offer).await.expect(201);
    let set = json!({"species": "betula_pendula", "volume_m3": 9000});
    let (_, errors) = correct(&felled.sawmill, json!({"corrects": 99, "reason": "қате", "set": set})).await;
    assert_eq!(errors, ["/corrects unknown-event"]);
    let (_, errors) = correct(&felled.sawmill, json!({"corrects": 1, "reason": "қате", "set": set})).await;
    assert_eq!(errors, ["/corrects correction-not-yours"]);
    assert_eq!(world.unsound().await, [""; 0]);
}
