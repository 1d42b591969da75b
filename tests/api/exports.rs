//! Exports and proofs of subjects other than logs: felling tickets, seal batches, organisations.

use crate::proofs::{failed, publish, trust};
use crate::world::{Answer, Felled, Org, World};
use axum::http::Method;
use ormantrace::base::ids::{OrganizationId, SealBatchId};
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::evidence::tlog::{Checkpoint, Proof};
use ormantrace::services::verifier::report::{Check, Report};
use ormantrace::services::verifier::{Memory, Trust, mirror::Mirror, verify};
use ormantrace::timber::event::types::EventType;
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::seal::view::{self, Access};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The id of the batch in which a seal was registered.
async fn batch_of(world: &World, seal: &str, reader: &Org) -> String {
    let seal = world.get(&format!("/v1/seals/{seal}"), reader).await.expect(200);
    seal["batch_id"].as_str().unwrap().to_owned()
}

/// Requests an export. Returns the file, and the report of a verifier that has the register's keys and a copy
/// of the register.
async fn export(world: &World, path: &str, reader: &Org) -> (Value, Report) {
    let answer = world.get(&format!("{path}/export"), reader).await;
    let register = Some(Mirror::new(world.app.register.folder().root()));
    let report = verify(&answer.bytes, &Trust { register, ..trust() }).report;
    (answer.expect(200), report)
}

/// For each event the names of the parts that are disclosed.
fn opened(file: &Value) -> Vec<Vec<&str>> {
    let events = file["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let parts = event["parts"].as_object().unwrap();
            // The names are in alphabetical order, as in the JSON map.
            parts
                .iter()
                .filter(|(_, part)| part.get("text").is_some())
                .map(|(name, _)| name.as_str())
                .collect()
        })
        .collect()
}

const BOTH: [&str; 2] = ["business", "public"];
const ALL: [&str; 3] = ["business", "personal", "public"];
const NONE: [&str; 0] = [];

/// The body of a response without the parts that differ only because the requests differ.
fn said(answer: &Answer, name: &str) -> String {
    let mut body = answer.json();
    body["request_id"].take();
    body.to_string().replace(name, "N")
}

async fn worked(world: &World) -> Felled {
    let felled = world.felled(1).await;
    world.later(1);
    let later = json!({"felling_until": "2027-01-31", "reason": "Қар көп түсті"});
    let path = format!("/v1/felling-tickets/{}/extend", felled.ticket);
    world.post(&path, &felled.forest_owner, later).await.expect(200);
    let spoiled = json!({"reason": "spoiled"});
    let path = format!("/v1/seals/{}/void", felled.seals[0]);
    world.post(&path, &felled.enterprise, spoiled).await.expect(200);
    felled
}

#[tokio::test]
async fn a_ticket_a_batch_and_an_organisation_have_what_a_log_has() {
    let world = World::new().await;
    let felled = worked(&world).await;
    let batch = batch_of(&world, &felled.seals[0], &felled.operator).await;
    let Felled { operator, forest_owner, enterprise, inspector, .. } = &felled;
    let subjects = [
        (
            "felling_ticket",
            felled.ticket.clone(),
            "felling-tickets",
            vec![forest_owner, enterprise, inspector],
        ),
        ("seal_batch", batch, "seal-batches", vec![operator, enterprise, inspector]),
        ("organization", enterprise.id.to_string(), "organizations", vec![operator, enterprise, inspector]),
    ];
    for (_, id, noun, readers) in &subjects {
        for file in ["proof", "export"] {
            let early = world.get(&format!("/v1/{noun}/{id}/{file}"), readers[0]).await;
            early.expect(404);
            assert!(early.json()["type"].as_str().unwrap().ends_with("/problems/not-published-yet"));
            assert_eq!(early.headers["retry-after"], "2");
        }
    }
    let first = publish(&world).await;
    let size = Checkpoint::parse(first.text()).unwrap().size;
    for (kind, id, noun, readers) in &subjects {
        let path = format!("/v1/{noun}/{id}");
        for reader in readers {
            let (file, report) = export(&world, &path, reader).await;
            assert!(report.holds() && report.trusted, "{kind}:\n{report}");
            assert_eq!((&file["subject"]["kind"], &file["subject"]["id"]), (&json!(kind), &json!(id)));
            assert_eq!(file["events"].as_array().unwrap().len(), 2, "{kind}");
            assert_eq!((&file["format"], &file["until"]), (&json!("ormantrace/export/2"), &Value::Null));

            // The proof is for the newest of these events, and has the same index as this event in the
            // export.
            let proof = world.get(&format!("{path}/proof"), reader).await;
            assert_eq!(proof.status, 200, "{proof:?}");
            assert_eq!(proof.headers["content-type"], "text/plain; charset=utf-8");
            assert!(verify(&proof.bytes, &trust()).report.holds());
            let proof = Proof::parse(&proof.bytes).unwrap();
            assert_eq!(json!(hex::encode(proof.extra.unwrap())), file["events"][1]["entry"]);
            assert_eq!(json!(proof.index), file["events"][1]["index"]);
        }
        // A file about one kind of subject does not verify if it names another kind.
        let (mut file, _) = export(&world, &path, readers[0]).await;
        for other in EventType::KINDS.iter().map(|kind| kind.name()) {
            file["subject"]["kind"] = json!(other);
            let report = verify(file.to_string().as_bytes(), &trust()).report;
            assert_eq!(report.holds(), other == *kind, "{kind} as {other}:\n{report}");
        }
    }

    // An event that is newer than the checkpoint is marked as pending in the export. The proof is for the
    // event before it.
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    world.post(&format!("{path}/cancel"), forest_owner, json!({"reason": "Өрт"})).await.expect(200);
    let (file, report) = export(&world, &path, enterprise).await;
    assert_eq!((&file["events"][2]["pending"], &file["events"][2]["index"]), (&json!(true), &Value::Null));
    assert_eq!(failed(&report, Check::Inclusion), [Some(3)], "{report}");
    let proof = world.get(&format!("{path}/proof"), enterprise).await;
    let entry = Proof::parse(&proof.bytes).unwrap().extra.unwrap();
    assert_eq!(json!(hex::encode(entry)), file["events"][1]["entry"]);

    publish(&world).await;
    let since = world.get(&format!("{path}/export?since={size}"), enterprise).await;
    let memory = Memory::Seen(first.to_string().into_bytes());
    let report = verify(&since.bytes, &Trust { memory, ..trust() }).report;
    assert!(report.holds(), "{report}");
    for path in subjects.map(|(_, id, noun, _)| format!("/v1/{noun}/{id}/export?since=1000000")) {
        let beyond = world.get(&path, &felled.inspector).await;
        beyond.expect(422);
        assert_eq!(beyond.codes(), ["since-beyond-register"], "{path}");
    }
}

