//! A small world for the tests: the real router over a database of its own, a clock that the test sets, and
//! organisations with tokens.

use crate::support::pg::TestDb;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chrono::{DateTime, NaiveDate, Utc};
use http_body_util::BodyExt;
use ormantrace::base::clock::Clock;
use ormantrace::base::ids::{KeyId, OrganizationId};
use ormantrace::base::token::Token;
use ormantrace::base::units::Text;
use ormantrace::commands::fsck;
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::register::Queue;
use ormantrace::evidence::register::published::Published;
use ormantrace::evidence::tlog::Folder;
use ormantrace::evidence::tlog::note::{Kind, Signer};
use ormantrace::http::core::app::{App, Inner};
use ormantrace::http::core::layers::{ConcurrencyLimits, LayerSettings};
use ormantrace::http::core::limit::{LimitSettings, PublicLimiter, Rate};
use ormantrace::http::core::write_queue;
use ormantrace::http::router::router;
use ormantrace::services::reads::Reads;
use ormantrace::timber::event::actor::Actor;
use ormantrace::timber::parameter::name::ParameterName;
use ormantrace::timber::parameter::{Parameters, Rulebook};
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::key_record::{self, NewKey};
use ormantrace::timber::party::organization::{NewOrganization, register};
use ormantrace::timber::party::role::{OrganizationKind, Role};
use ormantrace::timber::seal::gs1::Gtin;
use ormantrace::timber::seal::signing::{KeyRing, SigningKey};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::path::Path;
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// A response with its complete body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The response of `router` to a POST.
    pub async fn of(router: &Router, path: &str, by: &Org, body: &Value) -> Self {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", by.token))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Self { status, headers, bytes }
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the response has this status; returns the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let body = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{body}");
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// Codes of the field errors, in order.
    #[track_caller]
    pub fn codes(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|entry| entry["code"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// An organisation of the world.
#[derive(Clone, Debug)]
pub struct Org {
    pub id: OrganizationId,
    pub bin: String,
    pub token: String,
}

/// The world.
pub struct World {
    /// The database is dropped with this value when the test ends.
    db: TestDb,
    pub app: App,
    pub clock: Clock,
    pub router: Router,
    _register_dir: tempfile::TempDir,
}

/// The time in a new world: a working day in autumn, 10:00 in Semey.
pub fn morning() -> DateTime<Utc> {
    "2026-10-05T05:00:00Z".parse().unwrap()
}

/// The rules of a new world: the tests issue tickets in October for a term from September, and a ticket that comes so
/// late is a finding by default.
fn rulebook(clock: &Clock) -> Rulebook {
    let rulebook = Rulebook::new(clock.clone());
    let days = (ParameterName::TicketReceiptDays, NaiveDate::MIN, Decimal::from(60));
    rulebook.replace(Parameters::new([days]));
    rulebook
}

/// The n-th valid BIN of the tests.
pub fn bin(n: u32) -> String {
    (0..10)
        .map(|check| format!("04064000{n:03}{check}"))
        .find(|text| Bin::parse(text).is_ok())
        .unwrap_or_else(|| bin(n + 500))
}

impl World {
    pub async fn new() -> Self {
        let db = TestDb::new().await;
        let clock = Clock::held(morning());
        let register_dir = tempfile::tempdir().unwrap();
        let app = App::new(Inner {
            limiter: PublicLimiter::new(LimitSettings::default()),
            ..Self::inner(db.pool_of(16), &clock, register_dir.path())
        });
        // Requests wait 20 s for a concurrency permit, so that none is refused by chance, however slow the
        // machine is.
        let limits = ConcurrencyLimits { wait: Duration::from_secs(20), ..ConcurrencyLimits::default() };
        let router = router(app.clone(), &LayerSettings { limits, ..LayerSettings::default() });
        Self { db, app, clock, router, _register_dir: register_dir }
    }

    fn inner(pool: PgPool, clock: &Clock, register_dir: &Path) -> Inner {
        let signing_key = SigningKey::from_seed(&[7; 32]);
        // This rate is so high that no test reaches it by chance. Tests of the limits set their own rates.
        let often = Rate { count: 1_000_000, per: Duration::from_secs(1) };
        Inner {
            reads: Reads::of(&pool),
            writes: write_queue::writes(&pool),
            pool,
            clock: clock.clone(),
            rulebook: rulebook(clock),
            public_url: "http://orman.test".into(),
            inspectorate_contact: None,
            gtin: Gtin::DEMONSTRATION,
            not_configured: None,
            key_ring: KeyRing::from(&signing_key),
            signing_key,
            register: Published::new(Folder::new(register_dir)),
            fingerprint_key: [1; 32],
            checks: ormantrace::services::surveillance::checks::Checks::default(),
            // The age of the queue is counted from a time one day in the future, so the queue never counts as
            // too old, however long a test takes. These tests run no sequencer.
            queue: Queue::begun_at(
                Signer::from_seed("orman.test/receipts", Kind::Text, &[9; 32]).unwrap(),
                Instant::now() + Duration::from_hours(24),
            ),
            limiter: PublicLimiter::new(LimitSettings {
                misses: often,
                hits: often,
                hits_per_day: 0,
                hits_per_key_and_day: 0,
                ..LimitSettings::default()
            }),
        }
    }

    /// An instance that does not limit the public check; `database` may point to a proxy.
    pub fn instance_at(database: PgConnectOptions, clock: &Clock) -> App {
        let pool = ormantrace::db::pool_options(4).connect_lazy_with(database);
        App::new(Self::inner(pool, clock, Path::new("/nothing-is-published")))
    }

    /// One more instance over the same database, with these limits on public checks and keys.
    pub fn limited(&self, limits: LimitSettings) -> App {
        let pool = ormantrace::db::pool_options(8).connect_lazy_with(self.database());
        App::new(Inner {
            limiter: PublicLimiter::new(limits),
            ..Self::inner(pool, &self.clock, Path::new("/nothing-is-published"))
        })
    }

    /// A router of one more instance, with the settings of a trial.
    pub fn unconfigured(&self) -> Router {
        let pool = ormantrace::db::pool_options(4).connect_lazy_with(self.database());
        let reason = Some("the GTIN is of the range for demonstrations: set --gtin".to_owned());
        let inner = Self::inner(pool, &self.clock, Path::new("/nothing-is-published"));
        router(App::new(Inner { not_configured: reason, ..inner }), &LayerSettings::default())
    }

    /// One more instance of the server over the same database.
    pub fn instance(&self) -> App {
        Self::instance_at(self.database(), &self.clock)
    }

    /// Connect options of the service, for the world's database.
    pub fn database(&self) -> PgConnectOptions {
        self.app.pool.connect_options().as_ref().clone()
    }

    /// A connection in the role that owns the tables.
    pub async fn owner(&self) -> sqlx::PgConnection {
        self.db.owner().await
    }

    /// How the register's publisher connects.
    pub fn publisher(&self) -> sqlx::postgres::PgConnectOptions {
        self.db.publisher()
    }

    /// Registers an organisation with a key without the API, as the first start registers the operator.
    pub async fn organization(&self, n: u32, name: &str, roles: &[&str]) -> Org {
        let id = OrganizationId::new();
        let act = Actor::of(id, KeyId::new(), self.clock.now()).unwrap();
        let new = NewOrganization {
            bin: Bin::parse(&bin(n)).unwrap(),
            name: Text::parse(name).unwrap(),
            kind: OrganizationKind::LegalEntity,
            roles: roles.iter().map(|role| Role::parse(role).unwrap()).collect(),
        };
        let mut tx = Tx::begin(&self.app.pool).await.unwrap();
        register(&mut tx, &act, id, &new).await.unwrap();
        tx.commit().await.unwrap();
        let (_, token) = self.key(id).await;
        Org { id, bin: bin(n), token: token.expose().to_owned() }
    }

    /// Makes another key of an organisation, recorded as made by the organisation itself.
    pub async fn key(&self, organization: OrganizationId) -> (KeyId, Token) {
        let (id, token) = (KeyId::new(), Token::random());
        let act = Actor::of(organization, id, self.clock.now()).unwrap();
        let key = NewKey { id, label: "test", token: &token, expires_at: None };
        let mut tx = Tx::begin(&self.app.pool).await.unwrap();
        key_record::make(&mut tx, &act, organization, key).await.unwrap();
        tx.commit().await.unwrap();
        (id, token)
    }

    pub async fn operator(&self) -> Org {
        self.organization(1, "Орман таңбалау операторы", &["operator"]).await
    }
    pub async fn forest_owner(&self) -> Org {
        self.organization(2, "«Семей орманы» МОТР", &["forest_owner"]).await
    }
    pub async fn enterprise(&self) -> Org {
        self.organization(3, "ТОО «Ертіс ағаш»", &["enterprise"]).await
    }
    pub async fn sawmill(&self) -> Org {
        self.organization(4, "ТОО «Бородулиха тілу»", &["enterprise"]).await
    }
    pub async fn carrier(&self) -> Org {
        self.organization(5, "ТОО «Шығыс жүк»", &["carrier"]).await
    }
    pub async fn inspector(&self) -> Org {
        self.organization(6, "Абай облыстық орман инспекциясы", &["inspector"]).await
    }

    /// The `fsck` errors of logs, seals, tickets and write requests. Those of organisations and keys are left
    /// out, because a world makes organisations and keys without the API.
    pub async fn unsound(&self) -> Vec<String> {
        let mut found: Vec<fsck::FsckError> = Vec::new();
        fsck::check(&mut self.owner().await, &fsck::Scope::default(), &mut found).await.unwrap();
        let timber = [
            "log",
            "log_seal",
            "past_party",
            "seal",
            "seal_batch",
            "seal_move",
            "ticket_line",
            "felling_ticket",
            "operation",
        ];
        found.retain(|finding| timber.contains(&finding.table));
        found.iter().map(ToString::to_string).collect()
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, bytes }
    }

    /// Sends a request with a token and a JSON body (null: no body).
    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.header("content-type", "application/json").body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str, org: &Org) -> Answer {
        self.call(Method::GET, path, Some(&org.token), Value::Null).await
    }

    pub async fn post(&self, path: &str, org: &Org, body: Value) -> Answer {
        self.call(Method::POST, path, Some(&org.token), body).await
    }
}

/// Logs that are felled, sealed and recorded, and the organisations involved.
pub struct Felled {
    pub operator: Org,
    pub forest_owner: Org,
    pub enterprise: Org,
    pub sawmill: Org,
    pub carrier: Org,
    pub inspector: Org,
    pub ticket: String,
    /// Seal numbers that are still free.
    pub seals: Vec<String>,
    /// Seal numbers of the logs.
    pub logs: Vec<String>,
    pub harvest: Value,
}

impl World {
    /// Issues a ticket: 100 m³ of commercial pine and 20 m³ of pine firewood, felled in autumn 2026.
    pub async fn ticket(&self, issuer: &Org, holder: &Org, number: &str) -> Value {
        let body = Self::ticket_of(holder, number, 100);
        self.post("/v1/felling-tickets", issuer, body).await.expect(201)
    }

    /// A ticket as a forest owner posts it: `volume_m3` of commercial pine, and 20 m³ of firewood.
    pub fn ticket_of(holder: &Org, number: &str, volume_m3: u32) -> Value {
        serde_json::json!({
            "series": "АБ", "number": number, "issued_on": "2026-08-20", "holder_bin": holder.bin,
            "felling_kind": "main", "forest_category": "қорғаныштық", "forest_type": "қарағайлы",
            "origin": {"region": "KZ-10", "district": "Бородулиха ауданы", "forestry": "Жаңа Семей орманшылығы",
                       "compartment": "12", "subcompartment": "3", "cutting_area": "1"},
            "area_ha": 3.5, "felling_from": "2026-09-01", "felling_until": "2026-12-31", "removal_until": "2027-03-31",
            "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": volume_m3},
                      {"species": "pinus_sylvestris", "wood": "firewood", "volume_m3": 20}]
        })
    }

    /// Seals for an organisation, made by the server.
    pub async fn seals(&self, operator: &Org, holder: &Org, quantity: u32) -> Vec<String> {
        let body = serde_json::json!({"holder_bin": holder.bin, "quantity": quantity});
        let batch = self.post("/v1/seal-batches", operator, body).await.expect(201);
        let first = batch["first_number"].as_str().unwrap();
        let digits = first.trim_start_matches(|c: char| !c.is_ascii_digit());
        let prefix = &first[..first.len() - digits.len()];
        let start: u64 = digits.parse().unwrap();
        (0..u64::from(quantity))
            .map(|n| format!("{prefix}{:0width$}", start + n, width = digits.len()))
            .collect()
    }

    /// A log as an enterprise posts it: pine, 6 m, 24 cm, 0.33 m³.
    pub fn pine(seal: &str) -> Value {
        serde_json::json!({
            "seal_number": seal, "kind": "log", "species": "pinus_sylvestris", "wood": "commercial",
            "assortment": "saw_log", "grade": 2, "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33,
            "measurement_method": "gost_2708_75", "occurred_at": "2026-10-05T09:30:00+05:00"
        })
    }

    /// A harvest request with such logs.
    pub fn harvest_of(ticket: &str, seals: &[String]) -> Value {
        serde_json::json!({
            "felling_ticket_id": ticket,
            "responsible_person": {"name": "Ерлан Оспанов", "iin": null},
            "logs": seals.iter().map(|seal| Self::pine(seal)).collect::<Vec<_>>()
        })
    }

    /// Creates the usual organisations, a ticket, `n` sealed logs and ten free seals.
    pub async fn felled(&self, n: usize) -> Felled {
        let (operator, forest_owner, enterprise) =
            (self.operator().await, self.forest_owner().await, self.enterprise().await);
        let (sawmill, carrier, inspector) =
            (self.sawmill().await, self.carrier().await, self.inspector().await);
        let ticket =
            self.ticket(&forest_owner, &enterprise, "0001245").await["id"].as_str().unwrap().to_owned();
        let mut logs = self.seals(&operator, &enterprise, u32::try_from(n).unwrap() + 10).await;
        let seals = logs.split_off(n);
        let body = Self::harvest_of(&ticket, &logs);
        let harvest = self.post("/v1/harvests", &enterprise, body).await.expect(201);
        Felled {
            operator,
            forest_owner,
            enterprise,
            sawmill,
            carrier,
            inspector,
            ticket,
            seals,
            logs,
            harvest,
        }
    }

    /// Sets the clock forward.
    pub fn later(&self, minutes: i64) {
        self.clock.set(self.clock.now() + chrono::TimeDelta::minutes(minutes));
    }

    /// Posts a custody event that occurs at the world's time; members of `more` replace those of the body.
    pub async fn event(&self, who: &Org, event: &str, logs: &[String], more: Value) -> Answer {
        let mut body = serde_json::json!({
            "type": event, "logs": logs, "occurred_at": ormantrace::base::units::utc_text(self.clock.now())
        });
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[name] = value;
        }
        self.post("/v1/custody-events", who, body).await
    }
}
