//! Harvest requests of an enterprise.

use crate::world::World;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_harvest_makes_sealed_logs_and_takes_from_the_ticket() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let harvest = &felled.harvest;
    assert_eq!(harvest["logs"].as_array().unwrap().len(), 3);
    assert_eq!(harvest["logs"][0]["seal_number"], felled.logs[0]);
    assert_eq!(harvest["logs"][0]["seq"], 1);
    assert_eq!(harvest["ticket"]["lines"][0]["marked_m3"], json!(0.99));
    assert_eq!(harvest["ticket"]["lines"][0]["remaining_m3"], json!(99.01));
    let read =
        world.get(&format!("/v1/harvests/{}", harvest["id"].as_str().unwrap()), &felled.enterprise).await;
    assert_eq!(read.expect(200)["logs"], harvest["logs"]);
    let foreign =
        world.get(&format!("/v1/harvests/{}", harvest["id"].as_str().unwrap()), &felled.sawmill).await;
    foreign.expect(404);
}

#[tokio::test]
async fn all_errors_of_a_batch_are_reported_at_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..5]);
    body["logs"][0]["seal_number"] = json!("KZ999999999");
    body["logs"][1]["species"] = json!("betula_pendula");
    body["logs"][2]["occurred_at"] = json!("2027-02-01T09:00:00+05:00");
    body["logs"][3]["seal_number"] = json!(felled.logs[0]);
    let answer = world.post("/v1/harvests", &felled.enterprise, body.clone()).await;
    let told = answer.expect(422);
    let pointers: Vec<_> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    for expected in [
        ("/logs/0/seal_number", "unknown-seal"),
        ("/logs/1/species", "not-on-ticket"),
        ("/logs/2/occurred_at", "outside-felling-dates"),
        ("/logs/2/occurred_at", "in-the-future"),
        ("/logs/3/seal_number", "seal-applied"),
    ] {
        assert!(pointers.contains(&expected), "{expected:?} in {pointers:?}");
    }
    // A batch without invalid values that conflicts with the present state gets 409.
    let mut again = World::harvest_of(&felled.ticket, &felled.logs);
    again["logs"][0]["volume_m3"] = json!(0.34);
    let answer = world.post("/v1/harvests", &felled.enterprise, again).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.codes(), ["seal-applied"]);
}

#[tokio::test]
async fn a_dry_run_answers_the_same_and_stores_nothing() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..2]);
    let rehearsed =
        world.post("/v1/harvests?dry_run=true", &felled.enterprise, body.clone()).await.expect(200);
    assert_eq!(rehearsed["ticket"]["lines"][0]["marked_m3"], json!(0.99));
    assert_eq!(rehearsed["rehearsal"], true);
    assert_eq!(rehearsed["logs"][0]["seal_number"], felled.seals[0]);
    for member in ["id", "operation_id", "received_at"] {
        assert_eq!(rehearsed.get(member), None, "{member} is of something that was stored");
    }
    for member in ["id", "hash", "seq"] {
        assert_eq!(rehearsed["logs"][0].get(member), None, "{member}");
    }
    let after =
        world.get(&format!("/v1/felling-tickets/{}", felled.ticket), &felled.enterprise).await.expect(200);
    assert_eq!(after["lines"][0]["marked_m3"], json!(0.33));
    world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
}

