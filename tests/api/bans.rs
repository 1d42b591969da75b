//! Bans on felling and allowable cuts: which tickets they refuse, and what they say about harvests.

use crate::world::{Answer, Felled, Org, World};
use axum::http::Method;
use ormantrace::commands::fsck;
use serde_json::{Value, json};

fn decided() -> Value {
    json!({"kind": "other", "number": "18-02/2", "issued_on": "2026-10-01"})
}

/// A ban on felling as the operator records it; members of `more` replace or complete those of the body.
#[expect(clippy::needless_pass_by_value, reason = "each caller makes the members for this call")]
fn felling(from: &str, until: &str, more: Value) -> Value {
    let mut body = json!({"kind": "felling", "from": from, "until": until, "document": decided()});
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    body
}

async fn ban(world: &World, felled: &Felled, body: Value) -> Value {
    world.post("/v1/bans", &felled.operator, body).await.expect(201)
}

/// A ticket of 10 m³ of pine and 20 m³ of firewood, felled from `from` until `until`.
fn ticket(holder: &Org, number: &str, from: &str, until: &str) -> Value {
    let mut body = World::ticket_of(holder, number, 10);
    body["felling_from"] = from.into();
    body["felling_until"] = until.into();
    body["removal_until"] = Value::Null;
    body
}

fn rules(body: &Value) -> Vec<&str> {
    body["findings"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect()
}

/// The fsck errors of the operator's decisions.
async fn unsound(world: &World) -> Vec<String> {
    let mut found: Vec<fsck::FsckError> = Vec::new();
    fsck::check(&mut world.owner().await, &fsck::Scope::default(), &mut found).await.unwrap();
    found.retain(|finding| ["ban", "allowable_cut", "felling_ticket"].contains(&finding.table));
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_ticket_that_shares_a_day_with_a_ban_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    let made = ban(&world, &felled, felling("2027-04-01", "2027-05-31", json!({"region": "KZ-10"}))).await;
    assert_eq!(made["ended_on"], Value::Null);
    let issue = async |number: &str, from: &str, until: &str| {
        world.post("/v1/felling-tickets", owner, ticket(holder, number, from, until)).await
    };
    for (from, until) in
        [("2027-03-01", "2027-04-01"), ("2027-05-31", "2027-06-30"), ("2027-04-10", "2027-04-10")]
    {
        let refused = issue("0002001", from, until).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["banned"], "{from} to {until}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/felling_from");
    }
    issue("0002001", "2027-03-01", "2027-03-31").await.expect(201);
    issue("0002002", "2027-06-01", "2027-06-30").await.expect(201);
    let mut elsewhere = ticket(holder, "0002003", "2027-04-01", "2027-04-30");
    elsewhere["origin"]["region"] = "KZ-63".into();
    world.post("/v1/felling-tickets", owner, elsewhere).await.expect(201);

    // Nor is a ticket extended into a ban.
    let listed = world.get("/v1/felling-tickets", owner).await.expect(200);
    let before = listed["items"].as_array().unwrap().iter().find(|one| one["number"] == "0002001").unwrap();
    let path = format!("/v1/felling-tickets/{}/extend", before["id"].as_str().unwrap());
    let refused = world.post(&path, owner, json!({"felling_until": "2027-04-01", "reason": "Қар"})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["banned"]);
    world.post(&path, owner, json!({"removal_until": "2027-05-01", "reason": "Қар"})).await.expect(200);

    // All errors of a request at once.
    let mut both = ticket(holder, "0002001", "2027-04-01", "2027-04-30");
    both["holder_bin"] = "123".into();
    let refused = world.post("/v1/felling-tickets", owner, both).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["bin-malformed", "banned", "ticket-number-taken"]);
    assert_eq!(unsound(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_ban_on_a_species_or_on_one_owner_is_on_nothing_else() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let other = world.organization(12, "«Ертіс орманы» РММ", &["forest_owner"]).await;
    ban(&world, &felled, felling("2027-04-01", "2027-05-31", json!({"species": "betula_pendula"}))).await;
    let owners = json!({"forest_owner_bin": other.bin});
    ban(&world, &felled, felling("2027-04-01", "2027-05-31", owners)).await;
    let issue = async |owner: &Org, number: &str, species: &str| {
        let mut body = ticket(&felled.enterprise, number, "2027-04-01", "2027-04-30");
        body["lines"][1]["species"] = species.into();
        world.post("/v1/felling-tickets", owner, body).await
    };
    issue(&felled.forest_owner, "1", "pinus_sylvestris").await.expect(201);
    let refused = issue(&felled.forest_owner, "2", "betula_pendula").await;
    refused.expect(409);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/lines/1/species");
    let refused = issue(&other, "1", "pinus_sylvestris").await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["banned"]);
}

