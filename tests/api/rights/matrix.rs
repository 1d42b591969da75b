//! Access by role: every route is called with every role, for an object of the caller's side, a foreign
//! object and an absent one.
//!
//! The routes come from the OpenAPI document, so a route without a row fails the test.

use crate::world::{Answer, Felled, Org, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use ormantrace::base::ids::OrganizationId;
use ormantrace::base::token::Token;
use ormantrace::evidence::tlog::Folder;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::core::metrics::Exposition;
use ormantrace::http::router::{OpsEndpoints, health, served};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The callers, in the order of the columns of the tables below.
const ROLES: [&str; 6] = ["operator", "forest_owner", "enterprise", "carrier", "inspector", "nobody"];

/// A status for each role.
type Statuses = [u16; 6];

const ANYONE: Statuses = [200, 200, 200, 200, 200, 200];
const TOKEN: Statuses = [200, 200, 200, 200, 200, 401];
const ABSENT: Statuses = [404, 404, 404, 404, 404, 401];
const OF_OPERATOR: Statuses = [404, 403, 403, 403, 403, 401];
/// The server validates the body `{}`, and refuses it with 422, only if the caller's role may write; other
/// roles get 403.
const OPERATOR: Statuses = [422, 403, 403, 403, 403, 401];
const FOREST_OWNER: Statuses = [403, 422, 403, 403, 403, 401];
const STOPPER: Statuses = [403, 422, 403, 403, 422, 401];
const SEAL_HOLDER: Statuses = [422, 422, 422, 403, 403, 401];
/// A finding questions the enterprise.
const QUESTIONED: Statuses = [404, 404, 200, 404, 200, 401];
const INSPECTOR_ONLY: Statuses = [404, 404, 404, 404, 200, 401];
const ANY_ROLE: Statuses = [422, 422, 422, 422, 422, 401];

/// A route without an object in its path, and the statuses of a request with the body `{}` (GET: without a
/// body).
const PLAIN: [(&str, &str, Statuses); 27] = [
    ("GET", "/v1/organizations", TOKEN),
    ("POST", "/v1/organizations", OPERATOR),
    ("GET", "/v1/me", TOKEN),
    ("GET", "/v1/species", ANYONE),
    ("GET", "/v1/regions", ANYONE),
    ("GET", "/v1/felling-tickets", TOKEN),
    ("POST", "/v1/felling-tickets", FOREST_OWNER),
    ("GET", "/v1/parameters", TOKEN),
    ("GET", "/v1/bans", TOKEN),
    ("POST", "/v1/bans", OPERATOR),
    ("GET", "/v1/allowable-cuts", TOKEN),
    ("POST", "/v1/allowable-cuts", OPERATOR),
    ("GET", "/v1/seals", TOKEN),
    ("POST", "/v1/seals", OPERATOR),
    ("GET", "/v1/seal-stock", [200, 200, 200, 403, 403, 401]),
    ("POST", "/v1/seals/transfer", SEAL_HOLDER),
    ("POST", "/v1/seal-batches", OPERATOR),
    ("POST", "/v1/harvests", [403, 422, 422, 403, 403, 401]),
    ("GET", "/v1/harvests/template.csv", TOKEN),
    ("POST", "/v1/custody-events", [403, 422, 422, 422, 422, 401]),
    ("GET", "/v1/logs", [403, 200, 200, 200, 200, 401]),
    ("GET", "/v1/events", [403, 403, 403, 403, 200, 401]),
    ("GET", "/v1/findings", TOKEN),
    ("POST", "/v1/findings", [403, 403, 403, 403, 422, 401]),
    ("POST", "/v1/photos", [415, 415, 415, 415, 415, 401]),
    ("GET", "/v1/rules", TOKEN),
    ("POST", "/v1/verify", ANY_ROLE),
];

/// What a path names.
#[derive(Clone, Copy, Debug)]
enum Object {
    /// The caller's own organisation.
    Organization,
    /// A key of that organisation.
    Key,
    /// The ticket that the forest owner issued to the enterprise.
    Ticket,
    /// A ban; a new one for each request.
    Ban,
    /// A parameter.
    Parameter,
    /// A free seal of the enterprise; a different seal for each role.
    Seal,
    /// The batch of the enterprise's free seals.
    Batch,
    /// The enterprise's harvest.
    Harvest,
    /// The log of the enterprise's harvest, loaded on the carrier's lorry.
    Log,
    /// A finding about that log, which an inspector has decided.
    Finding,
    /// A photo that the inspector has uploaded.
    Photo,
}

/// A route with an object in its path.
struct Named {
    method: &'static str,
    path: &'static str,
    object: Object,
    /// Statuses for a body of `{}`, for routes that take a body.
    empty: Option<Statuses>,
    own: Statuses,
    foreign: Statuses,
    absent: Statuses,
}

const fn get(path: &'static str, object: Object, own: Statuses, foreign: Statuses) -> Named {
    Named { method: "GET", path, object, empty: None, own, foreign, absent: ABSENT }
}

/// The rows are ordered so that no request uses up an object that a later request needs.
const NAMED: [Named; 42] = [
    get("/v1/organizations/{id}", Object::Organization, TOKEN, [200, 404, 404, 404, 200, 401]),
    get("/v1/organizations/{id}/proof", Object::Organization, TOKEN, [200, 404, 404, 404, 200, 401]),
    get("/v1/organizations/{id}/export", Object::Organization, TOKEN, [200, 404, 404, 404, 200, 401]),
    get("/v1/organizations/{id}/keys", Object::Organization, TOKEN, [200, 404, 404, 404, 404, 401]),
    Named {
        method: "POST",
        path: "/v1/organizations/{id}/keys",
        object: Object::Organization,
        empty: Some(ANY_ROLE),
        own: [201, 201, 201, 201, 201, 401],
        foreign: [201, 404, 404, 404, 404, 401],
        absent: ABSENT,
    },
    Named {
        method: "DELETE",
        path: "/v1/keys/{id}",
        object: Object::Key,
        empty: None,
        own: [204, 204, 204, 204, 204, 401],
        foreign: [204, 404, 404, 404, 404, 401],
        absent: ABSENT,
    },
    Named {
        method: "PATCH",
        path: "/v1/organizations/{id}",
        object: Object::Organization,
        empty: Some(OPERATOR),
        own: [200, 403, 403, 403, 403, 401],
        foreign: [200, 403, 403, 403, 403, 401],
        absent: OF_OPERATOR,
    },
    // The operator itself is not suspended.
    Named {
        method: "POST",
        path: "/v1/organizations/{id}/suspend",
        object: Object::Organization,
        empty: Some(OPERATOR),
        own: [409, 403, 403, 403, 403, 401],
        foreign: [200, 403, 403, 403, 403, 401],
        absent: OF_OPERATOR,
    },
    Named {
        method: "POST",
        path: "/v1/organizations/{id}/resume",
        object: Object::Organization,
        empty: Some(OPERATOR),
        own: [409, 403, 403, 403, 403, 401],
        foreign: [200, 403, 403, 403, 403, 401],
        absent: OF_OPERATOR,
    },
    get(
        "/v1/felling-tickets/{id}",
        Object::Ticket,
        [404, 200, 200, 404, 200, 401],
        [404, 404, 404, 404, 200, 401],
    ),
    get(
        "/v1/felling-tickets/{id}/history",
        Object::Ticket,
        [404, 200, 200, 404, 200, 401],
        [404, 404, 404, 404, 200, 401],
    ),
    get(
        "/v1/felling-tickets/{id}/proof",
        Object::Ticket,
        [404, 200, 200, 404, 200, 401],
        [404, 404, 404, 404, 200, 401],
    ),
    get(
        "/v1/felling-tickets/{id}/export",
        Object::Ticket,
        [404, 200, 200, 404, 200, 401],
        [404, 404, 404, 404, 200, 401],
    ),
    Named {
        method: "POST",
        path: "/v1/felling-tickets/{id}/extend",
        object: Object::Ticket,
        empty: Some(FOREST_OWNER),
        own: [403, 200, 403, 403, 403, 401],
        foreign: [403, 404, 403, 403, 403, 401],
        absent: [403, 404, 403, 403, 403, 401],
    },
    Named {
        method: "POST",
        path: "/v1/felling-tickets/{id}/hold",
        object: Object::Ticket,
        empty: Some(STOPPER),
        own: [403, 200, 403, 403, 200, 401],
        foreign: [403, 404, 403, 403, 200, 401],
        absent: [403, 404, 403, 403, 404, 401],
    },
    // Held by the inspector since the row above: only an inspector may release it.
    Named {
        method: "POST",
        path: "/v1/felling-tickets/{id}/release",
        object: Object::Ticket,
        empty: Some(STOPPER),
        own: [403, 409, 403, 403, 200, 401],
        foreign: [403, 404, 403, 403, 200, 401],
        absent: [403, 404, 403, 403, 404, 401],
    },
    // The ticket has a harvest and no plot: only an inspector may give it one.
    Named {
        method: "POST",
        path: "/v1/felling-tickets/{id}/plot",
        object: Object::Ticket,
        empty: Some(STOPPER),
        own: [403, 409, 403, 403, 200, 401],
        foreign: [403, 404, 403, 403, 200, 401],
        absent: [403, 404, 403, 403, 404, 401],
    },
    Named {
        method: "POST",
        path: "/v1/felling-tickets/{id}/cancel",
        object: Object::Ticket,
        empty: Some(FOREST_OWNER),
        own: [403, 200, 403, 403, 403, 401],
        foreign: [403, 404, 403, 403, 403, 401],
        absent: [403, 404, 403, 403, 403, 401],
    },
    Named {
        method: "PUT",
        path: "/v1/parameters/{name}",
        object: Object::Parameter,
        empty: Some(OPERATOR),
        own: [200, 403, 403, 403, 403, 401],
        foreign: [200, 403, 403, 403, 403, 401],
        absent: [404, 403, 403, 403, 403, 401],
    },
    Named {
        method: "POST",
        path: "/v1/bans/{id}/end",
        object: Object::Ban,
        empty: Some(OPERATOR),
        own: [200, 403, 403, 403, 403, 401],
        foreign: [200, 403, 403, 403, 403, 401],
        absent: [404, 403, 403, 403, 403, 401],
    },
    get("/v1/seals/{number}", Object::Seal, [200, 404, 200, 404, 200, 401], [200, 404, 404, 404, 200, 401]),
    get(
        "/v1/seals/{number}/history",
        Object::Seal,
        [200, 404, 200, 404, 200, 401],
        [200, 404, 404, 404, 200, 401],
    ),
    get(
        "/v1/seals/{number}/label.svg",
        Object::Seal,
        [200, 404, 200, 404, 404, 401],
        [200, 404, 404, 404, 404, 401],
    ),
    Named {
        method: "POST",
        path: "/v1/seals/{number}/void",
        object: Object::Seal,
        empty: Some([422, 422, 422, 403, 422, 401]),
        own: [200, 404, 200, 403, 200, 401],
        foreign: [200, 404, 404, 403, 200, 401],
        absent: [404, 404, 404, 403, 404, 401],
    },
    get(
        "/v1/seal-batches/{id}/seals",
        Object::Batch,
        [200, 404, 200, 404, 404, 401],
        [200, 404, 404, 404, 404, 401],
    ),
    // Proofs and exports of a batch contain no marking code, so inspectors may see them, as they may see
    // single seals.
    get(
        "/v1/seal-batches/{id}/proof",
        Object::Batch,
        [200, 404, 200, 404, 200, 401],
        [200, 404, 404, 404, 200, 401],
    ),
    get(
        "/v1/seal-batches/{id}/export",
        Object::Batch,
        [200, 404, 200, 404, 200, 401],
        [200, 404, 404, 404, 200, 401],
    ),
    get("/v1/harvests/{id}", Object::Harvest, [404, 200, 200, 404, 200, 401], [404, 404, 404, 404, 200, 401]),
    Named {
        absent: [403, 404, 404, 404, 404, 401],
        ..get("/v1/logs/{code}", Object::Log, [403, 200, 200, 200, 200, 401], [403, 404, 404, 404, 200, 401])
    },
    Named {
        absent: [403, 404, 404, 404, 404, 401],
        ..get(
            "/v1/logs/{code}/history",
            Object::Log,
            [403, 200, 200, 200, 200, 401],
            [403, 404, 404, 404, 200, 401],
        )
    },
    Named {
        absent: [403, 404, 404, 404, 404, 401],
        ..get(
            "/v1/logs/{code}/export",
            Object::Log,
            [403, 200, 200, 200, 200, 401],
            [403, 404, 404, 404, 200, 401],
        )
    },
    get("/v1/findings/{id}", Object::Finding, QUESTIONED, INSPECTOR_ONLY),
    get("/v1/findings/{id}/history", Object::Finding, QUESTIONED, INSPECTOR_ONLY),
    get("/v1/findings/{id}/proof", Object::Finding, QUESTIONED, INSPECTOR_ONLY),
    get("/v1/findings/{id}/export", Object::Finding, QUESTIONED, INSPECTOR_ONLY),
    Named {
        method: "POST",
        path: "/v1/findings/{id}/explanation",
        object: Object::Finding,
        empty: Some(ANY_ROLE),
        own: [404, 404, 200, 404, 403, 401],
        foreign: [404, 404, 404, 404, 403, 401],
        absent: ABSENT,
    },
    Named {
        method: "POST",
        path: "/v1/findings/{id}/decision",
        object: Object::Finding,
        empty: Some([403, 403, 403, 403, 422, 401]),
        own: [403, 403, 403, 403, 200, 401],
        foreign: [403, 403, 403, 403, 200, 401],
        absent: [403, 403, 403, 403, 404, 401],
    },
    // The finding is not one of buyers' reports.
    Named {
        method: "POST",
        path: "/v1/findings/{id}/open",
        object: Object::Finding,
        empty: None,
        own: [403, 403, 403, 403, 409, 401],
        foreign: [403, 403, 403, 403, 409, 401],
        absent: [403, 403, 403, 403, 404, 401],
    },
    // The inspector has uploaded it, so it is foreign to all others.
    Named {
        absent: ABSENT,
        ..get("/v1/photos/{sha256}", Object::Photo, [404, 404, 404, 404, 200, 401], INSPECTOR_ONLY)
    },
    // Public: the seal's code is enough.
    Named { absent: [404; 6], ..get("/v1/logs/{code}/proof", Object::Log, ANYONE, ANYONE) },
    // The check is public for any seal. An absent seal gets a verdict too, so the status is 200.
    Named { absent: ANYONE, ..get("/v1/verify/{code}", Object::Seal, ANYONE, ANYONE) },
    // Public. Each request comes from another address, because three an hour are taken from one.
    Named {
        method: "POST",
        path: "/v1/verify/{code}/report",
        object: Object::Seal,
        empty: Some([422; 6]),
        own: [202; 6],
        foreign: [202; 6],
        absent: [202; 6],
    },
];

/// A valid body for a route, for a caller with this role.
fn body(path: &str, role: &str) -> Value {
    match path.rsplit('/').next() {
        Some("explanation") => json!({"text": "Қабығы түсіп қалған"}),
        Some("decision") => json!({"state": "explained", "reason": "Өлшенді"}),
        Some("open") => json!({}),
        Some("report") => json!({"what": "other"}),
        Some("{id}") => json!({"name": "ТОО «Жаңа ат»", "reason": "Қайта тіркелді"}),
        Some("suspend" | "resume") => json!({"reason": "Сот шешімі"}),
        Some("{name}") => json!({
            "value": 8, "valid_from": "2026-12-01", "document": {"kind": "other", "number": "18-02/1"}
        }),
        Some("plot") => json!({"reason": "Учаске қайта өлшенді", "plot": {"type": "Polygon", "coordinates":
            [[[80.92, 50.7], [80.93, 50.7], [80.93, 50.71], [80.92, 50.7]]]}}),
        Some("end") => json!({"reason": "Бұйрықтың күші жойылды"}),
        Some("keys") => json!({"label": "Планшет 1"}),
        Some("extend") => json!({"felling_until": "2027-01-31", "reason": "Қар"}),
        Some("cancel") => json!({"reason": "Өрт"}),
        Some("hold" | "release") => json!({"reason": "Тексеру"}),
        Some("void") if role == "inspector" => json!({"reason": "seized"}),
        Some("void") => json!({"reason": "spoiled"}),
        other => panic!("no body for {other:?}"),
    }
}

struct Cast {
    world: World,
    callers: [Option<Org>; 6],
    ours: Felled,
    theirs: Felled,
    /// A finding about our log, and one about theirs.
    findings: [String; 2],
    /// SHA-256 of a photo of the inspector.
    photo: String,
}

impl Cast {
    async fn new() -> Self {
        let world = World::new().await;
        let ours = world.felled(1).await;
        let loaded = json!({"carrier_bin": ours.carrier.bin, "vehicle": "123 ABC 10"});
        world.event(&ours.enterprise, "loaded", &ours.logs, loaded).await.expect(201);
        let forest_owner = forest_owner(&world).await;

        // Other organisations with their own objects. None of the callers is a party to these objects.
        let issuer = world.organization(30, "«Ертіс орманы» МОТР", &["forest_owner"]).await;
        let enterprise = world.organization(31, "ТОО «Қарағай»", &["enterprise"]).await;
        let ticket = world.ticket(&issuer, &enterprise, "0001246").await;
        let ticket = ticket["id"].as_str().unwrap().to_owned();
        let mut logs = world.seals(&ours.operator, &enterprise, 8).await;
        let seals = logs.split_off(1);
        let harvest = World::harvest_of(&ticket, &logs);
        let harvest = world.post("/v1/harvests", &enterprise, harvest).await.expect(201);
        let theirs = Felled { enterprise, ticket, seals, logs, harvest, ..copy(&ours) };

        let findings = [
            decided(&world, &ours.inspector, &ours.logs).await,
            decided(&world, &ours.inspector, &theirs.logs).await,
        ];
        crate::proofs::publish(&world).await;
        let callers = [
            Some(ours.operator.clone()),
            Some(forest_owner),
            Some(ours.enterprise.clone()),
            Some(ours.carrier.clone()),
            Some(ours.inspector.clone()),
            None,
        ];
        let photo = crate::reports::photo(&world, &ours.inspector, b"matrix").await.expect(201);
        let photo = photo["sha256"].as_str().unwrap().to_owned();
        Self { world, callers, ours, theirs, findings, photo }
    }

    /// The id or code to put into a path: of an object of the caller's side if `own`, otherwise of a foreign
    /// object.
    async fn name(&self, object: Object, role: usize, own: bool) -> String {
        let of = if own { &self.ours } else { &self.theirs };
        let party = self.callers[role].as_ref().filter(|_| own).unwrap_or(&self.theirs.enterprise);
        match object {
            Object::Organization => party.id.to_string(),
            Object::Key => self.world.key(party.id).await.0.to_string(),
            Object::Ticket => of.ticket.clone(),
            Object::Ban => {
                let ban = json!({"kind": "felling", "from": "2027-04-01", "until": "2027-05-31",
                                 "document": {"kind": "other", "number": "18-02/2"}});
                let made = self.world.post("/v1/bans", &self.ours.operator, ban).await.expect(201);
                made["id"].as_str().unwrap().to_owned()
            }
            Object::Parameter => "ticket-hold-days".to_owned(),
            Object::Seal => of.seals[role].clone(),
            Object::Batch => {
                let batch: uuid::Uuid = sqlx::query_scalar("SELECT batch_id FROM seal WHERE number = $1")
                    .bind(&of.seals[0])
                    .fetch_one(&self.world.app.pool)
                    .await
                    .unwrap();
                batch.to_string()
            }
            Object::Harvest => of.harvest["id"].as_str().unwrap().to_owned(),
            Object::Log => of.logs[0].clone(),
            Object::Photo => self.photo.clone(),
            Object::Finding => self.findings[usize::from(!own)].clone(),
        }
    }

    async fn call(&self, method: &str, path: &str, role: usize, body: Value) -> Answer {
        let token = self.callers[role].as_ref().map(|org| org.token.as_str());
        if path.ends_with("/report") {
            return self.report(path, token, &body).await;
        }
        self.world.call(method.parse::<Method>().unwrap(), path, token, body).await
    }
}

impl Cast {
    /// A request from an address that no other request has.
    async fn report(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let block = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::builder().method(Method::POST).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "application/json");
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 9, block, 1], 4_711))));
        self.world.send(request).await
    }
}

