//! The public check.

use crate::stored_logs::{encoded, log, seal, set};
use crate::world::{Answer, World};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

async fn verify(world: &World, code: &str) -> Value {
    world.call(Method::GET, &format!("/v1/verify/{}", encoded(code)), None, Value::Null).await.expect(200)
}

async fn page(world: &World, path: &str) -> Answer {
    let request = Request::get(path).header("accept", "text/html,*/*;q=0.8").header("accept-language", "en");
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn each_verdict() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", 2).await;
    for code in ["kz-0001", timber.code.as_str(), timber.code.identification_str()] {
        let answer = verify(&world, code).await;
        assert_eq!(answer["verdict"], "valid", "{answer}");
        assert_eq!(answer["seal_number"], "KZ-0001");
        assert_eq!(answer["log"]["species"], "pinus_sylvestris");
        assert_eq!(answer["log"]["origin"]["region"]["code"], "KZ-10");
        assert_eq!(answer["log"]["holder_name"], "ТОО «Ертіс ағаш»");
    }
    // The name of a sole trader is the name of a person, so a check does not show it.
    sqlx::query("UPDATE organization SET kind = 'sole_trader' WHERE id = $1")
        .bind(holder.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(verify(&world, "KZ-0001").await["log"]["holder_name"], Value::Null);

    for status in ["processed", "exported", "sold", "destroyed", "lost"] {
        set(&world, &timber, &format!("status = '{status}'"), &holder).await;
        let answer = verify(&world, "KZ-0001").await;
        assert_eq!((&answer["verdict"], &answer["reason"]["code"]), (&json!("closed"), &json!(status)));
    }
    let unused = seal(&world, &holder, "KZ-0002").await;
    assert_eq!(verify(&world, "KZ-0002").await["verdict"], "unused");
    assert_eq!(verify(&world, unused.as_str()).await["verdict"], "unused");
    let absent = verify(&world, "KZ-0003").await;
    assert_eq!(
        (&absent["verdict"], &absent["reason"]["code"]),
        (&json!("unknown"), &json!("not-registered"))
    );
    let id = verify(&world, &timber.id.to_string()).await;
    assert_eq!(id["reason"]["code"], "code-is-internal-id", "an id is not a code");

    // The code names this server's key and has an existing identification, but its signature does not match.
    let (head, signature) = timber.code.as_str().split_at(timber.code.as_str().len() - 88);
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}{other}{}", &signature[1..]);
    let answer = verify(&world, &forged).await;
    assert_eq!((&answer["verdict"], &answer["reason"]["code"]), (&json!("unknown"), &json!("forged")));
    assert_eq!(answer["log"], Value::Null);
    // The code is signed with another key, although the seal was registered with a code signed by this
    // server.
    let stranger = ormantrace::timber::seal::signing::SigningKey::from_seed(&[8; 32]);
    let invented = stranger.sign(&timber.code.identification());
    assert_eq!(verify(&world, invented.as_str()).await["reason"]["code"], "forged");
}

#[tokio::test]
async fn an_old_seal_finds_the_log_and_is_void() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", 2).await;
    seal(&world, &holder, "KZ-0002").await;
    for statement in [
        "UPDATE seal SET status = 'void', void_reason = 'replaced' WHERE number = 'KZ-0001'",
        "UPDATE seal SET status = 'applied', log_id = (SELECT log_id FROM seal WHERE number = 'KZ-0001') WHERE number = 'KZ-0002'",
        "UPDATE log_seal SET until_seq = 2 WHERE seal_number = 'KZ-0001'",
        "INSERT INTO log_seal SELECT 'KZ-0002', log_id, 2 FROM log_seal WHERE seal_number = 'KZ-0001'",
        "UPDATE log SET seal_number = 'KZ-0002'",
    ] {
        sqlx::query(statement).execute(&world.app.pool).await.unwrap();
    }
    let old = verify(&world, timber.code.as_str()).await;
    assert_eq!((&old["verdict"], &old["reason"]["code"]), (&json!("void"), &json!("replaced")));
    assert_eq!(old["log"]["species"], "pinus_sylvestris");
    assert_eq!(verify(&world, "KZ-0002").await["verdict"], "valid");
    let found = world.get("/v1/logs/KZ-0001", &holder).await.expect(200);
    assert_eq!(found["seal"]["number"], "KZ-0002");
}