#[tokio::test]
async fn a_tickets_file_says_what_its_history_says() {
    let world = World::new().await;
    let felled = worked(&world).await;
    publish(&world).await;
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    let (file, _) = export(&world, &path, &felled.enterprise).await;
    let history = world.get(&format!("{path}/history"), &felled.enterprise).await.expect(200);
    assert_eq!(opened(&file), [BOTH, BOTH]);
    for (exported, told) in
        file["events"].as_array().unwrap().iter().zip(history["events"].as_array().unwrap())
    {
        assert_eq!((&exported["entry"], &exported["parts"]), (&told["entry"], &told["parts"]));
    }
}

#[tokio::test]
async fn missing_and_foreign_subjects_are_answered_alike() {
    let world = World::new().await;
    let felled = worked(&world).await;
    publish(&world).await;
    let batch = batch_of(&world, &felled.seals[0], &felled.operator).await;
    let absent = "01999999-9999-7999-8999-999999999999";
    for (noun, id) in [
        ("felling-tickets", felled.ticket.as_str()),
        ("seal-batches", &batch),
        ("organizations", &felled.enterprise.id.to_string()),
    ] {
        for file in ["proof", "export"] {
            let ask = async |id: &str| world.get(&format!("/v1/{noun}/{id}/{file}"), &felled.carrier).await;
            let (foreign, nothing) = (ask(id).await, ask(absent).await);
            assert_eq!(foreign.status, 404, "{noun}/{file}");
            assert_eq!(said(&foreign, id), said(&nothing, absent), "{noun}/{file}");
            // The response is also 404 for an id of another kind of object, for a seal number, and for a text
            // that is not an id.
            let others =
                [felled.carrier.id.to_string(), felled.seals[0].clone(), "қарағай".into(), "%00".into()];
            for other in others.iter().filter(|other| noun != "organizations" || other.len() < 36) {
                let path = format!("/v1/{noun}/{}/{file}", crate::stored_logs::encoded(other));
                assert_eq!(world.get(&path, &felled.inspector).await.status, 404, "{path}");
            }
            let nobody = world.call(Method::GET, &format!("/v1/{noun}/{id}/{file}"), None, Value::Null).await;
            assert_eq!(nobody.status, 401, "an id is no public code");
            let asked = format!("/v1/{noun}/{id}/{file}?until=2");
            assert_eq!(world.get(&asked, &felled.operator).await.codes(), ["unknown-parameter"], "{asked}");
        }
    }
}

