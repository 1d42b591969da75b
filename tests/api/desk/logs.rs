//! Home, search, the list of logs and the page of a log.

use super::{Visitor, location};
use crate::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn the_home_page_shows_what_waits_and_else_that_nothing_does() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (seller, mill, road) = (
        Visitor::of(&world, &felled.enterprise).await,
        Visitor::of(&world, &felled.sawmill).await,
        Visitor::of(&world, &felled.inspector).await,
    );
    for visitor in [&seller, &mill] {
        let page = Visitor::page(&visitor.get(&world, "/desk").await);
        assert!(page.contains("Nothing waits.") && page.contains("Checked 5"), "{page}");
    }
    let offered = felled.logs[0].clone();
    let to = json!({"to_bin": felled.sawmill.bin});
    world.event(&felled.enterprise, "transferred", std::slice::from_ref(&offered), to).await.expect(201);
    let mismatch = json!({"details": {"outcome": "mismatch"}});
    world.event(&felled.inspector, "inspected", &[felled.logs[1].clone()], mismatch).await.expect(201);
    let page = Visitor::page(&mill.get(&world, "/desk").await);
    assert!(page.contains("Offered to us, to accept or reject") && page.contains(&offered), "{page}");
    assert!(!page.contains(&felled.logs[1]));
    let page = Visitor::page(&seller.get(&world, "/desk").await);
    assert!(page.contains("Offered by us, without an answer") && page.contains("Stopped logs"), "{page}");
    // The finding questions the enterprise, and the inspector decides.
    for visitor in [&seller, &road] {
        let page = Visitor::page(&visitor.get(&world, "/desk").await);
        assert!(page.contains("inspection-mismatch") && page.contains(&felled.logs[1]), "{page}");
    }
    let held = Visitor::page(&road.get(&world, "/desk/logs?waiting=held").await);
    assert!(held.contains(&felled.logs[1]) && !held.contains(&offered), "{held}");
}

#[tokio::test]
async fn lines_at_80_percent_wait_for_holder_issuer_and_inspector() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let seals = world.seals(&felled.operator, &felled.enterprise, 3).await;
    let ticket = World::ticket_of(&felled.enterprise, "0007777", 1);
    let ticket = world.post("/v1/felling-tickets", &felled.forest_owner, ticket).await.expect(201);
    let id = ticket["id"].as_str().unwrap();
    world.post("/v1/harvests", &felled.enterprise, World::harvest_of(id, &seals)).await.expect(201);
    for org in [&felled.enterprise, &felled.forest_owner, &felled.inspector] {
        let page = Visitor::page(&Visitor::of(&world, org).await.get(&world, "/desk").await);
        assert!(page.contains("АБ 0007777") && page.contains("99 %") && !page.contains("0001245"), "{page}");
    }
    let page = Visitor::page(&Visitor::of(&world, &felled.sawmill).await.get(&world, "/desk").await);
    assert!(page.contains("Nothing waits."), "{page}");
}