#[tokio::test]
async fn a_line_bears_its_permitted_volume_and_tolerance_to_the_last_decimal() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // The line permits 20 m³ of firewood. With the tolerance of 8 %, it accepts 21.6 m³ and not 0.0001 m³
    // more.
    let stack = |seal: &str, volume: f64| {
        json!({"seal_number": seal, "kind": "stack", "species": "pinus_sylvestris", "wood": "firewood",
               "pieces": 500, "volume_m3": volume, "measurement_method": "stack_geometric",
               "occurred_at": "2026-10-05T09:30:00+05:00"})
    };
    let post = |logs: Vec<serde_json::Value>| {
        let body = json!({"felling_ticket_id": felled.ticket, "responsible_person": {"name": "Ерлан Оспанов"}, "logs": logs});
        world.post("/v1/harvests", &felled.enterprise, body)
    };
    let over = post(vec![stack(&felled.seals[0], 11.6), stack(&felled.seals[1], 10.0001)]).await;
    over.expect(409);
    assert_eq!(over.codes(), ["line-exceeded"]);
    let within = post(vec![stack(&felled.seals[0], 21.6)]).await.expect(201);
    assert!(within["findings"].as_array().unwrap().iter().any(|f| f["rule"] == "L6"), "{within}");
    // The smallest stack: one piece of 0.0005 m³.
    let mut smallest = stack(&felled.seals[1], 0.0005);
    smallest["pieces"] = json!(1);
    post(vec![smallest]).await.expect(409);
}

#[tokio::test]
async fn csv_is_the_same_harvest_with_errors_by_line_and_column() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let send = |csv: String| {
        let request = Request::post(format!("/v1/harvests?felling_ticket_id={}", felled.ticket))
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "text/csv")
            .body(Body::from(csv))
            .unwrap();
        world.send(request)
    };
    let header = "seal_number;kind;species;wood;length_m;top_diameter_cm;volume_m3;measurement_method;occurred_at;responsible_name";
    let row = |seal: &str, volume: &str| {
        format!(
            "{seal};log;pinus_sylvestris;commercial;6,0;24;{volume};gost_2708_75;2026-10-05T09:30:00+05:00;Ерлан Оспанов"
        )
    };
    let bad =
        format!("{header}\r\n{}\r\n{}\r\n", row(&felled.seals[0], "0,33001"), row("KZ999999999", "0,33"));
    let answer = send(bad).await;
    let told = answer.expect(422);
    assert_eq!(
        (told["errors"][0]["line"].as_u64(), told["errors"][0]["column"].as_str()),
        (Some(2), Some("volume_m3"))
    );
    let unknown = format!("{header}\r\n{}\r\n", row("KZ999999999", "0,33"));
    let told = send(unknown).await.expect(422);
    assert_eq!(told["errors"][0]["code"], "unknown-seal");
    assert_eq!(
        (told["errors"][0]["line"].as_u64(), told["errors"][0]["column"].as_str()),
        (Some(2), Some("seal_number"))
    );
    let good = format!(
        "\u{feff}{header}\r\n{}\r\n{}\r\n",
        row(&felled.seals[0], "0,33"),
        row(&felled.seals[1], "0.33")
    );
    assert_eq!(send(good).await.expect(201)["logs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sixty_four_harvests_with_one_seal_make_one_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let posts = (0..64).map(|_| world.post("/v1/harvests", &felled.enterprise, body.clone()));
    let answers = futures_util::future::join_all(posts).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
    assert_eq!(
        (count(201), count(409)),
        (1, 63),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_harvest_with_an_operation_id_is_recorded_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    body["operation_id"] = json!("0199aaaa-0000-7000-8000-000000000001");
    let first = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(201);
    let again = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(200);
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["logs"], again["logs"]);
    body["logs"][0]["volume_m3"] = json!(0.34);
    let other = world.post("/v1/harvests", &felled.enterprise, body).await;
    other.expect(409);
    assert_eq!(other.codes(), ["operation-id-used"]);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_answer_byte_for_byte() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let send = |body: String| {
        let request = Request::post("/v1/harvests")
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "harvest-2026-10-05-a")
            .body(Body::from(body))
            .unwrap();
        world.send(request)
    };
    let first = send(body.to_string()).await;
    first.expect(201);
    let again = send(serde_json::to_string_pretty(&body).unwrap()).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let mut other = body.clone();
    other["logs"][0]["volume_m3"] = json!(0.34);
    send(other.to_string()).await.expect(422);
    // Stored responses contain no personal data.
    let packed: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM idempotency").fetch_one(&world.app.pool).await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
    assert!(!text.contains("Оспанов"));
}