#[tokio::test]
async fn any_input_gets_a_verdict() {
    let world = World::new().await;
    for path in ["%00", "%FF%FE", "%", "..%2F..%2Fetc", "%F0%9F%8C%B2", &"9".repeat(2_000), "%27%3B--"] {
        let answer = world.call(Method::GET, &format!("/v1/verify/{path}"), None, Value::Null).await;
        assert_eq!(answer.expect(200)["verdict"], "unknown", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    world.call(Method::GET, "/v1/verify/KZ-0001", Some(&"x".repeat(40)), Value::Null).await.expect(401);
}

#[tokio::test]
async fn misses_are_limited_by_address_and_not_for_callers_with_a_token() {
    let world = World::new().await;
    let enterprise = world.enterprise().await;
    let mut refused = None;
    // 60 checks in quick succession exceed 20 checks per second or 30 checks of unknown codes per minute, so
    // one of them is refused.
    for n in 0..60 {
        let answer = world.call(Method::GET, &format!("/v1/verify/KZ-{n:04}"), None, Value::Null).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect(200);
    }
    let refused = refused.expect("guessing is never limited");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    for n in 0..60 {
        world.get(&format!("/v1/verify/KZ-{n:04}"), &enterprise).await.expect(200);
    }
}

#[tokio::test]
async fn many_codes_at_once_take_a_token_and_keep_their_order() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    log(&world, &issuer, &holder, "KZ-0001", 1).await;
    seal(&world, &holder, "KZ-0002").await;
    let codes = json!({"codes": ["KZ-0002", "what is this thing", "KZ-0001", "KZ-0009", "KZ-0001"]});
    world.call(Method::POST, "/v1/verify", None, codes.clone()).await.expect(401);
    let answer = world.post("/v1/verify", &holder, codes).await.expect(200);
    let verdicts: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| &item["verdict"]).collect();
    assert_eq!(verdicts, ["unused", "unknown", "valid", "unknown", "valid"]);
    world.post("/v1/verify", &holder, json!({"codes": []})).await.expect(422);
    world.post("/v1/verify", &holder, json!({"codes": vec!["KZ-0001"; 1001]})).await.expect(422);
    let thousand = world.post("/v1/verify", &holder, json!({"codes": vec!["KZ-0001"; 1000]})).await;
    assert_eq!(thousand.expect(200)["items"].as_array().unwrap().len(), 1000);
}

/// The page calls timber checked only if each inspection found it as recorded.
#[tokio::test]
async fn the_page_says_checked_only_of_timber_that_is_as_recorded() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let path = format!("/verify/{}?lang=en", felled.logs[0]);
    let inspected = async |outcome: &str| {
        let seen = json!({"details": {"outcome": outcome, "hold": false}});
        let seen = if outcome == "match" { json!({"details": {"outcome": outcome}}) } else { seen };
        world.event(&felled.inspector, "inspected", &felled.logs, seen).await.expect(201);
        String::from_utf8_lossy(&page(&world, &path).await.bytes).into_owned()
    };
    let shown = inspected("match").await;
    assert!(shown.contains("Checked by an inspector: as recorded"), "{shown}");
    let (verdict, seller) =
        (shown.find("verdict-message").unwrap(), shown.find("The seller should be:").unwrap());
    let origin = shown.find("id=\"origin\"").unwrap();
    assert!(verdict < seller && seller < origin && shown[seller..origin].contains("ТОО «Ертіс ағаш»"));
    let shown = inspected("mismatch").await;
    assert!(shown.contains("Inspected by an inspector") && !shown.contains("Checked by"), "{shown}");
    let shown = inspected("match").await;
    assert!(!shown.contains("Checked by"), "one of them was not as recorded");
}