#[tokio::test]
async fn the_search_says_what_was_understood_within_ones_sight() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let number = felled.logs[0].clone();
    let carried = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 16"});
    world.event(&felled.enterprise, "loaded", std::slice::from_ref(&number), carried).await.expect(201);
    let log = world.get(&format!("/v1/logs/{number}"), &felled.inspector).await.expect(200);
    let code = log["seal"]["marking_code"].as_str().unwrap().to_owned();
    let link = format!("/desk/logs/{number}");
    let road = Visitor::of(&world, &felled.inspector).await;
    let search = async |visitor: &Visitor, text: &str| {
        let path = format!("/desk/search?q={}", ormantrace::base::percent::encode_segment(text));
        Visitor::page(&visitor.get(&world, &path).await)
    };
    for (text, understood) in [
        (number.clone(), "It is the number of a seal."),
        (format!(" \u{200b}{} ", number.to_lowercase()), "It is the number of a seal."),
        (code.clone(), "It is the code of a seal."),
        (format!("https://orman.test/verify/{number}"), "It is the number of a seal."),
        (log["id"].as_str().unwrap().to_owned(), "It is the id of a log."),
        ("123abc16".to_owned(), "It is the plate of a loaded vehicle."),
    ] {
        let page = search(&road, &text).await;
        assert!(page.contains(understood) && page.contains(&link), "{text}: {page}");
    }
    for (text, understood, shown) in [
        ("АБ 0001245", "It is the number of a felling ticket.", "Жаңа Семей орманшылығы"),
        ("аб-0001245", "It is neither", ""),
        ("0001245", "It is the number of a felling ticket.", "АБ 0001245"),
        (felled.sawmill.bin.as_str(), "It is a BIN or IIN.", "Бородулиха тілу"),
        ("бородулиха", "It is a part of an organisation&#39;s name.", "Бородулиха тілу"),
        ("KZ999999999", "It could be a seal number, but there is no seal with it.", ""),
        ("ағаш жоқ", "It is neither a number nor a name that is known here.", ""),
    ] {
        let page = search(&road, text).await;
        assert!(page.contains(understood) && page.contains(shown), "{text}: {page}");
        assert_eq!(shown.is_empty(), page.contains("Nothing was found"), "{text}: {page}");
    }
    // A letter in place of a digit.
    let mistyped = number.replacen('0', "O", 1);
    let page = search(&road, &mistyped).await;
    assert!(page.contains("Did you mean") && page.contains(&number), "{mistyped}: {page}");
    // A strange enterprise sees what any buyer sees, and no organisation but itself.
    let mill = Visitor::of(&world, &felled.sawmill).await;
    let page = search(&mill, &number).await;
    assert!(page.contains("Your organisation may not see this log.") && !page.contains(&link), "{page}");
    assert!(page.contains(&format!("/verify/{number}")), "{page}");
    for hidden in ["123 ABC 16", "0001245", felled.enterprise.bin.as_str(), "Ертіс"] {
        let page = search(&mill, hidden).await;
        assert!(page.contains("Nothing was found") && !page.contains(&link), "{hidden}: {page}");
    }
    assert!(search(&mill, "Бородулиха").await.contains("Бородулиха тілу"));
    // Anything at all is an answer.
    for text in
        ["", " ", "%", "<svg onload=alert()>", "\u{0}", &"9".repeat(5_000), "' OR 1=1 --", "01\u{1d}21"]
    {
        search(&road, text).await;
    }
}

#[tokio::test]
async fn the_list_of_logs_has_filters_and_pages() {
    let world = World::new().await;
    let felled = world.felled(55).await;
    let road = Visitor::of(&world, &felled.inspector).await;
    let rows = |page: &str| {
        felled.logs.iter().filter(|number| page.contains(&format!("/desk/logs/{number}\""))).count()
    };
    let first = Visitor::page(&road.get(&world, "/desk/logs?species=pinus_sylvestris&status=&lang=en").await);
    assert_eq!(rows(&first), 50, "{first}");
    let next = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let next = next.split('"').next().unwrap().replace("&#38;", "&");
    let second = Visitor::page(&road.get(&world, &next).await);
    assert_eq!(rows(&second), 5, "{next}");
    assert!(!second.contains("rel=\"next\""));
    // Another language keeps the page.
    let second = Visitor::page(&road.get(&world, &format!("{next}&lang=ru")).await);
    assert_eq!(rows(&second), 5);
    // A cursor of another list begins anew.
    let other = next.replace("species=pinus_sylvestris", "species=");
    assert_eq!(rows(&Visitor::page(&road.get(&world, &other).await)), 50);
    world.event(&felled.enterprise, "stored", &felled.logs[..2], json!({})).await.expect(201);
    for (query, count) in [
        ("status=stored", 2),
        ("status=sold", 0),
        ("holder=me", 0),
        ("ticket=%D0%90%D0%91+0001245&status=stored", 2),
        (&format!("seal={}", felled.logs[7]), 1),
        ("vehicle=123ABC16", 0),
        ("unknown=x", 50),
    ] {
        let page = Visitor::page(&road.get(&world, &format!("/desk/logs?{query}")).await);
        assert_eq!(rows(&page), count, "{query}: {page}");
    }
    for (query, words) in [
        ("status=burnt", "Choose a state from the list."),
        ("species=baobab", "Choose a species from the list."),
        ("ticket=999", "There is no such ticket that your organisation may see."),
        ("seal=%21%21", "This is neither a seal number nor a marking code."),
    ] {
        let page = Visitor::page(&road.get(&world, &format!("/desk/logs?{query}")).await);
        assert_eq!(page.matches(words).count(), 2, "{query}: {page}");
        assert!(page.contains("<title>Error: Logs"), "{query}");
        assert_eq!(rows(&page), 0, "{query}");
    }
    // The sawmill has no logs, and does not see the ticket.
    let mill = Visitor::of(&world, &felled.sawmill).await;
    assert_eq!(rows(&Visitor::page(&mill.get(&world, "/desk/logs").await)), 0);
}