#[tokio::test]
async fn harvests_and_corrections_at_once_never_overdraw_a_line() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // The line permits 20 m³ of firewood, with a tolerance of 8 %. Four stacks of 1 m³ each are corrected to
    // 4 m³, and at the same time eight stacks of 3 m³ are harvested.
    let stack = |seal: &str, volume: f64| {
        json!({"seal_number": seal, "kind": "stack", "species": "pinus_sylvestris", "wood": "firewood",
               "pieces": 60, "volume_m3": volume, "measurement_method": "stack_geometric",
               "occurred_at": "2026-10-05T09:30:00+05:00"})
    };
    let harvest = |logs: Vec<serde_json::Value>| {
        let body = json!({"felling_ticket_id": felled.ticket, "responsible_person": {"name": "Ерлан Оспанов"}, "logs": logs});
        world.post("/v1/harvests", &felled.enterprise, body)
    };
    harvest(felled.seals[..4].iter().map(|seal| stack(seal, 1.0)).collect()).await.expect(201);
    let fresh = world.seals(&felled.operator, &felled.enterprise, 8).await;
    let harvests = fresh.iter().map(|seal| harvest(vec![stack(seal, 3.0)]));
    let corrections = felled.seals[..4].iter().map(|seal| {
        let right = json!({"corrects": 1, "reason": "қайта өлшенді", "set": {"volume_m3": 4}});
        world.event(&felled.enterprise, "corrected", std::slice::from_ref(seal), right)
    });
    let (harvests, corrections) = futures_util::future::join(
        futures_util::future::join_all(harvests),
        futures_util::future::join_all(corrections),
    )
    .await;
    let mut made = 0;
    for answer in harvests.iter().chain(&corrections) {
        if answer.status == StatusCode::CREATED {
            made += 1;
        } else {
            answer.expect(409);
            assert_eq!(answer.codes(), ["line-exceeded"]);
        }
    }
    // The line has 4 m³ marked, and each accepted write adds 3 m³: five make 19 m³, a sixth would make 22 m³.
    assert_eq!(made, 5);
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    let ticket = world.get(&path, &felled.enterprise).await.expect(200);
    assert_eq!(ticket["lines"][1]["marked_m3"], json!(19));
    assert_eq!(world.unsound().await, [""; 0]);
}