#[tokio::test]
async fn a_ban_ends_on_the_day_on_which_it_is_ended() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let made = ban(&world, &felled, felling("2026-10-01", "2026-12-31", json!({}))).await;
    let end = format!("/v1/bans/{}/end", made["id"].as_str().unwrap());
    let issue = async |number: &str, from: &str| {
        let body = ticket(&felled.enterprise, number, from, "2026-12-31");
        world.post("/v1/felling-tickets", &felled.forest_owner, body).await
    };
    issue("1", "2026-10-05").await.expect(409);
    let reason = json!({"reason": "Бұйрықтың күші жойылды"});
    world.post(&end, &felled.forest_owner, reason.clone()).await.expect(403);
    let ended = world.post(&end, &felled.operator, reason.clone()).await.expect(200);
    assert_eq!(ended["ended_on"], "2026-10-05");
    let again = world.post(&end, &felled.operator, reason.clone()).await;
    again.expect(409);
    assert_eq!(again.codes(), ["ban-ended"]);
    world
        .post("/v1/bans/01999999-9999-7999-8999-999999999999/end", &felled.operator, reason)
        .await
        .expect(404);
    issue("1", "2026-10-05").await.expect(201);
    issue("2", "2026-10-04").await.expect(409);
    let listed = world.get("/v1/bans", &felled.carrier).await.expect(200);
    assert_eq!(listed["items"][0]["end_reason"], "Бұйрықтың күші жойылды");
    assert_eq!(unsound(&world).await, [""; 0]);
}

#[tokio::test]
async fn the_operator_alone_records_a_ban_and_all_its_errors_are_told() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = felling("2027-04-01", "2027-05-31", json!({}));
    world.post("/v1/bans", &felled.forest_owner, body).await.expect(403);
    let codes = async |body: Value| {
        let answer = world.post("/v1/bans", &felled.operator, body).await;
        answer.expect(422);
        answer.codes()
    };
    let with = |more| felling("2027-04-01", "2027-03-31", more);
    assert_eq!(
        codes(with(json!({"hs": ["4403"], "forest_owner_bin": felled.enterprise.bin}))).await,
        ["dates-out-of-order", "not-for-this-type", "not-a-forest-owner"]
    );
    let with = |more| felling("2027-04-01", "2027-05-31", more);
    assert_eq!(codes(with(json!({"kind": "export", "existing_tickets": true}))).await, ["not-for-this-type"]);
    assert_eq!(codes(with(json!({"kind": "export", "hs": ["44"]}))).await, ["hs-malformed"]);
    let unknown = crate::world::bin(77);
    assert_eq!(codes(with(json!({"forest_owner_bin": unknown}))).await, ["unknown-organization"]);
    assert_eq!(world.get("/v1/bans", &felled.operator).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_harvest_in_a_ban_is_found_or_with_existing_tickets_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let harvest = async |seal: usize, at: &str| {
        let mut body = World::harvest_of(&felled.ticket, &felled.seals[seal..=seal]);
        body["logs"][0]["occurred_at"] = at.into();
        world.post("/v1/harvests", &felled.enterprise, body).await
    };
    ban(&world, &felled, felling("2026-10-06", "2026-10-08", json!({}))).await;
    world.later(3 * 24 * 60);
    let before = harvest(0, "2026-10-05T23:59:59+05:00").await.expect(201);
    assert_eq!(rules(&before), [""; 0], "the evening before");
    let within = harvest(1, "2026-10-06T00:00:00+05:00").await.expect(201);
    assert_eq!(rules(&within), ["harvest-in-ban"]);
    // The day in Kazakhstan counts, whatever offset was sent.
    let within = harvest(2, "2026-10-05T07:00:00-12:00").await.expect(201);
    assert_eq!(rules(&within), ["harvest-in-ban"]);

    let existing = json!({"existing_tickets": true, "species": "pinus_sylvestris"});
    ban(&world, &felled, felling("2026-10-08", "2026-10-08", existing)).await;
    let refused = harvest(3, "2026-10-08T09:00:00+05:00").await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["banned"]);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/logs/0/occurred_at");
    let still = harvest(3, "2026-10-07T09:00:00+05:00").await.expect(201);
    assert_eq!(rules(&still), ["harvest-in-ban"]);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_correction_does_not_get_round_a_ban() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    let mut body = World::ticket_of(holder, "0001246", 100);
    body["lines"][1] = json!({"species": "betula_pendula", "wood": "commercial", "volume_m3": 100});
    let made = world.post("/v1/felling-tickets", owner, body).await.expect(201);
    let ticket = made["id"].as_str().unwrap();
    world.post("/v1/harvests", holder, World::harvest_of(ticket, &felled.seals[..6])).await.expect(201);
    world.later(24 * 60);
    let found = json!({"species": "betula_pendula"});
    ban(&world, &felled, felling("2026-10-01", "2026-10-10", found)).await;
    let correct = async |who: &Org, log: usize, set: Value| {
        let body = json!({"corrects": 1, "set": set, "reason": "Тұқымы қате жазылды"});
        world.event(who, "corrected", &felled.seals[log..=log], body).await
    };
    let birch = || json!({"species": "betula_pendula"});
    let found = correct(holder, 0, birch()).await.expect(201);
    assert!(rules(&found).contains(&"harvest-in-ban"), "{found}");
    let other = correct(holder, 1, json!({"grade": 2})).await.expect(201);
    assert!(!rules(&other).contains(&"harvest-in-ban"), "{other}");

    let refused = json!({"species": "betula_pendula", "existing_tickets": true});
    ban(&world, &felled, felling("2026-10-01", "2026-10-10", refused)).await;
    let answer = correct(holder, 2, birch()).await;
    answer.expect(409);
    assert_eq!(answer.codes(), ["banned"]);
    assert_eq!(answer.json()["errors"][0]["pointer"], "/set/species");
    // The inspector saw the log: what is true is recorded, and found.
    let seen = correct(&felled.inspector, 2, birch()).await.expect(201);
    assert!(rules(&seen).contains(&"harvest-in-ban"), "{seen}");
    // Neither by the day of felling.
    let pines = json!({"species": "pinus_sylvestris", "existing_tickets": true});
    ban(&world, &felled, felling("2026-09-20", "2026-09-25", pines)).await;
    let answer = correct(holder, 3, json!({"occurred_at": "2026-09-25T18:00:00+05:00"})).await;
    assert_eq!(answer.codes(), ["banned"]);
    assert_eq!(answer.json()["errors"][0]["pointer"], "/set/occurred_at");
    let day = correct(holder, 3, json!({"occurred_at": "2026-09-26T00:00:00+05:00"})).await.expect(201);
    assert!(!rules(&day).contains(&"harvest-in-ban"), "{day}");
    assert_eq!(world.unsound().await, [""; 0]);
}