/// A log with a history: harvested with a position, loaded, inspected as another log.
async fn inspected(world: &World) -> (crate::world::Felled, String) {
    let felled = world.felled(1).await;
    let number = felled.logs[0].clone();
    world.later(120);
    let loaded = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 16",
        "place": {"name": "Төменгі қойма", "region": "KZ-10", "kind": "storage"},
        "position": {"lat": 50.6, "lon": 80.9, "accuracy_m": 8}});
    world.event(&felled.enterprise, "loaded", &felled.logs, loaded).await.expect(201);
    world.later(60);
    let check = json!({"place": {"name": "Бекет №3", "region": "KZ-10", "kind": "checkpoint"},
        "position": {"lat": 50.4111, "lon": 80.2275},
        "details": {"outcome": "mismatch", "observed": {"species": "betula_pendula", "top_diameter_cm": 31.5},
                    "note": "Қайың тұр"}});
    world.event(&felled.inspector, "inspected", &felled.logs, check).await.expect(201);
    (felled, number)
}

#[tokio::test]
async fn the_page_of_a_log_tells_its_story() {
    let world = World::new().await;
    let (felled, number) = inspected(&world).await;
    let road = Visitor::of(&world, &felled.inspector).await;
    let page = Visitor::page(&road.get(&world, &format!("/desk/logs/{number}")).await);
    for told in [
        "! Stopped",
        "Reason: It is another log",
        "Scots pine",
        "Silver birch",
        "31.5 cm",
        "24 cm",
        "0.33 m³ (by GOST 2708-75)",
        "0.33 m³ of 100 m³ marked (0 %)",
        "is on the ticket",
        "Бекет №3, checkpoint, Abai Region",
        "Қайың тұр",
        "123 ABC 16",
        "Шығыс жүк",
        "Ерлан Оспанов",
        "50.41110, 80.22750",
        "52 km",
        "inspection-mismatch",
        "This record has 4 entries",
        "Record a check",
        "Release the log",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // The title begins with the object.
    assert!(page.contains(&format!("<title>{number} · Ormantrace")), "{page}");
    // By any of its names.
    let log = world.get(&format!("/v1/logs/{number}"), &felled.inspector).await.expect(200);
    for code in [log["id"].as_str().unwrap().to_owned(), number.to_lowercase()] {
        assert!(Visitor::page(&road.get(&world, &format!("/desk/logs/{code}")).await).contains(&number));
    }
    // The file with the proofs is that of the API; nothing is published in this world.
    let export = format!("logs/{number}/export");
    let (page, api) = (
        road.get(&world, &format!("/desk/{export}")).await,
        world.get(&format!("/v1/{export}"), &felled.inspector).await,
    );
    assert_eq!((page.status, api.codes().len()), (api.status, 0));
}

/// The page shows each reader what the API's history shows it, and nothing else.
#[tokio::test]
async fn a_page_shows_no_more_than_the_history_of_the_api() {
    let world = World::new().await;
    let (felled, number) = inspected(&world).await;
    let facts = [
        "Ерлан Оспанов",
        "Бекет №3",
        "Төменгі қойма",
        "123 ABC 16",
        "Қайың тұр",
        "Жаңа Семей орманшылығы",
        "31.5",
    ];
    for org in [&felled.enterprise, &felled.forest_owner, &felled.carrier, &felled.inspector] {
        let visitor = Visitor::of(&world, org).await;
        let page = Visitor::page(&visitor.get(&world, &format!("/desk/logs/{number}")).await);
        let history = world.get(&format!("/v1/logs/{number}/history"), org).await;
        let history = String::from_utf8_lossy(&history.bytes).into_owned();
        for fact in facts {
            assert_eq!(page.contains(fact), history.contains(fact), "{fact} for {}", org.bin);
        }
        // Only an inspector may check, stop and release.
        assert_eq!(page.contains("Record a check"), org.bin == felled.inspector.bin);
    }
    // A past party sees the log as it was: what came later is not on its page.
    world.later(10);
    let reason = json!({"details": {"reason": "Қайта өлшенді"}});
    world.event(&felled.inspector, "released", &felled.logs, reason).await.expect(201);
    let transfer = json!({"to_bin": felled.sawmill.bin});
    for (event, who) in [("departed", &felled.carrier), ("arrived", &felled.carrier)] {
        world.event(who, event, &felled.logs, json!({})).await.expect(201);
    }
    world.event(&felled.enterprise, "transferred", &felled.logs, transfer).await.expect(201);
    world.event(&felled.sawmill, "received", &felled.logs, json!({})).await.expect(201);
    let later = json!({"details": {"note": "Кейінгі белгі"}});
    world.event(&felled.sawmill, "stored", &felled.logs, later).await.expect(201);
    for (org, sees) in [(&felled.enterprise, false), (&felled.sawmill, true), (&felled.inspector, true)] {
        let visitor = Visitor::of(&world, org).await;
        let page = Visitor::page(&visitor.get(&world, &format!("/desk/logs/{number}")).await);
        assert_eq!(page.contains("Кейінгі белгі"), sees, "{}", org.bin);
        assert!(page.contains("Төменгі қойма"));
    }
}

#[tokio::test]
async fn a_long_history_is_shown_from_its_end() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    for n in 0..230 {
        let note = json!({"details": {"note": format!("Қойма {n:03}")}});
        world.event(&felled.enterprise, "stored", &felled.logs, note).await.expect(201);
    }
    let road = Visitor::of(&world, &felled.inspector).await;
    let page = Visitor::page(&road.get(&world, &format!("/desk/logs/{}", felled.logs[0])).await);
    assert!(page.contains("31 earlier events are not shown"), "{page}");
    assert!(
        page.contains("Қойма 229") && page.contains("Қойма 030") && !page.contains("Қойма 029"),
        "{page}"
    );
}