/// Every rule and every response uses the day in Kazakhstan, whatever offset was sent.
#[tokio::test]
async fn a_day_is_a_day_in_kazakhstan() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // The ticket's first day is 1 September.
    for (occurred_at, accepted) in [
        ("2026-08-31T19:00:00Z", true),
        ("2026-08-31T07:00:00-12:00", true),
        ("2026-08-31T18:59:59Z", false),
        ("2026-09-01T00:30:00+06:00", false),
        ("2026-09-01T08:59:59+14:00", false),
    ] {
        let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
        body["logs"][0]["occurred_at"] = json!(occurred_at);
        let answer = world.post("/v1/harvests?dry_run=true", &felled.enterprise, body).await;
        if accepted {
            answer.expect(200);
        } else {
            assert_eq!(answer.codes(), ["outside-felling-dates"], "{occurred_at}");
        }
    }
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    body["logs"][0]["occurred_at"] = json!("2026-09-30T19:30:00Z");
    world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
    let log = format!("/v1/logs/{}", felled.seals[0]);
    assert_eq!(world.get(&log, &felled.enterprise).await.expect(200)["felled_on"], "2026-10-01");
    let correction = json!({
        "corrects": 1, "reason": "Планшет басқа уақытта тұрған", "set": {"occurred_at": "2026-10-02T07:30:00-12:00"}
    });
    world.event(&felled.enterprise, "corrected", &felled.seals[..1], correction).await.expect(201);
    assert_eq!(world.get(&log, &felled.enterprise).await.expect(200)["felled_on"], "2026-10-03");
    let history = world.get(&format!("{log}/history"), &felled.enterprise).await.expect(200);
    let business = history["events"][1]["parts"]["business"]["text"].as_str().unwrap();
    assert!(business.contains(r#""right_on":"2026-10-03""#) && business.ends_with(r#""v":2}"#), "{business}");
}

/// Columns of a small CSV table; `csv_row` makes a row of it for a seal.
const HEADER: &str = "seal_number;kind;species;wood;length_m;top_diameter_cm;volume_m3;measurement_method;occurred_at;responsible_name;grade;lat;lon";

fn csv_row(seal: &str, name: &str) -> String {
    format!(
        "{seal};log;pinus_sylvestris;commercial;6,0;24;0,33;gost_2708_75;2026-10-05T09:30:00+05:00;{name}"
    )
}

async fn send_csv(
    world: &World,
    felled: &crate::world::Felled,
    content_type: &str,
    dry: bool,
    csv: Vec<u8>,
) -> crate::world::Answer {
    let dry = if dry { "&dry_run=true" } else { "" };
    let request = Request::post(format!("/v1/harvests?felling_ticket_id={}{dry}", felled.ticket))
        .header("authorization", format!("Bearer {}", felled.enterprise.token))
        .header("content-type", content_type)
        .body(Body::from(csv))
        .unwrap();
    world.send(request).await
}

#[tokio::test]
async fn the_same_posting_is_the_same_with_its_uuids_in_capitals() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    body["operation_id"] = json!("0199aaaa-0000-7000-8000-00000000000f");
    let first = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(201);
    body["operation_id"] = json!("0199AAAA-0000-7000-8000-00000000000F");
    body["felling_ticket_id"] = json!(felled.ticket.to_uppercase());
    let again = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(200);
    assert_eq!(first["id"], again["id"]);
    let rehearsed = world.post("/v1/harvests?dry_run=true", &felled.enterprise, body).await.expect(200);
    assert_eq!(rehearsed["logs"][0]["seal_number"], felled.seals[0]);
}

#[tokio::test]
async fn a_whole_number_is_whole_however_it_is_written() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]).to_string();
    for grade in ["2.0", "20e-1", "0.2e1"] {
        let body = body.replace("\"grade\":2,", &format!("\"grade\":{grade},"));
        let request = Request::post("/v1/harvests?dry_run=true")
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        world.send(request).await.expect(200);
    }
    for grade in [json!(2.5), json!(5), json!(0), json!(-1)] {
        let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
        body["logs"][0]["grade"] = grade;
        let answer = world.post("/v1/harvests?dry_run=true", &felled.enterprise, body).await;
        assert_eq!(answer.codes(), ["grade-out-of-range"]);
    }
}

