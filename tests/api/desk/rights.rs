//! Access by role from the side of the pages: every route of the desk with every role, for a log of the caller's side, a
//! foreign one and an absent one. The API's matrix is in `rights::matrix`.

use super::{Visitor, hidden};
use crate::world::{Felled, Org, World};
use serde_json::json;
use std::collections::BTreeSet;

/// The callers, in the order of the columns below.
const ROLES: [&str; 6] = ["operator", "forest_owner", "enterprise", "carrier", "inspector", "nobody"];

type Statuses = [u16; 6];

const ANY_ROLE: Statuses = [200, 200, 200, 200, 200, 303];
/// The operator reads no histories.
const HISTORY: Statuses = [403, 200, 200, 200, 200, 303];
const FOREIGN_LOG: Statuses = [403, 404, 404, 404, 200, 303];
const ABSENT_LOG: Statuses = [403, 404, 404, 404, 404, 303];
const INSPECTOR: Statuses = [403, 403, 403, 403, 200, 303];
const INSPECTOR_ABSENT: Statuses = [403, 403, 403, 403, 404, 303];

/// Routes without a log, with what is sent.
const PLAIN: [(&str, &str, &str, Statuses); 11] = [
    ("GET", "/desk", "", ANY_ROLE),
    ("GET", "/desk/", "", [308; 6]),
    ("GET", "/desk/sign-in", "", [303, 303, 303, 303, 303, 200]),
    ("GET", "/desk/search", "", ANY_ROLE),
    ("GET", "/desk/codes", "", ANY_ROLE),
    ("POST", "/desk/codes", "codes=KZ000000001", ANY_ROLE),
    ("GET", "/desk/logs", "", HISTORY),
    ("GET", "/desk/sessions", "", ANY_ROLE),
    ("POST", "/desk/sessions", "session=0197a2c4-5d6e-7f80-9123-456789abcdef", [303; 6]),
    ("POST", "/desk/sign-in", "key=x", [422; 6]),
    // The last one, since it ends the session.
    ("POST", "/desk/sign-out", "", [303; 6]),
];

/// Routes of a log: own, foreign, absent.
const LOG: [(&str, &str, [Statuses; 3]); 8] = [
    ("GET", "/desk/logs/{code}", [HISTORY, FOREIGN_LOG, ABSENT_LOG]),
    // Nothing is published in this world: 404 for every reader, as in the API.
    ("GET", "/desk/logs/{code}/export", [ABSENT_LOG, ABSENT_LOG, ABSENT_LOG]),
    ("GET", "/desk/logs/{code}/checks/new", [INSPECTOR, INSPECTOR, INSPECTOR_ABSENT]),
    ("GET", "/desk/logs/{code}/holds/new", [INSPECTOR, INSPECTOR, INSPECTOR_ABSENT]),
    ("GET", "/desk/logs/{code}/releases/new", [INSPECTOR, INSPECTOR, INSPECTOR_ABSENT]),
    ("POST", "/desk/logs/{code}/checks/new", [RECORDS, RECORDS, INSPECTOR_ABSENT]),
    ("POST", "/desk/logs/{code}/holds/new", [RECORDS, RECORDS, INSPECTOR_ABSENT]),
    ("POST", "/desk/logs/{code}/releases/new", [RECORDS, RECORDS, INSPECTOR_ABSENT]),
];
const RECORDS: Statuses = [403, 403, 403, 403, 303, 303];