/// Inspects a log and decides on the finding; returns the finding's id.
async fn decided(world: &World, inspector: &Org, logs: &[String]) -> String {
    let details = json!({"details": {"outcome": "mismatch", "hold": false}});
    let made = world.event(inspector, "inspected", &logs[..1], details).await.expect(201);
    let id = made["findings"][0]["id"].as_str().unwrap().to_owned();
    let decision = json!({"state": "confirmed", "reason": "Өлшенді"});
    world.post(&format!("/v1/findings/{id}/decision"), inspector, decision).await.expect(200);
    id
}

fn copy(felled: &Felled) -> Felled {
    Felled {
        operator: felled.operator.clone(),
        forest_owner: felled.forest_owner.clone(),
        enterprise: felled.enterprise.clone(),
        sawmill: felled.sawmill.clone(),
        carrier: felled.carrier.clone(),
        inspector: felled.inspector.clone(),
        ticket: felled.ticket.clone(),
        seals: felled.seals.clone(),
        logs: felled.logs.clone(),
        harvest: felled.harvest.clone(),
    }
}

/// The issuer of the world's ticket, with a key.
async fn forest_owner(world: &World) -> Org {
    let (id, bin): (OrganizationId, String) =
        sqlx::query_as("SELECT id, bin FROM organization WHERE roles = '{forest_owner}'")
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
    let (_, token) = world.key(id).await;
    Org { id, bin, token: token.expose().to_owned() }
}