#[tokio::test]
async fn a_seal_is_named_by_its_whole_code_too() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let code = world.get(&format!("/v1/seals/{}", felled.seals[0]), &felled.enterprise).await.expect(200);
    let code = code["marking_code"].as_str().unwrap().to_owned();
    let post = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        world.post("/v1/harvests", &felled.enterprise, World::harvest_of(&felled.ticket, &names))
    };
    let twice = post(&[&code, &felled.seals[0]]).await;
    assert_eq!(twice.expect(422)["errors"][0]["pointer"], "/logs/1/seal_number");
    assert_eq!(twice.codes(), ["duplicate-in-batch"]);
    let (head, tail) = code.split_at(code.len() - 88);
    let other = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    assert_eq!(post(&[&other]).await.codes(), ["marking-code-differs"]);
    assert_eq!(post(&["010952000000001121NOSUCHSEAL"]).await.codes(), ["unknown-seal"]);
    let hint = post(&["KZO00000041"]).await.expect(422);
    assert!(hint["errors"][0]["detail"].as_str().unwrap().ends_with("Did you mean KZ000000041?"), "{hint}");
    let made = post(&[&format!("]d2{code}"), &felled.seals[1]]).await.expect(201);
    assert_eq!(made["logs"][0]["seal_number"], felled.seals[0]);
    assert_eq!(made["logs"][0]["marking_code"], code);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn the_same_file_again_says_that_it_was_this_one() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let rows: Vec<String> = felled.seals[..3].iter().map(|seal| csv_row(seal, "Ерлан Оспанов")).collect();
    let csv = format!("{HEADER}\r\n{}\r\n", rows.join("\r\n"));
    let send = |dry: bool, csv: &str| send_csv(&world, &felled, "text/csv", dry, csv.as_bytes().to_vec());
    let made = send(false, &csv).await.expect(201);
    for dry in [false, true] {
        let again = send(dry, &csv).await;
        let told = again.expect(409);
        assert_eq!(again.codes(), ["already-recorded"]);
        assert!(
            told["errors"][0]["detail"].as_str().unwrap().contains(made["id"].as_str().unwrap()),
            "{told}"
        );
        assert_eq!((&told["errors"][0]["line"], &told["errors"][0]["column"]), (&json!(1), &json!("")));
    }
    // Another write request that uses the same seals gets an error for each of them.
    let other = send(false, &csv.replace("0,33", "0,34")).await;
    other.expect(409);
    assert_eq!(other.codes(), ["seal-applied"; 3]);
}

#[tokio::test]
async fn a_table_is_taken_as_spreadsheets_write_it() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (one, two) = (csv_row(&felled.seals[0], "Ерлан Оспанов"), csv_row(&felled.seals[1], ""));
    let send = |kind: &'static str, csv: Vec<u8>| send_csv(&world, &felled, kind, true, csv);
    for (kind, csv) in [
        // The tables have missing cells at the end of a row, additional separators, or a first line that
        // names the separator.
        ("text/csv", format!("{HEADER}\r\n{one};;;\r\n{two}\r\n")),
        ("text/csv", format!("{HEADER}\r\n{one};;;;;;\r\n{two};;;;\r\n")),
        ("text/csv", format!("sep=;\r\n{HEADER}\r\n{one}\r\n{two}\r\n")),
        ("application/vnd.ms-excel", format!("\u{feff}sep=;\r\n{HEADER}\r\n{one}\r\n{two}\r\n")),
        ("text/tab-separated-values; charset=utf-8", format!("{HEADER}\n{one}\n{two}\n").replace(';', "\t")),
    ] {
        let made = send(kind, csv.into_bytes()).await.expect(200);
        assert_eq!(made["logs"].as_array().unwrap().len(), 2, "{kind}");
    }
    // The encoding is declared, or it is detected as windows-1251: the bytes are not UTF-8 and contain no
    // valid multi-byte sequence of UTF-8.
    let windows = encoding_rs::WINDOWS_1251.encode(&format!("{HEADER}\r\n{one}\r\n")).0.into_owned();
    send("text/csv", windows.clone()).await.expect(200);
    send("text/csv; charset=windows-1251", windows).await.expect(200);
    let kazakh = |letter: u8| {
        let mut csv = format!("{HEADER}\r\n{}", csv_row(&felled.seals[0], "")).into_bytes();
        csv.extend_from_slice(&[letter, 0xE9, 0xE3, 0xE5, 0xF0, 0xB3, 0xEC]);
        csv
    };
    send("text/csv; charset=kz-1048", kazakh(0xA3)).await.expect(200);
    for (kind, letter) in [("text/csv", 0xA3), ("text/csv; charset=windows-1251", 0xA3), ("text/csv", b'?')] {
        let lost = send(kind, kazakh(letter)).await;
        assert_eq!(lost.expect(422)["errors"][0]["column"], "responsible_name");
        assert_eq!(lost.codes(), ["name-letters-lost"]);
    }
    let mut broken = format!("{HEADER}\r\n{}", csv_row(&felled.seals[0], "Оспанов Ерла")).into_bytes();
    broken.push(0xD0);
    let answer = send("text/csv", broken).await;
    assert_eq!(answer.expect(400)["errors"][0]["code"], "not-utf8");
    for (bytes, name) in [
        (b"PK\x03\x04..xl/workbook.xml".as_slice(), "xlsx"),
        (b"PK\x03\x04..mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "ods"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", "xls"),
    ] {
        let told = send("application/vnd.ms-excel", bytes.to_vec()).await.expect(400);
        assert!(told["errors"][0]["detail"].as_str().unwrap().contains(&format!("({name})")), "{told}");
    }
    for (bytes, words) in [
        (b"\xD0\xCF\x11\xE0".as_slice(), "an Excel 97–2003 workbook"),
        (b"PK\x03\x04", "a zip archive"),
        (b"<html xmlns:x=\"urn:schemas-microsoft-com:office:excel\">", "an HTML page"),
        (b"\xEF\xBB\xBF\r\n <TABLE border=1><tr><td>seal_number</td></tr></TABLE>", "an HTML page"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"<?xml version=\"1.0\"?><Workbook/>", "an XML file"),
    ] {
        let told = send("text/csv", bytes.to_vec()).await.expect(400);
        assert_eq!(told["errors"][0]["code"], "not-csv");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.contains("save the sheet as \"CSV UTF-8\""), "{told}");
    }
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let told = send(kind, b"PK\x03\x04..xl/workbook.xml".to_vec()).await.expect(415);
    assert!(
        told["detail"].as_str().unwrap().ends_with("Save a workbook as \"CSV UTF-8\" and send that file."),
        "{told}"
    );
    let told = send("application/pdf", Vec::new()).await.expect(415);
    for kind in ["application/json", "text/csv", "text/tab-separated-values", "application/vnd.ms-excel"] {
        assert!(told["detail"].as_str().unwrap().contains(kind), "{told}");
    }
}