#[tokio::test]
async fn a_holder_of_part_of_a_batch_sees_only_the_events_of_its_seals() {
    let world = World::new().await;
    let felled = worked(&world).await;
    let Felled { operator, enterprise, sawmill, inspector, seals, .. } = &felled;
    let batch = batch_of(&world, &seals[0], operator).await;
    let path = format!("/v1/seal-batches/{batch}");
    let to_sawmill = |seals: &[String]| json!({"numbers": seals, "to_bin": sawmill.bin});
    world.post("/v1/seals/transfer", enterprise, to_sawmill(&seals[1..3])).await.expect(200);
    publish(&world).await;
    // The batch has three events: it was registered, a seal of the enterprise was voided, and seals were
    // transferred to the sawmill.
    for (reader, expected) in [
        (operator, [&BOTH[..], &BOTH, &BOTH]),
        (inspector, [&BOTH, &BOTH, &BOTH]),
        (enterprise, [&BOTH, &BOTH, &NONE]),
        (sawmill, [&BOTH, &NONE, &BOTH]),
    ] {
        let (file, report) = export(&world, &path, reader).await;
        assert!(report.holds(), "{report}");
        assert_eq!(opened(&file), expected, "{}", reader.bin);
    }
    // The export discloses the same parts as the histories of the seals, and contains no marking code.
    let seal = world.get(&format!("/v1/seals/{}", seals[1]), sawmill).await.expect(200);
    let (file, _) = export(&world, &path, sawmill).await;
    let history = world.get(&format!("/v1/seals/{}/history", seals[1]), sawmill).await.expect(200);
    for (event, told) in [(0, 0), (2, 1)] {
        assert_eq!(file["events"][event]["parts"], history["events"][told]["parts"]);
    }
    let code = seal["marking_code"].as_str().unwrap();
    assert!(!file.to_string().contains(&code[..31]), "{file}");

    // An organisation has no access if it gave away its last seal of the batch, or if it never had a seal of
    // the batch.
    world
        .post("/v1/seals/transfer", sawmill, json!({"numbers": seals[1..3], "to_bin": enterprise.bin}))
        .await
        .expect(200);
    for reader in [sawmill, &felled.carrier, &felled.forest_owner] {
        for file in ["proof", "export"] {
            world.get(&format!("{path}/{file}"), reader).await.expect(404);
        }
    }
    publish(&world).await;
    let (file, _) = export(&world, &path, enterprise).await;
    assert_eq!(opened(&file), [BOTH; 4], "the seals came back, and with them their events");
}

#[tokio::test]
async fn the_events_that_concern_a_holder_do_not_depend_on_the_page_size() {
    let world = World::new().await;
    let felled = worked(&world).await;
    let Felled { operator, enterprise, sawmill, seals, .. } = &felled;
    let batch: SealBatchId = batch_of(&world, &seals[0], operator).await.parse().unwrap();
    let given = |to: &Org| json!({"numbers": [seals[1], seals[8]], "to_bin": to.bin});
    world.post("/v1/seals/transfer", enterprise, given(sawmill)).await.expect(200);
    let concerning = async |access: Access, piece: i64| {
        let mut db = world.app.pool.acquire().await.unwrap();
        let batch = view::batch_subject(&mut *db, batch, access).await.unwrap().unwrap();
        view::concerning(&mut db, &batch, access, piece).await.unwrap()
    };
    // The enterprise holds nine of the eleven seals: those before, between and after the seals that it gave
    // away. The sawmill holds two.
    for piece in [1, 2, 3, 8, 9, 10, 10_000] {
        assert_eq!(
            concerning(Access::Own(enterprise.id), piece).await,
            Some(BTreeSet::from([1, 2])),
            "{piece}"
        );
        assert_eq!(concerning(Access::Own(sawmill.id), piece).await, Some(BTreeSet::from([1, 3])), "{piece}");
        assert_eq!(concerning(Access::All, piece).await, None);
    }
    world.post("/v1/seals/transfer", sawmill, given(enterprise)).await.expect(200);
    for piece in [1, 11] {
        assert_eq!(concerning(Access::Own(enterprise.id), piece).await, None, "all of them");
    }
}

#[tokio::test]
async fn key_events_are_disclosed_to_those_who_may_list_the_keys() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let Felled { operator, enterprise, inspector, .. } = &felled;
    let path = format!("/v1/organizations/{}", enterprise.id);
    let key = world.post(&format!("{path}/keys"), enterprise, json!({"label": "Планшет"})).await.expect(201);
    let revoked = format!("/v1/keys/{}", key["id"].as_str().unwrap());
    world.call(Method::DELETE, &revoked, Some(&enterprise.token), Value::Null).await.expect(204);
    publish(&world).await;
    for (reader, of_keys) in [(enterprise, &BOTH[..]), (operator, &BOTH), (inspector, &NONE)] {
        let (file, report) = export(&world, &path, reader).await;
        assert!(report.holds(), "{report}");
        assert_eq!(opened(&file), [&ALL[..], of_keys, of_keys, of_keys], "{}", reader.bin);
        assert_eq!(file.to_string().contains("token_hash"), reader.id != inspector.id);
        assert!(!file.to_string().contains(&enterprise.token), "a token is in no record");
        let registered = file["events"][0]["parts"]["personal"]["text"].as_str().unwrap();
        assert!(registered.contains(&enterprise.bin) && registered.contains("Ертіс ағаш"), "{registered}");
    }
    // An inspector sees the events of its own API keys.
    let (file, _) = export(&world, &format!("/v1/organizations/{}", inspector.id), inspector).await;
    assert_eq!(opened(&file), [&ALL[..], &BOTH]);
}