/// An id or code of that kind that belongs to no object.
fn absent(object: Object) -> &'static str {
    match object {
        Object::Seal | Object::Log => "KZ999999999",
        Object::Photo => "00000000000000000000000000000000000000000000000000000000000000aa",
        Object::Parameter => "no-such-parameter",
        _ => "01999999-9999-7999-8999-999999999999",
    }
}

/// The body and headers of a response without the parts that differ only because the requests differ.
fn plain(answer: &Answer, name: &str) -> (String, Vec<(String, String)>) {
    let mut body = answer.json();
    body["request_id"].take();
    let headers = answer.headers.iter().filter(|(header, _)| *header != "x-request-id");
    // The body contains the name from the request, so its length differs between requests.
    let headers = headers.filter(|(header, _)| *header != "content-length");
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    (body.to_string().replace(name, "N"), headers)
}

/// Every (method, path) of the API.
fn routes() -> BTreeSet<(String, String)> {
    let document = ormantrace::http::router::openapi();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    routes.collect()
}

fn rows() -> BTreeSet<(String, String)> {
    let plain = PLAIN.iter().map(|(method, path, _)| (*method, *path));
    let named = NAMED.iter().map(|row| (row.method, row.path));
    plain.chain(named).map(|(method, path)| (method.to_owned(), path.to_owned())).collect()
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    assert_eq!(routes(), rows());
}