async fn cut(world: &World, felled: &Felled, more: Value) -> Answer {
    let mut body = json!({"forest_owner_bin": felled.forest_owner.bin, "year": 2027, "volume_m3": 100,
                          "document": decided()});
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    world.post("/v1/allowable-cuts", &felled.operator, body).await
}

#[tokio::test]
async fn tickets_stay_within_the_allowable_cut_of_each_year() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let owner = &felled.forest_owner;
    let issue = async |number: &str, from: &str, until: &str, volume: f64| {
        let mut body = ticket(&felled.enterprise, number, from, until);
        body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": volume}]);
        world.post("/v1/felling-tickets", owner, body).await
    };
    let without = issue("1", "2027-01-10", "2027-02-10", 30.0).await.expect(201);
    assert_eq!(rules(&without), ["no-allowable-cut"]);

    // A ticket that was issued before the cut counts too.
    cut(&world, &felled, json!({})).await.expect(201);
    let refused = issue("2", "2027-01-10", "2027-02-10", 70.0001).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["allowable-cut-exceeded"]);
    let second = issue("2", "2027-01-10", "2027-02-10", 70.0).await.expect(201);
    assert_eq!(rules(&second), [""; 0]);
    issue("3", "2027-12-31", "2028-01-31", 0.0001).await.expect(409);
    let next = issue("3", "2028-01-01", "2028-01-31", 500.0).await.expect(201);
    assert_eq!(rules(&next), ["no-allowable-cut"]);

    // A cancelled ticket counts with what was marked under it: here with nothing.
    let path = format!("/v1/felling-tickets/{}/cancel", second["id"].as_str().unwrap());
    world.post(&path, owner, json!({"reason": "Өрт салдарынан"})).await.expect(200);
    issue("4", "2027-01-10", "2027-02-10", 70.0).await.expect(201);
    issue("5", "2027-01-10", "2027-02-10", 0.0001).await.expect(409);

    // An extension counts in the years that it adds.
    let early = issue("6", "2026-11-01", "2026-12-31", 1.0).await.expect(201);
    let path = format!("/v1/felling-tickets/{}/extend", early["id"].as_str().unwrap());
    let refused = world.post(&path, owner, json!({"felling_until": "2027-01-01", "reason": "Қар"})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["allowable-cut-exceeded"]);
    cut(&world, &felled, json!({"volume_m3": 101})).await.expect(201);
    let extended = world.post(&path, owner, json!({"felling_until": "2027-01-01", "reason": "Қар"})).await;
    assert_eq!(rules(&extended.expect(200)), [""; 0]);
    let listed = world.get("/v1/allowable-cuts", owner).await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "the same cut, with a new volume");
    assert_eq!(listed["items"][0]["volume_m3"], 101);
    assert_eq!(world.get("/v1/allowable-cuts", &felled.enterprise).await.expect(200)["items"], json!([]));
    assert_eq!(unsound(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_forestry_is_recognised_however_it_is_written_and_another_one_needs_its_own_cut() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    cut(&world, &felled, json!({"forestry": "«жаңа СЕМЕЙ» орманшылығы", "group": "conifer"}))
        .await
        .expect(201);
    let issue = async |number: &str, forestry: &str, species: &str| {
        let mut body = ticket(&felled.enterprise, number, "2027-01-10", "2027-02-10");
        body["origin"]["forestry"] = forestry.into();
        body["lines"] = json!([{"species": species, "wood": "commercial", "volume_m3": 60}]);
        world.post("/v1/felling-tickets", &felled.forest_owner, body).await
    };
    issue("1", "Жаңа Семей орманшылығы", "pinus_sylvestris").await.expect(201);
    let refused = issue("2", "ЖАҢА\u{a0}СЕМЕЙ ОРМАНШЫЛЫҒЫ", "picea_obovata").await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["allowable-cut-exceeded"]);
    // A Latin letter in place of a Cyrillic one does not make another forestry of it.
    let imitation = "Жaңа Ceмей орманшылығы";
    assert!(!imitation.contains("Семей"));
    let refused = issue("2", imitation, "picea_obovata").await;
    assert_eq!(refused.codes(), ["allowable-cut-exceeded"]);
    for (forestry, species) in
        [("Жаңа Ертіс орманшылығы", "pinus_sylvestris"), ("Жаңа Семей орманшылығы", "betula_pendula")]
    {
        let refused = issue("2", forestry, species).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["no-cut-for-forestry"], "{forestry} {species}");
    }
}

