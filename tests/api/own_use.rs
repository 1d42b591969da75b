//! Firewood that a forest owner records for an individual: for own use, and not for trade.

use crate::world::{Org, World};
use axum::http::Method;
use serde_json::{Value, json};

const IIN: &str = "850101300005";
const NAME: &str = "Айгүл Оспанова";

struct Scene {
    world: World,
    operator: Org,
    forest_owner: Org,
    person: Org,
    ticket: String,
    seals: Vec<String>,
}

/// A ticket of firewood alone.
fn ticket_of(holder: &Org, number: &str) -> Value {
    let mut body = World::ticket_of(holder, number, 100);
    body["lines"] = json!([{"species": "pinus_sylvestris", "wood": "firewood", "volume_m3": 20}]);
    body
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (operator, forest_owner) = (world.operator().await, world.forest_owner().await);
        let body = json!({"bin": IIN, "name": NAME, "kind": "individual", "roles": []});
        let made = world.post("/v1/organizations", &operator, body).await.expect(201);
        assert_eq!((&made["kind"], &made["roles"]), (&json!("individual"), &json!([])));
        let id = made["id"].as_str().unwrap().parse().unwrap();
        let (_, token) = world.key(id).await;
        let person = Org { id, bin: IIN.to_owned(), token: token.expose().to_owned() };
        let body = ticket_of(&person, "0001300");
        let ticket = world.post("/v1/felling-tickets", &forest_owner, body).await.expect(201);
        let ticket = ticket["id"].as_str().unwrap().to_owned();
        let seals = world.seals(&operator, &forest_owner, 6).await;
        Self { world, operator, forest_owner, person, ticket, seals }
    }

    fn stacks(&self, seals: &[String]) -> Value {
        let mut body = World::harvest_of(&self.ticket, seals);
        for stack in body["logs"].as_array_mut().unwrap() {
            *stack = json!({
                "seal_number": stack["seal_number"], "kind": "stack", "species": "pinus_sylvestris",
                "wood": "firewood", "pieces": 40, "volume_m3": 2.5, "measurement_method": "stack_geometric",
                "occurred_at": "2026-10-05T09:40:00+05:00"
            });
        }
        body
    }
}

#[tokio::test]
async fn the_forest_owner_records_for_an_individual() {
    let scene = Scene::new().await;
    let Scene { world, forest_owner, person, seals, .. } = &scene;
    let other = world.organization(30, "«Ертіс орманы» МОТР", &["forest_owner"]).await;
    let foreign = world.seals(&scene.operator, &other, 1).await;
    // Neither the person itself nor another forest owner.
    world.post("/v1/harvests", person, scene.stacks(&seals[..1])).await.expect(403);
    let refused = world.post("/v1/harvests", &other, scene.stacks(&foreign)).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["unknown-felling-ticket"]);
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..3])).await.expect(201);
    let log = world.get(&format!("/v1/logs/{}", seals[0]), forest_owner).await.expect(200);
    assert_eq!(log["own_use"], true);
    assert_eq!(log["holder"], json!({"id": person.id, "name": null}));
    assert_eq!(log["owner"]["id"], person.id.to_string());
    let listed = world.get("/v1/logs?holder=me", forest_owner).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    // It records what happens to the wood, as the holder of other wood does.
    let by_it = async |event: &str, at: usize, more| {
        world.event(forest_owner, event, &seals[at..=at], more).await.expect(201)
    };
    by_it("stored", 0, json!({})).await;
    by_it("loaded", 0, json!({"vehicle": "123 ABC 10"})).await;
    by_it("departed", 0, json!({})).await;
    by_it("arrived", 0, json!({})).await;
    by_it("received", 0, json!({})).await;
    by_it("processed", 0, json!({})).await;
    by_it("lost", 1, json!({})).await;
    let grade = json!({"corrects": 1, "reason": "Қате өлшенген", "set": {"volume_m3": 2.4}});
    by_it("corrected", 2, grade).await;
    let body = json!({"reason": "spoiled"});
    world.post(&format!("/v1/seals/{}/void", seals[2]), forest_owner, body).await.expect(200);
    by_it("seal_replaced", 2, json!({"new_seal_number": seals[3], "reason": "Сынды"})).await;
    assert_eq!(world.unsound().await, [""; 0]);
    // An insider who lifts the mark of own use is found.
    sqlx::query("UPDATE log SET own_use = false WHERE seal_number = $1")
        .bind(&seals[3])
        .execute(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(world.unsound().await.len(), 1);
}