#[tokio::test]
async fn an_erased_trader_leaves_a_registration_that_holds() {
    let world = World::new().await;
    let (operator, inspector) = (world.operator().await, world.inspector().await);
    let iin = crate::world::bin(7);
    let trader =
        json!({"bin": iin, "name": "ЖК «Сүлейменова Айгүл»", "roles": ["enterprise"], "kind": "sole_trader"});
    let trader = world.post("/v1/organizations", &operator, trader).await.expect(201);
    let path = format!("/v1/organizations/{}", trader["id"].as_str().unwrap());
    publish(&world).await;
    let (before, _) = export(&world, &path, &inspector).await;
    assert!(before.to_string().contains("Айгүл"));

    let whose = ErasureTarget::Iin(Bin::parse(&iin).unwrap());
    erase::delete(&mut world.owner().await, &whose, &world.clock).await.unwrap();
    publish(&world).await;
    for reader in [&operator, &inspector] {
        let (after, report) = export(&world, &path, reader).await;
        assert!(report.holds(), "{report}");
        assert!(report.to_string().contains("1 erased, commitment intact"), "{report}");
        assert_eq!(after["events"][0]["parts"]["personal"]["erased"], true);
        assert_eq!(after["events"][0]["entry"], before["events"][0]["entry"]);
        assert!(!after.to_string().contains("Айгүл") && !after.to_string().contains(&iin), "{after}");
    }
    // The erasure is recorded, without a name, on the chain of the organisation that had registered the
    // trader.
    let (recorder, report) = export(&world, &format!("/v1/organizations/{}", operator.id), &inspector).await;
    assert!(report.holds(), "{report}");
    assert_eq!(opened(&recorder), [&ALL[..], &NONE, &BOTH]);
    let erased = recorder["events"][2]["parts"]["public"]["text"].as_str().unwrap();
    assert!(erased.contains("personal_erased"), "{erased}");
}

/// The export of a chain of more than one page (500 events) is complete. It is refused while long histories
/// hold all memory permits.
#[tokio::test]
async fn a_long_chain_is_complete_and_waits_for_memory() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let path = format!("/v1/organizations/{}", enterprise.id);
    for _ in 0..500 {
        world.key(enterprise.id).await;
    }
    publish(&world).await;
    let (file, report) = export(&world, &path, &operator).await;
    assert!(report.holds(), "{report}");
    assert_eq!(file["events"].as_array().unwrap().len(), 502);

    // The export of a long chain needs a memory permit for one page. One organisation gets at most a quarter
    // of all permits, so another organisation is still served.
    let page =
        async |organization| world.app.reads.memory_permits(u32::MAX, organization).await.map(Option::unwrap);
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(page(operator.id).await.unwrap());
    }
    assert!(page(operator.id).await.is_err());
    world.get(&format!("{path}/export"), &operator).await.expect(503);
    world.get(&format!("{path}/export"), &enterprise).await.expect(200);
    drop(own);
    let mut permits = Vec::new();
    for _ in 0..16 {
        permits.push(page(OrganizationId::new()).await.unwrap());
    }
    world.get(&format!("{path}/export"), &operator).await.expect(503);
    // The export of a short chain needs no memory permit, and neither does a proof.
    world.get(&format!("/v1/organizations/{}/export", operator.id), &operator).await.expect(200);
    assert_eq!(world.get(&format!("{path}/proof"), &operator).await.status, 200);
    drop(permits);
    // A page of the response stays in memory until it is sent, so the unread response holds its permit.
    let request = axum::http::Request::get(format!("{path}/export"))
        .header("authorization", format!("Bearer {}", operator.token))
        .body(axum::body::Body::empty())
        .unwrap();
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(page(operator.id).await.unwrap());
    }
    let waiting = tower::ServiceExt::oneshot(world.router.clone(), request);
    // It waits for one of these permits.
    let (unread, ()) = tokio::join!(waiting, async { drop(own.pop()) });
    let unread = unread.unwrap();
    assert_eq!(unread.status(), 200);
    let mut body = unread.into_body();
    let piece = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    drop(body);
    assert!(page(operator.id).await.is_err(), "the piece holds it alone");
    drop(piece);
    page(operator.id).await.unwrap();
}