#[tokio::test]
async fn concurrent_tickets_never_exceed_a_cut() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    cut(&world, &felled, json!({"volume_m3": 50})).await.expect(201);
    let issues = (0..64).map(|n| {
        let mut body = ticket(&felled.enterprise, &format!("{n}"), "2027-01-10", "2027-02-10");
        body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 5}]);
        world.call(Method::POST, "/v1/felling-tickets", Some(&felled.forest_owner.token), body)
    });
    let answers = futures_util::future::join_all(issues).await;
    let issued = answers.iter().filter(|answer| answer.status == 201).count();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!(issued, 10, "fifty cubic metres by five");
    assert!(refused.iter().all(|answer| answer.codes() == ["allowable-cut-exceeded"]), "{refused:?}");
}

#[tokio::test]
async fn a_cut_and_the_tickets_issued_meanwhile_never_exceed_it() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let issues = (0..32).map(|n| {
        let mut body = ticket(&felled.enterprise, &format!("{n}"), "2027-01-10", "2027-02-10");
        body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 5}]);
        world.call(Method::POST, "/v1/felling-tickets", Some(&felled.forest_owner.token), body)
    });
    let (answers, made) = futures_util::future::join(
        futures_util::future::join_all(issues),
        cut(&world, &felled, json!({"volume_m3": 5})),
    )
    .await;
    made.expect(201);
    let bound = |answer: &&Answer| answer.status == 201 && rules(&answer.json()).is_empty();
    let unbound =
        answers.iter().filter(|answer| answer.status == 201).count() - answers.iter().filter(bound).count();
    // A ticket within the cut is issued only if those that did not see the cut left room for it.
    assert!(answers.iter().filter(bound).count() + unbound <= unbound.max(1), "{answers:?}");
}