#[tokio::test]
async fn many_codes_have_a_verdict_a_line() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let road = Visitor::of(&world, &felled.inspector).await;
    let mill = Visitor::of(&world, &felled.sawmill).await;
    let codes = format!(
        "{}\r\n\r\n {} \r\n{}\r\n{}\r\nKZ999999999\r\nсосна\r\n",
        felled.logs[0],
        felled.logs[1].to_lowercase(),
        felled.seals[0],
        felled.logs[0]
    );
    let page = Visitor::page(&road.post(&world, "/desk/codes", &[("codes", &codes)]).await);
    for told in [
        "✓ Valid",
        "! Not used yet",
        "? Unknown code",
        "The same seal as in line 1.",
        "Valid: 3",
        "Unknown code: 2",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // The number of a line is that of the text, empty lines included.
    assert!(page.contains(">7<") && !page.contains(">2</bdi></span></th>"), "{page}");
    assert_eq!(page.matches("/desk/logs/").count(), 3, "{page}");
    let page = Visitor::page(&mill.post(&world, "/desk/codes", &[("codes", &codes)]).await);
    assert!(!page.contains("/desk/logs/") && page.contains(&format!("/verify/{}", felled.logs[0])), "{page}");
    // The seals' holder sees its own logs.
    let own = Visitor::of(&world, &felled.enterprise).await;
    let page = Visitor::page(&own.post(&world, "/desk/codes", &[("codes", &codes)]).await);
    assert_eq!(page.matches("/desk/logs/").count(), 3, "{page}");
    let thousand = vec!["KZ999999999"; 1_000].join("\n");
    Visitor::page(&road.post(&world, "/desk/codes", &[("codes", &thousand)]).await);
    for (codes, words) in [
        (" \n ".to_owned(), "Enter at least one seal number or code."),
        (format!("{thousand}\nKZ1"), "There are 1001 codes; at most 1,000 are checked at once."),
        (format!("A\n{}", "9".repeat(2_049)), "Line 2 is too long for a code."),
    ] {
        let answer = road.post(&world, "/desk/codes", &[("codes", &codes)]).await;
        assert_eq!((answer.status.as_u16(), answer.text().matches(words).count()), (422, 2), "{words}");
    }
    let nothing: Value = world.get("/v1/events?type=inspected", &felled.inspector).await.expect(200);
    assert_eq!(nothing["items"], json!([]), "nothing is recorded");
    assert_eq!(location(&Visitor::default().post(&world, "/desk/codes", &[]).await), "/desk/sign-in?ended=1");
}