/// Every route of the desk in the router's source, as (method, path).
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../../../src/http/router.rs");
    let mut routes = BTreeSet::new();
    for line in source.lines().map(str::trim).filter(|line| line.starts_with(".route(\"/desk")) {
        let path = line.split('"').nth(1).unwrap();
        for method in ["get", "post"] {
            if line.contains(&format!(" {method}(")) || line.contains(&format!(".{method}(")) {
                routes.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn every_route_of_the_desk_has_a_row() {
    let plain = PLAIN.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()));
    let log = LOG.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(routes(), plain.chain(log).collect());
}

/// The visitors in the order of [`ROLES`].
async fn visitors(world: &World, felled: &Felled) -> Vec<Visitor> {
    let mut visitors = Vec::new();
    let callers: [&Org; 5] =
        [&felled.operator, &felled.forest_owner, &felled.enterprise, &felled.carrier, &felled.inspector];
    for org in callers {
        visitors.push(Visitor::of(world, org).await);
    }
    visitors.push(Visitor::default());
    visitors
}

/// The fields of a form about a log, as the page shows them; the outcome and the reason are filled in.
async fn filled(world: &World, visitor: &Visitor, path: &str) -> Vec<(String, String)> {
    let page = visitor.get(world, path).await;
    let operation = if page.status == 200 { hidden(&page.text(), "operation_id") } else { String::new() };
    let fields = [
        ("operation_id", operation.as_str()),
        ("outcome", "match"),
        ("reason", "Құжат жоқ"),
        ("occurred_at", "2026-10-05T10:00"),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn each_role_gets_what_the_contract_says() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let own = felled.logs[0].clone();
    let carried = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 16"});
    world.event(&felled.enterprise, "loaded", &felled.logs, carried).await.expect(201);
    // A log of strangers, held by an enterprise and an owner that are no callers here.
    let owner = world.organization(21, "Ұлытау орманы", &["forest_owner"]).await;
    let holder = world.organization(22, "ТОО «Қызыл қайың»", &["enterprise"]).await;
    let ticket = world.ticket(&owner, &holder, "0009000").await["id"].as_str().unwrap().to_owned();
    let seals = world.seals(&felled.operator, &holder, 1).await;
    world.post("/v1/harvests", &holder, World::harvest_of(&ticket, &seals)).await.expect(201);
    let codes = [own.as_str(), seals[0].as_str(), "KZ999999999"];

    let visitors = visitors(&world, &felled).await;
    let mut wrong = Vec::new();
    let mut check = |what: String, status: u16, expected: u16| {
        if status != expected {
            wrong.push(format!("{what}: {status} instead of {expected}"));
        }
    };
    for (method, path, statuses) in LOG {
        for (object, code) in codes.iter().enumerate() {
            let path = path.replace("{code}", code);
            for (role, visitor) in visitors.iter().enumerate() {
                let answer = if method == "GET" {
                    visitor.get(&world, &path).await
                } else {
                    // A release needs a hold.
                    if path.contains("/releases/") && role == 4 && object < 2 {
                        let reason = json!({"details": {"reason": "Құжат жоқ"}});
                        world
                            .event(&felled.inspector, "detained", &[(*code).to_owned()], reason)
                            .await
                            .expect(201);
                    }
                    let fields = filled(&world, visitor, &path).await;
                    let fields: Vec<(&str, &str)> =
                        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    visitor.post(&world, &path, &fields).await
                };
                check(
                    format!("{method} {path}, {}", ROLES[role]),
                    answer.status.as_u16(),
                    statuses[object][role],
                );
                assert_eq!(answer.headers["cache-control"], "no-store", "{method} {path}");
            }
        }
    }
    for (method, path, body, statuses) in PLAIN {
        for (role, visitor) in visitors.iter().enumerate() {
            let pair = body.split_once('=');
            let answer = match method {
                "GET" => visitor.get(&world, path).await,
                _ => visitor.post(&world, path, pair.as_slice()).await,
            };
            check(format!("{method} {path}, {}", ROLES[role]), answer.status.as_u16(), statuses[role]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_foreign_log_and_an_absent_one_are_the_same_page() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let visitor = Visitor::of(&world, &felled.sawmill).await;
    let plain = |text: &str, name: &str| text.replace(name, "N");
    for path in ["", "/export"] {
        let (foreign, absent) = (&felled.logs[0], "KZ999999999");
        let pages = [foreign.as_str(), absent].map(|code| format!("/desk/logs/{code}{path}"));
        let [foreign_page, absent_page] =
            [visitor.get(&world, &pages[0]).await, visitor.get(&world, &pages[1]).await];
        assert_eq!((foreign_page.status.as_u16(), absent_page.status.as_u16()), (404, 404));
        let text = |answer: &crate::world::Answer, name: &str| {
            let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
            plain(&plain(&answer.text(), name), &id)
        };
        assert_eq!(text(&foreign_page, foreign), text(&absent_page, absent));
        assert!(foreign_page.text().contains("There is no such page, or your organisation may not see it."));
        // The frame is that of the session.
        assert!(foreign_page.text().contains("Бородулиха тілу"));
    }
}

#[tokio::test]
async fn a_suspended_organisation_reads_and_an_inspectorate_records_no_check() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (office, road) =
        (Visitor::of(&world, &felled.enterprise).await, Visitor::of(&world, &felled.inspector).await);
    let page = format!("/desk/logs/{}", felled.logs[0]);
    let form = format!("{page}/checks/new");
    let fields = filled(&world, &road, &form).await;
    for org in [&felled.enterprise, &felled.inspector] {
        let suspend = format!("/v1/organizations/{}/suspend", org.id);
        world.post(&suspend, &felled.operator, json!({"reason": "Сот шешімі"})).await.expect(200);
    }
    Visitor::page(&office.get(&world, &page).await);
    Visitor::of(&world, &felled.enterprise).await;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = road.post(&world, &form, &fields).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("Your organisation is suspended."), "{}", answer.text());
}