/// A number may be mistyped; a code that was scanned is what is printed.
#[tokio::test]
async fn an_unknown_code_is_judged_by_its_form_alone() {
    let world = World::new().await;
    let said = async |code: &str| {
        let path = format!("/v1/verify/{code}");
        let answer = world.call(axum::http::Method::GET, &path, None, Value::Null).await.expect(200);
        answer["message"]["en"].as_str().unwrap().to_owned()
    };
    let typed = said("KZ000000777").await;
    assert!(typed.contains("Type it again; if it is printed so, the seal is false."), "{typed}");
    let letter = said("DEMO-I00001").await;
    assert!(letter.contains("DEMO-100001") && letter.contains("Type it again"), "{letter}");
    let scanned = said("0104870000000012215QK7ZT2M").await;
    assert!(scanned.contains("the seal is false") && !scanned.contains("again"), "{scanned}");
}

#[tokio::test]
async fn pages_lead_people_to_the_verdict() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", 2).await;
    let identification = timber.code.identification_str();

    let start = page(&world, "/").await;
    assert_eq!(start.status, 200);
    assert!(start.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let sent = page(&world, "/verify?code=KZ-0001&lang=ru").await;
    assert_eq!(
        (sent.status.as_u16(), &sent.headers["location"]),
        (303, &"/verify/KZ-0001?lang=ru".parse().unwrap())
    );
    let shown = page(&world, "/verify/KZ-0001").await;
    let html = String::from_utf8(shown.bytes).unwrap();
    assert!(html.contains("Scots pine") && html.contains("KZ-0001"), "{html}");

    let link = format!("/01/{}/21/{}", timber.code.gtin(), timber.code.serial());
    let led = page(&world, &link).await;
    assert_eq!(led.status, 303);
    assert_eq!(led.headers["location"], format!("/verify/{identification}"));
    for accept in [
        "application/json",
        "Application/JSON",
        "text/html;q=0.5, application/json",
        "application/*",
        "text/html;q=0",
    ] {
        let request = Request::get(&link).header("accept", accept).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.expect(200)["verdict"], "valid", "{accept}");
    }
    for accept in ["application/json;q=0.5, text/html", "application/json;q=0", "TEXT/HTML", "*/*"] {
        let request = Request::get(&link).header("accept", accept).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, 303, "{accept}");
    }

    let lost = page(&world, "/nowhere").await;
    assert_eq!(lost.status, 404);
    assert_eq!(lost.headers["content-type"], "text/html; charset=utf-8");
    let api = page(&world, "/v1/nowhere").await;
    assert_eq!(api.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_code_is_recognised_however_it_reaches_the_check() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &issuer, &holder, "DEMO000041", 2).await;
    let link = timber.code.identification().link("http://HOST");
    for sent in [
        format!("]Q1{link}"),
        format!("]Q0{}", timber.code),
        "]A0DEMO000041".to_owned(),
        "DEMO 000 041".to_owned(),
        "http://HOST/verify/DEMO000041".to_owned(),
        "HOST/verify?code=DEMO+000+041".to_owned(),
        "https://HOST/v1/verify/DEMO000041?register=true".to_owned(),
        format!("https://HOST/verify/{}", encoded(timber.code.as_str())),
    ] {
        let answer = verify(&world, &sent).await;
        assert_eq!(
            (&answer["verdict"], &answer["seal_number"]),
            (&json!("valid"), &json!("DEMO000041")),
            "{sent}"
        );
    }
    // The input has a blank where the printed seal number has a hyphen.
    seal(&world, &holder, "DEMO-000077").await;
    for sent in ["DEMO 000 077", "http://HOST/verify/DEMO%20000%20077", "/verify?code=DEMO+000077"] {
        assert_eq!(verify(&world, sent).await["seal_number"], "DEMO-000077", "{sent}");
    }
    // The letter O for a zero.
    let mistyped = verify(&world, "DEMO00O041").await;
    assert_eq!(mistyped["reason"]["code"], "not-registered");
    assert!(mistyped["message"]["en"].as_str().unwrap().contains("a zero (0)"), "{mistyped}");
    assert!(!verify(&world, "DEMO000042").await["message"]["en"].as_str().unwrap().contains("(0)"));
    // A Digital Link with further elements in its path.
    let (gtin, serial) = (timber.code.gtin(), encoded(timber.code.serial()));
    for path in [
        format!("/01/{gtin}/10/LOT/21/{serial}"),
        format!("/01/{gtin}/22/A/10/LOT/21/{serial}?17=280101"),
        format!("/01/{gtin}/21/{serial}/235/X"),
    ] {
        let led = page(&world, &path).await;
        assert_eq!(led.status, 303, "{path}");
        assert!(led.headers["location"].to_str().unwrap().starts_with("/verify/01"), "{path}");
        let request = Request::get(&path).header("accept", "application/json").body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.expect(200)["verdict"], "valid", "{path}");
    }
    for path in [format!("/01/{gtin}"), format!("/01/{gtin}/10/LOT"), "/01/1/2/3".to_owned()] {
        assert_eq!(page(&world, &path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_written_separator_is_first_part_of_the_serial_and_then_a_separator() {
    let world = World::new().await;
    let (operator, issuer, holder) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    let register = |number: &str, code: &str| {
        let body = json!({"holder_bin": holder.bin, "seals": [{"number": number, "marking_code": code}]});
        world.post("/v1/seals", &operator, body)
    };
    register("SE-0001", "010460711234567621B1\u{1d}93Ab1c").await.expect(201);
    for (code, error) in [
        ("010460711234567621B2_x001D_93Ab1c", "separator-written-out"),
        ("010460711234567621B2FNC193Ab1c", "separator-written-out"),
        ("010460711234567621B2<1D>93Ab1c", "separator-written-out"),
        ("010460711234567621B2-GS-93Ab1c", "separator-written-out"),
        ("(01)04607112345676(21)B2(93)Ab1c", "separator-written-out"),
        ("010460711234567621B2 C3", "code-character"),
        ("010460711234567621B2\u{200b}C3", "code-character"),
    ] {
        let answer = register("SE-0002", code).await;
        answer.expect(422);
        assert_eq!(answer.codes(), [error], "{code}");
    }
    for word in ["_x001D_", "FNC1", "<1D>"] {
        let answer = verify(&world, &format!("010460711234567621B1{word}93Ab1c")).await;
        assert_eq!(
            (&answer["verdict"], &answer["seal_number"]),
            (&json!("unused"), &json!("SE-0001")),
            "{word}"
        );
    }
    // GS1 allows these characters in a serial, but new codes with them are refused. A code that was
    // registered earlier is still found if it is sent exactly as registered.
    sqlx::query("UPDATE seal SET identification = $1, marking_code = $1 WHERE number = 'SE-0001'")
        .bind("010460711234567621B1_x001D_93Ab1c")
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(verify(&world, "010460711234567621B1_x001D_93Ab1c").await["seal_number"], "SE-0001");
    assert_eq!(verify(&world, "010460711234567621B1FNC193Ab1c").await["verdict"], "unknown");
    let ticket = world.ticket(&issuer, &holder, "0001245").await;
    let seals = ["010460711234567621B1_x001D_93Ab1c".to_owned()];
    let harvest = World::harvest_of(ticket["id"].as_str().unwrap(), &seals);
    let made = world.post("/v1/harvests", &holder, harvest).await.expect(201);
    assert_eq!(made["logs"][0]["seal_number"], "SE-0001");
}

/// The number that was meant is in every language, whether it is registered or not. `З` is no character of a number.
#[tokio::test]
async fn a_number_with_letters_for_digits_gets_the_number_that_was_meant() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    log(&world, &issuer, &holder, "DEMO000041", 2).await;
    for (sent, meant) in [
        ("DEMO00O041", "DEMO000041"),
        ("DEMO00О042", "DEMO000042"),
        ("DEMO00004l", "DEMO000041"),
        ("KZ-0I00З4", "KZ-010034"),
        ("kz00004з", "KZ000043"),
    ] {
        let answer = verify(&world, sent).await;
        assert_eq!((&answer["verdict"], answer.get("seal_number")), (&json!("unknown"), None), "{answer}");
        for lang in ["kk", "ru", "en"] {
            assert!(answer["message"][lang].as_str().unwrap().contains(meant), "{answer}");
            // Few requests: unknown codes are counted.
            if sent.contains('З') {
                let path = format!("/verify/{}?lang={lang}", encoded(sent));
                assert!(String::from_utf8_lossy(&page(&world, &path).await.bytes).contains(meant), "{lang}");
            }
        }
    }
}