/// The `x-roles` of each operation name the roles that get another status than 403 for at least one object.
/// If all roles do, `x-roles` names none.
#[test]
fn the_document_names_the_roles_that_may_call_an_operation() {
    let document = ormantrace::http::router::openapi();
    let plain = PLAIN.iter().map(|(method, path, statuses)| (*method, *path, vec![*statuses]));
    let named = NAMED.iter().map(|row| (row.method, row.path, vec![row.own, row.foreign, row.absent]));
    for (method, path, statuses) in plain.chain(named) {
        let may = |role: usize| statuses.iter().any(|of| of[role] != 403);
        // The last column is a caller without a token.
        let mut allowed: Vec<&str> = (0..5).filter(|role| may(*role)).map(|role| ROLES[role]).collect();
        if allowed.len() == 5 {
            allowed.clear();
        }
        let operation = &document["paths"][path][method.to_lowercase()];
        let mut stated: Vec<&str> =
            operation["x-roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        stated.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(stated, allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn each_role_gets_what_the_contract_says() {
    let cast = Cast::new().await;
    let (mut wrong, mut shows) = (Vec::new(), Vec::new());
    let mut check = |what: String, answer: &Answer, expected: u16| {
        if answer.status.as_u16() != expected {
            let told = String::from_utf8_lossy(&answer.bytes).into_owned();
            wrong.push(format!("{what}: {} instead of {expected}: {told}", answer.status.as_u16()));
        }
    };
    for (method, path, statuses) in PLAIN {
        for (role, expected) in statuses.into_iter().enumerate() {
            let body = if method == "POST" { json!({}) } else { Value::Null };
            let answer = cast.call(method, path, role, body).await;
            check(format!("{method} {path}, {}", ROLES[role]), &answer, expected);
        }
    }
    for row in &NAMED {
        let place = row.path.find('{').unwrap()..=row.path.find('}').unwrap();
        let at = |name: &str| {
            let mut path = row.path.to_owned();
            path.replace_range(place.clone(), name);
            path
        };
        for (role, name) in ROLES.iter().enumerate() {
            let what = |whose: &str| format!("{} {} of {whose}, {name}", row.method, row.path);
            let [own, foreign] =
                [cast.name(row.object, role, true).await, cast.name(row.object, role, false).await];
            let absent = absent(row.object);
            for name in [&own, &foreign, absent] {
                if let Some(statuses) = row.empty {
                    let answer = cast.call(row.method, &at(name), role, json!({})).await;
                    check(what("any object, empty body"), &answer, statuses[role]);
                }
            }
            let full = if ["POST", "PUT", "PATCH"].contains(&row.method) {
                body(row.path, name)
            } else {
                Value::Null
            };
            let call = async |name: &str| cast.call(row.method, &at(name), role, full.clone()).await;
            let answers = [call(absent).await, call(&foreign).await, call(&own).await];
            check(what("an absent object"), &answers[0], row.absent[role]);
            check(what("others"), &answers[1], row.foreign[role]);
            check(what("its own side"), &answers[2], row.own[role]);
            // A refusal does not disclose whether the object exists.
            for (answer, name) in [(&answers[1], &foreign), (&answers[2], &own)] {
                if answer.status.as_u16() >= 400 && answer.status == answers[0].status {
                    let (nothing, hidden) = (plain(&answers[0], absent), plain(answer, name));
                    if nothing != hidden {
                        shows.push(format!("{}: {nothing:?}, but {hidden:?}", what("others, or its own")));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty() && shows.is_empty(), "{}\n{}", wrong.join("\n"), shows.join("\n"));
}

/// A suspended organisation may read everything that it could read before, and write nothing by default: a new route is
/// refused until it is listed here and in `http::core::auth`.
#[tokio::test]
async fn a_suspended_organisation_writes_nothing_but_what_is_listed() {
    const ALLOWED: [(&str, &str); 4] = [
        ("POST", "/v1/custody-events"),
        ("POST", "/v1/verify"),
        ("POST", "/v1/findings/{id}/explanation"),
        ("DELETE", "/v1/keys/{id}"),
    ];
    let world = World::new().await;
    let (operator, forest_owner) = (world.operator().await, world.forest_owner().await);
    let suspend = format!("/v1/organizations/{}/suspend", forest_owner.id);
    world.post(&suspend, &operator, json!({"reason": "Сот шешімі"})).await.expect(200);
    for (method, path) in routes() {
        let named = path.split('/').map(|part| if part.starts_with('{') { "KZ999999999" } else { part });
        let named = named.collect::<Vec<_>>().join("/");
        let (body, is_read) = (if method == "GET" { Value::Null } else { json!({}) }, method == "GET");
        let answer = world.call(method.parse().unwrap(), &named, Some(&forest_owner.token), body).await;
        let refused = answer.status == 403
            && answer.json()["type"].as_str().unwrap().ends_with("organization-suspended");
        let may = is_read || ALLOWED.contains(&(method.as_str(), path.as_str()));
        assert_eq!(refused, !may, "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_bad_token_is_401_on_every_route() {
    let mut world = World::new().await;
    for (method, path) in routes() {
        let path = path.split('/').map(|part| if part.starts_with('{') { "KZ999999999" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let method = method.parse::<Method>().unwrap();
        let body = if method == Method::POST { json!({}) } else { Value::Null };
        let answer = world.call(method.clone(), &path, Some(Token::random().expose()), body).await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    // Routes outside the API, which need no token, and methods that a route does not have.
    world.router = everything(&world);
    let bad = [format!("Bearer {}", Token::random().expose()), "Basic b3JtYW46b3JtYW4=".into()];
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/verify"),
        ("GET", "/verify/KZ999999999"),
        ("GET", "/01/09521234543213/21/ABC"),
        ("GET", "/register"),
        ("GET", "/checkpoint"),
        ("GET", "/tile/0/000"),
        ("GET", "/keys.json"),
        ("GET", "/assets/page.css"),
        ("GET", "/docs"),
        ("GET", "/docs/seals"),
        ("GET", "/openapi.json"),
        ("GET", "/problems"),
        ("GET", "/problems/not-found"),
        ("GET", "/metrics"),
        ("DELETE", "/v1/species"),
        ("POST", "/verify"),
    ] {
        for bad in &bad {
            let request = Request::builder().method(method).uri(path).header("authorization", bad);
            let answer = world.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 401, "{method} {path} {bad}");
            assert_eq!(answer.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
        }
    }
}

/// The router as `serve` builds it, with metrics and a register.
fn everything(world: &World) -> axum::Router {
    let operations = OpsEndpoints {
        health: health(&world.app),
        metrics: Some(Exposition::new()),
        register: Some(Folder::new("/nothing-is-published")),
    };
    served(world.app.clone(), &LayerSettings::default(), &operations)
}

#[tokio::test]
async fn probes_ignore_tokens_and_public_routes_accept_valid_ones() {
    let mut world = World::new().await;
    world.router = everything(&world);
    let enterprise = world.enterprise().await;
    for probe in ["/healthz", "/readyz"] {
        world.call(Method::GET, probe, Some(Token::random().expose()), Value::Null).await.expect(200);
    }
    for path in ["/", "/verify", "/docs", "/docs/seals", "/problems", "/openapi.json"] {
        let answer = world.call(Method::GET, path, Some(&enterprise.token), Value::Null).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let answer = world.call(Method::DELETE, "/v1/species", Some(&enterprise.token), Value::Null).await;
    answer.expect(405);
    assert_eq!(answer.headers["allow"], "GET,HEAD");
}
