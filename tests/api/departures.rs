//! Timber that leaves the system: where an export goes, export bans, and the buyer of a sale.

use crate::world::{Answer, Felled, Org, World};
use axum::http::Method;
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::commands::fsck;
use ormantrace::timber::party::bin::Bin;
use serde_json::{Value, json};

fn rules(answer: &Answer) -> Vec<String> {
    let findings = answer.expect(201)["findings"].as_array().unwrap().clone();
    findings.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}

/// From tomorrow on an export states its country and HS code.
async fn specified(world: &World, operator: &Org) {
    let body =
        json!({"value": 1, "valid_from": "2026-10-06", "document": {"kind": "other", "number": "18-02/5"}});
    world.call(Method::PUT, "/v1/parameters/export-specified", Some(&operator.token), body).await.expect(200);
}

async fn business(world: &World, felled: &Felled, log: &str) -> String {
    let history = world.get(&format!("/v1/logs/{log}/history"), &felled.inspector).await.expect(200);
    let event = history["events"].as_array().unwrap().last().unwrap();
    event["parts"]["business"]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_export_states_where_it_goes_and_what_it_is() {
    let world = World::new().await;
    let felled = world.felled(5).await;
    let holder = &felled.enterprise;
    specified(&world, &felled.operator).await;
    let before = world.event(holder, "exported", &felled.logs[..1], json!({})).await;
    assert_eq!(rules(&before), ["export-unspecified"], "on the day before");
    world.later(24 * 60);
    let export =
        async |log: usize, more: Value| world.event(holder, "exported", &felled.logs[log..=log], more).await;
    let codes = async |more: Value| {
        let answer = export(1, more).await;
        answer.expect(422);
        answer.codes()
    };
    assert_eq!(codes(json!({})).await, ["required", "required"]);
    assert_eq!(codes(json!({"country": "KZ", "hs": "4403"})).await, ["country-not-foreign"]);
    assert_eq!(codes(json!({"country": "uz", "hs": "440"})).await, ["unknown-country", "hs-malformed"]);
    assert_eq!(codes(json!({"country": "UZ", "hs": "4407"})).await, ["hs-unlike-wood"]);
    assert_eq!(
        codes(json!({"country": "UZ", "hs": "4401"})).await,
        ["hs-unlike-wood"],
        "a log is no fuel wood"
    );
    let done = export(1, json!({"country": "UZ", "hs": "440321"})).await;
    assert_eq!(rules(&done), [""; 0]);
    assert!(business(&world, &felled, &felled.logs[1]).await.contains(r#""country":"UZ""#));
    // An export of an earlier day is judged by the rule of that day.
    let late = export(2, json!({"occurred_at": "2026-10-05T20:00:00+05:00"})).await;
    assert_eq!(rules(&late), ["export-unspecified"]);
    let stored = world.event(holder, "stored", &felled.logs[3..4], json!({"country": "UZ"})).await;
    assert_eq!(stored.codes(), ["not-for-this-type"]);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn an_export_in_a_ban_needs_a_permit_and_is_found() {
    let world = World::new().await;
    let felled = world.felled(6).await;
    let ban = |more: Value| {
        let mut body = json!({"kind": "export", "from": "2026-10-06", "until": "2026-10-31",
                              "document": {"kind": "other", "number": "18-02/3"}});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[name] = value;
        }
        world.post("/v1/bans", &felled.operator, body)
    };
    ban(json!({"region": "KZ-63"})).await.expect(201);
    ban(json!({"species": "betula_pendula"})).await.expect(201);
    ban(json!({"hs": ["440321"]})).await.expect(201);
    let export = async |log: usize, more: Value| {
        let mut body = json!({"country": "UZ", "hs": "440321"});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[name] = value;
        }
        world.event(&felled.enterprise, "exported", &felled.logs[log..=log], body).await
    };
    assert_eq!(rules(&export(0, json!({})).await), [""; 0], "the day before");
    world.later(24 * 60);
    let refused = export(1, json!({})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["export-banned"]);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/logs/0");
    // Without a code, or with a shorter one, the ban is not got round.
    assert_eq!(export(1, json!({"hs": "4403"})).await.codes(), ["export-banned"]);
    assert_eq!(export(1, json!({"hs": null})).await.codes(), ["export-banned"]);
    assert_eq!(rules(&export(1, json!({"hs": "440326"})).await), [""; 0], "other goods");
    // Nor with an earlier day: that is recorded, and found.
    let earlier = export(2, json!({"occurred_at": "2026-10-05T21:00:00+05:00"})).await;
    assert_eq!(rules(&earlier), ["export-before-ban"]);
    let permit = |issued_on: &str| json!({"number": "77", "issued_on": issued_on, "issuer": "Орман шаруашылығы комитеті"});
    let later = export(3, json!({"permit": permit("2026-10-07")})).await;
    assert_eq!(later.expect(422)["errors"][0]["pointer"], "/permit/issued_on");
    assert_eq!(later.codes(), ["permit-after-export"], "the day of the export is the 6th");
    let mut nameless = permit("2026-10-05");
    nameless["number"] = json!("-");
    assert_eq!(export(3, json!({"permit": nameless})).await.codes(), ["reference-without-letters"]);
    let permit = permit("2026-10-05");
    let permitted = export(3, json!({"permit": permit})).await;
    assert_eq!(rules(&permitted), ["export-permit"]);
    assert!(
        business(&world, &felled, &felled.logs[3]).await.contains(r#""permit":{"issued_on":"2026-10-05""#)
    );
    // All errors at once.
    let refused = world
        .event(&felled.enterprise, "exported", &felled.logs[3..5], json!({"country": "KZ", "hs": "440321"}))
        .await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["country-not-foreign", "transition-not-allowed", "export-banned"]);
    assert_eq!(refused.json()["errors"][2]["pointer"], "/logs/1");
}

#[tokio::test]
async fn a_sale_names_its_buyer_without_a_number_in_the_business_part() {
    let world = World::new().await;
    let felled = world.felled(5).await;
    let sell = async |log: usize, more: Value| {
        world.event(&felled.enterprise, "sold", &felled.logs[log..=log], more).await
    };
    assert_eq!(rules(&sell(0, json!({})).await), ["sale-without-buyer"]);
    let document = json!({"kind": "contract", "number": "5"});
    assert_eq!(rules(&sell(1, json!({"document": document})).await), [""; 0]);
    let abroad = sell(2, json!({"buyer": {"kind": "organization", "country": "UZ"}})).await;
    abroad.expect(422);
    assert_eq!(abroad.codes(), ["export-it"]);
    let (stranger, known) = (crate::world::bin(77), &felled.sawmill);
    let buyer = json!({"buyer": {"kind": "organization", "bin": stranger}});
    assert_eq!(rules(&sell(2, buyer).await), [""; 0]);
    let text = business(&world, &felled, &felled.logs[2]).await;
    assert!(text.contains(r#""buyer":{"country":"KZ","kind":"organization"}"#), "{text}");
    assert!(!text.contains(&stranger));
    let buyer = json!({"buyer": {"kind": "organization", "bin": known.bin, "country": "KZ"}});
    assert_eq!(rules(&sell(3, buyer).await), [""; 0]);
    let text = business(&world, &felled, &felled.logs[3]).await;
    assert!(
        text.contains(&format!(r#""organization":"{}""#, known.id)) && !text.contains(&known.bin),
        "{text}"
    );

    // The number of a buyer is erased like any personal part, and the chain shows that it was.
    let target = ErasureTarget::Iin(Bin::parse(&stranger).unwrap());
    let erased = erase::delete(&mut world.owner().await, &target, &world.clock).await.unwrap();
    assert_eq!(erased.parts, 1);
    let mut found: Vec<fsck::FsckError> = Vec::new();
    fsck::check(&mut world.owner().await, &fsck::Scope::default(), &mut found).await.unwrap();
    found.retain(|one| ["event", "personal", "log"].contains(&one.table));
    assert!(found.is_empty(), "{found:?}");
    let history = format!("/v1/logs/{}/history", felled.logs[2]);
    let history = world.get(&history, &felled.inspector).await.expect(200);
    assert_eq!(history["events"][1]["parts"]["personal"]["erased"], true);
}

#[tokio::test]
async fn the_permit_of_the_day_of_the_export_is_early_enough() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let permit = json!({"number": "77", "issued_on": "2026-10-05", "issuer": "Орман шаруашылығы комитеті"});
    let body = json!({"country": "UZ", "hs": "4403", "permit": permit});
    world.event(&felled.enterprise, "exported", &felled.logs, body).await.expect(201);
    // Nor does a correction move the export before its permit.
    let set = json!({"occurred_at": "2026-10-04T12:00:00+05:00", "place": {"name": "Ауыл"}});
    let body = json!({"corrects": 2, "reason": "Қате күн", "set": set});
    let refused = world.event(&felled.enterprise, "corrected", &felled.logs, body).await;
    refused.expect(409);
    assert_eq!(refused.codes()[0], "permit-after-export");
}

/// A dash is no vehicle, and no number of a document.
#[tokio::test]
async fn papers_are_named_with_a_letter_or_a_digit() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let post =
        async |event: &str, more: Value| world.event(&felled.enterprise, event, &felled.logs, more).await;
    for empty in ["-", "—", "..."] {
        let refused = post("loaded", json!({"carrier_bin": felled.carrier.bin, "vehicle": empty})).await;
        assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/vehicle");
        assert_eq!(refused.codes(), ["reference-without-letters"], "{empty}");
        let document = json!({"document": {"kind": "waybill", "number": empty}});
        let refused = post("stored", document).await;
        assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/document/number");
        assert_eq!(refused.codes(), ["reference-without-letters"], "{empty}");
    }
    let loaded = post("loaded", json!({"carrier_bin": felled.carrier.bin, "vehicle": "7"})).await;
    assert_eq!(rules(&loaded), [""; 0]);
    assert_eq!(world.unsound().await, [""; 0]);
}