#[tokio::test]
async fn wood_for_own_use_is_not_traded() {
    let scene = Scene::new().await;
    let Scene { world, operator, forest_owner, seals, .. } = &scene;
    let enterprise = world.enterprise().await;
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..2])).await.expect(201);
    for (event, more) in [
        ("transferred", json!({"to_bin": enterprise.bin})),
        ("transferred", json!({"to_bin": enterprise.bin, "of": "possession"})),
        ("sold", json!({})),
        ("exported", json!({})),
    ] {
        let refused = world.event(forest_owner, event, &seals[..2], more.clone()).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["own-use", "own-use"], "{event}");
        // A device that sends it late gets the same.
        let mut late = more;
        late["occurred_at"] = json!("2026-10-05T09:45:00+05:00");
        late["device"] = json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:45:01+05:00"});
        assert_eq!(world.event(forest_owner, event, &seals[..1], late).await.codes(), ["own-use"], "{event}");
    }
    // It is taken over by no organisation, and a person is no receiver of timber or seals.
    let refused = world.event(&enterprise, "received", &seals[..1], json!({})).await;
    refused.expect(422);
    let felled = world.post("/v1/seal-batches", operator, json!({"holder_bin": IIN, "quantity": 1})).await;
    assert_eq!(felled.codes(), ["not-a-seal-holder"]);
    // A buyer is told that it is not for sale, and not whose it is.
    let check =
        world.call(Method::GET, &format!("/v1/verify/{}", seals[0]), None, Value::Null).await.expect(200);
    assert_eq!(check["verdict"], "valid");
    assert_eq!(check["for_sale"], json!({"offered": false, "why": "own_use"}));
    assert_eq!(check["log"]["holder_name"], Value::Null);
    let text = check.to_string();
    assert!(!text.contains(NAME) && !text.contains(IIN));
}

#[tokio::test]
async fn the_number_of_a_person_is_in_the_personal_part_alone() {
    let scene = Scene::new().await;
    let Scene { world, operator, forest_owner, person, seals, .. } = &scene;
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..1])).await.expect(201);
    let hashed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM event WHERE strpos(public || business, $1) > 0 OR strpos(public || business, $2) > 0",
    )
    .bind(IIN)
    .bind(NAME)
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(hashed, 0);
    let path = format!("/v1/organizations/{}", person.id);
    world
        .call(
            Method::PATCH,
            &path,
            Some(&operator.token),
            json!({"name": "Айгүл Сүлейменова", "reason": "Үйленді"}),
        )
        .await
        .expect(200);
    let roles = json!({"roles": ["enterprise"], "reason": "Сауда"});
    let refused = world.call(Method::PATCH, &path, Some(&operator.token), roles).await;
    assert_eq!(refused.codes(), ["individual-has-no-role"]);
    // Both names go with an erasure, and every chain still verifies.
    let target = ormantrace::commands::erase::ErasureTarget::Iin(
        ormantrace::timber::party::bin::Bin::parse(IIN).unwrap(),
    );
    let erased =
        ormantrace::commands::erase::delete(&mut world.owner().await, &target, &world.clock).await.unwrap();
    assert_eq!((erased.parts, erased.organizations), (2, 1));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM personal WHERE text LIKE '%Айгүл%'")
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(world.get(&path, operator).await.expect(200)["name"], Value::Null);
    let renamed = world
        .call(Method::PATCH, &path, Some(&operator.token), json!({"name": "Аты", "reason": "Жаңа"}))
        .await;
    assert_eq!((renamed.status.as_u16(), renamed.codes()), (409, vec!["erased".to_owned()]));
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn an_individual_is_a_person_without_a_role() {
    let world = World::new().await;
    let operator = world.operator().await;
    for (body, code) in [
        (
            json!({"bin": IIN, "name": NAME, "kind": "individual", "roles": ["enterprise"]}),
            "individual-has-no-role",
        ),
        (
            json!({"bin": crate::world::bin(80), "name": NAME, "kind": "individual", "roles": []}),
            "individual-is-a-person",
        ),
        (json!({"bin": IIN, "name": NAME, "roles": []}), "too-few"),
        (json!({"bin": IIN, "name": NAME, "kind": "farm", "roles": []}), "too-few"),
    ] {
        let refused = world.post("/v1/organizations", &operator, body).await;
        refused.expect(422);
        assert_eq!(refused.codes(), [code]);
    }
}