#[tokio::test]
async fn a_cut_is_the_operators_and_for_a_forest_owner() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = json!({"forest_owner_bin": felled.forest_owner.bin, "year": 2027, "volume_m3": 100, "document": decided()});
    world.post("/v1/allowable-cuts", &felled.forest_owner, body).await.expect(403);
    let codes = async |more: Value| {
        let answer = cut(&world, &felled, more).await;
        answer.expect(422);
        answer.codes()
    };
    assert_eq!(codes(json!({"forest_owner_bin": felled.enterprise.bin})).await, ["not-a-forest-owner"]);
    assert_eq!(
        codes(json!({"forest_owner_bin": crate::world::bin(77), "year": 20270})).await,
        ["date-out-of-range", "unknown-organization"]
    );
    assert_eq!(codes(json!({"volume_m3": 0})).await, ["volume-too-small"]);
    assert_eq!(codes(json!({"forestry": "«»"})).await, ["required"]);
}

/// Without a cut nothing limits the volume: much of it, or a ticket to oneself, is a warning.
#[tokio::test]
async fn a_large_ticket_or_ones_own_without_a_cut_is_a_warning() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let issue = async |holder: &Org, number: &str, volume: f64| {
        let mut body = ticket(holder, number, "2027-01-10", "2027-02-10");
        body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": volume},
                               {"species": "betula_pendula", "wood": "firewood", "volume_m3": 1}]);
        let answer = world.post("/v1/felling-tickets", &felled.forest_owner, body).await.expect(201);
        let found = &answer["findings"][0];
        assert_eq!((&found["rule"], &found["version"]), (&json!("no-allowable-cut"), &json!(2)));
        (found["severity"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(issue(&felled.enterprise, "1", 999.0).await.0, "notice");
    let large = issue(&felled.enterprise, "2", 999.0001).await;
    assert_eq!(
        large,
        (
            "warning".to_owned(),
            "The issuer has no allowable cut for 2027; 1000.0001 m³ are more than 1000 m³.".to_owned()
        )
    );
    let own = issue(&felled.forest_owner, "3", 1.0).await;
    assert_eq!(own.0, "warning");
    assert!(own.1.ends_with("issued this ticket of 2 m³ to itself."), "{}", own.1);
    assert_eq!(unsound(&world).await, [""; 0]);
}

/// A ticket that is made after the felling is found, and so is an extension after the term.
#[tokio::test]
async fn a_ticket_after_the_felling_is_found() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.app.rulebook.replace(ormantrace::timber::parameter::Parameters::default());
    let (owner, holder) = (&felled.forest_owner, &felled.enterprise);
    cut(&world, &felled, json!({"year": 2026, "volume_m3": 1_000})).await.expect(201);
    let issue = async |number: &str, from: &str, until: &str| {
        let mut body = ticket(holder, number, from, until);
        body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 1}]);
        body["issued_on"] = json!("2026-08-06");
        world.post("/v1/felling-tickets", owner, body).await.expect(201)
    };
    let sentence = |answer: &Value| {
        let found = answer["findings"].as_array().unwrap().iter();
        let found = found.filter(|found| found["rule"] == "ticket-after-felling");
        found
            .map(|found| format!("{}: {}", found["severity"], found["detail"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    // Received on 5 October.
    assert_eq!(sentence(&issue("1", "2026-10-02", "2026-10-31").await), [""; 0]);
    assert_eq!(
        sentence(&issue("2", "2026-10-01", "2026-10-31").await),
        ["warning: The ticket was received 4 days after the first day of felling, 2026-10-01."]
    );
    let ended = issue("3", "2026-08-06", "2026-10-04").await;
    assert_eq!(
        sentence(&ended),
        ["warning: The ticket was received when its term, 2026-08-06 to 2026-10-04, was over."]
    );
    let extend = async |ticket: &Value, until: &str| {
        let path = format!("/v1/felling-tickets/{}/extend", ticket["id"].as_str().unwrap());
        world.post(&path, owner, json!({"felling_until": until, "reason": "Қар"})).await.expect(200)
    };
    assert_eq!(sentence(&extend(&ended, "2026-10-05").await), [""; 0]);
    world.later(3 * 24 * 60);
    assert_eq!(sentence(&extend(&ended, "2026-10-06").await), [""; 0], "three days after the 5th");
    world.later(3 * 24 * 60);
    assert_eq!(
        sentence(&extend(&ended, "2026-10-10").await),
        ["warning: The ticket was extended until 2026-10-10, 5 days after its term had ended (2026-10-06)."]
    );
    assert_eq!(unsound(&world).await, [""; 0]);
}