#[tokio::test]
async fn errors_of_a_table_are_in_its_words_and_once_for_a_missing_column() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let send = |csv: String| send_csv(&world, &felled, "text/csv", false, csv.into_bytes());
    let rows: Vec<String> = felled.seals[..4]
        .iter()
        .map(|seal| csv_row(seal, "").replace(";commercial", "").trim_end_matches(';').to_owned())
        .collect();
    let header = HEADER.replace(";wood", "").replace("responsible_name;", "").replace(";lat", "");
    let answer = send(format!("\r\n{header}\r\n{};;80,2\r\n{}\r\n", rows[0], rows[1..].join("\r\n"))).await;
    let told = answer.expect(422);
    let entries: Vec<String> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {} {} {}", e["line"], e["column"], e["code"], e["detail"]).replace('"', ""))
        .collect();
    assert_eq!(
        entries,
        [
            "2 lat required `lat` is required.",
            "2 responsible_name required `responsible_name` is required.",
            "2 wood required `wood` is required.",
        ]
    );
    let one = csv_row(&felled.seals[0], "Ерлан Оспанов");
    let twice = send(format!("{HEADER}\r\n{one}\r\n\r\n{one}\r\n")).await.expect(422);
    assert_eq!(
        (&twice["errors"][0]["line"], &twice["errors"][0]["code"]),
        (&json!(4), &json!("duplicate-in-batch"))
    );
    assert!(twice["errors"][0]["detail"].as_str().unwrap().contains("by line 2 of"), "{twice}");
    let none = send(format!("{HEADER}\r\n")).await.expect(422);
    assert!(!none["errors"].to_string().contains("items"), "{none}");
    assert!(!none["errors"].to_string().contains("responsible_person"), "{none}");
}