#[tokio::test]
async fn seized_wood_is_no_longer_for_own_use() {
    let scene = Scene::new().await;
    let Scene { world, forest_owner, seals, .. } = &scene;
    let (enterprise, inspector) = (world.enterprise().await, world.inspector().await);
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..2])).await.expect(201);
    let paper = json!({"kind": "act", "number": "21"});
    let seize = json!({"custodian_bin": enterprise.bin, "place": {"name": "Қойма"}, "document": paper});
    let take = json!({"to_bin": enterprise.bin, "document": paper});
    world.event(&inspector, "seized", &seals[..1], seize).await.expect(201);
    world.event(&inspector, "confiscated", &seals[..1], take).await.expect(201);
    world
        .event(&inspector, "released", &seals[..1], json!({"details": {"reason": "Сот шешімі"}}))
        .await
        .expect(201);
    // The forest owner no longer records for the person: the custodian holds the wood.
    let refused = world.event(forest_owner, "stored", &seals[..1], json!({})).await;
    assert_eq!(refused.codes(), ["not-yours-to-record"]);
    let log = world.get(&format!("/v1/logs/{}", seals[0]), &enterprise).await.expect(200);
    assert_eq!((&log["own_use"], &log["holder"]["id"]), (&json!(false), &json!(enterprise.id)));
    world.event(&enterprise, "sold", &seals[..1], json!({})).await.expect(201);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn the_forest_owner_keeps_its_role_while_it_records_for_a_person() {
    let scene = Scene::new().await;
    let Scene { world, operator, forest_owner, person, ticket, seals, .. } = &scene;
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..1])).await.expect(201);
    let cancel = format!("/v1/felling-tickets/{ticket}/cancel");
    world.post(&cancel, forest_owner, json!({"reason": "Аяқталды"})).await.expect(200);
    let change = async || {
        let path = format!("/v1/organizations/{}", forest_owner.id);
        let body = json!({"roles": ["enterprise"], "reason": "Қайта құрылды"});
        world.call(Method::PATCH, &path, Some(&operator.token), body).await
    };
    assert_eq!(change().await.codes(), ["keeps-timber"]);
    world.event(forest_owner, "processed", &seals[..1], json!({})).await.expect(201);
    change().await.expect(200);
    // Nothing is recorded for a suspended person, and no ticket is issued to it.
    let other = world.organization(31, "«Ертіс орманы» МОТР", &["forest_owner"]).await;
    let own = world.seals(operator, &other, 1).await;
    let second = world.post("/v1/felling-tickets", &other, ticket_of(person, "0001301")).await.expect(201);
    let second = second["id"].as_str().unwrap().to_owned();
    let suspend = format!("/v1/organizations/{}/suspend", person.id);
    world.post(&suspend, operator, json!({"reason": "Сот шешімі"})).await.expect(200);
    let mut body = scene.stacks(&own);
    body["felling_ticket_id"] = json!(second);
    assert_eq!(world.post("/v1/harvests", &other, body).await.codes(), ["organization-suspended"]);
    let third = ticket_of(person, "0001302");
    assert_eq!(world.post("/v1/felling-tickets", &other, third).await.codes(), ["organization-suspended"]);
}

/// An individual gets firewood and brushwood, and no commercial wood.
#[tokio::test]
async fn an_individual_gets_no_commercial_wood() {
    let scene = Scene::new().await;
    let Scene { world, forest_owner, person, seals, .. } = &scene;
    let issue = async |number: &str, lines: Value| {
        let mut body = ticket_of(person, number);
        body["lines"] = lines;
        world.post("/v1/felling-tickets", forest_owner, body).await
    };
    let line =
        |wood: &str, volume: f64| json!({"species": "pinus_sylvestris", "wood": wood, "volume_m3": volume});
    for (lines, pointer) in [
        (json!([line("commercial", 0.0001)]), "/lines/0/wood"),
        (json!([line("firewood", 5.0), line("commercial", 500.0)]), "/lines/1/wood"),
    ] {
        let refused = issue("1", lines).await;
        assert_eq!(refused.expect(422)["errors"][0]["pointer"], pointer);
        assert_eq!(refused.codes(), ["firewood-only"]);
    }
    // With other errors of the request.
    let mut body = ticket_of(person, "1");
    body["lines"] = json!([line("commercial", 5.0), line("sawdust", 1.0)]);
    let refused = world.post("/v1/felling-tickets", forest_owner, body).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["unknown-wood", "firewood-only"]);
    issue("2", json!([line("firewood", 5.0), line("brushwood", 5.0)])).await.expect(201);

    // An enterprise may have it.
    let enterprise = world.enterprise().await;
    world.ticket(forest_owner, &enterprise, "3").await;

    // A ticket that was issued before: nothing commercial is recorded under it, and it is not extended.
    world.post("/v1/harvests", forest_owner, scene.stacks(&seals[..1])).await.expect(201);
    sqlx::query("INSERT INTO ticket_line (id, ticket_id, position, species, wood, permitted_m3) VALUES (gen_random_uuid(), $1::uuid, 7, 'pinus_sylvestris', 'commercial', 500)")
        .bind(scene.ticket.as_str())
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let body = World::harvest_of(&scene.ticket, &seals[1..2]);
    let refused = world.post("/v1/harvests", forest_owner, body).await;
    assert_eq!(refused.expect(409)["errors"][0]["pointer"], "/logs/0/wood");
    assert_eq!(refused.codes(), ["own-use"]);
    let set = json!({"corrects": 1, "reason": "Қате", "set": {"wood": "commercial"}});
    let refused = world.event(forest_owner, "corrected", &seals[..1], set).await;
    assert_eq!(refused.expect(409)["errors"][0]["pointer"], "/set/wood");
    assert_eq!(refused.codes(), ["own-use"]);
    let path = format!("/v1/felling-tickets/{}/extend", scene.ticket);
    let refused =
        world.post(&path, forest_owner, json!({"felling_until": "2027-01-31", "reason": "Қар"})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["own-use"]);
}
